"""Compare responses, leaving out what differs between any two requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.probes.http import Response

_CHANGING: Final = ("date", "x-request-id", "x-ratelimit", "ratelimit", "age", "connection", "keep-alive")
"""Prefixes of header names that differ between any two responses."""
_SWAPPED: Final = str.maketrans(
    "0123456789abcdefABCDEFghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ",
    "9876543210fedcbaFEDCBAzyxwvutsrqponmlkjihgZYXWVUTSRQPONMLKJIHG",
)
_DIGITS: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)")


def unexpected_statuses(expected: int, answers: Mapping[str, Response]) -> dict[str, int]:
    """Return the statuses other than ``expected``, by the name of the request."""
    return {name: answer.status for name, answer in answers.items() if answer.status != expected}


def mismatches(observed: Mapping[str, object], expected: Mapping[str, object]) -> dict[str, str]:
    """Return the entries that differ from ``expected``: ``{"19.99": "19.98 instead of 19.99"}``."""
    return {
        key: f"{observed.get(key)} instead of {expected.get(key)}"
        for key in [*expected, *(key for key in observed if key not in expected)]
        if observed.get(key) != expected.get(key)
    }


def comparable_parts(answer: Response, *own: str) -> dict[str, str]:
    """Return the parts of a response by name, its request id and the texts in ``own`` made equal."""
    body = answer.text
    for text in (answer.headers.get("x-request-id"), *own):
        if text:
            body = body.replace(text, "<own>")
    headers = {
        f"header {name}": value for name, value in answer.headers.items() if not name.startswith(_CHANGING)
    }
    return {"status": str(answer.status), "body": body, **headers}


def differences(one: Response, other: Response, *, own: tuple[str, str] = ("", "")) -> list[str]:
    """Return what two responses differ in, ignoring the last path segment of each and its text in ``own``.

    The list must be empty for two resources that a caller must not be able to tell apart.
    """
    pairs = ((one, own[0]), (other, own[1]))
    first, second = (comparable_parts(answer, answer.url.rpartition("/")[2], text) for answer, text in pairs)
    return [
        f"{name}: {first.get(name, 'none')[:80]} / {second.get(name, 'none')[:80]}"
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]


def unknown_id(known: str) -> str:
    """Return an id of the same form that does not exist; a hexadecimal ending stays hexadecimal."""
    return known[:-12] + known[-12:].translate(_SWAPPED)


def contains_card_number(answer: Response, number: str) -> bool:
    """Return whether a response's body or headers contain a card number, also in groups of digits."""
    everything = "\n".join([answer.text, *answer.headers.values()])
    return (
        any(re.sub(r"[ -]", "", digits) == number for digits in _DIGITS.findall(everything))
        or number in everything
    )
