"""Ask a Redis (or Valkey) one thing, in bounded time, and leave nothing behind.

It reads; the one thing it writes are its own timing keys, under a prefix that is unique to the run, each with
a time to live of seconds, and deleted after use. Where the access forbids writing that is an error of its own
kind, so that a gate can time reading alone and say so. An error names host, port and database, never the
password.
"""

from __future__ import annotations

import functools
import itertools
import math
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates import redaction
from bais_gates.extras import optional

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    import redis as client
else:
    client = optional("redis", extra="cache")

TIMEOUT_S: Final = 2.0
KEY_PREFIX: Final = "bais-gates:"
KEY_TTL_S: Final = 30
"""Seconds after which a timing key is gone even if the run was killed before it could delete it."""


class CacheError(Exception):
    """The cache did not answer, or refused. The message says which one was asked, and the plain cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    """What the server counted since it started: hits, misses, and commands that were worked off."""

    hits: int
    misses: int
    commands: int

    @property
    def hit_rate(self) -> float:
        """Hits in all look-ups, 0..1; NaN when there was none."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else math.nan


class Cache:
    """One Redis database. Connects when first asked; safe to share between threads.

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
                retry=client.retry.Retry(
                    client.backoff.NoBackoff(), 0
                ),  # a second try would hide the first one's failure
            )
        except (ValueError, TypeError):
            raise CacheError("the cache url is no redis:// or rediss:// address") from None
        settings = self._client.connection_pool.connection_kwargs
        if settings.get("password"):
            redaction.register(str(settings["password"]))
        self.name = (
            f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}/{settings.get('db') or 0}"
        )
        self._timeout_s = timeout_s

    def ping_ms(self) -> float:
        """Give the milliseconds that one PING and its answer take; raise when the answer is not PONG."""
        began = time.perf_counter()
        if self._ask(self._client.ping) is not True:
            raise CacheError(f"the cache {self.name} answered PING with something else than PONG")
        return (time.perf_counter() - began) * 1000.0

    def statistics(self) -> CacheStatistics:
        """Give the counters of ``INFO stats``."""
        info = self._ask(lambda: self._client.info("stats"))
        try:
            return CacheStatistics(
                hits=int(info["keyspace_hits"]),
                misses=int(info["keyspace_misses"]),
                commands=int(info["total_commands_processed"]),
            )
        except (KeyError, TypeError, ValueError):
            raise CacheError(f"the cache {self.name} gives no counters in INFO stats") from None

    def info(self) -> dict[str, Any]:
        """Give all of ``INFO``, the statistics of each command included, as the client parses it."""
        everything: dict[str, Any] = dict(self._ask(self._client.info))
        return everything | dict(self._ask(lambda: self._client.info("commandstats")))

    def settings(self, *names: str) -> dict[str, str]:
        """Give the settings in effect (``CONFIG GET``); what the server does not know is left out."""
        found: dict[str, str] = {}
        for name in names:
            found |= self._ask(functools.partial(self._client.config_get, name))
        return found

    def users(self) -> list[str]:
        """Name the users there are (``ACL USERS``); nobody's password or its digest is asked for."""
        return sorted(map(str, self._ask(self._client.acl_users)))

    def may(self, user: str, *command: str) -> bool:
        """Whether ``user`` may run a command; the server tells without running it (``ACL DRYRUN``)."""
        return bool(self._ask(lambda: self._client.acl_dryrun(user, *command)) == "OK")

    def lets_in_anybody(self) -> bool:
        """Whether one who gives no password is answered. Raises :class:`CacheError` when nobody answers."""
        settings = self._client.connection_pool.connection_kwargs
        kept = {key: value for key, value in settings.items() if key not in {"username", "password"}}
        pool = client.ConnectionPool(
            connection_class=self._client.connection_pool.connection_class, max_connections=1, **kept
        )
        stranger = client.Redis.from_pool(pool)
        try:
            stranger.ping()
        except (client.exceptions.AuthenticationError, client.exceptions.NoPermissionError):
            return False
        except (client.exceptions.RedisError, OSError) as e:
            raise CacheError(f"the cache {self.name}: {self._words(e)}") from None
        finally:
            stranger.close()
        return True

    def scratch(self, run_id: str) -> Scratch:
        """Give keys of this run's own to time operations on."""
        return Scratch(self, f"{KEY_PREFIX}{run_id}:{secrets.token_hex(8)}:")

    def _ask(self, command: Callable[[], Any]) -> Any:
        try:
            return command()
        except client.exceptions.NoPermissionError as e:
            raise CacheForbiddenError(f"the cache {self.name} forbids it: {self._words(e)}") from None
        except (client.exceptions.TimeoutError, TimeoutError):
            raise CacheError(f"the cache {self.name}: no answer within {self._timeout_s:g} s") from None
        except (client.exceptions.RedisError, OSError) as e:
            raise CacheError(f"the cache {self.name}: {self._words(e)}") from None

    @staticmethod
    def _words(error: Exception) -> str:
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


class CacheForbiddenError(CacheError):
    """The access that the environment file gives does not allow this command."""


class Scratch:
    """Keys under one prefix that nobody else uses, for timing; they expire by themselves."""

    def __init__(self, cache: Cache, prefix: str) -> None:
        self.prefix = prefix
        self._cache = cache

    def round_trip_ms(self) -> float:
        """Set a key, get it, delete it; give the milliseconds of the slowest of the three operations.

        Raises :class:`CacheForbiddenError` where writing is forbidden, :class:`CacheError` when the value
        does not read back.
        """
        redis = self._cache._client  # noqa: SLF001 - one module, one noun: the scratch is a part of the cache
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
            raise CacheError(f"the cache {self._cache.name} did not give back what was set a moment before")
        return max(late - early for early, late in itertools.pairwise(moments)) * 1000.0

    def read_ms(self) -> float:
        """Look up a key that is not there; give the milliseconds that took."""
        redis = self._cache._client  # noqa: SLF001 - as above
        began = time.perf_counter()
        self._cache._ask(lambda: redis.get(f"{self.prefix}absent"))  # noqa: SLF001 - as above
        return (time.perf_counter() - began) * 1000.0
