"""Read what Redis (or Valkey) reports about itself: INFO, settings, and the permissions of its users.

No command of :data:`DANGEROUS` is run: ``ACL DRYRUN`` only checks whether a user may run it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.probes.redis import Cache

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
"""A call of each command that deletes data, stops or reconfigures the server, or reads others' commands."""
_SETTINGS: Final = ("maxmemory", "maxmemory-policy", "save", "appendonly", "protected-mode", "maxclients")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHealth:
    """One reading of a cache."""

    info: Mapping[str, Any]
    settings: Mapping[str, str]
    allowed_commands: Mapping[str, tuple[str, ...]]
    """The dangerous commands that each user may run."""
    accepts_unauthenticated: bool

    @property
    def maxmemory(self) -> int:
        """Bytes that the cache may use; 0 means no limit."""
        return int(self.settings["maxmemory"])

    @property
    def memory_used(self) -> float:
        """The used share of ``maxmemory``, 0..1; NaN without a limit."""
        return int(self.info["used_memory"]) / self.maxmemory if self.maxmemory else math.nan

    @property
    def clients_used(self) -> float:
        """The used share of ``maxclients``, 0..1."""
        return int(self.info["connected_clients"]) / int(self.settings["maxclients"])

    @property
    def persistence(self) -> str:
        """The persistence in effect: ``none``, ``rdb``, ``aof`` or ``aof+rdb``."""
        kinds = []
        if str(self.settings["appendonly"]).lower() == "yes":
            kinds.append("aof")
        if str(self.settings["save"]).strip():
            kinds.append("rdb")
        return "+".join(kinds) or "none"

    @property
    def evicted_per_thousand(self) -> float:
        """Evicted keys per 1000 commands since the server started; NaN without commands."""
        commands = int(self.info["total_commands_processed"])
        return 1000.0 * int(self.info["evicted_keys"]) / commands if commands else math.nan


def read(cache: Cache) -> CacheHealth:
    """Read once; raise CacheError if the cache does not answer or refuses a command."""
    return CacheHealth(
        info=cache.info(),
        settings=cache.settings(*_SETTINGS),
        allowed_commands={
            user: tuple(" ".join(call[:2]) for call in DANGEROUS if cache.can_run(user, *call))
            for user in cache.users()
        },
        accepts_unauthenticated=cache.accepts_unauthenticated(),
    )
