"""Which decision allows a deploy, and which image is older than the one that runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bais_gates.rollout.decision import Demand, require_decision
from bais_gates.rollout.errors import RefusalCode, Refused
from bais_gates.rollout.plan import _require_newer
from bais_gates.rollout.record import Phase, Record, State
from bais_gates.verdict.files import digest_of
from bais_gates.verdict.model import parse_subject
from tests.rollout.decisions import Suite
from tests.rollout.fake_cluster import NEW, OLD

CLUSTER = "0a1b"
REAL: dict[str, Any] = {"target": "production", "rehearsal": False, "facts": (("cluster.uid", CLUSTER),)}


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Return a suite without a decision."""
    suite = Suite(tmp_path / "suite")
    suite.write()
    return suite


def demand(suite: Suite, **changes: Any) -> Demand:
    """Return what production demands of a decision about the new image."""
    fields: dict[str, Any] = {
        "decision": suite.decision,
        "catalog": suite.catalog,
        "environment": "production",
        "environment_digest": digest_of((suite.folder / "environments" / "production.yaml").read_bytes()),
        "subject": parse_subject(NEW),
        "cluster_uid": CLUSTER,
        "rehearsal": False,
    }
    return Demand(**(fields | changes))


def test_a_decision_for_exactly_this_deploy_allows_it(suite: Suite) -> None:
    """Image, environment, cluster and files are the ones that were judged."""
    suite.decide(NEW, **REAL)

    assert require_decision(demand(suite)).run.run_id == "run-1"


def test_a_sandbox_accepts_its_rehearsal(suite: Suite) -> None:
    """Which every other target refuses, also under the name of the sandbox."""
    suite.decide(NEW)

    assert require_decision(demand(suite, environment="sandbox", rehearsal=True)).target.rehearsal
    with pytest.raises(Refused, match="is a rehearsal") as refusal:
        require_decision(demand(suite, environment="sandbox"))
    assert refusal.value.code is RefusalCode.REHEARSAL


@pytest.mark.parametrize(
    ("decided", "words"),
    [
        (None, "DECISION_ABSENT"),
        ({"target": "sandbox", "rehearsal": True}, "REHEARSAL"),
        ({"outcome": "FAIL"}, "DECISION_BLOCK"),
        ({"image": OLD}, "SUBJECT_OTHER: The decision's subject is registry.example/bais-api@sha256:aaa"),
        ({"at": datetime.now(UTC) - timedelta(hours=2)}, "STALE: The decision expired"),
        ({"target": "staging"}, "ENVIRONMENT_OTHER"),
        ({"facts": (("cluster.uid", "ffff"),)}, "is about the cluster ffff, and this one is 0a1b"),
        ({"facts": ()}, r"is about the cluster \(unknown\)"),
    ],
)
def test_every_other_decision_is_refused(suite: Suite, decided: dict[str, Any] | None, words: str) -> None:
    """The reason is that of `bais-gates verify`, or names the other cluster."""
    if decided is not None:
        suite.decide(**({"image": NEW} | REAL | decided))

    with pytest.raises(Refused, match=words):
        require_decision(demand(suite))


def test_another_file_of_the_same_name_is_refused(suite: Suite) -> None:
    """It may name another namespace or address than the one that was judged."""
    suite.decide(NEW, **REAL)

    with pytest.raises(Refused, match="another environment file of the name production"):
        require_decision(demand(suite, environment_digest=f"sha256:{'0' * 64}"))


def test_another_catalog_is_refused(suite: Suite) -> None:
    """The decision was made by other rules."""
    suite.decide(NEW, **REAL)
    suite.catalog.write_text(suite.catalog.read_text().replace("P1", "P2"))

    with pytest.raises(Refused, match="CATALOG_OTHER"):
        require_decision(demand(suite))


@pytest.mark.parametrize(
    ("running", "version", "refused"),
    [
        ("1.10.0", "1.9.3", True),
        ("1.9.3", "1.10.0", False),
        ("1.1", "1.1.0", False),
        ("v2", "1.9", True),
        ("nightly", "1.0", False),
        (None, "0.1", False),
    ],
)
def test_an_older_version_is_refused(suite: Suite, running: str | None, version: str, refused: bool) -> None:
    """Numbers are compared as numbers; what is no version says nothing."""
    suite.decide(NEW, **REAL)
    decision = require_decision(demand(suite))
    before = State(images={"api": OLD}, replicas=1, version=running)
    if refused:
        with pytest.raises(Refused, match=r"is older than .* rollback --to"):
            _require_newer(decision, version, before, None)
    else:
        _require_newer(decision, version, before, None)


@pytest.mark.parametrize(
    ("decided_at", "phase", "refused"),
    [
        ("2099-01-01T00:00:00Z", Phase.DEPLOYED, True),
        ("2099-01-01T00:00:00Z", Phase.ROLLED_BACK, False),
        ("2020-01-01T00:00:00Z", Phase.DEPLOYED, False),
    ],
)
def test_an_older_decision_is_refused(suite: Suite, decided_at: str, phase: Phase, refused: bool) -> None:
    """A pipeline that was late must not undo a newer release; one that was rolled back does not count."""
    suite.decide(NEW, **REAL)
    decision = require_decision(demand(suite))
    before = State(images={"api": OLD}, replicas=1)
    last = Record(
        id="1",
        kind="deploy",
        environment="production",
        rehearsal=False,
        by="dana",
        images={"api": OLD},
        version=None,
        before=before,
        decision={"decided_at": decided_at},
    ).then(phase)
    if refused:
        with pytest.raises(Refused, match="a newer release was deployed since"):
            _require_newer(decision, "1.0", before, last)
    else:
        _require_newer(decision, "1.0", before, last)
