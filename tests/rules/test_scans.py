"""Scanner reports in each format, refused reports, and exceptions for findings."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bais_gates.errors import GateInputError
from bais_gates.rules.scan_exceptions import MAX_DAYS, ScanException, parse_exceptions, uncovered
from bais_gates.rules.scans import (
    SEVERITIES,
    ScanFinding,
    ScanRefused,
    parse,
    parse_report,
    severity_of_score,
)

DIGEST = "sha256:" + "a" * 64
TODAY = date(2026, 3, 1)
PATH = Path("report.json")


def sarif(*results: dict[str, Any], rules: list[dict[str, Any]] | None = None, **run: Any) -> dict[str, Any]:
    """Return a SARIF report of one run."""
    driver = {"name": "tool", "rules": rules or []}
    return {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": list(results)} | run]}


def bom(*vulnerabilities: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a CycloneDX report."""
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "vulnerabilities": list(vulnerabilities)} | fields


def trivy(**result: Any) -> dict[str, Any]:
    """Return a Trivy report of one target."""
    return {"SchemaVersion": 2, "ArtifactName": "x", "Results": [{"Target": "t"} | result]}


def grype(*matches: dict[str, Any]) -> dict[str, Any]:
    """Return a Grype report."""
    return {"matches": list(matches), "source": {"type": "image", "target": {"repoDigests": [f"x@{DIGEST}"]}}}


SUPPRESSED = {
    "Type": "vulnerability",
    "Status": "ignored",
    "Finding": {"VulnerabilityID": "C", "Severity": "CRITICAL"},
}
IGNORED = {
    "vulnerability": {"id": "C", "severity": "High"},
    "artifact": {},
    "appliedIgnoreRules": [{"vulnerability": "C"}],
}
INDIRECT = [{"package": {"upstream-name": "linux.*-headers-.*"}, "match-type": "exact-indirect-match"}]
"""The rule that Grype has itself."""


def scored(score: str) -> list[dict[str, Any]]:
    """Return a SARIF rule with a security-severity."""
    return [{"id": "R", "properties": {"security-severity": score}}]


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (sarif(), []),
        (sarif({"ruleId": "R", "level": "error"}), ["high"]),
        (sarif({"ruleId": "R", "level": "note"}), ["low"]),
        (sarif({"ruleId": "R"}), ["medium"]),
        (sarif({"ruleId": "R", "level": "strange"}), ["high"]),
        (sarif({"ruleId": "R", "level": "note"}, rules=scored("9.8")), ["critical"]),
        (sarif({"ruleIndex": 0}, rules=scored("7.0")), ["high"]),
        (sarif({"ruleId": "R/sub"}, rules=scored("9.0")), ["critical"]),
        (sarif({"ruleId": "R", "level": "error"}, rules=scored("3.9")), ["low"]),
        (sarif({"ruleId": "R", "level": "note"}, rules=scored("much")), ["high"]),
        (sarif({"ruleId": "R", "level": "note", "properties": {"security-severity": "8"}}), ["high"]),
        (sarif({"ruleId": "R"}, rules=[{"id": "R", "defaultConfiguration": {"level": "error"}}]), ["high"]),
        (sarif({"ruleId": "R", "level": "error", "suppressions": [{"kind": "inSource"}]}), ["high"]),
        (sarif({"ruleId": "R", "level": "error", "kind": "pass"}), []),
        (sarif({"ruleId": "R", "level": "error", "baselineState": "absent"}), []),
        (bom(), []),
        (bom({"id": "C", "ratings": [{"severity": "low"}, {"severity": "critical"}]}), ["critical"]),
        (bom({"id": "C", "ratings": [{"score": 7.5, "method": "CVSSv31"}]}), ["high"]),
        (bom({"id": "C"}), ["high"]),
        (trivy(Vulnerabilities=[{"VulnerabilityID": "C"}]), ["high"]),
        (bom({"id": "C", "ratings": [{"severity": "unknown"}]}), ["high"]),
        (bom({"id": "C", "analysis": {"state": "resolved", "detail": "1.2 has the fix"}}), []),
        (bom({"id": "C", "analysis": {"state": "resolved"}}), ["high"]),
        (bom({"id": "C", "analysis": {"state": "false_positive"}}), ["high"]),
        (trivy(), []),
        (trivy(Vulnerabilities=[{"VulnerabilityID": "C", "Severity": "CRITICAL"}]), ["critical"]),
        (trivy(Vulnerabilities=[{"VulnerabilityID": "C", "Severity": "UNKNOWN"}]), ["high"]),
        (
            trivy(
                Vulnerabilities=[
                    {"VulnerabilityID": "C", "Severity": "UNKNOWN", "CVSS": {"nvd": {"V3Score": 5}}}
                ]
            ),
            ["medium"],
        ),
        (trivy(Misconfigurations=[{"ID": "M", "Severity": "HIGH", "Status": "FAIL"}]), ["high"]),
        (trivy(Misconfigurations=[{"ID": "M", "Severity": "HIGH", "Status": "PASS"}]), []),
        (trivy(Secrets=[{"RuleID": "S", "Severity": "CRITICAL"}]), ["critical"]),
        (grype(), []),
        (grype({"vulnerability": {"id": "C", "severity": "Negligible"}, "artifact": {}}), ["low"]),
        (grype({"vulnerability": {"id": "C", "severity": "Unknown"}, "artifact": {}}), ["high"]),
        (trivy(ExperimentalModifiedFindings=[SUPPRESSED]), ["critical"]),
        (trivy(ExperimentalModifiedFindings=[SUPPRESSED | {"Status": "fixed"}]), []),
        (grype() | {"ignoredMatches": [IGNORED]}, ["high"]),
        (grype() | {"ignoredMatches": [IGNORED | {"appliedIgnoreRules": INDIRECT}]}, []),
        ({"dependencies": [{"name": "p", "version": "1", "vulns": []}]}, []),
        ({"dependencies": [{"name": "p", "version": "1", "vulns": [{"id": "PYSEC-1"}]}]}, ["high"]),
        ({"dependencies": [{"name": "p", "skip_reason": "not found"}]}, ["high"]),
    ],
)
def test_severities(document: Any, found: list[str]) -> None:
    """A finding has the severity of the report; a missing or unknown severity counts as high."""
    assert [finding.severity for finding in parse(document)[2]] == found


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"version": "2.1.0", "runs": []},
        {"version": "2.0.0", "runs": [{}]},
        sarif(invocations=[{"executionSuccessful": False}]),
        sarif() | {"runs": [{"tool": {"driver": {"name": "t"}}}]},
        {"version": "2.1.0", "runs": [{"results": []}]},
        {"bomFormat": "CycloneDX", "components": []},
        bom({"ratings": []}),
        {"SchemaVersion": 2, "ArtifactName": "x"},
        {"SchemaVersion": 2, "ArtifactName": "x", "Results": []},
        trivy(Vulnerabilities=[{"Severity": "HIGH"}]),
        {"matches": []},
        {"matches": [{}], "source": {"target": "x"}},
        {"dependencies": []},
        {"dependencies": [{"name": "p", "version": "1"}]},
        {"dependencies": [{"version": "1"}]},
        {"results": [], "errors": []},
    ],
)
def test_an_unusable_report_is_refused(document: Any) -> None:
    """A damaged report, one of a failed or empty scan, and an unknown format are refused."""
    with pytest.raises(ScanRefused, match=r"report\.json"):
        parse_report(json.dumps(document).encode(), PATH)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"version": "2.1.0", "runs": [{}], "runs": []}', "duplicate key runs"),
        (json.dumps(bom(metadata={"timestamp": "2026-03-01T10:00:00"})), "no time zone"),
        (json.dumps(bom(metadata={"timestamp": "yesterday"})), "not one of ISO 8601"),
        (json.dumps(sarif(invocations=[{"executionSuccessful": True, "endTimeUtc": "2026-03-01"}])), "zone"),
    ],
)
def test_an_ambiguous_report_is_refused(text: str, reason: str) -> None:
    """Duplicate keys, and times without a zone, which two readers understand differently."""
    with pytest.raises(ScanRefused, match=reason):
        parse_report(text.encode(), PATH)


def test_the_scanner_and_its_database() -> None:
    """Version and age of the database, where the report has them."""
    descriptor = {"version": "0.80", "db": {"built": "2026-02-01T00:00:00Z"}}
    found = parse_report(json.dumps(grype() | {"descriptor": descriptor}).encode(), PATH)
    other = parse_report(json.dumps(sarif()).encode(), PATH)

    assert (found.version, found.database_made_at) == ("0.80", datetime(2026, 2, 1, tzinfo=UTC))
    assert (other.version, other.database_made_at) == (None, None)


def test_a_truncated_report_is_refused() -> None:
    """The message names the file."""
    with pytest.raises(ScanRefused, match=r"report\.json: not valid JSON"):
        parse_report(json.dumps(sarif()).encode()[:20], PATH)


@pytest.mark.parametrize(
    "document",
    [
        sarif(properties={"repoDigests": [f"x@{DIGEST}"]}),
        bom(metadata={"component": {"purl": f"pkg:oci/x@{DIGEST.replace(':', '%3A')}"}}),
        trivy() | {"Metadata": {"RepoDigests": [f"x@{DIGEST}"]}},
        trivy() | {"ArtifactName": f"x@{DIGEST}"},
        grype(),
    ],
)
def test_the_digest_of_the_scanned_image(document: Any) -> None:
    """Each format has its own fields for it."""
    assert parse(document)[3] == {DIGEST}


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.none(), st.text(), st.floats(), st.lists(st.integers())))
def test_a_score_has_a_known_severity_or_none(score: Any) -> None:
    """Any value is accepted."""
    assert severity_of_score(score) in {None, *SEVERITIES}


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "runs",
                        "version",
                        "matches",
                        "dependencies",
                        "Results",
                        "SchemaVersion",
                        "ArtifactName",
                        "tool",
                        "results",
                        "vulns",
                        "name",
                        "driver",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_report_raises_another_error(document: Any) -> None:
    """Any JSON is either parsed or refused."""
    with contextlib.suppress(ScanRefused):
        assert parse_report(json.dumps(document).encode(), PATH).findings is not None


def exception(days: int = 10, **fields: Any) -> ScanException:
    """Return an exception that expires some days from today."""
    values: dict[str, Any] = {
        "id": "C",
        "reason": "r",
        "approved_by": "a",
        "expires": TODAY + timedelta(days=days),
    }
    return ScanException(**values | fields)


FINDING = ScanFinding(severity="high", id="C", where="pkg@1")


@pytest.mark.parametrize(
    ("one", "open_"),
    [
        (exception(), False),
        (exception(days=0), False),
        (exception(days=-1), True),
        (exception(days=MAX_DAYS), False),
        (exception(days=MAX_DAYS + 1), True),
        (exception(id="D"), True),
        (exception(where="pkg"), False),
        (exception(where="other"), True),
        (exception(where="@"), True),
        (exception(id="*"), True),
    ],
)
def test_a_valid_exception_covers_its_finding(one: ScanException, open_: bool) -> None:
    """An exception that has expired, lasts too long, or is for another finding or location does not."""
    assert bool(uncovered([FINDING], [one], TODAY)) is open_


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list exceptions"),
        ("exceptions: {}", "list exceptions"),
        ("exceptions: [1]", "must have the keys"),
        ("exceptions: [{id: C, reason: r, approved_by: a}]", "expires"),
        ("exceptions: [{id: C, reason: r, approved_by: a, expires: soon}]", "expires"),
        ("exceptions: [{id: C, approved_by: a, expires: 2026-01-01}]", r"exceptions\[0\] \(C\): reason"),
        (
            "exceptions: [{id: C, reason: TBD, approved_by: a, expires: 2026-01-01}]",
            "reason is a placeholder",
        ),
        ("exceptions: [{id: C, reason: r, approved_by: '?', expires: 2026-01-01}]", "approved_by is a place"),
        ("exceptions: [{id: C, reason: r, approved_by: '', expires: 2026-01-01}]", "approved_by"),
        ('exceptions: [{id: C, reason: r, approved_by: "a\\u200bb", expires: 2026-01-01}]', "is not shown"),
        (
            "exceptions: [{id: C, reason: r, approved_by: a, expires: 2026-01-01, until: x}]",
            "unknown key until",
        ),
        (
            "exceptions: [{id: C, reason: r, approved_by: a, requested_by: a, expires: 2026-01-01}]",
            "another person",
        ),
        ("a: [", "YAML"),
        ("exceptions: []\nexceptions: []", "duplicate key exceptions"),
        (
            (
                "exceptions: [{id: C, reason: r, approved_by: a, expires: 2026-01-01},"
                " {id: C, reason: s, approved_by: b, expires: 2026-01-02}]"
            ),
            "duplicate of another",
        ),
    ],
)
def test_an_invalid_exception_is_an_error(text: str, message: str) -> None:
    """The message names the file and the entry."""
    with pytest.raises(GateInputError, match=message):
        parse_exceptions(text, PATH)


def test_exceptions_are_parsed() -> None:
    """A valid file has its exceptions."""
    text = "exceptions: [{id: C, reason: r, approved_by: a, expires: 2026-03-11}]"

    assert parse_exceptions(text, PATH) == (exception(),)
