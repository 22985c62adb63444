"""The on-call gates of files: runbooks, records, deadlines. Each thing that is wrong fails its check."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.errors import GateInputError
from bais_gates.oncall.records import MAX_AGE_DAYS, REQUIRED, Record, load_record, read_records
from bais_gates.oncall.runbook_checks import Platform
from bais_gates.pytest_plugin.evidence import Evidence
from bais_gates.sandbox.oncall.records import write_records
from tests.oncall import shop
from tests.oncall.desk import gate, unheld
from tests.oncall.rotations import rotation

TODAY = date(2026, 11, 30)
PEOPLE = ["Ada", "Ben"]
GATES = Path(__file__).parents[2] / "gates"
VALID: dict[str, Any] = {
    "kind": "incident_drill",
    "title": "Loss of the database",
    "owner": "Ada Keller",
    "date": "2026-11-01",
    "expires": "2027-01-30",
    "participants": ["Ada", "Ben"],
    "evidence": ["https://intranet.bais.example/drills/1"],
}


def judged(check: Callable[..., None], *arguments: Any, **options: Any) -> list[str]:
    """Return the checks of a gate's function that do not hold."""
    evidence = Evidence()
    check(*arguments, evidence, **options)
    assert evidence.recorded().checks
    return unheld(evidence)


# -- records --


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a record of each kind that is required."""
    for kind in REQUIRED:
        write(tmp_path / f"{kind}.json", kind=kind)
    return tmp_path


def write(path: Path, **changes: object) -> Path:
    """Write a record; None removes a key."""
    record = {key: value for key, value in (VALID | changes).items() if value is not None}
    path.write_text(json.dumps(record))
    return path


def checked(folder: Path, *, rehearsal: bool = False) -> list[str]:
    """Return what oncall.records_fresh finds."""
    return judged(gate("records_fresh").check_records, folder, PEOPLE, TODAY, rehearsal=rehearsal)


def test_fresh_records_pass_and_so_do_the_sandbox_s_in_a_sandbox(folder: Path, tmp_path: Path) -> None:
    """A rehearsal's records count in a rehearsal alone."""
    assert checked(folder) == []

    made_up = tmp_path / "made-up"
    write_records(made_up, PEOPLE)
    found, malformed = read_records(made_up)
    today = max(one.held for one in found) + timedelta(days=14)
    check = gate("records_fresh").check_records
    assert malformed == []
    assert judged(check, made_up, PEOPLE, today, rehearsal=True) == []
    (line,) = judged(check, made_up, PEOPLE, today, rehearsal=False)
    assert line.startswith("records of a rehearsal")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"expires": "2026-11-29"}, "incident_drill.json: expired on 2026-11-29"),
        ({"date": "2026-08-31", "expires": "2027-08-31"}, "incident_drill.json: 91 days old, at most 90"),
        ({"date": "2026-12-01"}, "dated 2026-12-01, which is to come"),
        ({"date": "2026-11-29", "expires": "2026-11-28"}, "before its date"),
        ({"owner": "TBD"}, "owner names nobody"),
        ({"date": "9999-12-31", "expires": "9999-12-31"}, "dated 9999-12-31, which is to come"),
        ({"evidence": ["minutes.md"]}, "no file of this name beside the record"),
        ({"evidence": ["../minutes.md"]}, "neither an https address nor a file beside"),
        ({"evidence": ["http://intranet.bais.example/1"]}, "neither an https address"),
        ({"evidence": []}, "incident_drill.json:1: evidence"),
        ({"owner": None}, "incident_drill.json:1: "),
        ({"owner": "ada@bais.example"}, "incident_drill.json:1: owner"),
        ({"date": "2026-02-30"}, "incident_drill.json:1: date: no such day"),
        ({"kind": "party"}, "incident_drill.json:1: kind"),
        ({"notes": "more"}, "incident_drill.json:1: "),
    ],
)
def test_a_record_that_does_not_count_blocks(folder: Path, changes: dict[str, object], said: str) -> None:
    """Expired, too old, to come, of nobody, without evidence, or malformed: named with file and reason."""
    write(folder / "incident_drill.json", **changes)

    found = checked(folder)
    assert any(said in one for one in found), found
    assert any(one.startswith("records that count (incident_drill): 0") for one in found)
    assert "ada@" not in "".join(found)


def test_an_empty_folder_and_people_without_a_training_block(folder: Path, tmp_path: Path) -> None:
    """Nothing is no pass; who was not at a training is named; a folder that is absent is an error."""
    write(folder / "training.json", kind="training", participants=["Ada"])
    (found,) = checked(folder)
    assert found.startswith("people on call without a training")
    assert "Ben" in found

    empty = tmp_path / "empty"
    empty.mkdir()
    assert len([one for one in checked(empty) if "records that count" in one]) == len(REQUIRED)
    with pytest.raises(GateInputError, match=r"no folder of records .*oncall.records"):
        checked(tmp_path / "absent")


def test_what_was_replaced_is_kept_in_a_folder_of_its_own(folder: Path) -> None:
    """Folders in the folder are not read; an old record beside the new one blocks."""
    archive = folder / "archive"
    archive.mkdir()
    write(archive / "old.json", date="2020-01-01", expires="2020-02-01")
    assert checked(folder) == []

    shutil.copy(archive / "old.json", folder / "old.json")
    (line,) = checked(folder)
    assert "old.json: expired on 2020-02-01" in line


def test_the_shipped_examples_are_records() -> None:
    """Each kind that is required has one example, in which everybody of the shipped rotation was trained."""
    found, malformed = read_records(GATES / "oncall" / "records")
    assert malformed == []
    assert sorted(one.kind for one in found) == sorted(REQUIRED)
    assert {fault for one in found for fault in one.faults(one.held)} == set()
    assert {one.kind: (one.expires - one.held).days for one in found if not one.rehearsal} == {
        kind: MAX_AGE_DAYS[kind] for kind in REQUIRED
    }


@given(
    kind=st.sampled_from(sorted(MAX_AGE_DAYS)),
    held=st.dates(date(2025, 1, 1), date(2027, 1, 1)),
    lasts=st.integers(-10, 500),
    today=st.dates(date(2025, 1, 1), date(2028, 1, 1)),
)
def test_a_record_counts_exactly_from_its_date_to_its_last_day(
    kind: str, held: date, lasts: int, today: date
) -> None:
    """It counts on no day before its date, after its expiry, or beyond the age of its kind."""
    expires = held + timedelta(days=lasts)
    one = Record(
        path=Path("record.json"),
        kind=kind,
        title="A record",
        owner="Ada Keller",
        held=held,
        expires=expires,
        participants=("Ada",),
        evidence=("https://intranet.bais.example/1",),
    )

    counts = held <= today <= min(expires, held + timedelta(days=MAX_AGE_DAYS[kind]))
    assert (one.faults(today) == []) is counts
    if counts:
        assert one.days_left(today) >= 0


def test_a_record_may_be_yaml(tmp_path: Path) -> None:
    """As the examples are."""
    path = tmp_path / "record.yaml"
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in VALID.items()))

    assert load_record(path).valid_until == date(2027, 1, 30)


# -- runbooks --


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the gates of a small shop with one alert."""
    return shop.write(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def platform(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Return what the shop's runbooks are held to."""
    it = rotation(
        tmp_path_factory.mktemp("rotation"),
        teams={name: {"chat": f"#{name}"} for name in ("platform", "database")},
        severities=shop_severities(),
    )
    found: Platform = gate("runbooks").platform_of(it, project)
    return found


def shop_severities() -> dict[str, dict[str, str]]:
    """Return the times of the shop's severity matrix."""
    times = {"P1": ("5m", "5m"), "P2": ("15m", "60m"), "P3": ("8h", "3d"), "P4": ("5d", "7d")}
    return {
        name: {"acknowledge_within": one, "recover_within": other} for name, (one, other) in times.items()
    }


@pytest.fixture
def runbooks(project: Path, tmp_path: Path) -> Path:
    """Return a copy of the shop's runbooks."""
    return Path(shutil.copytree(project / "oncall" / "runbooks", tmp_path / "runbooks"))


def replace(path: Path, old: str, new: str) -> None:
    """Replace a text in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_runbooks_that_can_be_followed_pass(runbooks: Path, platform: Platform) -> None:
    """Nothing is found in the shop's."""
    assert judged(gate("runbooks").check_files, runbooks, platform, TODAY) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "DatabaseDown.md").unlink(), "DatabaseDown has no runbook"),
        (lambda folder: replace(folder / "DatabaseDown.md", "## Impact", "## Impact\nTODO"), "left to do"),
        (lambda folder: replace(folder / "DatabaseDown.md", "kubectl", "kubectk"), "kubectk"),
        (lambda folder: replace(folder / "DatabaseDown.md", "2026-", "2025-"), "days ago"),
        (lambda folder: (folder / "severity-matrix.md").unlink(), "general document is missing"),
    ],
)  # fmt: skip
def test_a_runbook_that_can_not_be_followed_blocks(
    runbooks: Path, platform: Platform, spoil: Callable[[Path], object], said: str
) -> None:
    """A missing runbook, a placeholder, a command that does not exist, an old review: each is named."""
    spoil(runbooks)

    (found,) = judged(gate("runbooks").check_files, runbooks, platform, TODAY)
    assert found.startswith("findings about the runbooks")
    assert said in found


# -- after an incident --


def test_deadlines_after_an_incident_are_held_to_their_limits(tmp_path: Path) -> None:
    """Too late a review or report, a report before the review, and no template are each one false check."""
    (tmp_path / "post-mortem-template.md").write_text("# Post-mortem\n")
    check = gate("post_incident").check_deadlines
    good = {"review_within": "3d", "report_within": "5d"}

    def found(folder: Path = tmp_path, **p1: str) -> list[str]:
        return judged(check, rotation(tmp_path, post_incident={"P1": good | p1, "P2": good}), folder)

    assert found() == []
    assert [one.partition(":")[0] for one in found(review_within="4d")] == ["time to the review (P1)"]
    assert [one.partition(":")[0] for one in found(report_within="6d")] == ["time to the report (P1)"]
    assert [one.partition(":")[0] for one in found(report_within="2d")] == ["time from review to report (P1)"]
    assert [one.partition(":")[0] for one in found(folder=tmp_path / "absent")] == [
        "templates for the report"
    ]


def test_each_gate_of_on_call_is_judged_by_one_roll_up() -> None:
    """What the roll-up of the rotation leaves out is what that of the runbooks judges."""
    rotation, runbooks = (
        runpy.run_path(str(GATES / "checklist" / f"test_{name}.py"))
        for name in ("oncall_rotation", "runbooks_updated")
    )

    assert rotation["OTHER_ROLL_UP"] == runbooks["GATES"]
