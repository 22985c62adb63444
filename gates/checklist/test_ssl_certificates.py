"""Check the API's certificate and TLS: trust, strength, expiry, protocols, HSTS and renewal."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import Api
from bais_gates.probes import Cluster, HttpClient, list_served, tls
from bais_gates.rules import CertificateState, certificate_state, issuer_state
from bais_gates.rules.kubernetes import dig, exposure

HSTS_S: Final = 31_536_000
"""A year: the minimum for the preload lists of browsers."""
SAME_EXPIRY_S: Final = 60.0
PATH: Final = "/health"


@pytest.mark.gate("checklist.ssl_certificates")
def test_ssl_certificates(api: Api, cluster: Cluster, environment: Environment, evidence: Evidence) -> None:
    """The API's certificate is trusted, strong and not near expiry; old protocols and http are refused."""
    part, api_part = environment.tls, environment.api
    scheme = urlsplit(api_part.url).scheme
    evidence.require("scheme of the API's URL", scheme, "==", "https", source=api_part.url)
    server = tls.Server.of(api_part.url, api_part.ca_file)
    served = check_handshake(server, part.min_days, evidence)
    for version in part.refused_versions:
        answer = "accepted" if tls.supports(server, version) else "refused"
        evidence.check(f"{version} handshake", answer, "==", "refused", source="RFC 8996")
    check_hsts(api, evidence)
    if part.http_url is None:
        raise environment.missing("tls.http_url")
    check_redirect(part.http_url, api_part.url, evidence)
    check_renewal(cluster, environment, served, evidence)


def check_handshake(server: tls.Server, min_days: int, evidence: Evidence) -> tls.ServedCertificate | None:
    """Check one verified handshake: chain, host name, validity, protocol, cipher, key and signature."""
    try:
        session = tls.handshake(server)
    except tls.TlsNotTrusted as e:
        evidence.require("certificate verification", str(e), "==", "trusted")
        return None
    served = session.certificate
    host, names = "present" if served.matches(server.host) else "missing", ", ".join(served.names)
    evidence.check("host name in the certificate", host, "==", "present", source=f"{server.host}: {names}")
    evidence.check("remaining validity", served.days_left(tls.now()), ">", min_days, unit="days")
    evidence.check("TLS protocol", session.protocol, "in", ["TLSv1.2", "TLSv1.3"], source=session.cipher)
    evidence.check("cipher key size", session.cipher_bits, ">=", 128, unit="bits")
    for name, strong, source in (
        ("certificate key", served.has_strong_key, f"{served.key}, {served.key_bits} bits"),
        ("certificate signature", served.has_strong_signature, served.signature_hash),
    ):
        evidence.check(name, "strong" if strong else "weak", "==", "strong", source=source)
    kind = "CA" if served.is_authority else "server"
    evidence.check("certificate type", kind, "==", "server", source="basicConstraints")
    return served


def check_hsts(api: Api, evidence: Evidence) -> None:
    """Check that browsers may connect by https only for at least a year."""
    answer = api.get(PATH)
    header = answer.headers.get("strict-transport-security")
    evidence.check("HSTS max-age", tls.hsts_max_age(header) or 0, ">=", HSTS_S, unit="s", source=answer.url)


def check_redirect(http_url: str, https_url: str, evidence: Evidence) -> None:
    """Check that plain HTTP only redirects to https, on the same host and path."""
    client = HttpClient(http_url)
    try:
        answer = client.request("GET", PATH)
    finally:
        client.close()
    evidence.check("redirect status (plain HTTP)", answer.status, "in", [301, 308], source=answer.url)
    target = urlsplit(answer.headers.get("location", ""))
    host = urlsplit(https_url).hostname
    evidence.check("redirect scheme (plain HTTP)", target.scheme, "==", "https")
    evidence.check("redirect host (plain HTTP)", target.hostname or "", "==", host)
    evidence.check("redirect path (plain HTTP)", target.path, "==", PATH)


def check_renewal(
    cluster: Cluster, environment: Environment, served: tls.ServedCertificate | None, evidence: Evidence
) -> None:
    """Check that cert-manager's Certificate is ready, is renewed before it expires, and is the one served."""
    part = environment.kubernetes
    name = f"Certificate {part.names.certificate}"
    found = cluster.named("cert-manager.io/v1", "Certificate", part.names.certificate, part.namespace)
    present = "present" if found is not None else "absent"
    evidence.require(name, present, "==", "present", source=f"namespace {part.namespace}")
    state = certificate_state(found or {})
    ready = "ready" if state.ready else f"not ready: {state.reason}"
    evidence.check(f"state of the {name}", ready, "==", "ready", source="condition Ready")
    check_issuer(cluster, state, part.namespace, evidence)
    renewal = "due before expiry" if state.renews_ahead(tls.now()) else "overdue or not due before expiry"
    evidence.check(f"renewal of the {name}", renewal, "==", "due before expiry", source="renewalTime")
    days, least = state.days_to_renew(), environment.tls.min_days
    title, source = f"time from renewal to expiry ({name})", "renewalTime and notAfter; tls.min_days"
    evidence.check(title, days, ">=", least, unit="days", source=source)
    ingress = cluster.named("networking.k8s.io/v1", "Ingress", part.names.ingress, part.namespace) or {}
    secrets = [str(entry.get("secretName")) for entry in dig(ingress, "spec", "tls") or ()]
    hosts = {str(host) for entry in dig(ingress, "spec", "tls") or () for host in entry.get("hosts") or ()}
    source = f"tls of Ingress {part.names.ingress}"
    evidence.check(f"Secret of the {name}", state.secret, "in", secrets, source=source)
    missing = sorted(host for host in hosts if not any(exposure.covers(one, host) for one in state.names))
    evidence.check(f"Ingress hosts missing from the {name}", missing, "==", [], source=source)
    if served is not None:
        difference = expiry_difference_s(served, state)
        title = f"expiry difference (served certificate, {name})"
        evidence.check(title, difference, "<=", SAME_EXPIRY_S, unit="s", source="notAfter of both")


def check_issuer(cluster: Cluster, certificate: CertificateState, namespace: str, evidence: Evidence) -> None:
    """Check that the issuer exists and is ready, without which no renewal succeeds."""
    kind, name = certificate.issuer
    if certificate.external:
        evidence.attach("issuer", f"{kind} {name} is not one of cert-manager's own: not judged")
        return
    space = namespace if kind == "Issuer" else None
    every = list_served(cluster, "cert-manager.io/v1", kind, space)
    state = issuer_state(next((one for one in every if one["metadata"]["name"] == name), None))
    evidence.check(f"state of the {kind} {name}", state, "==", "ready", source="condition Ready")


def expiry_difference_s(served: tls.ServedCertificate, state: CertificateState) -> float | None:
    """Return the seconds between the expiry of the served certificate and the Certificate's, if known."""
    return None if state.not_after is None else abs((served.not_after - state.not_after).total_seconds())
