"""How Redis (or Valkey) itself says it is: memory, hits, evictions, speed, persistence, and who may do what.

One reading (:func:`read`) through :class:`~bais_gates.probes.redis.Cache`; everything else is pure. Nothing
is tried out: whether a user may run a command is asked by ``ACL DRYRUN``, which runs none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bais_gates.probes.redis import Cache, CacheStatistics

DANGEROUS: Final[tuple[tuple[str, ...], ...]] = (
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("CONFIG", "SET", "maxmemory", "0"),
    ("DEBUG", "SLEEP", "0"),
    ("SHUTDOWN",),
    ("REPLICAOF", "NO", "ONE"),
    ("MODULE", "LIST"),
    ("ACL", "SETUSER", "nobody"),
    ("MONITOR",),
    ("SAVE",),
)
"""One call of each command that empties, stops, reconfigures or reads along; none of them is ever run."""
_SETTINGS: Final = ("maxmemory", "maxmemory-policy", "save", "appendonly", "protected-mode", "maxclients")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHealth:
    """One look at a cache."""

    info: Mapping[str, Any]
    settings: Mapping[str, str]
    may: Mapping[str, tuple[str, ...]]
    """For each user the dangerous commands that it may run."""
    open_to_anybody: bool

    @property
    def maxmemory(self) -> int:
        """Bytes that the cache may use; 0 is no limit."""
        return int(self.settings["maxmemory"])

    @property
    def memory_used(self) -> float:
        """The share of ``maxmemory`` in use, 0..1; NaN where there is no limit."""
        return int(self.info["used_memory"]) / self.maxmemory if self.maxmemory else math.nan

    @property
    def clients_used(self) -> float:
        """The share of the clients that the server takes, 0..1."""
        return int(self.info["connected_clients"]) / int(self.settings["maxclients"])

    @property
    def persistence(self) -> str:
        """What is written to disk, as in effect: ``none``, ``rdb``, ``aof`` or ``aof+rdb``."""
        kinds = []
        if str(self.settings["appendonly"]).lower() == "yes":
            kinds.append("aof")
        if str(self.settings["save"]).strip():
            kinds.append("rdb")
        return "+".join(kinds) or "none"

    @property
    def evicted_per_thousand(self) -> float:
        """Keys that had to go for want of memory, for each thousand commands since the server started."""
        commands = int(self.info["total_commands_processed"])
        return 1000.0 * int(self.info["evicted_keys"]) / commands if commands else math.nan


def read(cache: Cache) -> CacheHealth:
    """Look once. Raises CacheError where the cache does not answer or the access may not see it."""
    return CacheHealth(
        info=cache.info(),
        settings=cache.settings(*_SETTINGS),
        may={
            user: tuple(" ".join(call[:2]) for call in DANGEROUS if cache.may(user, *call))
            for user in cache.users()
        },
        open_to_anybody=cache.lets_in_anybody(),
    )


def hit_rate_between(before: CacheStatistics, after: CacheStatistics) -> tuple[float, int]:
    """Give the share of look-ups that hit between two readings, and their number; (NaN, 0) without any.

    A counter that went down (the server started anew) counts from zero.
    """
    if after.hits < before.hits or after.misses < before.misses:
        hits, misses = after.hits, after.misses
    else:
        hits, misses = after.hits - before.hits, after.misses - before.misses
    return (hits / (hits + misses) if hits + misses else math.nan), hits + misses


def slow_commands(info: Mapping[str, Any], *, most_ms: float, calls: int = 10) -> list[str]:
    """Name the commands, called so often or more, that take the server more than ``most_ms`` on average."""
    found = []
    for key, told in info.items():
        if not key.startswith("cmdstat_") or int(told["calls"]) < calls:
            continue
        mean_ms = float(told["usec_per_call"]) / 1000.0
        if mean_ms > most_ms:
            found.append(f"{key.removeprefix('cmdstat_')}: {mean_ms:.1f} ms, {told['calls']} calls")
    return sorted(found)


def commands_timed(info: Mapping[str, Any]) -> int:
    """Count the calls behind ``commandstats``."""
    return sum(int(told["calls"]) for key, told in info.items() if key.startswith("cmdstat_"))


def failing_writes(info: Mapping[str, Any]) -> list[str]:
    """Name the kinds of persistence whose last write failed; empty where nothing is written."""
    kinds = {
        "rdb_last_bgsave_status": "rdb snapshot",
        "aof_last_bgrewrite_status": "aof rewrite",
        "aof_last_write_status": "aof write",
    }
    return [f"{what}: {info[key]}" for key, what in kinds.items() if str(info.get(key, "ok")) != "ok"]


def dangerous_users(may: Mapping[str, Iterable[str]], admins: Iterable[str]) -> list[str]:
    """Name the users, but those who administer, with the dangerous commands that they may run."""
    known = set(admins)
    return sorted(
        f"{user}: {', '.join(commands)}"
        for user, commands in may.items()
        if user not in known and list(commands)
    )


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


def memory_bytes(text: object) -> int:
    """Read an amount of memory as redis.conf has it ("64mb", 67108864). Raises ValueError."""
    words = str(text).strip().lower()
    digits = words.rstrip("bkmg")
    if not digits.isdigit() or words[len(digits) :] not in _UNITS:
        raise ValueError(f"{text!r} is no amount of memory")
    return int(digits) * _UNITS[words[len(digits) :]]
