"""Audit records, incident procedures, and what an action leaves in logs and figures."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.probes.transit import cache_is_encrypted
from bais_gates.rules import audit_trail
from bais_gates.rules.audit_record import SCOPE, read_audit_record
from bais_gates.rules.procedures import STEPS, procedure_faults, read_procedure

if TYPE_CHECKING:
    from pathlib import Path

TODAY = date(2026, 3, 1)
RECORD: dict[str, Any] = {
    "taken_at": "2026-02-01T10:00:00Z",
    "auditor": "A",
    "approved_by": "B",
    "subject": "api@sha256:" + "a" * 64,
    "scope": sorted(SCOPE),
    "findings": {"critical": 0, "high": 0, "medium": 1, "low": 2},
    "scans": [{"file": "/x/ruff.sarif", "sha256": "AB"}],
}


def written(tmp_path: Path, **fields: Any) -> Path:
    """Write a record with some fields exchanged; None leaves one out."""
    path = tmp_path / "audit.json"
    path.write_text(json.dumps({k: v for k, v in (RECORD | fields).items() if v is not None}))
    return path


def test_a_record_is_read(tmp_path: Path) -> None:
    """People, day, scope, counts and the scans' digests are read."""
    record = read_audit_record(written(tmp_path))

    assert record.age_days(datetime(2026, 2, 3, 10, tzinfo=UTC)) == 2
    assert record.digest == "sha256:" + "a" * 64
    assert record.scope == SCOPE
    assert record.scans == {"ruff.sarif": "ab"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"taken_at": None}, "taken_at"),
        ({"taken_at": "lately"}, "taken_at"),
        ({"auditor": ""}, "auditor"),
        ({"approved_by": None}, "approved_by"),
        ({"scope": "all"}, "scope"),
        ({"findings": {"critical": 0}}, "findings"),
        ({"findings": {"critical": -1, "high": 0, "medium": 0, "low": 0}}, "findings"),
        ({"findings": {"critical": True, "high": 0, "medium": 0, "low": 0}}, "findings"),
        ({"scans": [{"file": "x"}]}, "scans"),
    ],
)
def test_an_incomplete_record_is_refused(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    """A record without day, people, scope or counts is refused by the key that is wrong."""
    with pytest.raises(GateInputError, match=said):
        read_audit_record(written(tmp_path, **fields))


def test_no_record_is_told_apart(tmp_path: Path) -> None:
    """A record that is not there, and one that is no mapping, are told apart."""
    (tmp_path / "list.json").write_text("[]")

    with pytest.raises(AbsentFileError, match="audited"):
        read_audit_record(tmp_path / "gone.json")
    with pytest.raises(GateInputError, match="mapping"):
        read_audit_record(tmp_path / "list.json")


FRONT = "---\nowner: security\ncontacts: [a@example]\nreviewed: 2026-02-01\n---\n"
BODY = "".join(f"## {step}\n\n{'do this and then that ' * 3}\n\n" for step in STEPS)


def test_a_whole_procedure_has_no_fault() -> None:
    """Owner, contacts, a review within the year and the five sections are all that is asked."""
    assert procedure_faults(FRONT + BODY, TODAY) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (BODY, "front matter"),
        (FRONT.replace("owner: security\n", "") + BODY, "no owner"),
        (FRONT.replace("[a@example]", "[]") + BODY, "no contacts"),
        (FRONT.replace("2026-02-01", "2025-01-01") + BODY, "not within"),
        (FRONT.replace("2026-02-01", "2027-01-01") + BODY, "not within"),
        (FRONT.replace("2026-02-01", "soon") + BODY, "no day"),
        (FRONT + BODY.replace("## Notify", "## Tell"), "Notify"),
        (
            FRONT + "## Detect\n\nlook\n" + BODY.partition("## Contain")[1] + BODY.partition("## Contain")[2],
            "Detect",
        ),
        ("---\n[\n---\n" + BODY, "no YAML"),
    ],
)
def test_a_procedure_with_a_gap_is_named(text: str, fault: str) -> None:
    """Each gap is one fault, and says which."""
    faults = procedure_faults(text, TODAY)

    assert len(faults) == 1
    assert fault in faults[0]


def test_an_absent_procedure_is_an_error(tmp_path: Path) -> None:
    """A procedure that is not there can't be judged."""
    with pytest.raises(AbsentFileError, match="incident_procedures"):
        read_procedure(tmp_path / "gone.md")


LOG = "\n".join(
    [
        'prefix {"request_id": "r1", "method": "POST", "route": "/login", "status": 401}',
        '{"request_id": "r1", "action": "user.login", "allowed": false}',
        '{"request_id": "r2", "action": "user.login", "allowed": true}',
        "{broken r1",
        "r1 in a text",
    ]
)


def test_a_requests_lines_are_found_by_its_id() -> None:
    """Only whole JSON lines of that very request count; access and audit lines are told apart."""
    lines = list(audit_trail.lines_of(LOG, "r1"))

    assert [audit_trail.is_access(line) for line in lines] == [True, False]
    assert [audit_trail.is_audit(line) for line in lines] == [False, True]
    assert audit_trail.allowed_values(lines) == [False]
    assert list(audit_trail.lines_of(LOG, "r3")) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('http_request_duration_seconds_count{method="GET",status="401"} 3.0\n', 3),
        ('http_requests_total{code="401"} 1\nhttp_requests_total{code="200"} 9\n', 1),
        ('http_request_duration_seconds_bucket{le="1",status="401"} 3.0\n', 0),
        ("", 0),
    ],
)
def test_refusals_are_counted(text: str, count: float) -> None:
    """Requests answered 401 are summed over a counter's or a histogram's series."""
    assert audit_trail.refusals_counted(text) == count


def monitor(port: str = "https", **labels: str) -> dict[str, Any]:
    """Write a ServiceMonitor."""
    spec = {"selector": {"matchLabels": labels}, "endpoints": [{"port": port}]}
    return {"metadata": {"name": "m"}, "spec": spec}


SERVICE = {"metadata": {"labels": {"app": "api"}}, "spec": {"ports": [{"name": "https"}]}}


@pytest.mark.parametrize(
    ("monitors", "fault"),
    [
        ([monitor(app="api")], None),
        ([monitor(app="other")], "no Service"),
        ([monitor("metrics", app="api")], "no port"),
        ([], "there is no ServiceMonitor"),
    ],
)
def test_a_monitor_must_lead_to_a_port(monitors: list[dict[str, Any]], fault: str | None) -> None:
    """A ServiceMonitor that selects nothing, or a port that is not there, collects nothing."""
    faults = audit_trail.monitor_faults(monitors, [SERVICE])

    assert (fault is None and not faults) or (fault is not None and fault in faults[0])


@pytest.mark.parametrize(
    ("url", "encrypted"),
    [
        ("rediss://cache:6379", True),
        ("redis://cache:6379", False),
        ("redis://192.0.2.1:6379", False),
        ("redis://127.0.0.1:6379", None),
        ("redis://localhost:6379", None),
        ("unix:///run/redis.sock", None),
    ],
)
def test_a_cache_needs_tls_over_a_network(url: str, encrypted: bool | None) -> None:
    """Loopback and sockets need none; a name or an address elsewhere does."""
    assert cache_is_encrypted(url) is encrypted
