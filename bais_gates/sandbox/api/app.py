"""Assembles the API: its paths, and the tasks that run beside the requests."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from starlette.routing import Router

from bais_gates.sandbox.api import system
from bais_gates.sandbox.api.accounts import api_keys, auth
from bais_gates.sandbox.api.errors import ApiError
from bais_gates.sandbox.api.gateway import Gateway
from bais_gates.sandbox.api.payments import analytics, payments, workflows
from bais_gates.sandbox.api.resources import Limit, Operation, Resource
from bais_gates.sandbox.api.services import make_services
from bais_gates.sandbox.api.webhooks.configuration import configure_webhook

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
    Resource("/api/v1/webhooks/configure", {"POST": Operation(handler=configure_webhook, has_body=True)}),
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
"""Every path; a test compares them with the contract."""


def make_app(settings: Settings) -> Gateway:
    """Return the ASGI application."""
    services = make_services(settings)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        await services.database.open()
        tasks = [
            asyncio.create_task(_keep_running(service.run))
            for service in (services.audit, services.deliverer, services.settlement)
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
            services.cache.close()
            await services.database.close()

    routes = [resource.route() for resource in RESOURCES]
    router = Router(routes, redirect_slashes=False, default=_unmatched, lifespan=lifespan)
    return Gateway(router, services, {one.template: one for one in RESOURCES if "{" not in one.template})


async def _keep_running(work: Callable[[], Awaitable[None]]) -> None:
    """Run an endless task, and restart it when it fails: one error must not stop it for good."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - any of them is logged and the task restarted
            _log.error("a background task failed with %s and is restarted", type(error).__name__)
        await asyncio.sleep(1)


async def _unmatched(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave the scope without a resource, so that the gateway responds 404."""
