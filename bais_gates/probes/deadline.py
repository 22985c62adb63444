"""Bound what has no deadline of its own: a name that does not resolve, a program that asks for a password."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class TookTooLong(Exception):  # noqa: N818 - it names what happened
    """What was called did not come back in time; it goes on in a thread that ends with the process."""


def within(seconds: float, call: Callable[[], _T]) -> _T:
    """Give what ``call`` gives, or raise what it raises, or :class:`TookTooLong` after so many seconds."""
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as e:  # noqa: BLE001 - raised again where the caller waits
            errors.append(e)

    thread = threading.Thread(target=run, name="bais-gates-deadline", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TookTooLong(f"no result within {seconds:g} s")
    return results[0]
