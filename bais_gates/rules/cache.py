"""Judge what Redis (or Valkey) reports about itself: hit ratio, slow commands, persistence, permissions.

Source: Redis documentation, INFO (stats, commandstats, persistence), "ACL" and the units of redis.conf.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
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
    """List the commands with at least ``calls`` calls whose mean time on the server is above ``max_ms``.

    Of fewer calls, but three, it must be above ten times that: each of them blocks every client.
    """
    slow = []
    for key, statistics in info.items():
        if not key.startswith("cmdstat_") or int(statistics["calls"]) < _FEW_CALLS:
            continue
        mean_ms = float(statistics["usec_per_call"]) / 1000.0
        if mean_ms > (max_ms if int(statistics["calls"]) >= calls else 10 * max_ms):
            slow.append(f"{key.removeprefix('cmdstat_')}: {mean_ms:.1f} ms, {statistics['calls']} calls")
    return sorted(slow)


_FEW_CALLS: Final = 3


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """A command that a user may run, and whether on every key and channel or on some alone."""

    command: str
    """``config|set`` for a subcommand."""
    categories: frozenset[str]
    everywhere: bool = True


def is_relevant(command: str, categories: Iterable[str]) -> bool:
    """Return whether these rules judge a command: see :func:`dangerous_users` and :func:`writers`."""
    return _is_dangerous(command, frozenset(categories)) or _writes(command, frozenset(categories))


def _is_dangerous(command: str, categories: frozenset[str]) -> bool:
    return command in _ALSO_DANGEROUS or (
        bool(categories & {"admin", "dangerous"}) and command not in _MONITORING
    )


def _writes(command: str, categories: frozenset[str]) -> bool:
    return command in _PUBLISHING or (
        bool(categories & {"write", "scripting"}) and command not in _READS_SCRIPTS
    )


def dangerous_users(permissions: Mapping[str, Iterable[Permission]], admins: Iterable[str]) -> list[str]:
    """List the users other than ``admins`` that may lose data, administer the server or copy its data.

    These are the commands of the categories @admin and @dangerous, without those that only monitor, and the
    changes to functions and scripts of all users. Source: Redis documentation, "ACL" (command categories),
    "Redis security" (disallowing specific commands).
    """
    known, found = set(admins), []
    for user, allowed in sorted(permissions.items()):
        names = [one.command for one in allowed if _is_dangerous(one.command, one.categories)]
        if user not in known and names:
            found.append(f"{user}: {_by_class(names)}")
    return found


def writers(
    permissions: Mapping[str, Iterable[Permission]],
    *,
    own: str,
    application: Iterable[str] | None,
    overwritable: Mapping[str, int] | None = None,
) -> list[str]:
    """List the readers that may change data: the gates' ``own`` user, and all but the ``application`` users.

    The gates' user may SET and DEL its own timing keys, on some keys alone; another user may write and
    publish on keys and channels of its own, of which none exists: ``overwritable`` has the number of existing
    keys that each may overwrite. Without ``application``, only the gates' user is judged. Source: Redis
    documentation, "ACL" (@write, @scripting, key permissions, selectors); OWASP, least privilege.
    """
    found = []
    for user, allowed in sorted(permissions.items()):
        if user != own and (application is None or user in application):
            continue
        names = [one.command for one in allowed if _writes(one.command, one.categories)]
        if user == own:
            names = [name for name in names if name not in _timing(allowed)]
        elif not any(one.everywhere and is_write(one) for one in allowed):
            keys = (overwritable or {}).get(user, 0)
            names = names if keys else []
        if names:
            found.append(f"{user}: {_shortened(names)}")
    return found


def is_write(permission: Permission) -> bool:
    """Return whether a command itself writes or publishes; a script does what its user may do."""
    return "write" in permission.categories or permission.command in _PUBLISHING


def _timing(allowed: Iterable[Permission]) -> set[str]:
    return {one.command for one in allowed if not one.everywhere and one.command in {"set", "del"}}


def _by_class(commands: Iterable[str]) -> str:
    classes: dict[str, list[str]] = {}
    for command in sorted(commands):
        kind = next((name for name, members in _CLASSES.items() if command in members), "administration")
        classes.setdefault(kind, []).append(command)
    return "; ".join(f"{kind} ({_shortened(names)})" for kind, names in classes.items())


def _shortened(commands: Iterable[str]) -> str:
    names = sorted(commands, key=lambda name: (name not in _WELL_KNOWN, name))
    shown = ", ".join(f"+{name}" for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


_SHOWN: Final = 5
_WELL_KNOWN: Final = frozenset(
    {"flushall", "flushdb", "config|set", "shutdown", "acl|setuser", "set", "del", "eval", "migrate", "keys"}
)
_MONITORING: Final = frozenset(
    {"info", "role", "lastsave", "sort", "sort_ro", "config|get", "client|list", "module|list", "acl|users"}
    | {"acl|dryrun", "slowlog|get", "slowlog|len", "commandlog|get", "commandlog|len", "latency|doctor"}
    | {"latency|graph", "latency|histogram", "latency|history", "latency|latest", "cluster|replicas"}
    | {"cluster|slaves", "cluster|count-failure-reports", "cluster|getslotmigrations"}
)
"""Commands of @admin and @dangerous that only read the server's state, or read and write one key (SORT)."""
_ALSO_DANGEROUS: Final = frozenset(
    {"function|load", "function|flush", "function|delete", "function|restore", "function|kill"}
    | {"script|flush", "script|kill", "script|debug"}
)
_READS_SCRIPTS: Final = frozenset(
    {"script|exists", "script|show", "script|help", "function|list", "function|stats", "function|help"}
    | {"function|dump", "xgroup|help"}
)
_PUBLISHING: Final = frozenset({"publish", "spublish"})
_CLASSES: Final[Mapping[str, frozenset[str]]] = {
    "data loss": frozenset(
        {"flushall", "flushdb", "swapdb", "function|flush", "function|delete", "script|flush"}
        | {"cluster|reset", "cluster|flushslots", "cluster|flushslot"}
    ),
    "copies of data": frozenset(
        {"migrate", "restore", "restore-asking", "sync", "psync", "replconf", "monitor", "keys"}
        | {"replicaof", "slaveof", "cluster|migrateslots", "cluster|syncslots"}
    ),
}


def unsafe_settings(settings: Mapping[str, str], *, tls: bool) -> list[str]:
    """List settings that open the server or switch its records off; ``tls``: its URL is a rediss:// address.

    Settings that the server does not know are left out. Source: Redis documentation, "Redis security"
    (protected mode, TLS), redis.conf (enable-*-command, slowlog, acllog, maxclients, replica-read-only).
    """
    faults = [
        f"{name} is {settings[name]}: set it to {safe}"
        for name, safe in _SAFE.items()
        if name in settings and settings[name].lower() != safe
    ]
    if int(settings.get("slowlog-log-slower-than", 0)) < 0:
        faults.append("slowlog-log-slower-than is negative: slow commands are not recorded")
    faults += [f"{name} is 0" for name in _NOT_ZERO if settings.get(name) == "0"]
    if int(settings.get("maxclients", _MIN_CLIENTS)) < _MIN_CLIENTS:
        faults.append(f"maxclients is {settings['maxclients']}: under load, clients are rejected below 100")
    if tls and settings.get("port", "0") != "0":
        faults.append(f"port is {settings['port']}, without TLS: set port to 0")
    if tls and any(old in settings.get("tls-protocols", "").split() for old in ("TLSv1", "TLSv1.1")):
        faults.append(f"tls-protocols is {settings['tls-protocols']}: use TLSv1.2 and TLSv1.3")
    return faults


_SAFE: Final = {
    "protected-mode": "yes",
    "enable-debug-command": "no",
    "enable-module-command": "no",
    "enable-protected-configs": "no",
    "replica-read-only": "yes",
}
_MIN_CLIENTS: Final = 100
"""Below it, a few replicas' connection pools use up all; the server's default is 10000."""
_NOT_ZERO: Final = ("slowlog-max-len", "acllog-max-len", "tcp-keepalive")


def replication_faults(
    info: Mapping[str, Any], settings: Mapping[str, str], *, replicas: int | None
) -> list[str]:
    """List why this is not the primary of ``replicas`` replicas; None: any number.

    Source: Redis documentation, "Replication" (min-replicas-to-write) and INFO (role, connected_slaves).
    """
    faults = []
    if str(info.get("role", "master")) != "master":
        faults.append(f"it is a replica of {info.get('master_host')}:{info.get('master_port')}")
    connected = int(info.get("connected_slaves", 0))
    if replicas is not None and connected > replicas:
        addresses = [info[f"slave{i}"] for i in range(connected) if isinstance(info.get(f"slave{i}"), dict)]
        shown = ", ".join(f"{one.get('ip')}:{one.get('port')}" for one in addresses)
        faults.append(f"{connected} replicas copy its data ({shown}), {replicas} are declared")
    needed = int(settings.get("min-replicas-to-write", 0))
    if needed > connected:
        faults.append(f"min-replicas-to-write is {needed}, {connected} replicas are connected: no writes")
    return faults


def setting_differences(declared: Mapping[str, str], running: Mapping[str, str]) -> list[str]:
    """List declared directives that are not in effect; those that the server does not report are left out.

    Source: Redis documentation, "Redis configuration" (CONFIG SET does not change redis.conf).
    """
    return [
        f"{name}: {running[name] or 'empty'} in effect, {value or 'empty'} declared"
        for name, value in sorted(declared.items())
        if name in running and _amount(running[name]) != _amount(value)
    ]


def _amount(value: str) -> object:
    try:
        return parse_memory(value)
    except ValueError:
        return value.strip().strip("\"'").lower()


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
