"""Everything that handlers share, made once per process and never changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

if TYPE_CHECKING:
    from bais_gates.sandbox.api.cache import Cache
    from bais_gates.sandbox.api.config import Settings
    from bais_gates.sandbox.api.crowd import Crowd
    from bais_gates.sandbox.api.database import Database
    from bais_gates.sandbox.api.deliverer import Deliverer
    from bais_gates.sandbox.api.limiter import Limiter
    from bais_gates.sandbox.api.logs import AuditLog, LineFile
    from bais_gates.sandbox.api.metrics import Metrics
    from bais_gates.sandbox.api.passwords import Passwords
    from bais_gates.sandbox.api.settlement import Settlement
    from bais_gates.sandbox.api.sign_in_guard import SignInGuard
    from bais_gates.sandbox.api.tokens import AccessTokens
    from bais_gates.sandbox.faults import Switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of the running API."""

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
    """Encrypts webhook secrets, which must be kept readable to sign with."""
    fingerprint_key: bytes
    deliverer: Deliverer
    settlement: Settlement
    crowd: Crowd
