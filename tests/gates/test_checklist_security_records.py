"""The gates of the audit and of certificates: green, red for each gap, and unable to look."""

from __future__ import annotations

import contextlib
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

from bais_gates.errors import GateInputError
from bais_gates.probes import tls
from bais_gates.pytest_plugin.evidence import Evidence, GateFailure
from bais_gates.rules.audit_record import SCOPE
from bais_gates.targets.environment import Environment
from bais_gates.targets.parts import ReleasePart, SecurityPart
from tests.gates.fake_platform import platform
from tests.gates.platform_bench import CLUSTER, environment

audit_gate = importlib.import_module("gates.checklist.test_security_audit")
tls_gate = importlib.import_module("gates.checklist.test_ssl_certificates")
compliance = importlib.import_module("gates.checklist.test_compliance_verified")
DIGEST = "sha256:" + "a" * 64
NOW = datetime.now(UTC)


def false_checks(judge: Callable[[Evidence], object]) -> list[str]:
    """Let a gate judge, and name the checks that did not hold."""
    evidence = Evidence()
    with contextlib.suppress(GateFailure):
        judge(evidence)
    recorded = evidence.recorded()
    assert recorded.checks
    return [check.name for check in (*recorded.false, *recorded.without_data)]


class Audited:
    """A folder with an audit record, one scanner's report and exceptions, sound until a test changes them."""

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
        """Let the API run another image."""
        self.cluster.one("Pod", "bais-api-0")["spec"]["containers"][0]["image"] = f"registry/api@{digest}"

    def environment(self) -> Environment:
        """Write the files and describe where they are."""
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
    """Make a sound audit."""
    return Audited(tmp_path)


BAD = {"ruleId": "S1", "level": "error"}


def excepted(days: int, name: str = "S1") -> dict[str, Any]:
    """Write an exception that lasts some days."""
    expires = (NOW + timedelta(days=days)).date().isoformat()
    return {"id": name, "reason": "r", "approved_by": "B", "expires": expires}


def test_a_sound_audit_passes(audited: Audited) -> None:
    """A fresh record, a clean scan, and a finding under a dated exception pass."""
    assert audited.checks() == []
    audited.results, audited.exceptions = [BAD], [excepted(5)]
    assert audited.checks() == []


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({"taken_at": (NOW - timedelta(days=91)).isoformat()}, "age of the audit"),
        ({"taken_at": (NOW + timedelta(days=1)).isoformat()}, "the audit is not dated ahead"),
        ({"approved_by": "A"}, "who approved it is not the auditor"),
        ({"scope": ["authentication"]}, "parts that the audit left out"),
        (
            {"findings": {"critical": 0, "high": 1, "medium": 0, "low": 0}},
            "high findings that the audit leaves open",
        ),
        ({"rehearsal": True}, "the audit is a rehearsal"),
        ({"scans": []}, "scan.sarif: the report that was audited"),
    ],
)
def test_an_audit_with_a_gap_goes_red(audited: Audited, record: dict[str, Any], found: str) -> None:
    """Each gap of the record makes its own check false."""
    audited.record |= record

    assert audited.checks() == [found]


OPEN = "scan.sarif: critical and high findings without an exception"


def test_an_audit_of_another_build_goes_red(audited: Audited) -> None:
    """A record of another digest is no record of this release, nor of what runs."""
    audited.record["subject"] = "api@sha256:" + "b" * 64

    assert audited.checks() == ["digest that was audited", "digests of the API that run"]


def test_open_findings_go_red(audited: Audited) -> None:
    """A finding that nothing closes is red; an expired or over-long exception is red itself."""
    audited.results = [BAD]

    assert audited.checks() == [OPEN]
    audited.exceptions = [excepted(-1)]
    assert audited.checks() == [OPEN, "exceptions that do not count"]
    audited.exceptions = [excepted(400)]
    assert audited.checks() == [OPEN, "exceptions that do not count"]


def test_a_scan_of_another_image_goes_red(audited: Audited) -> None:
    """A report that names another digest says nothing of this build."""
    audited.run = {"properties": {"repoDigests": ["api@sha256:" + "b" * 64]}}

    assert audited.checks() == ["scan.sarif: image that was scanned"]


def test_another_build_that_runs_goes_red(audited: Audited) -> None:
    """An audit of one digest says nothing of the one that runs."""
    audited.runs("sha256:" + "b" * 64)

    assert audited.checks() == ["digests of the API that run"]


def test_what_cannot_be_read_is_an_error(audited: Audited) -> None:
    """A broken report and an absent record are errors with the file's name, never a pass."""
    environment = audited.environment()
    (audited.folder / "scan.sarif").write_text("{")
    with pytest.raises(GateInputError, match=r"scan\.sarif"):
        audit_gate.test_security_audit(audited.cluster, environment, Evidence())
    (audited.folder / "audit.json").unlink()
    with pytest.raises(GateInputError, match=r"audit\.json"):
        audit_gate.test_security_audit(audited.cluster, environment, Evidence())


def test_scanning_counts_for_compliance(audited: Audited) -> None:
    """Compliance sees the same open finding, and no report at all, as red."""
    audited.results = [BAD]
    described = audited.environment()

    assert false_checks(lambda e: compliance.scanning(described, e)) == [
        "scanning: open critical and high findings"
    ]
    none = environment(security=SecurityPart())
    assert false_checks(lambda e: compliance.scanning(none, e)) == ["scanning: reports"]


def served(days: float = 40) -> tls.ServedCertificate:
    """Describe a served certificate that ends in some days."""
    return tls.ServedCertificate(
        serial=1,
        not_before=NOW,
        not_after=NOW + timedelta(days=days),
        names=("localhost",),
        key="EC",
        key_bits=256,
        signature_hash="sha256",
        is_authority=False,
    )


SOUND = served()


@pytest.mark.parametrize(
    ("certificate", "protocol", "found"),
    [
        (SOUND, "TLSv1.3", []),
        (served(29), "TLSv1.3", ["days left"]),
        (SOUND, "TLSv1.1", ["protocol"]),
        (replace(SOUND, key="RSA", key_bits=1024), "TLSv1.3", ["key (RSA, 1024 bits) is strong"]),
        (replace(SOUND, signature_hash="sha1"), "TLSv1.3", ["signature (sha1) is strong"]),
        (replace(SOUND, names=("other",)), "TLSv1.3", ["certificate names the host"]),
        (replace(SOUND, is_authority=True), "TLSv1.3", ["certificate is an authority's"]),
    ],
    ids=["sound", "ends soon", "old protocol", "short key", "weak signature", "another name", "authority"],
)
def test_a_weak_handshake_goes_red(
    monkeypatch: pytest.MonkeyPatch, certificate: tls.ServedCertificate, protocol: str, found: list[str]
) -> None:
    """Each weakness of what is served makes its own check false."""
    session = tls.Session(protocol=protocol, cipher="c", cipher_bits=256, certificate=certificate)
    monkeypatch.setattr(tls, "handshake", lambda _server: session)
    server = tls.Server(host="localhost", port=1)

    assert false_checks(lambda evidence: tls_gate.proves_itself(server, 30, evidence)) == found


def test_an_untrusted_chain_is_red_and_an_absent_server_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not trusted fails; what could not be asked is an error."""
    server = tls.Server(host="localhost", port=1)

    def refuse(_server: tls.Server) -> tls.Session:
        raise tls.TlsNotTrusted("self-signed certificate")

    monkeypatch.setattr(tls, "handshake", refuse)
    assert false_checks(lambda e: tls_gate.proves_itself(server, 30, e)) == [
        "what is wrong with chain or name"
    ]
    monkeypatch.undo()
    with pytest.raises(tls.TlsUnreachable):
        tls_gate.proves_itself(server, 30, Evidence())


@pytest.mark.parametrize(
    ("status", "location", "found"),
    [
        (308, "https://localhost:8443/health", []),
        (301, "https://localhost/health", []),
        (302, "https://localhost/health", ["status over http"]),
        (308, "https://other/health", ["host that http redirects to"]),
        (308, "https://localhost/", ["path that http redirects to"]),
        (308, "http://localhost/health", ["scheme that http redirects to"]),
    ],
)
def test_a_wrong_redirect_goes_red(
    monkeypatch: pytest.MonkeyPatch, status: int, location: str, found: list[str]
) -> None:
    """Plain http must lead to https, on the same host and path, for good."""
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, headers={"location": location}))
    client = tls_gate.HttpClient
    monkeypatch.setattr(tls_gate, "HttpClient", lambda url: client(url, transport=transport))

    assert (
        false_checks(lambda e: tls_gate.redirects("http://localhost", "https://localhost:8443", e)) == found
    )


@pytest.mark.parametrize(("header", "red"), [("max-age=31536000", False), ("max-age=60", True), (None, True)])
def test_a_short_hsts_goes_red(header: str | None, red: bool) -> None:
    """HSTS lasts a year or is red."""
    answer = SimpleNamespace(headers={"strict-transport-security": header}, url="u")
    api = SimpleNamespace(get=lambda _path: answer)

    assert bool(false_checks(lambda e: tls_gate.hsts(api, e))) is red


def in_hand(change: Callable[[dict[str, Any]], object]) -> list[str]:
    """Run the gate's part about cert-manager with a changed Certificate."""
    cluster = platform()
    one = cluster.one("Certificate", "bais-api")
    ready = {"type": "Ready", "status": "True", "observedGeneration": 1}
    one["metadata"]["generation"] = 1
    one["status"] = {
        "conditions": [ready],
        "notAfter": SOUND.not_after.isoformat(),
        "renewalTime": (NOW + timedelta(days=10)).isoformat(),
    }
    change(one)
    return false_checks(lambda e: tls_gate.in_hand(cluster, environment(kubernetes=CLUSTER), SOUND, e))


def test_a_certificate_that_is_not_in_hand_goes_red() -> None:
    """Not ready, renewed too late, of another Secret or host, or not the one that is served: each is red."""
    assert in_hand(dict.copy) == []
    assert in_hand(lambda one: one["status"].update(conditions=[])) == ["Certificate is ready"]
    assert in_hand(lambda one: one["status"].update(renewalTime=NOW.isoformat())) == [
        "renewal is ahead of the end"
    ]
    assert in_hand(lambda one: one["spec"].update(secretName="x")) == ["Secret of the Certificate"]
    assert in_hand(lambda one: one["spec"].update(dnsNames=[])) == ["hosts without the Certificate"]
    later = (NOW + timedelta(days=80)).isoformat()
    assert in_hand(lambda one: one["status"].update(notAfter=later)) == [
        "served certificate ends with the Certificate"
    ]
