"""Read the certificate and the supported protocols of a TLS server.

Old protocols are tested with a ClientHello built here, as the local OpenSSL may not support them: a server
that answers with a ServerHello of that version supports it. Source: RFC 8996 (TLS 1.0 and 1.1 must not be
used), RFC 5246 and 8446 (messages), NIST SP 800-57 (key sizes).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bais_gates.extras import optional

if TYPE_CHECKING:
    from cryptography import x509
else:
    x509 = optional("cryptography.x509", extra="tls")

DEADLINE_S: Final = 5.0
WIRE_VERSIONS: Final = {"SSLv3": (3, 0), "TLSv1": (3, 1), "TLSv1.1": (3, 2), "TLSv1.2": (3, 3)}
_MODERN: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
# ECDHE, DHE and RSA with AES-CBC, 3DES and RC4: the suites that a server may choose in an old protocol.
_OLD_SUITES: Final = (
    0xC009,
    0xC00A,
    0xC013,
    0xC014,
    0xC008,
    0xC012,
    0x0033,
    0x0039,
    0x002F,
    0x0035,
    0x000A,
    0x0005,
)
_STRONG_HASHES: Final = frozenset({"sha256", "sha384", "sha512", "ed25519", "ed448"})


class TlsUnreachable(Exception):  # noqa: N818 - it names the state of the target
    """No connection, no answer in time, or an answer that is not TLS."""


class TlsRefused(TlsUnreachable):
    """The server answered, but the handshake failed."""


class TlsNotTrusted(Exception):  # noqa: N818 - it names the state of the target
    """The certificate is not trusted. The message is the verifier's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The address and host name of a TLS server, and the CA file to trust (None: the system's)."""

    host: str
    port: int
    ca_file: Path | None = None

    @classmethod
    def of(cls, url: str, ca_file: Path | None = None) -> Server:
        """Return the server of an https URL; raise ValueError for another scheme."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError(f"{parts.scheme}://{parts.hostname or ''} is not an https URL")
        return cls(host=parts.hostname, port=parts.port or 443, ca_file=ca_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCertificate:
    """The certificate of a server."""

    not_after: datetime
    names: tuple[str, ...]
    """DNS names and IP addresses."""
    key: str
    """Key type: RSA, EC, Ed25519, Ed448 or another."""
    key_bits: int
    signature_hash: str
    is_authority: bool

    def days_left(self, now: datetime) -> float:
        """Return the days until the expiry; negative afterwards."""
        return (self.not_after - now).total_seconds() / 86400

    @property
    def has_strong_key(self) -> bool:
        """Return whether the key has at least 2048 bits (RSA) or 256 bits (elliptic curve)."""
        min_bits = {"RSA": 2048, "EC": 256, "Ed25519": 253, "Ed448": 448}.get(self.key)
        return min_bits is not None and self.key_bits >= min_bits

    @property
    def has_strong_signature(self) -> bool:
        """Return whether the signature uses a collision-resistant hash."""
        return self.signature_hash in _STRONG_HASHES

    def matches(self, host: str) -> bool:
        """Return whether a name of the certificate matches a host, by RFC 6125: ``*`` is one first label."""
        first, _, rest = host.lower().rstrip(".").partition(".")
        return any(
            name.lower() == host.lower() or (name.startswith("*.") and first and name[2:].lower() == rest)
            for name in self.names
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The result of a verified handshake."""

    protocol: str
    cipher: str
    cipher_bits: int
    certificate: ServedCertificate


def handshake(server: Server, *, protocol: str | None = None, deadline_s: float = DEADLINE_S) -> Session:
    """Perform a verified handshake with one protocol (``TLSv1.2``, ``TLSv1.3``), or with the best of both.

    Raises :class:`TlsNotTrusted` if chain or name are not valid, :class:`TlsUnreachable` without a session.
    """
    context = ssl.create_default_context(cafile=None if server.ca_file is None else str(server.ca_file))
    if protocol is not None:
        context.minimum_version = context.maximum_version = _MODERN[protocol]
    try:
        with (
            socket.create_connection((server.host, server.port), timeout=deadline_s) as raw,
            context.wrap_socket(raw, server_hostname=server.host) as tls,
        ):
            cipher, _, bits = tls.cipher() or ("?", "?", 0)
            der = tls.getpeercert(binary_form=True) or b""
            version = tls.version() or "?"
    except ssl.SSLCertVerificationError as e:
        raise TlsNotTrusted(f"{server.host}:{server.port}: {e.verify_message}") from None
    except (ssl.SSLError, ConnectionResetError) as e:
        raise TlsRefused(f"{server.host}:{server.port}: {_cause(e)}") from None
    except (OSError, ValueError) as e:
        raise TlsUnreachable(f"{server.host}:{server.port}: {_cause(e)}") from None
    return Session(protocol=version, cipher=cipher, cipher_bits=bits, certificate=read_certificate(der))


def supports(server: Server, protocol: str, *, deadline_s: float = DEADLINE_S) -> bool:
    """Return whether a server supports a protocol, whatever its certificate.

    An alert, a closed connection or another version is a refusal. Raises TlsUnreachable without an answer.
    """
    if protocol in _MODERN:
        try:
            handshake(server, protocol=protocol, deadline_s=deadline_s)
        except TlsRefused:
            return False
        except TlsNotTrusted:
            return True
        return True
    hello = client_hello(server.host, WIRE_VERSIONS[protocol])
    try:
        with socket.create_connection((server.host, server.port), timeout=deadline_s) as raw:
            raw.sendall(hello)
            answer = _first_record(raw)
    except ConnectionResetError:
        return False
    except OSError as e:
        raise TlsUnreachable(f"{server.host}:{server.port}: {_cause(e)}") from None
    return _server_hello_version(answer) == WIRE_VERSIONS[protocol]


def client_hello(host: str, version: tuple[int, int]) -> bytes:
    """Return the record of a ClientHello that offers one old version."""
    suites = b"".join(struct.pack(">H", suite) for suite in (*_OLD_SUITES, 0x00FF))
    extensions = _extension(10, b"\x00\x06" + struct.pack(">HHH", 29, 23, 24)) + _extension(11, b"\x01\x00")
    if version >= (3, 3):
        extensions += _extension(13, b"\x00\x08" + bytes.fromhex("0401040305010503"))
    if not _is_address(host):
        name = host.encode("idna")
        entry = b"\x00" + struct.pack(">H", len(name)) + name
        extensions += _extension(0, struct.pack(">H", len(entry)) + entry)
    body = bytes(version) + os.urandom(32) + b"\x00" + struct.pack(">H", len(suites)) + suites + b"\x01\x00"
    body += struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def _extension(kind: int, body: bytes) -> bytes:
    return struct.pack(">HH", kind, len(body)) + body


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _first_record(raw: socket.socket) -> bytes:
    data = b""
    while len(data) < 11:  # record header 5, handshake header 4, version 2
        more = raw.recv(64)
        if not more:
            break
        data += more
    return data


def _server_hello_version(record: bytes) -> tuple[int, int] | None:
    if len(record) < 11 or record[0] != 0x16 or record[5] != 0x02:
        return None
    return record[9], record[10]


def read_certificate(der: bytes) -> ServedCertificate:
    """Parse a DER certificate."""
    certificate = x509.load_der_x509_certificate(der)
    # Below the first use of x509, which names the extra where the library is absent.
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa  # noqa: PLC0415

    key = certificate.public_key()
    kinds = ((rsa.RSAPublicKey, "RSA"), (ec.EllipticCurvePublicKey, "EC"))
    kind = next((word for type_, word in kinds if isinstance(key, type_)), type(key).__name__)
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        kind, bits = ("Ed25519", 253) if isinstance(key, ed25519.Ed25519PublicKey) else ("Ed448", 448)
    else:
        bits = int(getattr(key, "key_size", 0))
    hashed = certificate.signature_hash_algorithm
    return ServedCertificate(
        not_after=certificate.not_valid_after_utc,
        names=_names(certificate),
        key=kind,
        key_bits=bits,
        signature_hash=hashed.name if hashed else kind.lower(),
        is_authority=_is_authority(certificate),
    )


def _names(certificate: object) -> tuple[str, ...]:
    if not isinstance(certificate, x509.Certificate):
        return ()
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*names.get_values_for_type(x509.DNSName), *(str(address) for address in addresses))


def _is_authority(certificate: object) -> bool:
    if not isinstance(certificate, x509.Certificate):
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def hsts_max_age(header: str | None) -> int | None:
    """Return the max-age in seconds of a Strict-Transport-Security header (RFC 6797); None if invalid."""
    for part in (header or "").split(";"):
        name, _, value = part.strip().partition("=")
        if name.strip().lower() == "max-age":
            text = value.strip().strip('"')
            return int(text) if text.isascii() and text.isdigit() else None
    return None


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or type(error).__name__})"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
