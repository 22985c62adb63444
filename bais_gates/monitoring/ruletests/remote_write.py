"""Write samples as Prometheus' remote write protocol 1.0 has them: protocol buffers in a snappy block.

Both are written by hand: the message has four kinds of field, and a block of literals is a valid block.
Source: the "Prometheus Remote-Write 1.0 specification", and snappy's ``format_description.txt``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Final

from bais_gates.monitoring.ruletests.testfile import Labels

HEADERS: Final = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_STALE: Final = struct.pack("<Q", 0x7FF0000000000002)
_NAN: Final = struct.pack("<Q", 0x7FF8000000000001)
_CHUNK: Final = 1 << 16


def encode(series: Iterable[tuple[Labels, Iterable[tuple[int, float | None]]]]) -> bytes:
    """Return the body of a request: labels and samples (Unix time in ms, value; None ends a series)."""
    body = b"".join(_field(1, _series(labels, samples)) for labels, samples in series)
    parts = [_varint(len(body))]
    for start in range(0, len(body), _CHUNK):
        literal = body[start : start + _CHUNK]
        parts += [b"\xf4", struct.pack("<H", len(literal) - 1), literal]
    return b"".join(parts)


def _series(labels: Labels, samples: Iterable[tuple[int, float | None]]) -> bytes:
    parts = [_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in labels]
    for at_ms, value in samples:
        bits = _STALE if value is None else _NAN if math.isnan(value) else struct.pack("<d", value)
        parts.append(_field(2, b"\x09" + bits + b"\x10" + _varint(at_ms)))
    return b"".join(parts)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
