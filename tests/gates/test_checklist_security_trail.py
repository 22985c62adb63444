"""Test that each fault of logs, backups and procedures fails the gate of compliance."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bais_gates.rules.procedures import STEPS
from bais_gates.targets.parts import SecurityPart
from tests.gates.fake_platform import platform
from tests.gates.platform_bench import CLUSTER, environment, false_checks

compliance = importlib.import_module("gates.checklist.test_compliance_verified")
NOW = datetime.now(UTC)


def trail(log: Callable[[str], str], *, status: int = 401) -> Any:
    """Make a trail whose pods log what ``log`` returns for the request's id."""
    cluster = platform()

    def post(_path: str, *, json: object, headers: dict[str, str]) -> Any:
        cluster.log = log(headers["X-Request-ID"]) if json else ""
        return SimpleNamespace(status=status, headers=headers | {"x-request-id": headers["X-Request-ID"]})

    described = environment(kubernetes=CLUSTER, security=SecurityPart())
    return compliance.Trail(api=SimpleNamespace(post=post), cluster=cluster, environment=described)


def access(request_id: str) -> str:
    """Make the access log's line of a request."""
    return json.dumps({"request_id": request_id, "method": "POST", "route": "/x", "status": 401})


def audit(request_id: str, *, allowed: bool = False) -> str:
    """Make the audit log's line of a request."""
    return json.dumps({"request_id": request_id, "action": "user.login", "allowed": allowed})


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (lambda r: f"{access(r)}\n{audit(r)}", []),
        (
            access,
            [
                "audit log: entries of the gate's sign-in",
                "audit log: recorded result of the sign-in",
            ],
        ),
        (audit, ["access logging: entries of the gate's sign-in"]),
        (
            lambda r: f"{access(r)}\n{audit(r, allowed=True)}",
            ["audit log: recorded result of the sign-in"],
        ),
    ],
    ids=["both", "no audit", "no access", "wrong result"],
)
def test_a_sign_in_must_be_logged(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[str], str], found: list[str]
) -> None:
    """The gate's own sign-in is in both logs, with its result."""
    monkeypatch.setattr(compliance, "LOGGED_WITHIN_S", 0.1)

    assert false_checks(lambda evidence: compliance.check_logs(trail(log), evidence)) == found


def test_unencrypted_backups_fail(tmp_path: Path) -> None:
    """So do no backup, and another dump in the directory."""
    assert false_checks(lambda e: compliance.check_backups(tmp_path, e))[0] == "backup encryption: backups"
    described = {"taken_at": NOW.isoformat(), "tables": {}, "size": 1, "sha256": "x"}
    (tmp_path / "a.json").write_text(json.dumps(described))
    dump = tmp_path / "a.dump.age"
    dump.write_bytes(b"age-encryption.org/v1\n")
    assert false_checks(lambda e: compliance.check_backups(tmp_path, e)) == []
    dump.write_bytes(b"PGDMP")
    assert false_checks(lambda e: compliance.check_backups(tmp_path, e)) == [
        "backup encryption: unencrypted dumps"
    ]
    dump.write_bytes(b"age-encryption.org/v1\n")
    (tmp_path / "b.sql").write_text("x")
    assert false_checks(lambda e: compliance.check_backups(tmp_path, e)) == [
        "backup encryption: unencrypted dumps"
    ]


def test_incomplete_procedures_fail(tmp_path: Path) -> None:
    """So does one that is not there."""
    path = tmp_path / "incident.md"
    sections = "".join(f"## {step}\n\n{'do this and then that ' * 3}\n\n" for step in STEPS)
    front = f"---\nowner: o\ncontacts: [c]\nreviewed: {NOW.date()}\n---\n"
    part = SecurityPart(incident_procedures=(path,))
    described = environment(security=part)

    def check() -> list[str]:
        return false_checks(lambda evidence: compliance.check_procedures(described, evidence))

    path.write_text(front + sections)
    assert check() == []
    path.write_text(sections)
    assert check() == ["incident procedures: faults"]
    path.unlink()
    assert check() == ["incident procedures: faults"]
