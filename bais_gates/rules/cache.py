"""Judge what Redis (or Valkey) reports about itself: hit ratio, slow commands, persistence, permissions.

Source: Redis documentation, INFO (stats, commandstats, persistence), "ACL" and the units of redis.conf.
"""

from __future__ import annotations

import ipaddress
import math
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_UNITS: Final = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1024,
    "m": 1000**2,
    "mb": 1024**2,
    "g": 1000**3,
    "gb": 1024**3,
}


class HitCounters(Protocol):
    """The counters keyspace_hits and keyspace_misses of INFO stats."""

    @property
    def hits(self) -> int:
        """Successful key lookups."""

    @property
    def misses(self) -> int:
        """Failed key lookups."""


def hit_ratio_between(before: HitCounters, after: HitCounters) -> tuple[float, int]:
    """Return the hit ratio (0..1) and the lookups between two readings; (NaN, 0) without lookups.

    A counter that decreased was reset by a restart of the server and counts from zero.
    """
    if after.hits < before.hits or after.misses < before.misses:
        hits, misses = after.hits, after.misses
    else:
        hits, misses = after.hits - before.hits, after.misses - before.misses
    return (hits / (hits + misses) if hits + misses else math.nan), hits + misses


def slow_commands(info: Mapping[str, Any], *, max_ms: float, calls: int = 10) -> list[str]:
    """List the commands with at least ``calls`` calls whose mean time on the server is above ``max_ms``."""
    slow = []
    for key, statistics in info.items():
        if not key.startswith("cmdstat_") or int(statistics["calls"]) < calls:
            continue
        mean_ms = float(statistics["usec_per_call"]) / 1000.0
        if mean_ms > max_ms:
            slow.append(f"{key.removeprefix('cmdstat_')}: {mean_ms:.1f} ms, {statistics['calls']} calls")
    return sorted(slow)


def count_calls(info: Mapping[str, Any]) -> int:
    """Return the number of calls in ``commandstats``."""
    return sum(int(statistics["calls"]) for key, statistics in info.items() if key.startswith("cmdstat_"))


def failed_writes(info: Mapping[str, Any]) -> list[str]:
    """List the kinds of persistence whose last write failed."""
    kinds = {
        "rdb_last_bgsave_status": "rdb snapshot",
        "aof_last_bgrewrite_status": "aof rewrite",
        "aof_last_write_status": "aof write",
    }
    return [f"{what}: {info[key]}" for key, what in kinds.items() if str(info.get(key, "ok")) != "ok"]


def dangerous_users(allowed: Mapping[str, Iterable[str]], admins: Iterable[str]) -> list[str]:
    """List the users other than ``admins`` that may run dangerous commands, with these commands."""
    known = set(admins)
    return sorted(
        f"{user}: {', '.join(commands)}"
        for user, commands in allowed.items()
        if user not in known and list(commands)
    )


def parse_memory(text: object) -> int:
    """Return an amount of memory of redis.conf ("64mb", 67108864) in bytes; raise ValueError."""
    words = str(text).strip().lower()
    digits = words.rstrip("bkmg")
    if not digits.isdigit() or words[len(digits) :] not in _UNITS:
        raise ValueError(f"{text!r} is not an amount of memory")
    return int(digits) * _UNITS[words[len(digits) :]]


def is_encrypted(url: str) -> bool | None:
    """Return whether a Redis URL uses TLS; None for loopback and sockets, where it is not needed."""
    parts = urlsplit(url)
    if parts.scheme == "rediss":
        return True
    if parts.scheme == "unix" or parts.hostname in {None, "localhost"}:
        return None
    try:
        return None if ipaddress.ip_address(str(parts.hostname)).is_loopback else False
    except ValueError:
        return False
