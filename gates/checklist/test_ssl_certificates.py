"""Whether the API proves itself by a sound certificate, over today's protocols only, and will go on to."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import Api
from bais_gates.probes import Cluster, HttpClient, tls
from bais_gates.rules import CertificateState, certificate_state, dig

HSTS_S: Final = 31_536_000
"""A year: the least that browsers take into their own lists."""
SAME_MOMENT_S: Final = 60.0
PATH: Final = "/health"


@pytest.mark.gate("checklist.ssl_certificates")
def test_ssl_certificates(api: Api, cluster: Cluster, environment: Environment, evidence: Evidence) -> None:
    """The API's certificate is trusted, strong and good for weeks; old protocols and http are refused."""
    part, where = environment.tls, environment.api
    evidence.require("scheme of the API", urlsplit(where.url).scheme, "==", "https", source=where.url)
    server = tls.Server.of(where.url, where.ca_file)
    served = proves_itself(server, part.min_days, evidence)
    for version in part.refused_versions:
        evidence.check(
            f"{version} is spoken", tls.supports(server, version), "==", limit=False, source="RFC 8996"
        )
    hsts(api, evidence)
    if part.http_url is None:
        raise environment.missing("tls.http_url")
    redirects(part.http_url, where.url, evidence)
    in_hand(cluster, environment, served, evidence)


def proves_itself(server: tls.Server, min_days: int, evidence: Evidence) -> tls.ServedCertificate | None:
    """Check one verified handshake: chain, name, time left, protocol, cipher, key and signature."""
    try:
        session = tls.handshake(server)
    except tls.TlsNotTrusted as e:
        evidence.require("what is wrong with chain or name", str(e), "==", "")
        return None
    served = session.certificate
    evidence.check(
        "certificate names the host",
        served.matches(server.host),
        "==",
        limit=True,
        source=", ".join(served.names),
    )
    evidence.check("days left", served.days_left(tls.now()), ">", min_days, unit="d")
    evidence.check("protocol", session.protocol, "in", ["TLSv1.2", "TLSv1.3"], source=session.cipher)
    evidence.check("bits of the cipher", session.cipher_bits, ">=", 128)
    evidence.check(
        f"key ({served.key}, {served.key_bits} bits) is strong", served.has_strong_key, "==", limit=True
    )
    evidence.check(
        f"signature ({served.signature_hash}) is strong", served.has_strong_signature, "==", limit=True
    )
    evidence.check("certificate is an authority's", served.is_authority, "==", limit=False)
    return served


def hsts(api: Api, evidence: Evidence) -> None:
    """Check that browsers are told to come back by https only."""
    answer = api.get(PATH)
    header = answer.headers.get("strict-transport-security")
    evidence.check("HSTS max-age", tls.hsts_max_age(header) or 0, ">=", HSTS_S, unit="s", source=answer.url)


def redirects(http_url: str, https_url: str, evidence: Evidence) -> None:
    """Check that plain http is answered by nothing but the way to https, on the same host and path."""
    client = HttpClient(http_url)
    try:
        answer = client.request("GET", PATH)
    finally:
        client.close()
    evidence.check("status over http", answer.status, "in", [301, 308], source=answer.url)
    target = urlsplit(answer.headers.get("location", ""))
    wanted = urlsplit(https_url)
    evidence.check("scheme that http redirects to", target.scheme, "==", "https")
    evidence.check("host that http redirects to", target.hostname or "", "==", wanted.hostname)
    evidence.check("path that http redirects to", target.path, "==", PATH)


def in_hand(
    cluster: Cluster, environment: Environment, served: tls.ServedCertificate | None, evidence: Evidence
) -> None:
    """Check that cert-manager has the certificate in hand: ready, renewed in time, and it is served."""
    part = environment.kubernetes
    found = cluster.named("cert-manager.io/v1", "Certificate", part.names.certificate, part.namespace)
    evidence.require(f"Certificate {part.names.certificate} is there", found is not None, "==", limit=True)
    state = certificate_state(found or {})
    evidence.check("Certificate is ready", state.ready, "==", limit=True, source=state.reason)
    evidence.check("renewal is ahead of the end", state.renews_ahead(tls.now()), "==", limit=True)
    ingress = cluster.named("networking.k8s.io/v1", "Ingress", part.names.ingress, part.namespace) or {}
    secrets = [str(entry.get("secretName")) for entry in dig(ingress, "spec", "tls") or ()]
    hosts = [str(host) for entry in dig(ingress, "spec", "tls") or () for host in entry.get("hosts") or ()]
    evidence.check("Secret of the Certificate", state.secret, "in", secrets, source="Ingress tls")
    evidence.check("hosts without the Certificate", sorted(set(hosts) - set(state.names)), "==", [])
    if served is not None:
        evidence.check(
            "served certificate ends with the Certificate",
            _apart(served, state),
            "<=",
            SAME_MOMENT_S,
            unit="s",
        )


def _apart(served: tls.ServedCertificate, state: CertificateState) -> float | None:
    return None if state.not_after is None else abs((served.not_after - state.not_after).total_seconds())
