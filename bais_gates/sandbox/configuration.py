"""What a sandbox's parts are told of each other, and what the environment file tells a gate run of them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bais_gates.sandbox import postgres, redis
from bais_gates.sandbox.files import write_json, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.sandbox.tls import Certificates

VERSION = "1.0.0"
"""The release that the reference API says it is."""
_RATE_LIMIT = {"per_token": 100, "per_address": 6000, "window_s": 60}
_HEADER = """\
# The environment file of a running sandbox: point a run at it with `pytest -m golive --gate-env <this file>`.
# It holds passwords of this sandbox, and is removed with it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The parts of one sandbox that its API and its gates are told of."""

    database: postgres.Postgres
    cache: redis.Redis
    certificates: Certificates


def write_api_configuration(directory: Path, *, port: int, shared: Shared) -> Path:
    """Write ``api.json``, which the API and its migrations are started with (mode 0600: passwords)."""
    path = directory / "api.json"
    write_json(
        path,
        {
            "environment": "sandbox",
            "version": VERSION,
            "host": "127.0.0.1",
            "port": port,
            "tls_cert": str(shared.certificates.certificate),
            "tls_key": str(shared.certificates.key),
            "database_url": shared.database.url(postgres.APP_ROLE),
            "redis_url": shared.cache.url(redis.APP_USER),
            "secret_key": secrets.token_urlsafe(48),
            "rate_limit": _RATE_LIMIT,
            "logs": str(directory / "logs"),
            "faults_file": str(directory / "faults.json"),
            "webhook": {"retry_delays_s": [0.3, 1.0, 3.0, 10.0, 30.0], "timeout_s": 3.0},
            "access_token_ttl_s": 900,
        },
    )
    return path


def write_environment(directory: Path, *, api_url: str, shared: Shared) -> Path:
    """Write ``environment.yaml``: the addresses, credentials and limits that a gate run needs (mode 0600)."""
    import yaml  # noqa: PLC0415 - imported while initdb runs

    path = directory / "environment.yaml"
    content = {
        "name": "sandbox",
        "provision": "none",
        "api": {
            "url": api_url,
            "ca_file": str(shared.certificates.ca),
            "environment": "sandbox",
            "version": VERSION,
        },
        "rate_limit": _RATE_LIMIT,
        "database": {
            "url": shared.database.url(postgres.GATES_ROLE),
            "payment_query": "SELECT id, amount, currency, status FROM payments WHERE id = %(payment_id)s",
            "workflow_payments_query": (
                "SELECT id, amount, currency, status FROM payments WHERE workflow_id = %(workflow_id)s"
            ),
        },
        "cache": {"url": shared.cache.url(redis.GATES_USER)},
        "webhooks": {"listen_host": "127.0.0.1"},
        "metrics": {"url": f"{api_url}/metrics", "ca_file": str(shared.certificates.ca)},
        "limits": {
            "health_p95_ms": 50,
            "api_p95_ms": 200,
            "query_mean_ms": 100,
            "cache_operation_ms": 10,
            "concurrency": 100,
        },
        "test_tenant": None,
        "not_applicable": {},
    }
    write_private(path, _HEADER + yaml.safe_dump(content, sort_keys=False, width=200))
    return path
