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
    header: str = "Retry-After",
    cap_s: float = WAIT_CAP_S,
    sleep: Sleep = time.sleep,
    **content: Any,
) -> Response:
    """Send a request, again after each of the statuses ``limited``, and return the last response.

    Waits what the header says in seconds, unless it is more than ``cap_s``; without it 1, 2, 4 s. A refused
    request was not carried out, so that its repetition doubles nothing. Raises Unreachable.
    """
    for attempt in range(ATTEMPTS):
        response = client.request(method, path, **content)
        wait_s = _wait_s(response, header, attempt)
        if response.status not in limited or attempt == ATTEMPTS - 1 or wait_s > cap_s:
            break
        sleep(wait_s)
    return response


def _wait_s(response: Response, header: str, attempt: int) -> float:
    given = response.headers.get(header, "").strip()
    return float(given) if given.isascii() and given.isdigit() else float(2**attempt)
