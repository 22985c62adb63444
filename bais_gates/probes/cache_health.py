"""Read what Redis (or Valkey) reports about itself: INFO, settings, and the permissions of its users.

No dangerous command is run: ``ACL DRYRUN`` only checks whether a user may run one.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates.rules.cache import Permission, is_relevant, is_write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.probes.redis import Cache, Command

_SETTINGS: Final = (
    *("maxmemory", "maxmemory-policy", "save", "appendonly", "maxclients", "protected-mode", "tcp-keepalive"),
    *("enable-debug-command", "enable-module-command", "enable-protected-configs", "replica-read-only"),
    *("slowlog-log-slower-than", "slowlog-max-len", "acllog-max-len", "port", "tls-port", "tls-protocols"),
    "min-replicas-to-write",
)
_GUESSED: Final = ("", "foobared", "redis", "password", "admin", "changeme")
"""Passwords of examples and default installations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHealth:
    """One reading of a cache."""

    info: Mapping[str, Any]
    settings: Mapping[str, str]
    user: str
    """The gates' own user."""
    permissions: Mapping[str, tuple[Permission, ...]]
    """The commands that each user may run, of those that change data, settings or the server."""
    open_users: tuple[str, ...]
    """Users that any password, or one that everybody guesses, signs in."""
    accepts_unauthenticated: bool
    writable_keys: Mapping[str, tuple[int, int]]
    """Of each user that may write some keys alone: existing ones among them, and how many were looked at."""
    monitors: tuple[str, ...]
    """Clients that read all commands (MONITOR)."""

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
    commands = [one for one in cache.commands() if is_relevant(one.name, one.categories)]
    users, own = cache.users(), cache.user()
    permissions = {user: tuple(cache.permissions(user, commands)) for user in users}
    return CacheHealth(
        info=cache.info(),
        settings=cache.settings(*_SETTINGS),
        user=own,
        permissions=permissions,
        open_users=tuple(_open_users(cache, users)),
        accepts_unauthenticated=cache.accepts(),
        writable_keys={
            user: cache.writable_keys(user, limited)
            for user, allowed in permissions.items()
            if (limited := _limited_writes(commands, allowed))
        },
        monitors=tuple(cache.monitors()),
    )


def _limited_writes(commands: list[Command], allowed: tuple[Permission, ...]) -> list[Command]:
    """Return the writing commands that a user may run on some keys alone."""
    names = {one.command for one in allowed if is_write(one) and not one.everywhere}
    return [one for one in commands if one.name in names and one.key]


def _open_users(cache: Cache, users: list[str]) -> list[str]:
    found = []
    for user in users:
        if cache.accepts(user, secrets.token_urlsafe(24)):
            found.append(f"{user}: any password (nopass)")
        elif any(cache.accepts(user, password) for password in (user, *_GUESSED)):
            found.append(f"{user}: a password of examples or its own name")
    return found
