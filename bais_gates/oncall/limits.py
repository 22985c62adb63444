"""Repeat a request that a service refuses for its rate limit, as long as it says, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, Final

from bais_gates.probes.http import HttpClient, Response

ATTEMPTS: Final = 4
WAIT_CAP_S: Final = 30.0
"""The longest single wait; a service that asks for more is reported instead."""

Sleep = Callable[[float], None]


def send(
    client: HttpClient,
    method: str,
    path: str,
    *,
    limited: Collection[int] = (429,),
    sleep: Sleep = time.sleep,
    **content: Any,
) -> Response:
    """Send a request, again after each of the statuses ``limited``, and return the last response.

    Waits what Retry-After says in seconds; without it 1, 2, 4 s. A refused request was not carried out, so
    that its repetition doubles nothing. Raises Unreachable.
    """
    for attempt in range(ATTEMPTS):
        response = client.request(method, path, **content)
        wait_s = _wait_s(response, attempt)
        if response.status not in limited or attempt == ATTEMPTS - 1 or wait_s > WAIT_CAP_S:
            break
        sleep(wait_s)
    return response


def _wait_s(response: Response, attempt: int) -> float:
    given = response.headers.get("Retry-After", "").strip()
    return float(given) if given.isascii() and given.isdigit() else float(2**attempt)
