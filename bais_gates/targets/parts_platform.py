"""The parts of an environment file about the platform's cluster and what runs in it, as frozen values.

Paths are absolute. A file that is named need not exist yet: the gate that reads it says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from bais_gates.errors import GateInputError
from bais_gates.probes.kubernetes.access import REQUEST_TIMEOUT_S, ClusterAccess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the platform's objects are called."""

    api: str = "bais-api"
    database: str = "bais-postgres"
    cache: str = "bais-redis"
    backup: str = "bais-backup"
    ingress: str = "bais-api"
    certificate: str = "bais-api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A system workload: which one it is, or why there is none; by its labels when neither is said."""

    workload: str | None = None
    """namespace/name of its Deployment or DaemonSet."""
    absent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesPart:
    """The cluster that the platform runs in, and with which credentials it is asked."""

    COMPONENTS: ClassVar = ("prometheus_operator", "ingress_controller", "cert_manager")
    """The system workloads that the platform needs in its cluster."""

    kubeconfig: Path
    context: str
    namespace: str = "bais"
    read_only: bool = False
    admin_context: str | None = None
    request_timeout_s: float = REQUEST_TIMEOUT_S
    cluster_uid: str | None = None
    minimum_version: str = "1.20"
    helm_releases: tuple[str, ...] = ()
    components: tuple[tuple[str, Component], ...] = ()
    names: Names = field(default_factory=Names)

    def component(self, name: str) -> Component:
        """Return what the file says of one of :attr:`COMPONENTS`."""
        return dict(self.components).get(name, Component())

    def access(self) -> ClusterAccess:
        """Return the access for reading: what gates have."""
        return ClusterAccess(
            kubeconfig=self.kubeconfig,
            context=self.context,
            verified=self.read_only,
            request_timeout_s=self.request_timeout_s,
        )

    def write_access(self) -> ClusterAccess:
        """Return the access for writing, by ``admin_context`` if named; GateInputError if read_only."""
        if self.read_only:
            raise GateInputError(
                f"The environment file marks the cluster of context {self.context!r} read_only, and a gate "
                "would write there. Declare that gate under not_applicable with the reason, or judge a "
                "target that may be written to."
            )
        return ClusterAccess(
            kubeconfig=self.kubeconfig,
            context=self.admin_context or self.context,
            read_only=False,
            verified=False,
            request_timeout_s=self.request_timeout_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePart:
    """What is to be running: the API's image by digest, and the version that it says."""

    image: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPart:
    """What the platform's TLS is held to."""

    http_url: str | None = None
    min_days: int = 30
    refused_versions: tuple[str, ...] = ("TLSv1", "TLSv1.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPart:
    """Where the backups lie, what decrypts them, and where one may be restored to."""

    directory: Path
    identity: str | None = None
    scratch_url: str | None = None
    max_age_h: float = 26.0
    restore_within_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityPart:
    """The records of security work: an audit, scanners' reports, exceptions, procedures."""

    audit_record: Path | None = None
    scans: tuple[Path, ...] = ()
    exceptions: Path | None = None
    incident_procedures: tuple[Path, ...] = ()
    max_audit_age_d: float = 90.0
    audit_query: str | None = None
    """SQL that gives the audit entries of the request %(request_id)s; without it, the pods' logs are read."""
    expected_exposed: tuple[str, ...] = ()
    """Services that may be of type LoadBalancer or NodePort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPart:
    """The record of the last recovery drill, and whether a gate may hold one here."""

    record: Path | None = None
    drill: bool = False
    within_s: float = 300.0
    max_record_age_d: float = 90.0
    database_url: str | None = None
    backup_within_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPart:
    """What the platform must bear, and how much must be left over."""

    users: int = 1000
    requests_per_s: float = 500.0
    requests_per_s_per_replica: float | None = None
    max_connections_cap: int = 800
    connections_per_replica: int | None = None
    reserved_connections: int = 10
    cpu_headroom: float = 0.2
    memory_headroom: float = 0.2
    disk_used_max: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """How the cache is to be set up."""

    maxmemory_policy: str | None = None
    persistence: str | None = None
    maxmemory: str | int | None = None
    admin_users: tuple[str, ...] = ()
    hit_rate_samples: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StagingPart:
    """What is provisioned as staging, where, and with which values."""

    overlay: str
    namespace: str = "bais-staging"
    images: tuple[str, ...] = ()
    timeout_s: float = 100.0
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Their values are registered with redaction, except those of names that hold no secret."""
