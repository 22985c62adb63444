"""Compare answers: what two of them differ in, beyond what differs between any two requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.probes.http import Response

_CHANGING: Final = ("date", "x-request-id", "x-ratelimit", "ratelimit", "age", "connection", "keep-alive")
"""Beginnings of the names of headers that differ between any two answers."""
_EXCHANGED: Final = str.maketrans(
    "0123456789abcdefABCDEFghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ",
    "9876543210fedcbaFEDCBAzyxwvutsrqponmlkjihgZYXWVUTSRQPONMLKJIHG",
)
_DIGITS: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)")


def not_answered(status: int, answers: Mapping[str, Response]) -> dict[str, int]:
    """Return the statuses of those answers that have another one than ``status``, by what was tried."""
    return {name: answer.status for name, answer in answers.items() if answer.status != status}


def unlike(seen: Mapping[str, object], wanted: Mapping[str, object]) -> dict[str, str]:
    """Return the entries that are not as wanted: ``{"19.99": "19.98 instead of 19.99"}``."""
    return {
        key: f"{seen.get(key)} instead of {wanted.get(key)}"
        for key in [*wanted, *(key for key in seen if key not in wanted)]
        if seen.get(key) != wanted.get(key)
    }


def comparable(answer: Response, *own: str) -> dict[str, str]:
    """Return the parts of an answer by name, with its request id and the texts ``own`` made equal."""
    body = answer.text
    for text in (answer.headers.get("x-request-id"), *own):
        if text:
            body = body.replace(text, "<own>")
    headers = {
        f"header {name}": value for name, value in answer.headers.items() if not name.startswith(_CHANGING)
    }
    return {"status": str(answer.status), "body": body, **headers}


def differences(one: Response, other: Response, *, own: tuple[str, str] = ("", "")) -> list[str]:
    """Return what two answers differ in; the end of each one's path and its text in ``own`` count as equal.

    Two requests for things that a caller may not tell apart must leave nothing here.
    """
    pairs = ((one, own[0]), (other, own[1]))
    first, second = (comparable(answer, answer.url.rpartition("/")[2], text) for answer, text in pairs)
    return [
        f"{name}: {first.get(name, 'none')[:80]} / {second.get(name, 'none')[:80]}"
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]


def unknown_like(known: str) -> str:
    """Make an id of the same form that does not exist: what is hexadecimal at its end stays hexadecimal."""
    return known[:-12] + known[-12:].translate(_EXCHANGED)


def holds_card(answer: Response, number: str) -> bool:
    """Return whether an answer holds a card number, in its body or a header, also in groups of digits."""
    everything = "\n".join([answer.text, *answer.headers.values()])
    return (
        any(re.sub(r"[ -]", "", found) == number for found in _DIGITS.findall(everything))
        or number in everything
    )
