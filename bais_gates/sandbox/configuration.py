"""What a sandbox's parts are told of each other, and what the environment file tells a gate run of them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bais_gates.sandbox import images
from bais_gates.sandbox.files import write_json, write_private
from bais_gates.sandbox.services import postgres, redis

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.sandbox.images import Images
    from bais_gates.sandbox.tls import Certificates

VERSION = "1.0.0"
"""The release that the reference API says it is."""
CONNECTIONS_PER_REPLICA = 12
"""How many connections to PostgreSQL one replica of the API opens at most."""
_RATE_LIMIT = {"per_token": 100, "per_address": 6000, "window_s": 60}
_HEADER = """\
# The environment file of a running sandbox: point a run at it with `pytest -m golive --gate-env <this file>`.
# It holds passwords of this sandbox, and is removed with it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The parts of one sandbox that its API, its cluster and its gates are told of."""

    database: postgres.Postgres
    cache: redis.Redis
    certificates: Certificates
    images: Images
    backup_identity: str
    """The age identity that decrypts the backups."""
    backup_recipient: str
    """The public key that they are encrypted for."""


def share(database: postgres.Postgres, cache: redis.Redis, certificates: Certificates) -> Shared:
    """Put together what the parts are told of each other."""
    import pyrage  # type: ignore[import-untyped]  # noqa: PLC0415 - untyped, and imported while initdb runs

    identity = pyrage.x25519.Identity.generate()
    return Shared(
        database=database,
        cache=cache,
        certificates=certificates,
        images=images.of_this_machine(database.binaries),
        backup_identity=str(identity),
        backup_recipient=str(identity.to_public()),
    )


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
            "combined_log": str(directory / "logs" / "api.log"),
            "faults_file": str(directory / "faults.json"),
            "webhook": {"retry_delays_s": [0.3, 1.0, 3.0, 10.0, 30.0], "timeout_s": 3.0},
            "access_token_ttl_s": 900,
            "database_pool": CONNECTIONS_PER_REPLICA,
        },
    )
    return path


def cluster_secrets(shared: Shared, secret_key: str) -> dict[str, dict[str, str]]:
    """Give the Secrets of the platform's namespace, by name: what the running parts really use.

    Addresses are those of the cluster's Services; which process that is, the node agent knows.
    """
    database, authority = shared.database, "sslmode=verify-full&sslrootcert=/ca/ca.crt"
    app = f"{postgres.APP_ROLE}:{database.password(postgres.APP_ROLE)}"
    database_url = f"postgresql://{app}@bais-postgres:5432/{postgres.DATABASE}?{authority}"
    return {
        "bais-api": {
            "DATABASE_URL": database_url,
            "REDIS_URL": shared.cache.url(redis.APP_USER, "bais-redis:6379"),
            "SECRET_KEY": secret_key,
            "PAGERDUTY_API_KEY": secrets.token_urlsafe(15),
            "SLACK_WEBHOOK_URL": f"https://hooks.slack.example/services/{secrets.token_urlsafe(18)}",
        },
        "bais-postgres": {
            "POSTGRES_PASSWORD": database.super_password,
            "DB_USER": postgres.APP_ROLE,
            "DB_PASSWORD": database.password(postgres.APP_ROLE),
            "GATES_PASSWORD": database.password(postgres.GATES_ROLE),
        },
        "bais-redis": {"users.acl": shared.cache.users},
        "bais-backup": {"DATABASE_URL": database_url, "AGE_RECIPIENT": shared.backup_recipient},
    }


def write_environment(directory: Path, *, api_url: str, http_url: str, shared: Shared) -> Path:
    """Write ``environment.yaml``: the addresses, credentials and limits that a gate run needs (mode 0600).

    What it says of the cluster, its backups and records is true from when the cluster is up.
    """
    import yaml  # noqa: PLC0415 - imported while initdb runs

    path = directory / "environment.yaml"
    content = _platform(api_url, shared) | _cluster(directory, http_url, shared)
    write_private(path, _HEADER + yaml.safe_dump(content, sort_keys=False, width=200))
    return path


def _platform(api_url: str, shared: Shared) -> dict[str, object]:
    return {
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


def _cluster(directory: Path, http_url: str, shared: Shared) -> dict[str, object]:
    """Say what the cluster's gates need; the paths are those that ``start_cluster`` writes."""
    database, records = shared.database, directory / "records"
    return {
        "kubernetes": {
            "kubeconfig": str(directory / "cluster" / "kubeconfig"),
            "context": "sandbox",
            "admin_context": "sandbox-admin",
            "namespace": "bais",
            "minimum_version": "1.20",
            "components": {
                "prometheus_operator": {
                    "absent": "the sandbox runs no Prometheus; its API is asked directly"
                },
                "ingress_controller": {"absent": "the API's shared port stands for the Ingress"},
                "cert_manager": {"absent": "the sandbox's own controllers issue its certificates"},
            },
        },
        "release": {"image": shared.images.api, "version": VERSION},
        "tls": {"http_url": http_url, "min_days": 30, "refused_versions": ["TLSv1", "TLSv1.1"]},
        "backup": {
            "directory": str(directory / "volumes" / "bais.bais-backups"),
            "identity": shared.backup_identity,
            "scratch_url": database.url(postgres.SCRATCH_ROLE, "postgres"),
            "max_age_h": 26,
            "restore_within_s": 300,
        },
        "security": {
            "audit_record": str(records / "security_audit.json"),
            "scans": [str(records / "ruff.sarif")],
            "incident_procedures": [str(records / "incident_procedure.md")],
            "max_audit_age_d": 90,
        },
        "recovery": {
            "drill": True,
            "within_s": 300,
            "max_record_age_d": 90,
            "database_url": database.url(postgres.APP_ROLE),
            "backup_within_s": 120,
        },
        "capacity": {
            "users": 1000,
            "requests_per_s": 500,
            "requests_per_s_per_replica": 250,  # what one process bears on two cores, with room to spare
            "max_connections_cap": 800,
            "connections_per_replica": CONNECTIONS_PER_REPLICA,
            "cpu_headroom": 0.2,
            "memory_headroom": 0.2,
            "disk_used_max": 0.95,  # the machine's own disk, which is not the platform's to fill
        },
        "database_settings": postgres.SETTINGS | {"ssl": "on", "autovacuum": "on"},
        "cache_settings": {"maxmemory_policy": "allkeys-lru", "persistence": "none", "maxmemory": "64mb"},
        "staging": {
            "overlay": "sandbox",
            "namespace": "bais-staging",
            "images": list(shared.images.all()),
            "variables": {
                "DB_USER": "bais_app",
                "DB_PASSWORD": secrets.token_urlsafe(24),
                "SECRET_KEY": secrets.token_urlsafe(48),
                "PAGERDUTY_API_KEY": secrets.token_urlsafe(15),
                "SLACK_WEBHOOK_URL": f"https://hooks.slack.example/services/{secrets.token_urlsafe(18)}",
                "CERT_MANAGER_EMAIL": "certificates@bais.example",
            },
        },
    }
