"""Puts the API together: its parts, its paths, and the tasks that run beside the requests."""

from __future__ import annotations

import asyncio
import base64
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet
from starlette.routing import Router

from bais_gates.sandbox.api import analytics, api_keys, auth, payments, system, webhooks, workflows
from bais_gates.sandbox.api.cache import Cache
from bais_gates.sandbox.api.crowd import Crowd
from bais_gates.sandbox.api.database import Database
from bais_gates.sandbox.api.deliverer import Deliverer
from bais_gates.sandbox.api.errors import ApiError
from bais_gates.sandbox.api.gateway import Gateway
from bais_gates.sandbox.api.limiter import Limiter
from bais_gates.sandbox.api.logs import AuditLog, LineFile
from bais_gates.sandbox.api.metrics import Metrics
from bais_gates.sandbox.api.passwords import Passwords
from bais_gates.sandbox.api.resources import Limit, Operation, Resource
from bais_gates.sandbox.api.services import Services
from bais_gates.sandbox.api.settlement import Settlement
from bais_gates.sandbox.api.sign_in_guard import SignInGuard
from bais_gates.sandbox.api.tokens import AccessTokens, derive
from bais_gates.sandbox.faults import Switch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from bais_gates.sandbox.api.config import Settings

_log = logging.getLogger("bais.api")
RESOURCES = (
    Resource("/health", {"GET": Operation(handler=system.health, public=True, limit=Limit.NONE)}),
    Resource("/ready", {"GET": Operation(handler=system.ready, public=True, limit=Limit.NONE)}),
    Resource("/metrics", {"GET": Operation(handler=system.metrics, public=True, limit=Limit.NONE)}),
    Resource("/api/v1/auth/register", {"POST": Operation(handler=auth.register, public=True, has_body=True)}),
    Resource("/api/v1/auth/login", {"POST": Operation(handler=auth.login, public=True, has_body=True)}),
    Resource("/api/v1/auth/refresh", {"POST": Operation(handler=auth.refresh, public=True, has_body=True)}),
    Resource("/api/v1/auth/api-keys", {"POST": Operation(handler=api_keys.create_api_key, has_body=True)}),
    Resource("/api/v1/auth/api-keys/{api_key_id}", {"DELETE": Operation(handler=api_keys.revoke_api_key)}),
    Resource(
        "/api/v1/workflows/payment", {"POST": Operation(handler=workflows.create_workflow, has_body=True)}
    ),
    Resource("/api/v1/workflows/payment/{workflow_id}", {"GET": Operation(handler=workflows.read_workflow)}),
    Resource(
        "/api/v1/payments/process", {"POST": Operation(handler=payments.process_payment, has_body=True)}
    ),
    Resource("/api/v1/payments/{payment_id}", {"GET": Operation(handler=payments.read_payment)}),
    Resource(
        "/api/v1/webhooks/configure", {"POST": Operation(handler=webhooks.configure_webhook, has_body=True)}
    ),
    Resource("/api/v1/analytics/dashboard", {"GET": Operation(handler=analytics.dashboard)}),
    Resource(
        "/api/v1/system/status", {"GET": Operation(handler=system.status, public=True, limit=Limit.LENIENT)}
    ),
    Resource(
        "/api/v1/cache/test",
        {
            "GET": Operation(handler=system.read_cache, not_in_production=True),
            "POST": Operation(handler=system.write_cache, has_body=True, not_in_production=True),
        },
    ),
)
"""Every path there is. A test holds them to the contract's."""


def make_services(settings: Settings) -> Services:
    """Make the parts; nothing is connected yet."""
    faults = Switch(None if settings.is_production else settings.faults_file)
    database = Database(
        settings.database_url, size=settings.database_pool, timeout_s=settings.dependency_timeout_s
    )
    cache = Cache(settings.redis_url, timeout_s=settings.dependency_timeout_s / 2)
    metrics = Metrics(settings)
    secret = settings.secret_key
    vault = Fernet(base64.urlsafe_b64encode(derive(secret, "webhook secrets")))
    deliverer = Deliverer(settings, database, vault, metrics, faults)
    return Services(
        settings=settings,
        faults=faults,
        database=database,
        cache=cache,
        metrics=metrics,
        access_log=LineFile(settings.logs / "access.jsonl", also=settings.combined_log),
        audit=AuditLog(settings.logs / "audit.jsonl", database, also=settings.combined_log),
        limiter=Limiter(cache, faults, settings.rate_limit.window_s),
        sign_in_guard=SignInGuard(cache, settings.sign_in, derive(secret, "sign-in accounts")),
        passwords=Passwords(),
        access_tokens=AccessTokens(derive(secret, "access tokens"), settings.access_token_ttl_s, faults),
        vault=vault,
        fingerprint_key=derive(secret, "request fingerprints"),
        deliverer=deliverer,
        settlement=Settlement(settings.settlement_delay_s, database, deliverer, metrics, faults),
        crowd=Crowd(faults, cache),
    )


def make_app(settings: Settings) -> Gateway:
    """Give the ASGI application."""
    services = make_services(settings)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        await services.database.open()
        tasks = [
            asyncio.create_task(_keep_running(part.run))
            for part in (services.audit, services.deliverer, services.settlement)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(ApiError):
                await services.audit.flush()
            services.passwords.close()
            services.access_log.close()
            services.audit.file.close()
            await services.cache.close()
            await services.database.close()

    routes = [resource.route() for resource in RESOURCES]
    router = Router(routes, redirect_slashes=False, default=_unmatched, lifespan=lifespan)
    return Gateway(router, services)


async def _keep_running(work: Callable[[], Awaitable[None]]) -> None:
    """Run a task that has no end, and again if it does end: one error must not stop it for good."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - none of them may be the last
            _log.error("a background task ended in %s and is started again", type(error).__name__)
        await asyncio.sleep(1)


async def _unmatched(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave the scope without an endpoint: the gateway answers 404."""
