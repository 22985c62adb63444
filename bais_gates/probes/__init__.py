"""Read what gates judge: one module per protocol, and here their public names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.probes import (
        backup,
        cache_health,
        content,
        database_access,
        database_health,
        database_maintenance,
        jwt,
        restore,
        tls,
    )
    from bais_gates.probes.backup import Backup, BackupError, inspect_dump, list_backups, read_backups
    from bais_gates.probes.cache_health import CacheHealth
    from bais_gates.probes.database_access import DatabaseAccess
    from bais_gates.probes.database_health import DatabaseHealth
    from bais_gates.probes.files import read_bytes, read_text
    from bais_gates.probes.http import HttpClient, Response, Unreachable, decimal_text, resolve
    from bais_gates.probes.kubernetes.cluster import (
        Cluster,
        ClusterError,
        ClusterRefused,
        ClusterUnreachable,
        Objects,
        version_number,
    )
    from bais_gates.probes.kubernetes.snapshot import (
        list_served,
        read_cluster,
        read_exposure,
        read_namespace,
        read_network,
    )
    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.probes.listener import Delivery, Inbox, Listener, signature_problem
    from bais_gates.probes.postgres import (
        Database,
        DatabaseBlocked,
        DatabaseError,
        DatabaseFull,
        StatementsUnavailable,
        statements_since,
    )
    from bais_gates.probes.prometheus import Alertmanager, Line, Point, Prometheus, PrometheusError
    from bais_gates.probes.redis import (
        Cache,
        CacheError,
        CacheForbiddenError,
        CacheRefusedError,
        CacheStatistics,
        Scratch,
    )
    from bais_gates.probes.schedule import (
        Lane,
        Measured,
        callers_for,
        measure,
        measure_again_if_slow,
        wrong_responses,
    )
    from bais_gates.probes.statistics import Summary, percentile
    from bais_gates.probes.volley import Volley, fire
else:
    __getattr__ = lazy_exports(
        __name__,
        "backup",
        "cache_health",
        "content",
        "database_access",
        "database_health",
        "database_maintenance",
        "files",
        "http",
        "jwt",
        "kubernetes.cluster",
        "kubernetes.snapshot",
        "kubernetes.writer",
        "listener",
        "postgres",
        "prometheus",
        "redis",
        "restore",
        "schedule",
        "statistics",
        "tls",
        "volley",
    )

__all__ = [
    "Alertmanager",
    "Backup",
    "BackupError",
    "Cache",
    "CacheError",
    "CacheForbiddenError",
    "CacheHealth",
    "CacheRefusedError",
    "CacheStatistics",
    "Cluster",
    "ClusterError",
    "ClusterRefused",
    "ClusterUnreachable",
    "ClusterWriter",
    "Database",
    "DatabaseAccess",
    "DatabaseBlocked",
    "DatabaseError",
    "DatabaseFull",
    "DatabaseHealth",
    "Delivery",
    "HttpClient",
    "Inbox",
    "Lane",
    "Line",
    "Listener",
    "Measured",
    "Objects",
    "Point",
    "Prometheus",
    "PrometheusError",
    "Response",
    "Scratch",
    "StatementsUnavailable",
    "Summary",
    "Unreachable",
    "Volley",
    "backup",
    "cache_health",
    "callers_for",
    "content",
    "database_access",
    "database_health",
    "database_maintenance",
    "decimal_text",
    "fire",
    "inspect_dump",
    "jwt",
    "list_backups",
    "list_served",
    "measure",
    "measure_again_if_slow",
    "percentile",
    "read_backups",
    "read_bytes",
    "read_cluster",
    "read_exposure",
    "read_namespace",
    "read_network",
    "read_text",
    "resolve",
    "restore",
    "signature_problem",
    "statements_since",
    "tls",
    "version_number",
    "wrong_responses",
]
