"""Test that each fault of the audit's records and of the certificate fails its gate."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from bais_gates.probes import tls
from bais_gates.pytest_plugin.evidence import Evidence, GateFailure
from bais_gates.rules.audit_record import SCOPE
from bais_gates.targets.environment import Environment
from bais_gates.targets.parts import ReleasePart, SecurityPart
from tests.gates.fake_platform import platform
from tests.gates.platform_bench import CLUSTER, environment, false_checks

audit_gate = importlib.import_module("gates.checklist.test_security_audit")
tls_gate = importlib.import_module("gates.checklist.test_ssl_certificates")
compliance = importlib.import_module("gates.checklist.test_compliance_verified")
DIGEST = "sha256:" + "a" * 64
NOW = datetime.now(UTC)


class Audited:
    """A folder with an audit record, one scanner's report and exceptions, valid until a test changes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results: list[dict[str, Any]] = []
        self.exceptions: list[dict[str, Any]] = []
        self.run: dict[str, Any] = {}
        self.cluster = platform()
        self.runs(DIGEST)
        self.record: dict[str, Any] = {
            "taken_at": (NOW - timedelta(days=2)).isoformat(),
            "auditor": "A",
            "approved_by": "B",
            "subject": f"api@{DIGEST}",
            "scope": sorted(SCOPE),
            "findings": {"critical": 0, "high": 0, "medium": 0, "low": 0},
        }

    def runs(self, digest: str) -> None:
        """Make the API run another image."""
        self.cluster.one("Pod", "bais-api-0")["spec"]["containers"][0]["image"] = f"registry/api@{digest}"

    def environment(self) -> Environment:
        """Write the files and return the environment that names them."""
        scan, record, exceptions = (
            self.folder / name for name in ("scan.sarif", "audit.json", "exceptions.yaml")
        )
        run = {"tool": {"driver": {"name": "t"}}, "results": self.results} | self.run
        scan.write_text(json.dumps({"version": "2.1.0", "runs": [run]}))
        listed = {"file": scan.name, "sha256": hashlib.sha256(scan.read_bytes()).hexdigest()}
        record.write_text(json.dumps({"scans": [listed]} | self.record))
        exceptions.write_text(json.dumps({"exceptions": self.exceptions}))
        part = SecurityPart(audit_record=record, scans=(scan,), exceptions=exceptions)
        release = ReleasePart(image=f"registry/api@{DIGEST}")
        return environment(rehearsal=False, security=part, kubernetes=CLUSTER, release=release)

    def checks(self) -> list[str]:
        """Run the gate."""
        environment = self.environment()
        return false_checks(
            lambda evidence: audit_gate.test_security_audit(self.cluster, environment, evidence)
        )


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    """Make a valid audit."""
    return Audited(tmp_path)


BAD = {"ruleId": "S1", "level": "error"}


def excepted(days: int, name: str = "S1") -> dict[str, Any]:
    """Make an exception that expires in some days."""
    expires = (NOW + timedelta(days=days)).date().isoformat()
    return {"id": name, "reason": "r", "approved_by": "B", "expires": expires}


def test_a_valid_audit_passes(audited: Audited) -> None:
    """A recent record with a clean scan, or with a finding under a dated exception, passes."""
    assert audited.checks() == []
    audited.results, audited.exceptions = [BAD], [excepted(5)]
    assert audited.checks() == []


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({"taken_at": (NOW - timedelta(days=91)).isoformat()}, "audit age (taken_at)"),
        ({"taken_at": (NOW + timedelta(days=1)).isoformat()}, "audit age, not in the future (taken_at)"),
        ({"approved_by": "A"}, "approval by another person (approved_by)"),
        ({"approved_by": "a (lead)"}, "approval by another person (approved_by)"),
        ({"scope": ["authentication"]}, "parts missing from the audit"),
        (
            {"findings": {"critical": 0, "high": 1, "medium": 0, "low": 0}},
            "open high findings (audit record)",
        ),
        ({"rehearsal": True}, "kind of audit"),
        ({"environment": "elsewhere"}, "audited environment"),
        ({"authors": ["B", "a <a@example.com>"]}, "authors who audit their own work"),
    ],
)
def test_each_fault_of_the_record_fails_its_check(
    audited: Audited, record: dict[str, Any], found: str
) -> None:
    """FAIL, by the fault's own check."""
    audited.record |= record

    assert audited.checks() == [found]


OPEN = "open critical and high findings (scan.sarif)"


def test_an_audit_of_another_build_fails(audited: Audited) -> None:
    """The record's digest must be the release's and the running one."""
    audited.record["subject"] = "api@sha256:" + "b" * 64

    assert audited.checks() == ["audited digest", "running API digests"]


def test_an_audit_without_scans_fails(audited: Audited) -> None:
    """The record must list what it is based on."""
    audited.record["scans"] = []

    assert audited.checks() == ["scans of the audit record", "report checksum (scan.sarif)"]


def test_open_findings_fail(audited: Audited) -> None:
    """A finding without an exception fails; so does an expired or over-long exception."""
    audited.results = [BAD]

    assert audited.checks() == [OPEN]
    audited.exceptions = [excepted(-1)]
    assert audited.checks() == [OPEN, "invalid exceptions"]
    audited.exceptions = [excepted(400)]
    assert audited.checks() == [OPEN, "invalid exceptions"]


def test_a_scan_of_another_image_fails(audited: Audited) -> None:
    """The report's digest must be the release's."""
    audited.run = {"properties": {"repoDigests": ["api@sha256:" + "b" * 64]}}

    assert audited.checks() == ["scanned image (scan.sarif)"]


def test_another_running_build_fails(audited: Audited) -> None:
    """The running digest must be the audited one."""
    audited.runs("sha256:" + "b" * 64)

    assert audited.checks() == ["running API digests"]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("scan.sarif", "{", "not valid JSON"),
        ("scan.sarif", '{"version": "2.1.0", "runs": [], "runs": []}', "duplicate key runs"),
        ("audit.json", '{"auditor": "A", "auditor": "B"}', "duplicate key auditor"),
        ("audit.json", '{"taken_at": "2026-01-01T00:00:00"}', "taken_at must be a time with its zone"),
        ("exceptions.yaml", "exceptions: 3", "list exceptions"),
    ],
)
def test_a_bad_record_fails(audited: Audited, name: str, text: str, reason: str) -> None:
    """What is damaged or ambiguous is no proof: FAIL, with the file and the reason."""
    described = audited.environment()
    (audited.folder / name).write_text(text)
    evidence = Evidence()

    with pytest.raises(GateFailure, match=reason):
        audit_gate.test_security_audit(audited.cluster, described, evidence)

    (check,) = evidence.recorded().false
    assert (check.name, name in str(check.observed)) == ("state of the records", True)
    if name != "audit.json":
        assert false_checks(lambda e: compliance.check_scans(described, e)) == [
            "scanning: state of the records"
        ]


def test_a_scan_that_is_listed_and_not_supplied_fails(audited: Audited) -> None:
    """An audit that covers another scan, or another tool, is not about what was supplied."""
    listed = {"file": "scan.sarif", "sha256": "0" * 64, "scanner": "other", "version": "2"}
    audited.run = {"tool": {"driver": {"name": "t", "version": "1"}}}
    audited.record["scans"] = [{"file": "image.json", "sha256": "0" * 64}, listed]

    assert audited.checks() == [
        "scans of the audit record that were not supplied",
        "report checksum (scan.sarif)",
        "scanner (scan.sarif)",
        "version of the scanner (scan.sarif)",
    ]


def test_medium_findings_are_the_auditors_judgement(audited: Audited) -> None:
    """A scanner may report more than an audit leaves open: only critical and high findings block."""
    audited.results = [{"ruleId": "S1", "level": "warning"}, {"ruleId": "S2", "level": "note"}]

    assert audited.checks() == []


def test_an_old_scan_fails(audited: Audited) -> None:
    """Its age is limited as the audit's is."""
    ended = (NOW - timedelta(days=91)).isoformat()
    audited.run = {"invocations": [{"executionSuccessful": True, "endTimeUtc": ended}]}

    assert audited.checks() == ["scan age (scan.sarif)"]


@pytest.mark.parametrize("name", ["audit.json", "scan.sarif", "exceptions.yaml"])
def test_an_absent_record_fails(audited: Audited, name: str) -> None:
    """What is not there proves nothing: FAIL that names the file."""
    described = audited.environment()
    (audited.folder / name).unlink()

    with pytest.raises(GateFailure, match=rf"{name}: no such"):
        audit_gate.test_security_audit(audited.cluster, described, Evidence())


def test_an_absent_procedure_fails(tmp_path: Path) -> None:
    """The compliance gate fails, and names the file and the key."""
    evidence = Evidence()
    part = SecurityPart(incident_procedures=(tmp_path / "gone.md",))
    compliance.check_procedures(environment(security=part), evidence)

    (check,) = evidence.recorded().false
    assert "gone.md: no such incident procedure" in str(check.observed)


def test_a_scan_of_an_image_without_a_digest_fails(audited: Audited) -> None:
    """It may be of any image."""
    report = {"SchemaVersion": 2, "ArtifactName": "api:1", "ArtifactType": "container_image", "Results": [{}]}
    described = audited.environment()
    (audited.folder / "scan.sarif").write_text(json.dumps(report))

    assert "scanned image (scan.sarif)" in false_checks(
        lambda evidence: audit_gate.test_security_audit(audited.cluster, described, evidence)
    )


def test_scans_are_part_of_compliance(audited: Audited) -> None:
    """The compliance gate fails for the same open finding, and without a report."""
    audited.results = [BAD]
    described = audited.environment()

    assert false_checks(lambda e: compliance.check_scans(described, e)) == [
        "scanning: open critical and high findings"
    ]
    none = environment(security=SecurityPart())
    assert false_checks(lambda e: compliance.check_scans(none, e)) == ["scanning: scanner reports"]


def served(days: float = 40) -> tls.ServedCertificate:
    """Make a served certificate that expires in some days."""
    return tls.ServedCertificate(
        not_after=NOW + timedelta(days=days),
        names=("localhost",),
        key="EC",
        key_bits=256,
        signature_hash="sha256",
        is_authority=False,
    )


VALID = served()


@pytest.mark.parametrize(
    ("certificate", "protocol", "found"),
    [
        (VALID, "TLSv1.3", []),
        (served(29), "TLSv1.3", ["remaining validity"]),
        (VALID, "TLSv1.1", ["TLS protocol"]),
        (replace(VALID, key="RSA", key_bits=1024), "TLSv1.3", ["certificate key"]),
        (replace(VALID, signature_hash="sha1"), "TLSv1.3", ["certificate signature"]),
        (replace(VALID, names=("other",)), "TLSv1.3", ["host name in the certificate"]),
        (replace(VALID, is_authority=True), "TLSv1.3", ["certificate type"]),
    ],
    ids=["valid", "expires soon", "old protocol", "short key", "weak signature", "another name", "authority"],
)
def test_each_weakness_of_the_handshake_fails_its_check(
    monkeypatch: pytest.MonkeyPatch, certificate: tls.ServedCertificate, protocol: str, found: list[str]
) -> None:
    """FAIL, by the weakness's own check."""
    session = tls.Session(protocol=protocol, cipher="c", cipher_bits=256, certificate=certificate)
    monkeypatch.setattr(tls, "handshake", lambda _server: session)
    server = tls.Server(host="localhost", port=1)

    assert false_checks(lambda evidence: tls_gate.check_handshake(server, 30, evidence)) == found


def test_an_untrusted_chain_fails_and_an_absent_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreachable server neither passes nor fails."""
    server = tls.Server(host="localhost", port=1)

    def refuse(_server: tls.Server) -> tls.Session:
        raise tls.TlsNotTrusted("self-signed certificate")

    monkeypatch.setattr(tls, "handshake", refuse)
    assert false_checks(lambda e: tls_gate.check_handshake(server, 30, e)) == ["certificate verification"]
    monkeypatch.undo()
    with pytest.raises(tls.TlsUnreachable):
        tls_gate.check_handshake(server, 30, Evidence())


@pytest.mark.parametrize(
    ("status", "location", "found"),
    [
        (308, "https://localhost:8443/health", []),
        (301, "https://localhost/health", []),
        (302, "https://localhost/health", ["redirect status (plain HTTP)"]),
        (308, "https://other/health", ["redirect host (plain HTTP)"]),
        (308, "https://localhost/", ["redirect path (plain HTTP)"]),
        (308, "http://localhost/health", ["redirect scheme (plain HTTP)"]),
    ],
)
def test_a_wrong_redirect_fails(
    monkeypatch: pytest.MonkeyPatch, status: int, location: str, found: list[str]
) -> None:
    """Plain HTTP must redirect permanently to https, on the same host and path."""
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, headers={"location": location}))
    client = tls_gate.HttpClient
    monkeypatch.setattr(tls_gate, "HttpClient", lambda url: client(url, transport=transport))

    assert (
        false_checks(lambda e: tls_gate.check_redirect("http://localhost", "https://localhost:8443", e))
        == found
    )


@pytest.mark.parametrize(
    ("header", "fails"), [("max-age=31536000", False), ("max-age=60", True), (None, True)]
)
def test_a_short_hsts_fails(header: str | None, fails: bool) -> None:
    """HSTS must last a year."""
    answer = SimpleNamespace(headers={"strict-transport-security": header}, url="u")
    api = SimpleNamespace(get=lambda _path: answer)

    assert bool(false_checks(lambda e: tls_gate.check_hsts(api, e))) is fails


def renewal_checks(change: Callable[[dict[str, Any]], object]) -> list[str]:
    """Run the gate's part about cert-manager on a changed Certificate."""
    cluster = platform()
    one = cluster.one("Certificate", "bais-api")
    ready = {"type": "Ready", "status": "True", "observedGeneration": 1}
    one["metadata"]["generation"] = 1
    one["status"] = {
        "conditions": [ready],
        "notAfter": VALID.not_after.isoformat(),
        "renewalTime": (NOW + timedelta(days=10)).isoformat(),
    }
    issuer = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": "letsencrypt"},
    }
    cluster.objects.append(issuer | {"status": {"conditions": [ready]}})
    change(one)
    described = environment(kubernetes=CLUSTER, tls=SimpleNamespace(min_days=30))
    return false_checks(lambda e: tls_gate.check_renewal(cluster, described, VALID, e))


def update(part: str, values: Any) -> Callable[[dict[str, Any]], object]:
    """Return a change of an object's spec or status."""
    return lambda one: one[part].update(values)


def test_each_fault_of_the_renewal_fails_its_check() -> None:
    """Not ready, renewed too late, of another Secret or host, or not the one that is served."""
    assert renewal_checks(dict.copy) == []
    late = (VALID.not_after - timedelta(hours=1)).isoformat()
    title = "Certificate bais-api"
    for part, values, found in (
        ("status", {"conditions": []}, f"state of the {title}"),
        ("status", {"renewalTime": NOW.isoformat()}, f"renewal of the {title}"),
        ("status", {"renewalTime": late}, f"time from renewal to expiry ({title})"),
        ("spec", {"issuerRef": {"kind": "ClusterIssuer", "name": "gone"}}, "state of the ClusterIssuer gone"),
        ("spec", {"secretName": "x"}, f"Secret of the {title}"),
        ("spec", {"dnsNames": []}, f"Ingress hosts missing from the {title}"),
    ):
        assert renewal_checks(update(part, values)) == [found]
    later = (NOW + timedelta(days=80)).isoformat()
    assert renewal_checks(lambda one: one["status"].update(notAfter=later)) == [
        "expiry difference (served certificate, Certificate bais-api)"
    ]
