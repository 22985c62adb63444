"""Which version still works with a schema: what logs declare, what records keep, what is refused for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.rollout.record import Phase, Record, State
from bais_gates.rollout.way_back import declared, is_too_old, numbers, oldest_version, why_no_way_back

RELEASES = st.lists(st.integers(0, 30), min_size=1, max_size=4).map(lambda ns: ".".join(map(str, ns)))
LINE = "WARNI [alembic] Revision {} contracts the schema: no way back before {}"


def record(*phases: Phase, no_way_back: str = "", before: str = "") -> Record:
    """Return a deploy from 1.0.0 to 1.2.0."""
    state = State(images={"api": "a"}, replicas=1, version="1.0.0", oldest_version=before)
    made = Record(
        id="1",
        kind="deploy",
        environment="test",
        rehearsal=True,
        by="dana",
        images={"api": "b"},
        version="1.2.0",
        before=state,
        no_way_back=no_way_back,
    )
    for phase in phases:
        made = made.then(phase)
    return made


def test_a_log_declares_the_newest_of_its_versions() -> None:
    """A line each for several revisions; other lines declare nothing."""
    lines = [LINE.format("0004", "1.1.0"), LINE.format("0005", "1.10.0"), LINE.format("0006", "1.9.0.")]

    assert declared("\n".join(["Running upgrade 0003 -> 0004", *lines])) == "1.10.0"
    assert declared("Running upgrade 0003 -> 0004\nno way back before 1.0.0") == ""


@given(RELEASES, RELEASES)
def test_versions_are_compared_by_their_numbers(one: str, other: str) -> None:
    """Of two versions the lower is too old for a schema of the higher, and never both."""
    assert is_too_old(one, other) == (numbers(one) < numbers(other))
    assert not (is_too_old(one, other) and is_too_old(other, one))


@pytest.mark.parametrize(
    ("version", "oldest", "expected"),
    [
        ("1.0.0", "", False),
        (None, "", False),
        (None, "1.1.0", True),
        ("2026-01", "1.1.0", True),
        ("2026-01", "2026-01", False),
        ("1.0.0", "2026-01", True),
        ("1.1", "1.1.0", False),
    ],
)
def test_a_version_that_cannot_be_compared_is_too_old(
    version: str | None, oldest: str, expected: bool
) -> None:
    """Nobody knows that it works."""
    assert is_too_old(version, oldest) is expected


def test_what_a_migration_declares_holds_from_its_beginning_on() -> None:
    """Not before, and then for every later deploy; a later one may only raise it."""
    planned = record(Phase.RECORDED, no_way_back="1.1.0")
    assert oldest_version(None) == oldest_version(planned) == ""
    assert oldest_version(planned.then(Phase.MIGRATING)) == "1.1.0"
    assert oldest_version(record(Phase.MIGRATING, before="1.1.0")) == "1.1.0"
    assert oldest_version(record(Phase.MIGRATING, before="1.1.0", no_way_back="1.0.5")) == "1.1.0"


def test_only_what_was_replaced_can_be_too_old_to_come_back() -> None:
    """Until the rollout what ran before runs still, and a verification says whether it works."""
    migrated = record(Phase.RECORDED, Phase.MIGRATING, no_way_back="1.1.0")
    assert why_no_way_back(migrated) == ""
    why = why_no_way_back(migrated.then(Phase.ROLLING_OUT))
    assert why == ("There is no way back before 1.1.0: the schema was contracted, and this is version 1.0.0.")
    newer = replace(migrated, before=replace(migrated.before, version="1.1.0"))
    assert why_no_way_back(newer.then(Phase.ROLLING_OUT)) == ""


def test_a_release_without_a_way_back_stays_what_runs() -> None:
    """The next command is about what runs, not about what ran before."""
    stayed = record(Phase.MIGRATING, Phase.ROLLING_OUT, Phase.ROLLBACK_FAILED, no_way_back="1.1.0")
    tried = record(Phase.ROLLING_OUT, Phase.ROLLING_BACK, Phase.ROLLBACK_FAILED)

    assert stayed.running == ({"api": "b"}, "1.2.0")
    assert tried.running == ({"api": "a"}, "1.0.0")
