"""The configuration of the API and the cluster, and the environment file for gate runs."""

from __future__ import annotations

import os
import secrets
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bais_gates.sandbox import images
from bais_gates.sandbox.files import write_json, write_private
from bais_gates.sandbox.monitoring import JOBS
from bais_gates.sandbox.oncall import PAGE, SENDER
from bais_gates.sandbox.services import postgres, redis

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bais_gates.sandbox.images import Images
    from bais_gates.sandbox.oncall import Access
    from bais_gates.sandbox.tls import Certificates

VERSION = "1.0.0"
"""The version that the reference API reports."""
CONNECTIONS_PER_REPLICA = 12
"""The most connections to PostgreSQL that one replica of the API opens."""
_RATE_LIMIT = {"per_token": 100, "per_address": 6000, "window_s": 60}
_HEADER = """\
# The environment file of a running sandbox. Run gates against it: pytest -m golive --gate-env <this file>
# It contains the sandbox's passwords, and is removed with the sandbox.
"""
_PROMISED_PER_S: Final = 500
_LOOP_S: Final = 0.0048
"""Of :func:`loop_s` on the machine where the next figure was measured."""
_REQUEST_S: Final = 0.0046
"""Processor time of a request of a load run, generator and all processes of the sandbox together.

Source: docs/request-cpu.md, as benchmarks/request_cpu.py wrote it.
"""
_SHARE: Final = 0.65
"""Of the processors that a load may take, so that latency is the platform's and not the queue's.

A load run judges nothing where more than 0.8 of them are in use.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The servers, certificates, images and backup keys that configurations refer to."""

    database: postgres.Postgres
    cache: redis.Redis
    certificates: Certificates
    images: Images
    backup_identity: str
    """The age identity, which decrypts backups."""
    backup_recipient: str
    """The age public key, which encrypts them."""


def make_platform(database: postgres.Postgres, cache: redis.Redis, certificates: Certificates) -> Platform:
    """Return the platform of these servers, with new backup keys."""
    import pyrage  # type: ignore[import-untyped]  # noqa: PLC0415 - untyped, and imported while initdb runs

    identity = pyrage.x25519.Identity.generate()
    return Platform(
        database=database,
        cache=cache,
        certificates=certificates,
        images=images.local_images(database.binaries),
        backup_identity=str(identity),
        backup_recipient=str(identity.to_public()),
    )


def write_api_configuration(directory: Path, *, port: int, platform: Platform) -> Path:
    """Write ``api.json``, the configuration of the API and its migrations (mode 0600: passwords)."""
    path = directory / "api.json"
    write_json(
        path,
        {
            "environment": "sandbox",
            "version": VERSION,
            "host": "127.0.0.1",
            "port": port,
            "tls_cert": str(platform.certificates.certificate),
            "tls_key": str(platform.certificates.key),
            "database_url": platform.database.url(postgres.APP_ROLE),
            "redis_url": platform.cache.url(redis.APP_USER),
            "secret_key": secrets.token_urlsafe(48),
            "rate_limit": _RATE_LIMIT,
            "password_passes": 2,  # with five: a fifth of a run's CPU time
            "logs": str(directory / "logs"),
            "combined_log": str(directory / "logs" / "api.log"),
            "faults_file": str(directory / "faults.json"),
            "webhook": {"retry_delays_s": [0.25, 0.6, 3.0, 10.0, 30.0], "timeout_s": 3.0},
            "access_token_ttl_s": 900,
            "database_pool": CONNECTIONS_PER_REPLICA,
        },
    )
    return path


def cluster_secrets(platform: Platform, secret_key: str) -> dict[str, dict[str, str]]:
    """Return the Secrets of the platform's namespace by name, with the passwords of the running servers.

    Their addresses are those of the cluster's Services, which the node agent maps to processes.
    """
    database, tls = platform.database, "sslmode=verify-full&sslrootcert=/ca/ca.crt"
    app = f"{postgres.APP_ROLE}:{database.password(postgres.APP_ROLE)}"
    database_url = f"postgresql://{app}@bais-postgres:5432/{postgres.DATABASE}?{tls}"
    return {
        "bais-api": {
            "DATABASE_URL": database_url,
            "REDIS_URL": platform.cache.url(redis.APP_USER, "bais-redis:6379"),
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
        "bais-redis": {"users.acl": platform.cache.users},
        "bais-backup": {"DATABASE_URL": database_url, "AGE_RECIPIENT": platform.backup_recipient},
    }


def write_environment(
    directory: Path,
    *,
    api_url: str,
    http_url: str,
    platform: Platform,
    monitoring: Mapping[str, int],
    oncall: Access,
) -> Path:
    """Write ``environment.yaml``: the addresses, credentials and limits for gate runs (mode 0600).

    ``monitoring`` has the ports of Prometheus, Alertmanager and the receivers' stand-ins, ``oncall`` the
    secrets of the latter. The files of the
    cluster, backups and records exist once the cluster is ready.
    """
    import yaml  # noqa: PLC0415 - imported while initdb runs

    from bais_gates.sandbox import tls  # noqa: PLC0415 - as above

    path = directory / "environment.yaml"
    content = _platform_sections(api_url, platform) | _cluster_sections(directory, http_url, platform)
    content |= _monitoring_sections(monitoring) | _oncall_sections(
        monitoring["monitoring"], oncall, directory / "monitoring" / "records"
    )
    content["signing"] = {"key_file": str(tls.write_signing_key(directory))}
    # All processes are below this one, the supervisor; the accounts are made when they are asked for.
    load: dict[str, object] = {"accounts": str(directory / "accounts.json"), "platform_pids": [os.getpid()]}
    rate = _sustainable_rate()
    content["load"] = load | ({"rate_per_s": rate} if rate < _PROMISED_PER_S else {})
    write_private(path, _HEADER + yaml.safe_dump(content, sort_keys=False, width=200))
    return path


def _sustainable_rate() -> int:
    """Return the requests per second that this machine is likely to sustain beside a load generator.

    A machine that is faster now than the one that was measured counts as that one: the speed of a virtual
    machine changes within seconds.
    """
    slowness = max(1.0, statistics.median(loop_s() for _ in range(15)) / _LOOP_S)
    cores = len(os.sched_getaffinity(0))
    return int(cores * _SHARE / (_REQUEST_S * slowness) // 50 * 50) or 25


def loop_s() -> float:
    """Return the CPU seconds of a loop that tells how fast a machine runs Python."""
    began, total = time.process_time(), 0
    for number in range(50_000):
        total += number * number
    return time.process_time() - began


def _platform_sections(api_url: str, platform: Platform) -> dict[str, object]:
    return {
        "name": "sandbox",
        "provision": "none",
        "api": {
            "url": api_url,
            "ca_file": str(platform.certificates.ca),
            "environment": "sandbox",
            "version": VERSION,
        },
        "rate_limit": _RATE_LIMIT,
        "database": {
            "url": platform.database.url(postgres.GATES_ROLE),
            "payment_query": "SELECT id, amount, currency, status FROM payments WHERE id = %(payment_id)s",
            "workflow_payments_query": (
                "SELECT id, amount, currency, status FROM payments WHERE workflow_id = %(workflow_id)s"
            ),
        },
        "cache": {"url": platform.cache.url(redis.GATES_USER)},
        "webhooks": {"listen_host": "127.0.0.1"},
        "metrics": {"url": f"{api_url}/metrics", "ca_file": str(platform.certificates.ca)},
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


def _cluster_sections(directory: Path, http_url: str, platform: Platform) -> dict[str, object]:
    """Return the sections for gates that need the cluster; ``start_cluster`` writes these files."""
    database, records = platform.database, directory / "records"
    return {
        "kubernetes": {
            "kubeconfig": str(directory / "cluster" / "kubeconfig"),
            "context": "sandbox",
            "admin_context": "sandbox-admin",
            "namespace": "bais",
            "components": {
                "prometheus_operator": {
                    "absent": "the sandbox runs no Prometheus; gates scrape its API directly"
                },
                "ingress_controller": {"absent": "the API's shared port replaces the Ingress"},
                "cert_manager": {"absent": "the sandbox's controllers issue its certificates"},
            },
        },
        "release": {"image": platform.images.api, "version": VERSION},
        "tls": {"http_url": http_url, "min_days": 30, "refused_versions": ["TLSv1", "TLSv1.1"]},
        "backup": {
            "directory": str(directory / "volumes" / "bais.bais-backups"),
            "identity": platform.backup_identity,
            "scratch_url": database.url(postgres.SCRATCH_ROLE, "postgres"),
            "max_age_h": 26,
            "restore_within_s": 300,
        },
        "rollout": {"scratch_url": database.url(postgres.SCRATCH_ROLE, "postgres")},
        "security": {
            "audit_record": str(records / "security_audit.json"),
            "scans": [str(records / "ruff.sarif")],
            "incident_procedures": [str(records / "incident_procedure.md")],
            "max_audit_age_d": 90,
            "privileged_roles": {
                postgres.SCRATCH_ROLE: {
                    "rights": ["CREATEDB"],
                    "reason": "creates the databases that backups are restored to",
                }
            },
            "append_only": ["audit_log"],
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
            "requests_per_s_per_replica": 250,  # what one process sustains on two cores, with a margin
            "max_connections_cap": 800,
            "connections_per_replica": CONNECTIONS_PER_REPLICA,
            "cpu_headroom": 0.2,
            "memory_headroom": 0.2,
            "disk_used_max": 0.95,  # the disk belongs to the machine, not to the platform
        },
        "database_settings": postgres.SETTINGS | {"ssl": "on", "autovacuum": "on"},
        "cache_settings": {
            "maxmemory_policy": "allkeys-lru",
            "persistence": "none",
            "maxmemory": "64mb",
            "application_users": [redis.APP_USER],
        },
        "staging": {
            "overlay": "sandbox-staging",
            "namespace": "bais-staging",
            "images": list(platform.images.all()),
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


def _monitoring_sections(ports: Mapping[str, int]) -> dict[str, object]:
    """Return the sections for gates of what ``start_monitoring`` starts."""
    url = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    return {
        "monitoring": {
            "prometheus_url": url["prometheus"],
            "alertmanager_url": url["alertmanager"],
            "inbox_url": f"{url['monitoring']}/inbox",
            "jobs": list(JOBS),
            "deliver_within_s": 10,
            "availability_window": "run",
            "availability_min": 0.999,
            "addresses": {"alertmanager": f"{url['alertmanager']}/-/ready"},
            "log_query_url": f"{url['monitoring']}/logs/{{request_id}}",
        },
    }


def _oncall_sections(port: int, access: Access, records: Path) -> dict[str, object]:
    """Return the section for gates of the stand-ins for PagerDuty, Slack and Statuspage."""
    url = f"http://127.0.0.1:{port}"
    return {
        "oncall": {
            "api_url": f"{url}/pagerduty",
            "events_url": url,
            "token": access.token,
            "sender": SENDER,
            "routing_key": access.routing_key,
            "chat": {channel: f"{url}/slack/services/{path}" for channel, path in access.webhooks.items()},
            "status_page": {"api_url": f"{url}/statuspage/v1", "page": PAGE, "token": access.status_token},
            "records": str(records),
            "pages_url": f"{url}/pages",
        },
        "allow": ["synthetic_alert", "test_page", "chat_message", "status_page_rehearsal"],
    }
