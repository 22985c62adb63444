"""Query Redis (or Valkey) with a deadline; the only writes are its own temporary keys for timing.

These keys have a prefix that is unique to the run and expire after ``KEY_TTL_S``; they are deleted after use.
If the user may not write, :class:`CacheForbiddenError` is raised, so that a gate can time reads instead.
Errors name host, port and database, never the password.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates import redaction
from bais_gates.extras import optional
from bais_gates.rules.cache import Permission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    import redis as client
else:
    client = optional("redis", extra="cache")

TIMEOUT_S: Final = 2.0
KEY_PREFIX: Final = "bais-gates:"
KEY_TTL_S: Final = 30
"""Seconds after which a timing key expires if the run was killed before it deleted the key."""


SAMPLED_COMMANDS: Final = 10
"""Writing commands that are tried on each existing key, without running them."""
ABSENT_KEY: Final = "absent-key-of-a-dry-run"
_LIMITED: Final = re.compile(
    r"no permissions to access the '.*' (?:key|channel)|no permissions to access a key"
)
_REFUSAL: Final = re.compile(
    r"NOREPLICAS|MISCONF|against a read only replica|max number of clients|when used memory|Link with MASTER",
    re.IGNORECASE,
)
"""Answers of a server to everybody, not to one user; the client takes the code off some of them."""
_ADDRESS: Final = ("host", "port", "path", "socket_timeout", "socket_connect_timeout")


class CacheError(Exception):
    """The cache did not answer, or refused. The message names the cache and the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    """The server's counters since its start: keyspace hits and misses, and processed commands."""

    hits: int
    misses: int
    commands: int

    @property
    def hit_ratio(self) -> float:
        """The cache hit ratio, 0..1; NaN without lookups."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of the server: ``config|set`` for a subcommand, its arity, the place of its first key."""

    name: str
    arity: int
    key: int
    categories: frozenset[str]

    def call(self, key: str = ABSENT_KEY) -> list[str]:
        """Return the shortest call of it, on a key: by default, one that is not there."""
        words = self.name.split("|")
        words += ["0"] * (abs(self.arity) - len(words))
        if 0 < self.key < len(words):
            words[self.key] = key
        return words


class Cache:
    """One Redis database. Connects on first use; safe to share between threads.

    ``url`` is ``redis://[user]:password@host:port/db`` (``rediss://`` with TLS); its password is registered
    with redaction.
    """

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        try:
            self._client: client.Redis = client.Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                decode_responses=True,
                # A retry would hide the first failure.
                retry=client.retry.Retry(client.backoff.NoBackoff(), 0),
            )
            pool = self._client.connection_pool
            pool.connection_class(**pool.connection_kwargs)  # refuses options that it does not know
        except (ValueError, TypeError):
            raise CacheError("the cache url is not a redis:// or rediss:// connection string") from None
        settings = pool.connection_kwargs
        if settings.get("password"):
            redaction.register(str(settings["password"]))
        self.name = (
            f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}/{settings.get('db') or 0}"
        )
        self._timeout_s = timeout_s

    def ping_ms(self) -> float:
        """Return the milliseconds of one PING; raise :class:`CacheError` if the answer is not PONG."""
        began = time.perf_counter()
        if self._ask(self._client.ping) is not True:
            raise CacheError(f"the cache {self.name} did not answer PING with PONG")
        return (time.perf_counter() - began) * 1000.0

    def statistics(self) -> CacheStatistics:
        """Return the counters of ``INFO stats``."""
        info = self._ask(lambda: self._client.info("stats"))
        try:
            return CacheStatistics(
                hits=int(info["keyspace_hits"]),
                misses=int(info["keyspace_misses"]),
                commands=int(info["total_commands_processed"]),
            )
        except (KeyError, TypeError, ValueError):
            raise CacheError(f"the cache {self.name} has no counters in INFO stats") from None

    def info(self) -> dict[str, Any]:
        """Return ``INFO`` and ``INFO commandstats`` as the client parses them."""
        everything: dict[str, Any] = dict(self._ask(self._client.info))
        return everything | dict(self._ask(lambda: self._client.info("commandstats")))

    def settings(self, *names: str) -> dict[str, str]:
        """Return the settings in effect (``CONFIG GET``), without those unknown to the server."""
        values: dict[str, str] = {}
        for name in names:
            values |= self._ask(functools.partial(self._client.config_get, name))
        return values

    def users(self) -> list[str]:
        """Return the user names (``ACL USERS``); passwords and their digests are not read."""
        return sorted(map(str, self._ask(self._client.acl_users)))

    def user(self) -> str:
        """Return the name of this connection's user (``ACL WHOAMI``)."""
        return str(self._ask(self._client.acl_whoami))

    def commands(self) -> list[Command]:
        """Return all commands and subcommands that the server knows, also those of its modules."""
        names = self._raw(("COMMAND", "LIST"))[0]
        described = self._raw(("COMMAND", "INFO", *map(str, names)))[0]
        return [
            Command(
                name=str(one[0]),
                arity=int(one[1]),
                key=int(one[3]),
                categories=frozenset(str(category).lstrip("@") for category in one[6]),
            )
            for one in described
            if one
        ]

    def permissions(self, user: str, commands: Iterable[Command]) -> list[Permission]:
        """Return which commands ``user`` may run, without running any (``ACL DRYRUN``).

        A command that is allowed on some keys or channels alone is not ``everywhere``.
        """
        asked = list(commands)
        answers = self._raw(*(("ACL", "DRYRUN", user, *one.call()) for one in asked))
        return [
            Permission(command=one.name, categories=one.categories, everywhere=answer == "OK")
            for one, answer in zip(asked, answers, strict=True)
            # The other answers: no permission to run it, or a container of subcommands alone.
            if answer == "OK" or _LIMITED.search(str(answer))
        ]

    def writable_keys(self, user: str, commands: list[Command], count: int = 20) -> tuple[int, int]:
        """Return how many of some existing keys ``user`` may change, and how many were looked at."""
        found = self._raw(("SCAN", "0", "COUNT", "200"))[0][1]
        keys = [str(key) for key in found if not str(key).startswith(KEY_PREFIX)][:count]
        asked = [(key, one.call(key)) for key in keys for one in commands[:SAMPLED_COMMANDS]]
        answers = self._raw(*(("ACL", "DRYRUN", user, *call) for _, call in asked)) if asked else []
        allowed = {key for (key, _), answer in zip(asked, answers, strict=True) if answer == "OK"}
        return len(allowed), len(keys)

    def monitors(self) -> list[str]:
        """Return the addresses of clients that read all commands (``CLIENT LIST``, flag O: MONITOR)."""
        clients = self._ask(self._client.client_list)
        return [
            f"{one.get('user')} from {one.get('addr')}" for one in clients if "O" in str(one.get("flags"))
        ]

    def accepts(self, user: str | None = None, password: str | None = None) -> bool:
        """Return whether a new connection is authenticated, by this password or without any.

        HELLO, unlike PING, needs no permission: only a connection that is not authenticated is refused.
        Raises :class:`CacheError` without an answer.
        """
        pool = self._client.connection_pool
        kept = {
            key: value
            for key, value in pool.connection_kwargs.items()
            if key in _ADDRESS or key.startswith("ssl_")
        }
        connection = pool.connection_class(protocol=2, redis_connect_func=_send_nothing, **kept)
        try:
            connection.connect()
            connection.send_command(*(("HELLO", "2") if user is None else ("AUTH", user, password or "")))
            connection.read_response()
        except client.exceptions.NoPermissionError:
            return True
        except client.exceptions.AuthenticationError:
            return False
        except (client.exceptions.RedisError, OSError) as e:
            if any(word in str(e) for word in ("WRONGPASS", "NOAUTH", "DENIED")):
                return False
            raise CacheError(f"the cache {self.name}: {self._message(e)}") from None
        finally:
            connection.disconnect()
        return True

    def _raw(self, *commands: tuple[str, ...]) -> list[Any]:
        """Return the answers as the server gives them; of several commands, an error is its answer."""

        def ask() -> list[Any]:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.response_callbacks = {}  # type: ignore[assignment] # the client's own parse these answers
                for command in commands:
                    pipe.execute_command(*command)  # type: ignore[no-untyped-call] # its types are incomplete
                answers: list[Any] = pipe.execute(raise_on_error=len(commands) == 1)
                return answers

        return list(self._ask(ask))

    def scratch(self, run_id: str) -> Scratch:
        """Return temporary keys of this run for timing operations."""
        return Scratch(self, f"{KEY_PREFIX}{run_id}:{secrets.token_hex(8)}:")

    def _ask(self, command: Callable[[], Any]) -> Any:
        try:
            return command()
        except client.exceptions.NoPermissionError as e:
            raise CacheForbiddenError(
                f"the cache {self.name}: permission denied: {self._message(e)}"
            ) from None
        except (client.exceptions.TimeoutError, TimeoutError):
            raise CacheError(f"the cache {self.name}: no answer within {self._timeout_s:g} s") from None
        except (client.exceptions.RedisError, OSError) as e:
            kind = CacheRefusedError if _REFUSAL.search(str(e)) else CacheError
            raise kind(f"the cache {self.name}: {self._message(e)}") from None

    @staticmethod
    def _message(error: Exception) -> str:
        return redaction.redact(" ".join(str(error).split()) or type(error).__name__)[:300]

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _send_nothing(connection: client.Connection) -> None:
    """Prepare a connection without the client's own HELLO, SELECT and CLIENT SETINFO."""
    connection._parser.on_connect(connection)  # noqa: SLF001 - there is no public name for it


class CacheForbiddenError(CacheError):
    """The user in the environment file has no permission for this command."""


class CacheRefusedError(CacheError):
    """The cache refuses everybody's commands: a replica, memory that is full, too few replicas or clients."""


class Scratch:
    """Temporary keys under a unique prefix, for timing operations; they expire on their own."""

    def __init__(self, cache: Cache, prefix: str) -> None:
        self.prefix = prefix
        self._cache = cache

    def round_trip_ms(self) -> float:
        """Set, get and delete a key; return the milliseconds of the slowest operation.

        Raises :class:`CacheForbiddenError` if the user may not write, :class:`CacheError` if the value read
        differs from the value written.
        """
        redis = self._cache._client  # noqa: SLF001 - a part of the cache, in its module
        key, value = f"{self.prefix}{secrets.token_hex(8)}", secrets.token_hex(16)
        moments = [time.perf_counter()]

        def timed(command: Callable[[], Any]) -> Any:
            answer = self._cache._ask(command)  # noqa: SLF001 - as above
            moments.append(time.perf_counter())
            return answer

        timed(lambda: redis.set(key, value, ex=KEY_TTL_S))
        read = timed(lambda: redis.get(key))
        timed(lambda: redis.delete(key))
        if read != value:
            raise CacheError(f"the cache {self._cache.name} returned another value than the one just set")
        return max(late - early for early, late in itertools.pairwise(moments)) * 1000.0

    def read_ms(self) -> float:
        """Return the milliseconds of one lookup of an absent key."""
        redis = self._cache._client  # noqa: SLF001 - as above
        began = time.perf_counter()
        self._cache._ask(lambda: redis.get(f"{self.prefix}absent"))  # noqa: SLF001 - as above
        return (time.perf_counter() - began) * 1000.0
