"""Certificates and protocols of TLS servers on loopback."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from bais_gates.probes import tls
from bais_gates.rules.certificates import certificate_state, issuer_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALL = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority."""
    return trustme.CA()


@contextmanager
def serving(leaf: trustme.LeafCert, lowest: str, highest: str = "TLSv1_3") -> Iterator[int]:
    """Serve handshakes on loopback with the protocols between two versions; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # an old protocol is what is tested
        if lowest == "TLSv1":
            context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = getattr(ssl.TLSVersion, lowest)
        context.maximum_version = getattr(ssl.TLSVersion, highest)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_answer, args=(listening, context))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _answer(listening: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            raw, _ = listening.accept()
        except OSError:
            return
        raw.settimeout(2)
        try:
            context.wrap_socket(raw, server_side=True).close()
        except OSError:
            raw.close()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """Write the authority's certificate and return its path."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("lowest", "highest", "spoken"),
    [
        ("TLSv1_2", "TLSv1_3", ["TLSv1.2", "TLSv1.3"]),
        ("TLSv1_3", "TLSv1_3", ["TLSv1.3"]),
        ("TLSv1", "TLSv1_3", list(ALL)),
        ("TLSv1", "TLSv1_2", ["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ],
)
def test_supported_protocols(
    authority: trustme.CA, ca_file: Path, lowest: str, highest: str, spoken: list[str]
) -> None:
    """Also the old protocols that the local OpenSSL does not support."""
    with serving(authority.issue_cert("localhost"), lowest, highest) as port:
        server = tls.Server(host="localhost", port=port, ca_file=ca_file)

        assert [version for version in ALL if tls.supports(server, version)] == spoken
        assert tls.handshake(server).protocol == spoken[-1]


def test_a_good_handshake_shows_the_certificate(authority: trustme.CA, ca_file: Path) -> None:
    """Names, key and signature are read from the served certificate."""
    with serving(authority.issue_cert("localhost", "127.0.0.1"), "TLSv1_2") as port:
        served = tls.handshake(tls.Server(host="localhost", port=port, ca_file=ca_file)).certificate

    assert served.names == ("localhost", "127.0.0.1")
    assert served.has_strong_key
    assert served.has_strong_signature
    assert not served.is_authority


def test_untrusted_certificates_have_a_reason(authority: trustme.CA, ca_file: Path) -> None:
    """Another authority, another name and an expired certificate have different messages."""
    ended = authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1))
    with serving(authority.issue_cert("localhost"), "TLSv1_2") as port:
        with pytest.raises(tls.TlsNotTrusted, match="issuer"):
            tls.handshake(tls.Server(host="localhost", port=port))
        with pytest.raises(tls.TlsNotTrusted, match="mismatch"):
            tls.handshake(tls.Server(host="127.0.0.1", port=port, ca_file=ca_file))
    with serving(ended, "TLSv1_2") as port, pytest.raises(tls.TlsNotTrusted, match="expired"):
        tls.handshake(tls.Server(host="localhost", port=port, ca_file=ca_file))


@pytest.mark.parametrize("version", ALL)
def test_a_refused_connection_is_not_a_refused_protocol(version: str, ca_file: Path) -> None:
    """It is an error, as nothing is known about the protocols."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(tls.TlsUnreachable):
        tls.supports(tls.Server(host="127.0.0.1", port=port, ca_file=ca_file), version)


def test_a_silent_server_ends_in_time(ca_file: Path) -> None:
    """A server that accepts the connection and does not answer is an error after the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = tls.Server(host="127.0.0.1", port=silent.getsockname()[1], ca_file=ca_file)
        for version in ("TLSv1", "TLSv1.3"):
            with pytest.raises(tls.TlsUnreachable, match="timed out"):
                tls.supports(server, version, deadline_s=0.2)


def test_only_https_has_a_server() -> None:
    """An http URL is an error."""
    with pytest.raises(ValueError, match="not an https URL"):
        tls.Server.of("http://localhost")


def certificate(**fields: object) -> tls.ServedCertificate:
    """Return a certificate with some fields replaced."""
    given = {"not_after": NOW + timedelta(days=40), "names": ("api.example",)}
    given |= {"key": "EC", "key_bits": 256, "signature_hash": "sha256", "is_authority": False}
    return tls.ServedCertificate(**given | fields)  # type: ignore[arg-type]  # fields of many types


@pytest.mark.parametrize(
    ("key", "bits", "strong"),
    [("RSA", 2048, True), ("RSA", 1024, False), ("EC", 256, True), ("EC", 192, False), ("DSA", 4096, False)],
)
def test_key_sizes_by_type(key: str, bits: int, strong: bool) -> None:
    """RSA needs 2048 bits, an elliptic curve 256; an unknown type is weak."""
    assert certificate(key=key, key_bits=bits).has_strong_key is strong


@pytest.mark.parametrize(
    ("name", "strong"), [("sha256", True), ("sha384", True), ("sha1", False), ("md5", False)]
)
def test_signatures_by_hash(name: str, strong: bool) -> None:
    """SHA-1 and MD5 are not collision-resistant."""
    assert certificate(signature_hash=name).has_strong_signature is strong


@pytest.mark.parametrize(
    ("names", "host", "named"),
    [
        (("api.example",), "api.example", True),
        (("api.example",), "API.example", True),
        (("*.example",), "api.example", True),
        (("*.example",), "a.b.example", False),
        (("*.example",), "example", False),
        (("other.example",), "api.example", False),
        (("127.0.0.1",), "127.0.0.1", True),
    ],
)
def test_host_names(names: tuple[str, ...], host: str, named: bool) -> None:
    """A name matches a host completely, or by ``*`` for its first label."""
    assert certificate(names=names).matches(host) is named


def test_days_left_go_below_zero() -> None:
    """They are negative after the expiry."""
    assert certificate().days_left(NOW) == 40
    assert certificate().days_left(NOW + timedelta(days=41)) == -1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=31536000; includeSubDomains", 31536000),
        ('includeSubDomains; Max-Age="60"', 60),
        ("max-age=0", 0),
        ("max-age=-1", None),
        ("max-age=soon", None),
        ("includeSubDomains", None),
        (None, None),
    ],
)
def test_hsts_is_read(header: str | None, seconds: int | None) -> None:
    """The max-age is read in any order and case; an invalid value is None."""
    assert tls.hsts_max_age(header) == seconds


def cert_manager(
    status: str = "True", seen: int = 2, renewal: str = "2026-03-10T00:00:00Z"
) -> dict[str, object]:
    """Return a cert-manager Certificate of generation 2 that expires on 2026-04-10."""
    ready = {"type": "Ready", "status": status, "observedGeneration": seen, "message": "m"}
    return {
        "metadata": {"generation": 2},
        "spec": {"dnsNames": ["api.example"], "secretName": "s"},
        "status": {"conditions": [ready], "notAfter": "2026-04-10T00:00:00Z", "renewalTime": renewal},
    }


def test_readiness_is_for_the_current_generation() -> None:
    """A condition Ready of an older generation does not count."""
    assert certificate_state(cert_manager()).ready
    assert not certificate_state(cert_manager(status="False")).ready
    assert not certificate_state(cert_manager(seen=1)).ready
    assert not certificate_state({"metadata": {}}).ready


@pytest.mark.parametrize(
    ("renewal", "ahead"),
    [
        ("2026-03-10T00:00:00Z", True),
        ("2026-02-10T00:00:00Z", False),
        ("2026-04-11T00:00:00Z", False),
        ("", False),
    ],
)
def test_renewal_time(renewal: str, ahead: bool) -> None:
    """The renewal must be in the future and before the expiry."""
    assert certificate_state(cert_manager(renewal=renewal)).renews_ahead(NOW) is ahead


def test_time_to_renew_and_issuer() -> None:
    """The days from renewal to expiry are known if both are, an issuer's kind is Issuer by default."""
    one = cert_manager()
    assert certificate_state(one).days_to_renew() == 31
    assert certificate_state(cert_manager(renewal="")).days_to_renew() is None
    one["spec"] = {"issuerRef": {"name": "ca"}}
    assert (certificate_state(one).issuer, certificate_state(one).external) == (("Issuer", "ca"), False)
    one["spec"] = {"issuerRef": {"name": "ca", "kind": "AWSPCAIssuer", "group": "awspca.cert-manager.io"}}
    assert certificate_state(one).external


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ([{"type": "Ready", "status": "True"}], "ready"),
        ([{"type": "Ready", "status": "False", "message": "no account"}], "not ready: no account"),
        ([], "not ready: no condition Ready"),
        (None, "absent"),
    ],
)
def test_issuers(conditions: list[dict[str, str]] | None, state: str) -> None:
    """An issuer is ready by its condition."""
    assert issuer_state(None if conditions is None else {"status": {"conditions": conditions}}) == state
