"""Parse the reports of security scanners: findings with severities, scanned image digests, scan time.

The formats are SARIF 2.1.0, CycloneDX with vulnerabilities, and the JSON of Trivy, Grype and pip-audit. A
report in another format, a damaged one, or one of a scan that scanned nothing is refused. An unknown severity
counts as high, and a finding that the scanner suppressed counts as open: only a dated exception closes it.
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

from bais_gates.errors import RecordRefused
from bais_gates.rules.kubernetes.objects import dig
from bais_gates.strict import parse_json

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


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ScanFinding:
    """One finding of a scanner."""

    severity: str
    """One of ``SEVERITIES``; high if the report has none."""
    id: str
    """The id of the rule or vulnerability, such as ``CVE-2024-1234`` or ``S104``."""
    where: str
    """The file and line, the package, or empty."""

    def __str__(self) -> str:
        return f"{self.severity} {self.id} {self.where}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The report of one scanner."""

    path: Path
    sha256: str
    """The digest of the file, hex."""
    format: str
    scanner: str
    findings: tuple[ScanFinding, ...]
    digests: frozenset[str] = frozenset()
    """The digests of the scanned images; empty when the report has none."""
    made_at: datetime | None = None
    """The time of the scan; None when the report has none."""
    of_image: bool = False
    """Whether an image was scanned: such a report without digests may be of any image."""
    version: str | None = None
    """The version of the scanner; None when the report has none."""
    database_made_at: datetime | None = None
    """The time of the scanner's database of vulnerabilities; None when the report has none."""

    def open_findings(self, *severities: str) -> list[ScanFinding]:
        """Return the findings of the given severities."""
        return sorted(finding for finding in self.findings if finding.severity in severities)


class ScanRefused(RecordRefused):
    """The report is damaged, has an unknown format, or is of a scan that failed or scanned nothing."""


def parse_report(content: bytes, path: Path) -> Report:
    """Parse the report of a scanner read from ``path``; raise :class:`ScanRefused` if it is not usable."""
    try:
        document = parse_json(content)
    except ValueError as e:
        raise ScanRefused(f"{path}: not valid JSON ({e}). Run the scan again.") from None
    try:
        name, scanner, findings, digests, made_at = parse(document)
        version, database_made_at = _tool_version(document), _database_time(document)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        fault = str(e) if isinstance(e, ValueError) else "the report does not match the schema of its format"
        raise ScanRefused(f"{path}: {fault}. Run the scan again.") from None
    return Report(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        format=name,
        scanner=scanner,
        findings=tuple(findings),
        digests=frozenset(digests),
        made_at=made_at,
        of_image=_is_of_image(document),
        version=version,
        database_made_at=database_made_at,
    )


def _tool_version(document: Any) -> str | None:
    """Return the version of the scanner; None if the report has none, or is of several scanners."""
    versions = {dig(run, "tool", "driver", "version") for run in document.get("runs") or ()}
    versions |= {dig(document, *keys) for keys in (("descriptor", "version"), ("Trivy", "Version"))}
    versions -= {None}
    return str(versions.pop()) if len(versions) == 1 else None


def _is_of_image(document: Mapping[str, Any]) -> bool:
    """Return whether a report of Trivy, Grype or CycloneDX says that it scanned a container image."""
    kinds = (("ArtifactType",), ("source", "type"), ("metadata", "component", "type"))
    return any(dig(document, *keys) in {"container_image", "image", "container"} for keys in kinds)


def _database_time(document: Any) -> datetime | None:
    """Return when the scanner's database of vulnerabilities was made; None if the report does not have it."""
    places = (
        ("descriptor", "db", "built"),
        ("descriptor", "db", "status", "built"),
        ("Trivy", "VulnerabilityDB", "UpdatedAt"),
        ("Metadata", "VulnerabilityDB", "UpdatedAt"),
    )
    return next((_time(found) for keys in places if (found := dig(document, *keys)) is not None), None)


Parsed = tuple[str, str, list[ScanFinding], set[str], datetime | None]


def parse(document: object) -> Parsed:
    """Return format, scanner, findings, digests and time of a report; raise ValueError if it is unusable."""
    if not isinstance(document, Mapping):
        raise ValueError("the report is not a JSON object")  # noqa: TRY004 - bad input, no bug
    for applies, reader in READERS:
        if applies(document):
            return reader(document)
    raise ValueError(
        "unknown report format: use SARIF 2.1.0, CycloneDX, or JSON of Trivy, Grype or pip-audit"
    )


def severity_of_score(score: object) -> str | None:
    """Return the severity of a CVSS score from 0 to 10; None if it is not a score."""
    try:
        value = float(str(score))
    except ValueError:
        return None
    if not 0.0 <= value <= 10.0:  # NaN fails this, too
        return None
    return "none" if value == 0.0 else next(word for minimum, word in _CVSS if value >= minimum)


def severity_of_word(word: object) -> str | None:
    """Return the severity that a scanner's word stands for; None if it is unknown."""
    return _WORDS.get(word.lower()) if isinstance(word, str) else None


def worst(severities: Iterable[str | None]) -> str:
    """Return the worst severity; high when none is known."""
    known = [severity for severity in severities if severity is not None]
    return min(known, key=SEVERITIES.index) if known else "high"


def _time(text: object) -> datetime | None:
    """Return the time that a text stands for, None for None; raise ValueError if it has no time zone."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text)))
    except ValueError:
        raise ValueError("a time in the report is not one of ISO 8601") from None
    if time.tzinfo is None:
        raise ValueError("a time in the report has no time zone")
    return time


# -- SARIF --

_LEVELS: Final = {"error": "high", "warning": "medium", "note": "low", "none": "none"}


def _sarif(document: Mapping[str, Any]) -> Parsed:
    if document.get("version") != "2.1.0":
        raise ValueError("the SARIF version is not 2.1.0")
    runs = document["runs"]
    if not isinstance(runs, list) or not runs:
        raise ValueError("the SARIF report has no runs: nothing was scanned")
    findings, scanners, digests, times = [], [], set(), []
    for run in runs:
        driver = run["tool"]["driver"]
        scanners.append(str(driver["name"]))
        if any(call.get("executionSuccessful") is not True for call in run.get("invocations") or ()):
            raise ValueError(f"the scan of {scanners[-1]} failed (executionSuccessful is not true)")
        times += [_time(call.get("endTimeUtc")) for call in run.get("invocations") or ()]
        results = run.get("results")
        if not isinstance(results, list):
            message = f"the run of {scanners[-1]} has no results: nothing was scanned"
            raise ValueError(message)  # noqa: TRY004 - bad input, no bug
        findings += [_sarif_finding(result, run) for result in results if _is_open(result)]
        digests |= set(_DIGEST.findall(json.dumps(run.get("properties") or {})))
    return "SARIF", ", ".join(scanners), findings, digests, max(filter(None, times), default=None)


def _is_open(result: Mapping[str, Any]) -> bool:
    return (result.get("kind") or "fail") in {"fail", "open", "review"} and result.get(
        "baselineState"
    ) != "absent"


def _location(result: Mapping[str, Any]) -> str:
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
        where=_location(result),
    )


def _sarif_rule(result: Mapping[str, Any], run: Mapping[str, Any]) -> Mapping[str, Any]:
    tool = run["tool"]
    rules = [*(tool["driver"].get("rules") or ())]
    reference = result.get("rule") or {}
    index = result.get("ruleIndex", reference.get("index", -1))
    name = result.get("ruleId") or reference.get("id")
    if (reference.get("toolComponent") or {}).get("index") is None and 0 <= index < len(rules):
        rule: Mapping[str, Any] = rules[index]
        return rule
    for component in tool.get("extensions") or ():
        rules += component.get("rules") or ()
    matching = [
        rule for rule in rules if rule.get("id") == name or str(name).startswith(f"{rule.get('id')}/")
    ]
    return matching[0] if matching else {}


# -- CycloneDX --

_CLOSED_STATES: Final = frozenset({"resolved", "resolved_with_pedigree"})


def _cyclonedx(document: Mapping[str, Any]) -> Parsed:
    vulnerabilities = document.get("vulnerabilities")
    if not isinstance(vulnerabilities, list):
        message = "the CycloneDX document has no vulnerabilities: it is an SBOM, not the result of a scan"
        raise ValueError(message)  # noqa: TRY004 - bad input, no bug
    metadata = document.get("metadata") or {}
    findings = [
        ScanFinding(
            severity=worst(_severity_of_rating(rating) for rating in vulnerability.get("ratings") or ()),
            id=str(vulnerability["id"]),
            where=", ".join(sorted(str(a.get("ref", "")) for a in vulnerability.get("affects") or ())),
        )
        for vulnerability in vulnerabilities
        if not _is_closed(vulnerability.get("analysis") or {})
    ]
    digests = set(_DIGEST.findall(json.dumps(metadata.get("component") or {}).replace("%3A", ":")))
    return (
        "CycloneDX",
        _cyclonedx_tool(metadata.get("tools")),
        findings,
        digests,
        _time(metadata.get("timestamp")),
    )


def _is_closed(analysis: Mapping[str, Any]) -> bool:
    """Return whether a vulnerability is resolved, and it says how."""
    return analysis.get("state") in _CLOSED_STATES and bool(
        analysis.get("detail") or analysis.get("response")
    )


def _severity_of_rating(rating: Mapping[str, Any]) -> str | None:
    return severity_of_word(rating.get("severity")) or severity_of_score(rating.get("score"))


def _cyclonedx_tool(tools: Any) -> str:
    entries = tools.get("components") if isinstance(tools, Mapping) else tools
    names = [str(tool.get("name")) for tool in entries or () if isinstance(tool, Mapping)]
    return ", ".join(names) or "?"


# -- Trivy, Grype, pip-audit --


def _trivy(document: Mapping[str, Any]) -> Parsed:
    results = document.get("Results")
    if not isinstance(results, list) or not results:
        raise ValueError("the Trivy report has no Results: nothing was scanned")
    findings = [finding for result in results for finding in _trivy_findings(_with_suppressed(result))]
    metadata = document.get("Metadata") or {}
    names = [*(metadata.get("RepoDigests") or ()), str(document.get("ArtifactName", ""))]
    digests = {digest for text in names for digest in _DIGEST.findall(str(text))}
    return "Trivy", "Trivy", findings, digests, _time(document.get("CreatedAt"))


def _with_suppressed(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result of Trivy with the findings that .trivyignore or VEX suppressed among the others."""
    merged = dict(result)
    for entry in result.get("ExperimentalModifiedFindings") or ():
        kind = str(entry.get("Type")).capitalize()
        key = "Vulnerabilities" if kind == "Vulnerability" else f"{kind}s"
        if entry.get("Status") != "fixed":
            merged[key] = [*(merged.get(key) or ()), entry["Finding"]]
    return merged


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
    failed = [e for e in result.get("Misconfigurations") or () if e.get("Status", "FAIL") == "FAIL"]
    others = [(e, e["ID"]) for e in failed] + [(e, e["RuleID"]) for e in result.get("Secrets") or ()]
    for entry, name in others:
        severity = worst([severity_of_word(entry.get("Severity"))])
        yield ScanFinding(severity=severity, id=str(name), where=target)


def _grype(document: Mapping[str, Any]) -> Parsed:
    findings = [
        ScanFinding(
            severity=severity_of_word(match["vulnerability"].get("severity")) or "high",
            id=str(match["vulnerability"]["id"]),
            where=f"{match['artifact'].get('name', '')}@{match['artifact'].get('version', '')}",
        )
        for match in (*document["matches"], *filter(_is_suppressed, document.get("ignoredMatches") or ()))
    ]
    target = (document.get("source") or {}).get("target")
    if not target:
        raise ValueError("the Grype report has no source: nothing was scanned")
    image = target if isinstance(target, Mapping) else {"userInput": target}
    names = [*(image.get("repoDigests") or ()), image.get("userInput", ""), image.get("manifestDigest", "")]
    digests = {digest for text in names for digest in _DIGEST.findall(str(text))}
    return "Grype", "Grype", findings, digests, _time((document.get("descriptor") or {}).get("timestamp"))


def _is_suppressed(match: Mapping[str, Any]) -> bool:
    """Return whether somebody's rule suppressed a match of Grype; its own rule is for indirect matches."""
    rules = match.get("appliedIgnoreRules") or ()
    return not rules or any(rule.get("match-type") != "exact-indirect-match" for rule in rules)


def _pip_audit(document: Mapping[str, Any]) -> Parsed:
    packages = document["dependencies"]
    if not packages:
        raise ValueError("the pip-audit report has no dependencies: nothing was scanned")
    findings = []
    for package in packages:
        name, version = str(package["name"]), str(package.get("version", ""))
        if "skip_reason" in package:
            findings.append(ScanFinding(severity="high", id=f"unscanned:{name}", where=name))
        elif not isinstance(package.get("vulns"), list):
            raise ValueError(f"the pip-audit report has no vulns for {name}")
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
