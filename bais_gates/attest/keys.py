"""The keys that sign decisions: Ed25519 as PEM, from a file or the environment, and ``keys.yaml``.

A private key and its passphrase never reach an error: messages name where the key is, and what to do.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from bais_gates import redaction
from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.extras import optional
from bais_gates.verdict.codec import parse_moment
from bais_gates.verdict.files import load_document, read_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

serialization: Any = optional("cryptography.hazmat.primitives.serialization", extra="attest")
ed25519: Any = optional("cryptography.hazmat.primitives.asymmetric.ed25519", extra="attest")
exceptions: Any = optional("cryptography.exceptions", extra="attest")

KEY_VARIABLE: Final = "BAIS_GATES_SIGN_KEY"
"""The environment variable that holds a private key as PEM."""
PASSPHRASE_VARIABLE: Final = "BAIS_GATES_SIGN_PASSPHRASE"  # noqa: S105  # its name
KEYS_FILE: Final = "keys.yaml"
ALWAYS: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))

_MAX_BYTES = 64 * 1024
_KEYGEN = "`bais-gates attest keygen --out FILE` makes one."


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key that may sign, whose it is, and from when to when."""

    keyid: str
    key: Ed25519PublicKey = field(repr=False, compare=False)
    name: str
    """Its name in keys.yaml, or the file that it was given by."""
    owner: str = ""
    not_before: datetime = ALWAYS[0]
    not_after: datetime = ALWAYS[1]

    @property
    def person(self) -> str:
        """Who holds it, as several keys of one person count once: the owner, or else the key itself."""
        return self.owner.casefold() or self.keyid


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key, never shown."""

    keyid: str
    key: Ed25519PrivateKey = field(repr=False, compare=False)

    def public(self) -> PublicKey:
        """Return its public half."""
        return PublicKey(keyid=self.keyid, key=self.key.public_key(), name="")


def keyid_of(key: Ed25519PublicKey) -> str:
    """Return the id that slsa-verifier computes: ``SHA256:`` and unpadded base64 of sha256(SPKI DER)."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def public_pem(key: Ed25519PublicKey) -> str:
    """Return a public key as PEM (SubjectPublicKeyInfo)."""
    pem: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def signing_key(path: Path | None, environ: Mapping[str, str] = os.environ) -> SigningKey | None:
    """Read the private key in the file, or else in the environment; None where there is neither.

    Its text and its passphrase are redacted from then on. Raises GateInputError.
    """
    passphrase = environ.get(PASSPHRASE_VARIABLE) or None
    if path is not None:
        return _private(_read(path), str(path), passphrase)
    pem = environ.get(KEY_VARIABLE)
    return _private(pem.encode(), KEY_VARIABLE, passphrase) if pem else None


def _private(pem: bytes, where: str, passphrase: str | None) -> SigningKey:
    for line in pem.decode("ascii", "replace").splitlines():
        if line and not line.startswith("-"):
            redaction.register(line)
    redaction.register(passphrase or "")
    if b"PRIVATE KEY" not in pem:
        raise GateInputError(f"{where}: holds no private key as PEM. Give an Ed25519 key; {_KEYGEN}")
    encrypted = b"ENCRYPTED" in pem
    if encrypted and passphrase is None:
        raise GateInputError(f"{where}: the key has a passphrase. Set {PASSPHRASE_VARIABLE} to it.")
    try:
        key = serialization.load_pem_private_key(
            pem, passphrase.encode() if encrypted and passphrase else None
        )
    except exceptions.UnsupportedAlgorithm:
        key = None
    except (ValueError, TypeError):
        if encrypted:
            text = f"the passphrase in {PASSPHRASE_VARIABLE} is wrong, or the file is damaged. Correct it."
        else:
            text = f"the private key is damaged, or not PKCS#8. Restore it; or {_KEYGEN}"
        raise GateInputError(f"{where}: {text}") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise GateInputError(f"{where}: the key is not an Ed25519 key. {_KEYGEN}")
    return SigningKey(keyid=keyid_of(key.public_key()), key=key)


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, limit=_MAX_BYTES)
    except AbsentFileError:
        raise AbsentFileError(
            f"{path}: there is no such key. Give the path of a PEM file; {_KEYGEN}"
        ) from None


def public_key(path: Path) -> PublicKey:
    """Read a public key as PEM; it is called by its file. Raises GateInputError."""
    key = _public(_read(path), str(path))
    return PublicKey(keyid=keyid_of(key), key=key, name=path.name)


def _public(pem: bytes, where: str) -> Ed25519PublicKey:
    if b"PRIVATE KEY" in pem:
        raise GateInputError(f"{where}: a private key, where the public one is due. Give FILE.pub.")
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm):
        raise GateInputError(f"{where}: holds no public key as PEM. Give the FILE.pub of keygen.") from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise GateInputError(f"{where}: the key is not an Ed25519 key. {_KEYGEN}")
    return cast("Ed25519PublicKey", key)


def load_keys(path: Path) -> tuple[PublicKey, ...]:
    """Read ``keys.yaml``; an absent file lists none. Raises GateInputError with file, line and key."""
    try:
        document = load_document(path, "keys")
    except AbsentFileError:
        return ()
    keys: dict[str, PublicKey] = {}
    names: set[str] = set()
    for index, entry in enumerate(cast("list[dict[str, Any]]", document.data["keys"])):
        at = ("keys", index)
        where = f"{path}:{document.line_of((*at, 'public_key'))}: public_key"
        key = _public(entry["public_key"].encode(), where)
        one = PublicKey(
            keyid=keyid_of(key),
            key=key,
            name=entry["name"],
            owner=entry["owner"].strip(),
            not_before=parse_moment(entry["not_before"]),
            not_after=parse_moment(entry["not_after"]),
        )
        if one.name in names or one.keyid in keys:
            raise document.error((*at, "name"), "the name or the key is listed twice. Keep one of them.")
        if one.not_after <= one.not_before:
            raise document.error((*at, "not_after"), "must be after not_before. Correct one of them.")
        names.add(one.name)
        keys[one.keyid] = one
    return tuple(keys.values())


def generate(path: Path, passphrase: str | None) -> PublicKey:
    """Write a new private key (mode 0600) to ``path`` and its public half to ``path.pub``.

    Neither may exist. Raises GateInputError, and then leaves no file behind.
    """
    key = ed25519.Ed25519PrivateKey.generate()
    redaction.register(passphrase or "")
    how = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    public = path.with_name(path.name + ".pub")
    written: list[Path] = []
    try:
        for file, text, mode in ((path, pem, 0o600), (public, public_pem(key.public_key()).encode(), 0o644)):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            written.append(file)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        for file in written:
            file.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            text = "exists already, and a key is never overwritten. Name another file."
        else:
            text = f"can't be written ({error.strerror}). Make room, or name another folder."
        raise GateInputError(f"{error.filename or path}: {text}") from None
    return PublicKey(keyid=keyid_of(key.public_key()), key=key.public_key(), name=path.name)
