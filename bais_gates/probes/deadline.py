"""Set a deadline for a call that has none of its own, such as name resolution or a credential program."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class TookTooLong(Exception):  # noqa: N818 - it names what happened
    """The call did not return in time. It continues in a daemon thread."""


def within(seconds: float, call: Callable[[], _T]) -> _T:
    """Return the result of ``call`` or raise its exception; raise :class:`TookTooLong` after ``seconds``."""
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as e:  # noqa: BLE001 - raised again in the calling thread
            errors.append(e)

    thread = threading.Thread(target=run, name="bais-gates-deadline", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TookTooLong(f"no result within {seconds:g} s")
    return results[0]
