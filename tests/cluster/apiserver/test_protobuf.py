"""Protobuf bodies of the few kinds that are decoded; anything else is refused, whatever its bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.sandbox.cluster.apiserver.protobuf import NotDecodedError, decode


def _field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return bytes([number << 3, content])
    return bytes([number << 3 | 2, len(content)]) + content


def _body(kind: str, raw: bytes) -> bytes:
    about = _field(1, _field(1, b"v1") + _field(2, kind.encode()))
    return b"k8s\x00" + about + _field(2, raw) + _field(3, b"") + _field(4, b"")


def test_a_secret_is_decoded_as_json_has_it() -> None:
    """Maps, bytes in base64, flags and text; what is empty is left out."""
    metadata = _field(1, b"name") + _field(2, b"") + _field(11, _field(1, b"a") + _field(2, b"b"))
    entry = _field(1, b"key") + _field(2, b"\x00\xff")
    raw = _field(1, metadata + _field(8, b"")) + _field(2, entry) + _field(3, b"Opaque") + _field(5, 1)

    assert decode(_body("Secret", raw)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "name", "labels": {"a": "b"}},
        "data": {"key": "AP8="},
        "type": "Opaque",
        "immutable": True,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s\x00",
        _body("Deployment", b""),
        _body("ConfigMap", _field(9, b"unknown")),
        _body("ConfigMap", _field(1, _field(6, b"more metadata"))),
        _body("ConfigMap", b"\x0a\x7f"),
        _body("ConfigMap", _field(1, _field(1, b"\xff"))),
        _body("ConfigMap", b"\x0d\x00"),
    ],
)
def test_what_would_be_lost_is_refused(body: bytes) -> None:
    """Another kind, a field that is not known, and broken bytes are no object."""
    with pytest.raises(NotDecodedError):
        decode(body)


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_decoder(raw: bytes) -> None:
    """Any bytes are either an object or refused."""
    for body in (raw, b"k8s\x00" + raw, _body("Role", raw)):
        try:
            assert isinstance(decode(body), dict)
        except NotDecodedError:
            continue
