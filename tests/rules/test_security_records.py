"""Audit records, incident procedures, and the log entries and metrics of a request."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from bais_gates.errors import GateInputError
from bais_gates.rules import audit_trail
from bais_gates.rules.audit_record import SCOPE, RecordedScan, parse_audit_record
from bais_gates.rules.procedures import STEPS, procedure_faults

TODAY = date(2026, 3, 1)
PATH = Path("audit.json")
RECORD: dict[str, Any] = {
    "taken_at": "2026-02-01T10:00:00Z",
    "auditor": "A",
    "approved_by": "B",
    "subject": "api@sha256:" + "a" * 64,
    "scope": sorted(SCOPE),
    "findings": {"critical": 0, "high": 0, "medium": 1, "low": 2},
    "scans": [{"file": "/x/ruff.sarif", "sha256": "AB"}],
}


def text(**fields: Any) -> str:
    """Return the text of a record with some fields replaced, or removed by None."""
    return json.dumps({k: v for k, v in (RECORD | fields).items() if v is not None})


def test_a_record_is_parsed() -> None:
    """Date, scope, digest and the scans' digests are those of the text."""
    record = parse_audit_record(text(), PATH)

    assert record.age_days(datetime(2026, 2, 3, 10, tzinfo=UTC)) == 2
    assert record.digest == "sha256:" + "a" * 64
    assert record.scope == SCOPE
    assert record.scans == {"ruff.sarif": RecordedScan(sha256="ab")}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"taken_at": None}, "taken_at"),
        ({"taken_at": "lately"}, "taken_at"),
        ({"auditor": ""}, "auditor"),
        ({"approved_by": None}, "approved_by"),
        ({"scope": "all"}, "scope"),
        ({"findings": {"critical": 0}}, "findings"),
        ({"findings": {"critical": -1, "high": 0, "medium": 0, "low": 0}}, "findings"),
        ({"findings": {"critical": True, "high": 0, "medium": 0, "low": 0}}, "findings"),
        ({"findings": {"critical": 0, "high": 0, "medium": 0, "low": 0, "High": 3}}, "findings"),
        ({"scans": [{"file": "x"}]}, "scans"),
        ({"scans": [{"file": "a/x", "sha256": "1"}, {"file": "b/x", "sha256": "2"}]}, "same file name"),
        ({"taken_at": "2026-02-01T10:00:00"}, "with its zone"),
        ({"taken_at": "2026-02-01"}, "with its zone"),
        ({"rehearsal": "false"}, "rehearsal"),
        ({"authors": "A"}, "authors"),
        ({"subject": "registry/api:1.0.0"}, "subject must be an image with its digest"),
        ({"subject": "registry/api@sha256:" + "a" * 63}, "subject"),
    ],
)
def test_an_incomplete_record_is_an_error(fields: dict[str, Any], message: str) -> None:
    """The message names the key."""
    with pytest.raises(GateInputError, match=message):
        parse_audit_record(text(**fields), PATH)


@pytest.mark.parametrize(
    ("auditor", "approved_by", "fault"),
    [
        ("A", "B", None),
        ("A", "a", "approved_by (a) is the auditor (A)"),
        ("A, B", "B", "approved_by (B) is the auditor (A, B)"),
        ("A", "TBD", "approved_by names nobody (TBD)"),
        ("n/a", "B", "auditor names nobody"),
        ("A", "D\u0430na", "mixes letters of several scripts"),
    ],
)
def test_another_person_approves(auditor: str, approved_by: str, fault: str | None) -> None:
    """The fault names the key and both persons."""
    faults = parse_audit_record(text(auditor=auditor, approved_by=approved_by), PATH).approval_faults

    assert [fault in one for one in faults if fault] == ([] if fault is None else [True])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "mapping"),
        ("a: [", "not valid YAML"),
        ('{"auditor": "A", "auditor": "B"}', "duplicate key auditor"),
        ("auditor: A\nfindings: {high: 1, high: 0}", "duplicate key high"),
    ],
)
def test_a_document_that_is_not_a_record_is_an_error(content: str, message: str) -> None:
    """The message names the file."""
    with pytest.raises(GateInputError, match=rf"audit\.json.*{message}"):
        parse_audit_record(content, PATH)


FRONT = "---\nowner: security\ncontacts: [a@example]\nreviewed: 2026-02-01\n---\n"
BODY = "".join(f"## {step}\n\n{'do this and then that ' * 3}\n\n" for step in STEPS)


def test_a_complete_procedure_has_no_fault() -> None:
    """It has owner, contacts, a review within a year and the five sections."""
    assert procedure_faults(FRONT + BODY, TODAY) == []


@pytest.mark.parametrize(
    "content",
    [
        FRONT + BODY.replace("## ", "# 1. ").replace("Detect", "Detection and analysis"),
        FRONT + BODY.replace("## Contain\n", "## Contain\n### Who\n"),
        FRONT + BODY.replace("## Contain\n", "## Contain\n```\n# scale down\nkubectl scale\n```\n"),
        FRONT.replace("[a@example]", "[{name: A, telephone: 1}]") + BODY,
        FRONT.replace("2026-02-01", "2026-02-01T10:00:00Z") + BODY,
        FRONT.replace("2026-02-01", "'2026-02-01'") + BODY,
    ],
)
def test_a_procedure_in_another_form_has_no_fault(content: str) -> None:
    """Numbers, further words, subsections and code do not matter; nor how contacts and days are written."""
    assert procedure_faults(content, TODAY) == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (BODY, "front matter"),
        (FRONT.replace("owner: security\n", "") + BODY, "no owner"),
        (FRONT.replace("[a@example]", "[]") + BODY, "no contacts"),
        (FRONT.replace("[a@example]", "['']") + BODY, "no contacts"),
        (FRONT.replace("owner: security", "owner: TBD") + BODY, "no owner"),
        (FRONT.replace("owner: security", "owner: a\nowner: b") + BODY, "duplicate key owner"),
        (FRONT.replace("2026-02-01", "2025-01-01") + BODY, "not within"),
        (FRONT.replace("2026-02-01", "2027-01-01") + BODY, "not within"),
        (FRONT.replace("2026-02-01", "soon") + BODY, "not a date"),
        (FRONT + BODY.replace("## Notify", "## Tell"), "Notify"),
        (FRONT + BODY.replace("## Notify\n\n", "## Notify\n\nTODO: the regulator. "), "not finished (TODO)"),
        (FRONT + BODY.replace("## Notify\n", "## Notify\n<!--") + "-->", "Notify is absent"),
        (FRONT.replace("owner: security", "owner: not yet assigned") + BODY, "no owner"),
        (FRONT.replace("[a@example]", "[{name: TBD}]") + BODY, "no contacts"),
        (
            FRONT + "## Detect\n\nlook\n" + BODY.partition("## Contain")[1] + BODY.partition("## Contain")[2],
            "Detect",
        ),
        ("---\n[\n---\n" + BODY, "not valid YAML"),
    ],
)
def test_an_incomplete_procedure_has_one_fault(content: str, fault: str) -> None:
    """The fault names what is missing."""
    faults = procedure_faults(content, TODAY)

    assert len(faults) == 1
    assert fault in faults[0]


LOG = "\n".join(
    [
        'prefix {"request_id": "r1", "method": "POST", "route": "/login", "status": 401}',
        '{"request_id": "r1", "action": "user.login", "allowed": false}',
        '{"request_id": "r2", "action": "user.login", "allowed": true}',
        "{broken r1",
        "r1 in a text",
    ]
)


def test_log_entries_are_found_by_request_id() -> None:
    """Only JSON entries of that request count; access and audit entries are distinguished."""
    entries = list(audit_trail.find_entries(LOG, "r1"))

    assert [audit_trail.is_access_entry(entry) for entry in entries] == [True, False]
    assert [audit_trail.is_audit_entry(entry) for entry in entries] == [False, True]
    assert audit_trail.allowed_values(entries) == [False]
    assert list(audit_trail.find_entries(LOG, "r3")) == []


@pytest.mark.parametrize(
    ("exposition", "count"),
    [
        ('http_request_duration_seconds_count{method="GET",status="401"} 3.0\n', 3),
        ('http_requests_total{code="401"} 1\nhttp_requests_total{code="200"} 9\n', 1),
        ('http_request_duration_seconds_bucket{le="1",status="401"} 3.0\n', 0),
        ("", 0),
    ],
)
def test_unauthorized_responses_are_counted(exposition: str, count: float) -> None:
    """Responses with status 401 are added up over the series of a counter or a histogram."""
    assert audit_trail.count_unauthorized(exposition) == count


def monitor(labels: dict[str, str] | None = None, **endpoint: Any) -> dict[str, Any]:
    """Return a ServiceMonitor of the API, with a changed endpoint."""
    scraped = {"port": "https", "scheme": "https", "tlsConfig": {"serverName": "api.example"}} | endpoint
    spec = {"selector": {"matchLabels": labels or {"app": "api"}}, "endpoints": [scraped]}
    return {"kind": "ServiceMonitor", "metadata": {"name": "m", "namespace": "bais"}, "spec": spec}


SERVICE = {
    "kind": "Service",
    "metadata": {"name": "api", "namespace": "bais", "labels": {"app": "api"}},
    "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 8443}]},
}
CERTIFICATE = {"kind": "Certificate", "metadata": {"name": "c"}, "spec": {"dnsNames": ["*.example"]}}


def elsewhere(**selector: object) -> dict[str, Any]:
    """Return a ServiceMonitor with a namespaceSelector."""
    one = monitor()
    one["spec"]["namespaceSelector"] = selector
    return one


@pytest.mark.parametrize(
    ("monitors", "fault"),
    [
        ([monitor()], None),
        ([monitor({"app": "other"}), monitor(interval="30s", path="/metrics")], None),
        ([monitor(port=None, targetPort=8443)], None),
        ([monitor(metricRelabelings=[{"action": "drop", "regex": "go_.*"}])], None),
        ([elsewhere(any=True)], None),
        ([elsewhere(matchNames=["payments"])], "m does not select Service api in bais"),
        ([monitor({"app": "other"})], "m does not select Service api"),
        ([monitor(port="metrics")], "port metrics, which Service api has not"),
        ([monitor(path="/prometheus")], "scrapes /prometheus"),
        ([monitor(scheme="http")], "by http instead of https"),
        ([monitor(tlsConfig={"insecureSkipVerify": True})], "insecureSkipVerify"),
        ([monitor(tlsConfig=None)], "no tlsConfig.serverName"),
        ([monitor(tlsConfig={"serverName": "other.test"})], "expects other.test"),
        ([monitor(relabelings=[{"action": "drop"}])], "drops everything"),
        ([monitor(interval="1h30m")], "every 1h30m"),
        ([], "no ServiceMonitor selects Service api"),
    ],
)
def test_a_monitor_must_scrape_the_service(monitors: list[dict[str, Any]], fault: str | None) -> None:
    """A ServiceMonitor scrapes an existing port of the Service, by verified TLS, at the metrics' path."""
    faults = audit_trail.monitor_faults([SERVICE, CERTIFICATE, *monitors], "api")

    assert (fault is None and not faults) or (fault is not None and fault in faults[0])


def test_a_missing_service_is_not_scraped() -> None:
    """Without the Service, no ServiceMonitor scrapes it."""
    assert audit_trail.monitor_faults([monitor()], "api") == ["there is no Service api to scrape"]
