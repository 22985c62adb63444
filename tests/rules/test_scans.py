"""Scanners' reports: what is found in each format, what is refused, and what an exception closes."""

from __future__ import annotations

import contextlib
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.rules.scan_exceptions import MAX_DAYS, ScanException, read_exceptions, uncovered
from bais_gates.rules.scans import (
    SEVERITIES,
    ScanFinding,
    ScanRefused,
    parse,
    read_report,
    severity_of_score,
)

DIGEST = "sha256:" + "a" * 64
TODAY = date(2026, 3, 1)


def sarif(*results: dict[str, Any], rules: list[dict[str, Any]] | None = None, **run: Any) -> dict[str, Any]:
    """Write a SARIF report of one run."""
    driver = {"name": "tool", "rules": rules or []}
    return {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": list(results)} | run]}


def bom(*vulnerabilities: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Write a CycloneDX report."""
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "vulnerabilities": list(vulnerabilities)} | fields


def trivy(**result: Any) -> dict[str, Any]:
    """Write a Trivy report of one target."""
    return {"SchemaVersion": 2, "ArtifactName": "x", "Results": [{"Target": "t"} | result]}


def grype(*matches: dict[str, Any]) -> dict[str, Any]:
    """Write a Grype report."""
    return {"matches": list(matches), "source": {"type": "image", "target": {"repoDigests": [f"x@{DIGEST}"]}}}


def scored(score: str) -> list[dict[str, Any]]:
    """Write a SARIF rule with a security-severity."""
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
        (bom({"id": "C", "analysis": {"state": "resolved"}}), []),
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
        ({"dependencies": [{"name": "p", "version": "1", "vulns": []}]}, []),
        ({"dependencies": [{"name": "p", "version": "1", "vulns": [{"id": "PYSEC-1"}]}]}, ["high"]),
        ({"dependencies": [{"name": "p", "skip_reason": "not found"}]}, ["high"]),
    ],
)
def test_severities_are_read_and_silence_is_high(document: Any, found: list[str]) -> None:
    """Each format's findings have its severity; one that is not stated, or not known, counts as high."""
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
def test_a_report_that_proves_nothing_is_refused(tmp_path: Path, document: Any) -> None:
    """What is broken, failed, looked at nothing or is of no known format is never a pass."""
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document))

    with pytest.raises(ScanRefused, match="report"):
        read_report(path)


def test_a_cut_or_absent_report_is_refused(tmp_path: Path) -> None:
    """Half a file and no file are told apart, both with the path."""
    cut = tmp_path / "cut.json"
    cut.write_text(json.dumps(sarif())[:20])

    with pytest.raises(ScanRefused, match=r"cut\.json: not JSON"):
        read_report(cut)
    with pytest.raises(AbsentFileError, match=r"gone\.json"):
        read_report(tmp_path / "gone.json")


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
def test_the_image_that_was_scanned_is_read(document: Any) -> None:
    """A report that names an image's digest is held to it."""
    assert parse(document)[3] == {DIGEST}


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.none(), st.text(), st.floats(), st.lists(st.integers())))
def test_a_score_is_a_severity_or_none(score: Any) -> None:
    """Whatever stands for a score gives a known severity, or says that it is none."""
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
def test_no_report_ends_in_another_error(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    """Any JSON is either read or refused as input that is not usable."""
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(document))
    with contextlib.suppress(GateInputError):
        assert read_report(path).findings is not None


def exception(days: int = 10, **fields: Any) -> ScanException:
    """Write an exception that lasts some days from today."""
    given: dict[str, Any] = {
        "id": "C",
        "reason": "r",
        "approved_by": "a",
        "expires": TODAY + timedelta(days=days),
    }
    return ScanException(**given | fields)


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
    ],
)
def test_an_exception_closes_its_finding_while_it_lasts(one: ScanException, open_: bool) -> None:
    """Expired, over-long, of another finding or place: it closes nothing."""
    assert bool(uncovered([FINDING], [one], TODAY)) is open_


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "list named exceptions"),
        ("exceptions: {}", "list named exceptions"),
        ("exceptions: [1]", "must have the keys"),
        ("exceptions: [{id: C, reason: r, approved_by: a}]", "expires"),
        ("exceptions: [{id: C, reason: r, approved_by: a, expires: soon}]", "expires"),
        ("exceptions: [{id: C, approved_by: a, expires: 2026-01-01}]", "reason"),
        ("exceptions: [{id: C, reason: r, approved_by: '', expires: 2026-01-01}]", "approved_by"),
        (
            "exceptions: [{id: C, reason: r, approved_by: a, expires: 2026-01-01, until: x}]",
            "unknown key until",
        ),
        (
            "exceptions: [{id: C, reason: r, approved_by: a, requested_by: a, expires: 2026-01-01}]",
            "another person",
        ),
        ("a: [", "YAML"),
    ],
)
def test_an_unusable_exception_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    """An exception without reason, day or person is no exception: the file and entry are named."""
    path = tmp_path / "exceptions.yaml"
    path.write_text(text)

    with pytest.raises(GateInputError, match=said):
        read_exceptions(path)


def test_exceptions_are_read(tmp_path: Path) -> None:
    """A sound file gives its exceptions."""
    path = tmp_path / "exceptions.yaml"
    path.write_text("exceptions: [{id: C, reason: r, approved_by: a, expires: 2026-03-11}]")

    assert read_exceptions(path) == (exception(),)
