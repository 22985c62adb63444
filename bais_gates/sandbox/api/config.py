"""The API's settings, read once from a JSON file that the sandbox writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


class ConfigError(Exception):
    """The configuration file can't be used; the message names the file and the key, never a value."""


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests in ``window_s`` seconds: for each token, and for each client address without a token."""

    per_token: int = 100
    per_address: int = 100
    window_s: int = 60


class SignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``max_failures`` wrong passwords within ``window_s`` seconds lock the account for ``lock_s``."""

    max_failures: int = 10
    window_s: int = 900
    lock_s: int = 300


class Webhooks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The delay before each retry and the timeout of each attempt, in seconds.

    There is one attempt more than there are delays.
    """

    retry_delays_s: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0)
    timeout_s: float = 10.0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings; ``logs``, ``combined_log`` and ``faults_file`` are absolute paths."""

    environment: str
    version: str
    database_url: str
    redis_url: str
    secret_key: str
    logs: Path
    host: str = "127.0.0.1"
    port: int = 0
    tls_cert: str | None = None
    tls_key: str | None = None
    rate_limit: RateLimit = RateLimit()
    sign_in: SignIn = SignIn()
    password_passes: int = 5
    """Passes of argon2id, each about 5 ms of one core."""
    webhook: Webhooks = Webhooks()
    combined_log: Path | None = None
    """A second file for both logs: what the cluster shows as the log of the container."""
    faults_file: Path | None = None
    defects: tuple[str, ...] = ()
    """What is wrong with this release for good: names of faults, payments_fail_at_times, never_ready or
    ends_at_start."""
    replaced_sql: dict[str, str] = {}
    """Parts of statements, each with what this release has in its place."""
    access_token_ttl_s: int = 900
    refresh_token_ttl_s: int = 30 * 86400
    settlement_delay_s: float = 0.3
    """The time from an accepted payment to the provider's report of its failure."""
    database_pool: int = 12
    """Connections to PostgreSQL: six per core are as fast as sixty."""
    dependency_timeout_s: float = 2.0
    """How long PostgreSQL or Redis may take before the response is 503."""

    @property
    def is_production(self) -> bool:
        """Return whether /cache/test, loopback webhooks, faults and public /metrics are disabled."""
        return self.environment == "production"


def load(path: Path) -> Settings:
    """Read the settings at ``path``. Raises ``ConfigError``."""
    try:
        settings = msgspec.json.decode(path.read_bytes(), type=Settings, dec_hook=_path)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(
            f"{path}: {error}"
        ) from None  # the cause would quote the file, which contains passwords
    if len(settings.secret_key) < 32:
        raise ConfigError(f"{path}: secret_key needs at least 32 characters")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigError(f"{path}: tls_cert and tls_key go together")
    return settings


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """What a migration needs: the database, and folders with revisions after those of this package."""

    database_url: str
    migrations: tuple[Path, ...] = ()


def load_migration(path: Path) -> Migration:
    """Read what a migration needs from the file at ``path``. Raises ``ConfigError``."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Migration, dec_hook=_path)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path}: {error}") from None  # as above


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError
