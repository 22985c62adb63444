"""What all handlers share: made once per process and never replaced."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

from bais_gates.sandbox.api.accounts.passwords import Passwords
from bais_gates.sandbox.api.accounts.sign_in_guard import SignInGuard
from bais_gates.sandbox.api.accounts.tokens import AccessTokens, derive_key
from bais_gates.sandbox.api.cache import Cache
from bais_gates.sandbox.api.concurrency import ConcurrencyFaults
from bais_gates.sandbox.api.database import Database
from bais_gates.sandbox.api.limiter import Limiter
from bais_gates.sandbox.api.logs import AuditLog, LineFile
from bais_gates.sandbox.api.metrics import Metrics
from bais_gates.sandbox.api.payments.settlement import Settlement
from bais_gates.sandbox.api.webhooks.delivery import Deliverer
from bais_gates.sandbox.faults import Switch

if TYPE_CHECKING:
    from bais_gates.sandbox.api.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The components of the running API."""

    settings: Settings
    faults: Switch
    database: Database
    cache: Cache
    metrics: Metrics
    access_log: LineFile
    audit: AuditLog
    limiter: Limiter
    sign_in_guard: SignInGuard
    passwords: Passwords
    access_tokens: AccessTokens
    vault: Fernet
    """Encrypts webhook secrets, which must stay readable to sign with."""
    fingerprint_key: bytes
    deliverer: Deliverer
    settlement: Settlement
    concurrency: ConcurrencyFaults


def make_services(settings: Settings) -> Services:
    """Make the components; nothing is connected yet."""
    faults = Switch(None if settings.is_production else settings.faults_file, always=settings.defects)
    database = Database(
        settings.database_url,
        size=settings.database_pool,
        timeout_s=settings.dependency_timeout_s,
        replaced=settings.replaced_sql,
    )
    cache = Cache(settings.redis_url, timeout_s=0.75 * settings.dependency_timeout_s)
    metrics = Metrics(settings)
    secret = settings.secret_key
    vault = Fernet(base64.urlsafe_b64encode(derive_key(secret, "webhook secrets")))
    deliverer = Deliverer(settings, database, vault, metrics, faults)
    return Services(
        settings=settings,
        faults=faults,
        database=database,
        cache=cache,
        metrics=metrics,
        access_log=LineFile(settings.logs / "access.jsonl", copy=settings.combined_log),
        audit=AuditLog(settings.logs / "audit.jsonl", database, metrics, copy=settings.combined_log),
        limiter=Limiter(cache, faults, settings.rate_limit.window_s),
        sign_in_guard=SignInGuard(cache, settings.sign_in, derive_key(secret, "sign-in accounts")),
        passwords=Passwords(settings.password_passes),
        access_tokens=AccessTokens(derive_key(secret, "access tokens"), settings.access_token_ttl_s, faults),
        vault=vault,
        fingerprint_key=derive_key(secret, "request fingerprints"),
        deliverer=deliverer,
        settlement=Settlement(settings.settlement_delay_s, database, deliverer, metrics, faults),
        concurrency=ConcurrencyFaults(faults, cache),
    )
