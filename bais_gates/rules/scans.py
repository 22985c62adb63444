"""Reports of security scanners: what they found, how bad it is, and what they were made of.

Read are SARIF 2.1.0, CycloneDX with vulnerabilities, and the JSON of Trivy, Grype and pip-audit. A report
that is none of these, is broken, or looked at nothing is refused: it proves nothing. A severity that is not
stated counts as high, and a scanner's own suppression as open: only a dated exception closes a finding here.
Source: SARIF 2.1.0 (security-severity as GitHub reads it), CycloneDX 1.6, CVSS 3.1 table 14.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bais_gates.errors import AbsentFileError, GateInputError

SEVERITIES: Final = ("critical", "high", "medium", "low", "none")
_CVSS: Final = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.0, "low"))
_WORDS: Final = {
    "critical": "critical",
    "high": "high",
    "important": "high",
    "medium": "medium",
    "moderate": "medium",
    "low": "low",
    "negligible": "low",
    "info": "none",
    "informational": "none",
    "none": "none",
}
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ScanFinding:
    """One thing that a scanner found."""

    severity: str
    """One of ``SEVERITIES``; what the report does not say is high."""
    id: str
    """The rule's or vulnerability's id, such as ``CVE-2024-1234`` or ``S104``."""
    where: str
    """The file and line, or the package, or empty."""

    def __str__(self) -> str:
        return f"{self.severity} {self.id} {self.where}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One scanner's report."""

    path: Path
    sha256: str
    """Of the file, hex."""
    format: str
    scanner: str
    findings: tuple[ScanFinding, ...]
    digests: frozenset[str] = frozenset()
    """The image digests that the report names as what was looked at; empty when it names none."""
    made_at: datetime | None = None
    """When the scanner says that it looked."""

    def open_findings(self, *severities: str) -> list[ScanFinding]:
        """Return the findings of some severities."""
        return sorted(finding for finding in self.findings if finding.severity in severities)


class ScanRefused(GateInputError):  # noqa: N818 - it names what was found out about the report
    """A report proves nothing: it is broken, of no known format, failed, or looked at nothing."""


def read_report(path: Path) -> Report:
    """Read a scanner's report; :class:`ScanRefused` or AbsentFileError if it proves nothing."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise AbsentFileError(
            f"{path}: no such scanner's report; run the scan or correct security.scans."
        ) from None
    except OSError as e:
        raise GateInputError(f"{path}: can not be read ({e.strerror}).") from None
    if len(data) > _MAX_BYTES:
        raise ScanRefused(f"{path}: larger than {_MAX_BYTES} bytes; that is no scanner's report.")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ScanRefused(f"{path}: not JSON; was the scan cut off? Run it again.") from None
    try:
        name, scanner, findings, digests, made_at = parse(document)
    except _UNREADABLE as e:
        said = str(e) if isinstance(e, ValueError) else "its shape is not that of its format"
        raise ScanRefused(f"{path}: {said}. Run the scan again.") from None
    return Report(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        format=name,
        scanner=scanner,
        findings=tuple(findings),
        digests=frozenset(digests),
        made_at=made_at,
    )


_UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError)
Parsed = tuple[str, str, list[ScanFinding], set[str], datetime | None]


def parse(document: object) -> Parsed:
    """Return format, scanner, findings, digests and time of a report; ValueError if it proves nothing."""
    if not isinstance(document, Mapping):
        raise ValueError("not a report: the document is no object")  # noqa: TRY004 - bad input, no bug
    for applies, reader in READERS:
        if applies(document):
            return reader(document)
    raise ValueError("of no known format: SARIF 2.1.0, CycloneDX, or JSON of Trivy, Grype or pip-audit")


def severity_of_score(score: object) -> str | None:
    """Return the severity of a CVSS score from 0 to 10; None if it is none."""
    try:
        value = float(str(score))
    except ValueError:
        return None
    if not 0.0 <= value <= 10.0:  # NaN fails this, too
        return None
    return "none" if value == 0.0 else next(word for least, word in _CVSS if value >= least)


def severity_of_word(word: object) -> str | None:
    """Return the severity that a word stands for; None if it says nothing."""
    return _WORDS.get(word.lower()) if isinstance(word, str) else None


def worst(severities: Iterable[str | None]) -> str:
    """Return the worst of severities; high when none is known."""
    known = [severity for severity in severities if severity is not None]
    return min(known, key=SEVERITIES.index) if known else "high"


def when(text: object) -> datetime | None:
    """Read a time with its zone; None if it is none."""
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text)))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


# -- SARIF --

_LEVELS: Final = {"error": "high", "warning": "medium", "note": "low", "none": "none"}


def _sarif(document: Mapping[str, Any]) -> Parsed:
    if document.get("version") != "2.1.0":
        raise ValueError("SARIF of another version than 2.1.0")
    runs = document["runs"]
    if not isinstance(runs, list) or not runs:
        raise ValueError("SARIF without a run: nothing was looked at")
    findings, scanners, digests, moments = [], [], set(), []
    for run in runs:
        driver = run["tool"]["driver"]
        scanners.append(str(driver["name"]))
        if any(call.get("executionSuccessful") is not True for call in run.get("invocations") or ()):
            raise ValueError(f"{scanners[-1]} did not end well (executionSuccessful)")
        moments += [when(call.get("endTimeUtc")) for call in run.get("invocations") or ()]
        results = run.get("results")
        if not isinstance(results, list):
            message = f"{scanners[-1]} gave no list of results: it did not look"
            raise ValueError(message)  # noqa: TRY004 - bad input, no bug
        findings += [_sarif_finding(result, run) for result in results if _counts(result)]
        digests |= set(_DIGEST.findall(json.dumps(run.get("properties") or {})))
    return "SARIF", ", ".join(scanners), findings, digests, max(filter(None, moments), default=None)


def _counts(result: Mapping[str, Any]) -> bool:
    return (result.get("kind") or "fail") in {"fail", "open", "review"} and result.get(
        "baselineState"
    ) != "absent"


def _place(result: Mapping[str, Any]) -> str:
    for entry in result.get("locations") or ():
        location = entry.get("physicalLocation") or {}
        uri = (location.get("artifactLocation") or {}).get("uri", "")
        line = (location.get("region") or {}).get("startLine")
        return f"{uri}:{line}" if line else str(uri)
    return ""


def _sarif_finding(result: Mapping[str, Any], run: Mapping[str, Any]) -> ScanFinding:
    rule = _sarif_rule(result, run)
    stated = [(result.get("properties") or {}).get("security-severity")]
    stated.append((rule.get("properties") or {}).get("security-severity"))
    scores = [severity_of_score(score) for score in stated if score is not None]
    level = result.get("level") or (rule.get("defaultConfiguration") or {}).get("level") or "warning"
    return ScanFinding(
        severity=worst(scores) if stated != [None, None] else worst([_LEVELS.get(str(level))]),
        id=str(result.get("ruleId") or rule.get("id") or (result.get("rule") or {}).get("id") or "?"),
        where=_place(result),
    )


def _sarif_rule(result: Mapping[str, Any], run: Mapping[str, Any]) -> Mapping[str, Any]:
    tool = run["tool"]
    rules = [*(tool["driver"].get("rules") or ())]
    reference = result.get("rule") or {}
    index = result.get("ruleIndex", reference.get("index", -1))
    name = result.get("ruleId") or reference.get("id")
    if (reference.get("toolComponent") or {}).get("index") is None and 0 <= index < len(rules):
        found: Mapping[str, Any] = rules[index]
        return found
    for component in tool.get("extensions") or ():
        rules += component.get("rules") or ()
    matching = [
        rule for rule in rules if rule.get("id") == name or str(name).startswith(f"{rule.get('id')}/")
    ]
    return matching[0] if matching else {}


# -- CycloneDX --

_CLOSED_STATES: Final = frozenset({"resolved", "resolved_with_pedigree"})


def _cyclonedx(document: Mapping[str, Any]) -> Parsed:
    found = document.get("vulnerabilities")
    if not isinstance(found, list):
        message = "CycloneDX without a list of vulnerabilities: a list of parts, not the result of a scan"
        raise ValueError(message)  # noqa: TRY004 - bad input, no bug
    metadata = document.get("metadata") or {}
    findings = [
        ScanFinding(
            severity=worst(_rated(rating) for rating in vulnerability.get("ratings") or ()),
            id=str(vulnerability["id"]),
            where=", ".join(sorted(str(a.get("ref", "")) for a in vulnerability.get("affects") or ())),
        )
        for vulnerability in found
        if (vulnerability.get("analysis") or {}).get("state") not in _CLOSED_STATES
    ]
    digests = set(_DIGEST.findall(json.dumps(metadata.get("component") or {}).replace("%3A", ":")))
    return (
        "CycloneDX",
        _cyclonedx_tool(metadata.get("tools")),
        findings,
        digests,
        when(metadata.get("timestamp")),
    )


def _rated(rating: Mapping[str, Any]) -> str | None:
    return severity_of_word(rating.get("severity")) or severity_of_score(rating.get("score"))


def _cyclonedx_tool(tools: Any) -> str:
    entries = tools.get("components") if isinstance(tools, Mapping) else tools
    names = [str(tool.get("name")) for tool in entries or () if isinstance(tool, Mapping)]
    return ", ".join(names) or "?"


# -- Trivy, Grype, pip-audit --


def _trivy(document: Mapping[str, Any]) -> Parsed:
    results = document.get("Results")
    if not isinstance(results, list) or not results:
        raise ValueError("Trivy's report has no Results: nothing was looked at")
    findings = [finding for result in results for finding in _trivy_findings(result)]
    metadata = document.get("Metadata") or {}
    named = [*(metadata.get("RepoDigests") or ()), str(document.get("ArtifactName", ""))]
    digests = {digest for text in named for digest in _DIGEST.findall(str(text))}
    return "Trivy", "Trivy", findings, digests, when(document.get("CreatedAt"))


def _trivy_findings(result: Mapping[str, Any]) -> Iterator[ScanFinding]:
    target = str(result.get("Target", ""))
    for entry in result.get("Vulnerabilities") or ():
        scores = [
            severity_of_score(score)
            for vendor in (entry.get("CVSS") or {}).values()
            for score in (vendor.get("V3Score"), vendor.get("V40Score"))
            if score is not None
        ]
        severity = severity_of_word(entry.get("Severity")) or worst(scores)
        where = f"{entry.get('PkgName', '')}@{entry.get('InstalledVersion', '')}"
        yield ScanFinding(severity=severity, id=str(entry["VulnerabilityID"]), where=where)
    for entry in result.get("Misconfigurations") or ():
        if entry.get("Status", "FAIL") == "FAIL":
            yield ScanFinding(
                severity=worst([severity_of_word(entry.get("Severity"))]), id=str(entry["ID"]), where=target
            )
    for entry in result.get("Secrets") or ():
        yield ScanFinding(
            severity=worst([severity_of_word(entry.get("Severity"))]), id=str(entry["RuleID"]), where=target
        )


def _grype(document: Mapping[str, Any]) -> Parsed:
    findings = [
        ScanFinding(
            severity=severity_of_word(match["vulnerability"].get("severity")) or "high",
            id=str(match["vulnerability"]["id"]),
            where=f"{match['artifact'].get('name', '')}@{match['artifact'].get('version', '')}",
        )
        for match in document["matches"]
    ]
    target = (document.get("source") or {}).get("target")
    if not target:
        raise ValueError("Grype's report names no source: nothing was looked at")
    named = target if isinstance(target, Mapping) else {"userInput": target}
    texts = [
        *(named.get("repoDigests") or ()),
        str(named.get("userInput", "")),
        str(named.get("manifestDigest", "")),
    ]
    digests = {digest for text in texts for digest in _DIGEST.findall(str(text))}
    return "Grype", "Grype", findings, digests, when((document.get("descriptor") or {}).get("timestamp"))


def _pip_audit(document: Mapping[str, Any]) -> Parsed:
    packages = document["dependencies"]
    if not packages:
        raise ValueError("pip-audit's report lists no package: nothing was looked at")
    findings = []
    for package in packages:
        name, version = str(package["name"]), str(package.get("version", ""))
        if "skip_reason" in package:
            findings.append(ScanFinding(severity="high", id=f"unscanned:{name}", where=name))
        elif not isinstance(package.get("vulns"), list):
            raise ValueError(f"pip-audit's report does not say what it found in {name}")
        findings += [
            ScanFinding(severity="high", id=str(entry["id"]), where=f"{name}@{version}")
            for entry in package.get("vulns") or ()
        ]
    return "pip-audit", "pip-audit", findings, set(), None


READERS: Final[
    tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Parsed]], ...]
] = (
    (lambda d: "runs" in d and ("version" in d or "$schema" in d), _sarif),
    (lambda d: d.get("bomFormat") == "CycloneDX", _cyclonedx),
    (lambda d: "SchemaVersion" in d and ("ArtifactName" in d or "Results" in d), _trivy),
    (lambda d: isinstance(d.get("matches"), list), _grype),
    (lambda d: isinstance(d.get("dependencies"), list), _pip_audit),
)
