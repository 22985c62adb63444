"""What compliance asks of logs, backups and procedures: green, red for each gap, and unable to look."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bais_gates.errors import GateInputError
from bais_gates.pytest_plugin.evidence import Evidence, GateFailure
from bais_gates.rules.procedures import STEPS
from bais_gates.targets.parts import SecurityPart
from tests.gates.fake_platform import platform
from tests.gates.platform_bench import CLUSTER, environment

compliance = importlib.import_module("gates.checklist.test_compliance_verified")
NOW = datetime.now(UTC)


def false_checks(judge: Callable[[Evidence], object]) -> list[str]:
    """Let a gate judge, and name the checks that did not hold."""
    evidence = Evidence()
    with contextlib.suppress(GateFailure):
        judge(evidence)
    recorded = evidence.recorded()
    assert recorded.checks
    return [check.name for check in (*recorded.false, *recorded.without_data)]


def trail(log: Callable[[str], str], *, status: int = 401) -> Any:
    """Make a place to sign in whose pods log what ``log`` makes of the request's id."""
    cluster = platform()

    def post(_path: str, *, json: object, headers: dict[str, str]) -> Any:
        cluster.log = log(headers["X-Request-ID"]) if json else ""
        return SimpleNamespace(status=status, headers=headers | {"x-request-id": headers["X-Request-ID"]})

    described = environment(kubernetes=CLUSTER, security=SecurityPart())
    return compliance.Trail(api=SimpleNamespace(post=post), cluster=cluster, environment=described)


def access(request_id: str) -> str:
    """Write the access log's line of a request."""
    return json.dumps({"request_id": request_id, "method": "POST", "route": "/x", "status": 401})


def audit(request_id: str, *, allowed: bool = False) -> str:
    """Write the audit log's line of a request."""
    return json.dumps({"request_id": request_id, "action": "user.login", "allowed": allowed})


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (lambda r: f"{access(r)}\n{audit(r)}", []),
        (
            access,
            [
                "audit log active: entries of a sign-in just made",
                "audit log active: what they say of being allowed",
            ],
        ),
        (audit, ["access logging: lines of a sign-in just made"]),
        (
            lambda r: f"{access(r)}\n{audit(r, allowed=True)}",
            ["audit log active: what they say of being allowed"],
        ),
    ],
    ids=["both", "no audit", "no access", "a lie"],
)
def test_an_action_must_leave_its_trail(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[str], str], found: list[str]
) -> None:
    """A sign-in just made stands in both logs, truthfully; an entry of yesterday proves nothing."""
    monkeypatch.setattr(compliance, "SEEN_WITHIN_S", 0.1)

    assert false_checks(lambda evidence: compliance.logged(trail(log), evidence)) == found


def test_backups_in_the_clear_go_red(tmp_path: Path) -> None:
    """No backup, one that is not encrypted, and a dump beside them are red."""
    assert (
        false_checks(lambda e: compliance.backups_encrypted(tmp_path, e))[0] == "backup encryption: backups"
    )
    described = {"taken_at": NOW.isoformat(), "tables": {}, "size": 1, "sha256": "x"}
    (tmp_path / "a.json").write_text(json.dumps(described))
    dump = tmp_path / "a.dump.age"
    dump.write_bytes(b"age-encryption.org/v1\n")
    assert false_checks(lambda e: compliance.backups_encrypted(tmp_path, e)) == []
    dump.write_bytes(b"PGDMP")
    assert false_checks(lambda e: compliance.backups_encrypted(tmp_path, e)) == [
        "backup encryption: dumps in the clear"
    ]
    dump.write_bytes(b"age-encryption.org/v1\n")
    (tmp_path / "b.sql").write_text("x")
    assert false_checks(lambda e: compliance.backups_encrypted(tmp_path, e)) == [
        "backup encryption: dumps in the clear"
    ]


def test_procedures_with_gaps_go_red(tmp_path: Path) -> None:
    """No procedure and one with a gap are red; one that is not there is an error."""
    path = tmp_path / "incident.md"
    sections = "".join(f"## {step}\n\n{'do this and then that ' * 3}\n\n" for step in STEPS)
    front = f"---\nowner: o\ncontacts: [c]\nreviewed: {NOW.date()}\n---\n"
    part = SecurityPart(incident_procedures=(path,))
    described = environment(security=part)

    def red() -> list[str]:
        return false_checks(lambda evidence: compliance.procedures(described, evidence))

    path.write_text(front + sections)
    assert red() == []
    path.write_text(sections)
    assert red() == ["incident procedures: what is wrong with them"]
    path.unlink()
    with pytest.raises(GateInputError, match=r"incident\.md"):
        compliance.procedures(described, Evidence())
