"""Resource quantities: ``100m``, ``1Gi``, ``1e3``; read, compared and written in their canonical form."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

QUANTITY = re.compile(r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_EXPONENT = re.compile(r"^[eE][+-]?\d+$")


def _split(text: str) -> tuple[Decimal, str] | None:
    found = QUANTITY.match(text)
    if not found or not re.match(r"^[+-]?(\d+\.?\d*|\.\d+)$", found[1]):
        return None
    suffix = found[2]
    if suffix in _BINARY or suffix in _DECIMAL or _EXPONENT.match(suffix):
        return Decimal(found[1]), suffix
    return None


@lru_cache(maxsize=4096)
def value_of(text: str) -> Decimal | None:
    """Return the number that a quantity says, or None if it is none: ``100m`` is 0.1, ``1Ki`` 1024."""
    parts = _split(text)
    if parts is None:
        return None
    number, suffix = parts
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    return number.scaleb(int(suffix[1:]))


@lru_cache(maxsize=4096)
def canonical(text: str) -> str | None:
    """Return the quantity as the API server writes it back: no fraction, the largest suffix that allows it.

    ``0.5`` becomes ``500m``, ``1024Mi`` ``1Gi``, ``1000m`` ``1``; ``1e3`` stays as it is. None for what is no
    quantity.
    """
    parts, value = _split(text), value_of(text)
    if parts is None or value is None:
        return None
    suffix = parts[1]
    if suffix in _BINARY:
        if abs(value) < 1024:
            return _decimal(value)
        whole = int(value) if value == int(value) else -((-value) // 1)
        number = int(whole)
        for name, power in reversed(_BINARY.items()):
            if number % (1 << power) == 0 and number:
                return f"{number >> power}{name}"
        return str(number)
    return text if _EXPONENT.match(suffix) else _decimal(value)


def _decimal(value: Decimal) -> str:
    if value == 0:
        return "0"
    for name, power in reversed(_DECIMAL.items()):
        scaled = value.scaleb(-power)
        if scaled == int(scaled):
            return f"{int(scaled)}{name}"
    rounded = -((-value.scaleb(9)) // 1)
    return f"{int(rounded)}n"
