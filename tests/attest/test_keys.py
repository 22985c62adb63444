"""Keys: how they are read, what their errors say, and that they are never shown."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bais_gates import redaction
from bais_gates.attest.keys import (
    KEY_VARIABLE,
    PASSPHRASE_VARIABLE,
    generate,
    load_keys,
    public_key,
    signing_key,
)
from bais_gates.errors import AbsentFileError, GateInputError

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-passphrase-4711"
ENTRY = """\
  - name: {name}
    owner: Dana
    public_key: |
{pem}
    not_before: 2026-01-01T00:00:00Z
    not_after: {end}
"""


def test_a_key_by_file_or_variable(tmp_path: Path) -> None:
    """A key is read from its file, else from the variable, and its text is redacted; without one, None."""
    public = generate(tmp_path / "key", None)
    pem = (tmp_path / "key").read_text()

    by_file = signing_key(tmp_path / "key", {KEY_VARIABLE: "not looked at"})
    by_variable = signing_key(None, {KEY_VARIABLE: pem})
    assert by_file == by_variable
    assert by_file is not None
    assert by_file.keyid == public.keyid == public_key(tmp_path / "key.pub").keyid
    assert signing_key(None, {}) is None
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    secret = pem.splitlines()[1]
    assert secret not in redaction.redact(f"sent {secret} away")
    assert secret not in repr(by_file)


def test_a_passphrase(tmp_path: Path) -> None:
    """An encrypted key needs its passphrase; a missing and a wrong one are errors without either secret."""
    generate(tmp_path / "key", CANARY)
    path = tmp_path / "key"

    assert signing_key(path, {PASSPHRASE_VARIABLE: CANARY}) is not None
    for environ, text in (
        ({}, f"has a passphrase. Set {PASSPHRASE_VARIABLE}"),
        ({PASSPHRASE_VARIABLE: f"wrong-{CANARY}"}, f"passphrase in {PASSPHRASE_VARIABLE} is wrong"),
    ):
        with pytest.raises(GateInputError) as error:
            signing_key(path, environ)
        assert text in str(error.value)
        assert str(error.value).startswith(f"{path}: ")
        assert CANARY not in str(error.value)
        assert error.value.__cause__ is None


def test_what_is_no_private_key(tmp_path: Path) -> None:
    """An absent, damaged, public or other key, a folder and a file without right are errors that say so."""
    generate(tmp_path / "key", None)
    pem = (tmp_path / "key").read_text()
    body = pem.splitlines()[1]
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for text, message in (
        (pem.replace(body, body[:20]), "is damaged"),
        ((tmp_path / "key.pub").read_text(), "no private key"),
        (other.decode(), "not an Ed25519 key"),
        ("", "no private key"),
    ):
        (tmp_path / "wrong").write_text(text)
        with pytest.raises(GateInputError, match=message) as error:
            signing_key(tmp_path / "wrong", {})
        assert body not in str(error.value)
    with pytest.raises(AbsentFileError, match="there is no such key"):
        signing_key(tmp_path / "absent", {})
    with pytest.raises(GateInputError, match="not a regular file"):
        signing_key(tmp_path, {})
    with pytest.raises(GateInputError, match="the public one is due"):
        public_key(tmp_path / "key")
    with pytest.raises(GateInputError, match="no public key"):
        public_key(tmp_path / "wrong")


def test_a_key_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that may not be read is an error that names the file and what to check."""
    generate(tmp_path / "key", None)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(GateInputError, match=r"key: permission denied\. Check its owner and mode"):
        signing_key(tmp_path / "key", {})


def test_a_new_key_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that can't be written leaves nothing behind; one that exists is never overwritten."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GateInputError, match="No space left on device"):
        generate(tmp_path / "key", None)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    generate(tmp_path / "key", None)
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(GateInputError, match="never overwritten"):
        generate(tmp_path / "key", None)
    (tmp_path / "new.pub").write_text("another's")
    with pytest.raises(GateInputError, match=r"new\.pub: exists already"):
        generate(tmp_path / "new", None)
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "key").read_bytes() == before


def test_keys_yaml(tmp_path: Path) -> None:
    """Keys are read with owner and dates; an absent file has none, and what contradicts itself is refused."""
    generate(tmp_path / "key", None)
    generate(tmp_path / "other", None)

    def entry(name: str, key: str = "key", end: str = "2027-01-01T00:00:00Z", indent: str = "      ") -> str:
        pem = "\n".join(indent + line for line in (tmp_path / f"{key}.pub").read_text().splitlines())
        return ENTRY.format(name=name, pem=pem, end=end)

    path = tmp_path / "keys.yaml"
    assert load_keys(path) == ()
    path.write_text("keys:\n" + entry("dana") + entry("alex", "other"))
    assert [key.name for key in load_keys(path)] == ["dana", "alex"]
    for entries, message in (
        (entry("dana") + entry("dana", "other"), r"yaml:\d+: keys\[1\].name: .*twice"),
        (entry("dana") + entry("alex"), "listed twice"),
        (entry("dana", end="2026-01-01T00:00:00Z"), "not_after: must be after"),
        (entry("dana").replace("MCow", "McoW"), "no public key"),
        (entry("dana").replace("    owner: Dana\n", ""), "owner is missing"),
    ):
        path.write_text("keys:\n" + entries)
        with pytest.raises(GateInputError, match=message):
            load_keys(path)
