"""The parts that an environment file can describe, as frozen values.

Paths are absolute. A file that is named need not exist yet: the gate that reads it reports an absent one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from bais_gates.errors import GateInputError
from bais_gates.probes.kubernetes.access import REQUEST_TIMEOUT_S, ClusterAccess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def missing(path: Path, *keys: str) -> GateInputError:
    """Return the error for parts that gates need and the file does not describe."""
    be, it, need = ("is", "it", "a gate needs") if len(keys) == 1 else ("are", "them", "gates need")
    return GateInputError(
        f"{path}: {', '.join(keys)} {be} missing, and {need} {it}. Describe {it} (environment.schema.json "
        "has the keys), or declare the gate under not_applicable with the reason."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPart:
    """The API's address, the CA of its certificate, and the identity that it must report."""

    url: str
    ca_file: Path | None = None
    environment: str | None = None
    version: str | None = None
    ingress_address: str | None = None
    server_name: str | None = None  # of the certificate, if it is not the URL's host; no key of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Requests accepted in ``window_s`` seconds, per token and per client address."""

    per_token: int
    per_address: int
    window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePart:
    """A role that can only read, and the queries that find a payment in this release's tables."""

    url: str
    payment_query: str | None = None
    workflow_payments_query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePart:
    """The platform's Redis."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhooksPart:
    """Where a gate listens for webhook deliveries, and the address that the platform sends them to."""

    listen_host: str
    listen_port: int = 0
    advertise_url: str | None = None
    deadline_s: float = 15.0
    """Seconds within which a delivery, or its next attempt, must arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentsPart:
    """How fast this platform completes payments."""

    settled_within_s: float = 10.0
    """Seconds within which a payment must be completed or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPart:
    """The platform's Prometheus exposition."""

    url: str
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringPart:
    """Where Prometheus and Alertmanager answer, and what they must show."""

    prometheus_url: str | None = None
    alertmanager_url: str | None = None
    ca_file: Path | None = None
    token: str | None = field(default=None, repr=False)
    jobs: tuple[str, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    """Pairs of metric and reason."""
    inbox_url: str | None = None
    deliver_within_s: float = 30.0
    availability_window: str = "30d"
    availability_min: float = 0.999
    addresses: tuple[tuple[str, str], ...] = ()
    """Pairs of name and URL."""
    log_query_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPage:
    """The page at Statuspage, by its id, that tells customers of incidents."""

    page: str
    token: str = field(repr=False)
    api_url: str = "https://api.statuspage.io/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class OncallPart:
    """Who pages and tells people of incidents here, with which credentials, and the folder of the records."""

    token: str = field(repr=False)
    sender: str
    """The e-mail address of the user whom PagerDuty records as the author of changes (its header From)."""
    api_url: str = "https://api.pagerduty.com"
    events_url: str = "https://events.pagerduty.com"
    routing_key: str | None = field(default=None, repr=False)
    rotation: Path | None = None
    """Default: ``oncall/rotation.yaml`` of the gates."""
    chat: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The incoming webhooks by channel."""
    status_page: StatusPage | None = None
    records: Path | None = None
    golive_window_h: float = 4.0
    """Hours from now in which no service may be in maintenance."""
    pages_url: str | None = None
    """In a sandbox: where pages of runbooks and contacts are asked instead, as URL/HOST/PATH."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestTenant:
    """The account that gates may use to write in production."""

    __test__ = False  # not a test class, although its name begins with Test

    email: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of this target; reading one that the file does not state raises GateInputError."""

    path: Path
    values: tuple[tuple[str, float], ...] = ()

    def _value(self, key: str) -> float:
        for name, value in self.values:
            if name == key:
                return value
        raise missing(self.path, f"limits.{key}")

    @property
    def health_p95_ms(self) -> float:
        """Limit of the p95 latency of /health, in milliseconds."""
        return self._value("health_p95_ms")

    @property
    def api_p95_ms(self) -> float:
        """Limit of the p95 latency of an API endpoint, in milliseconds."""
        return self._value("api_p95_ms")

    @property
    def query_mean_ms(self) -> float:
        """Limit of the mean duration of a database query, in milliseconds."""
        return self._value("query_mean_ms")

    @property
    def cache_operation_ms(self) -> float:
        """Limit of the latency of one cache operation, in milliseconds."""
        return self._value("cache_operation_ms")

    @property
    def concurrency(self) -> int:
        """Concurrent requests that the target must handle."""
        return int(self._value("concurrency"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names of the platform's Kubernetes objects."""

    api: str = "bais-api"
    database: str = "bais-postgres"
    cache: str = "bais-redis"
    backup: str = "bais-backup"
    ingress: str = "bais-api"
    certificate: str = "bais-api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A system workload (namespace/name), or why there is none; found by its labels if neither is stated."""

    workload: str | None = None
    absent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesPart:
    """The cluster that the platform runs in, and the credentials to use there."""

    COMPONENTS: ClassVar = ("prometheus_operator", "ingress_controller", "cert_manager")
    """The system workloads that the platform needs in its cluster."""

    kubeconfig: Path
    context: str
    namespace: str = "bais"
    read_only: bool = False
    admin_context: str | None = None
    secrets_context: str | None = None
    deploy_context: str | None = None
    """The context of ``deploy`` and ``rollback`` alone, also of a read_only cluster."""
    trusted_subjects: tuple[tuple[str, str], ...] = ()
    """Subjects that need permissions which lead to more, as patterns, each with the reason."""
    request_timeout_s: float = REQUEST_TIMEOUT_S
    cluster_uid: str | None = None
    minimum_version: str = "1.27"
    """The oldest Kubernetes version that is accepted; by default the one that the manifests need."""
    helm_releases: tuple[str, ...] = ()
    components: tuple[tuple[str, Component], ...] = ()
    names: Names = field(default_factory=Names)

    def component(self, name: str) -> Component:
        """Return the description of one of :attr:`COMPONENTS`, an empty one if the file has none."""
        return dict(self.components).get(name, Component())

    def access(self, context: str | None = None) -> ClusterAccess:
        """Return the access for reading, the only one that most gates have, by ``context`` or the part's."""
        return ClusterAccess(
            kubeconfig=self.kubeconfig,
            context=context or self.context,
            verified=self.read_only,
            request_timeout_s=self.request_timeout_s,
        )

    def secrets_access(self) -> ClusterAccess:
        """Return the access for reading the namespace's Secrets."""
        return self.access(self.secrets_context or self.admin_context)

    def write_access(self) -> ClusterAccess:
        """Return the access for writing, by ``admin_context`` if named; raise GateInputError if read_only."""
        if self.read_only:
            raise GateInputError(
                f"The environment file marks the cluster of context {self.context!r} read_only, and a gate "
                "needs to write there. Declare that gate under not_applicable with the reason, or choose "
                "another environment."
            )
        return self._writing(self.admin_context or self.context)

    def deploy_access(self, path: Path) -> ClusterAccess:
        """Return the access of ``deploy`` and ``rollback``; raise GateInputError if ``path`` names none."""
        if self.deploy_context is None and self.read_only:
            raise missing(path, "kubernetes.deploy_context")
        return self._writing(self.deploy_context or self.admin_context or self.context)

    def _writing(self, context: str) -> ClusterAccess:
        return ClusterAccess(
            kubeconfig=self.kubeconfig,
            context=context,
            read_only=False,
            verified=self.read_only,
            request_timeout_s=self.request_timeout_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePart:
    """The release that must run: the API's image by digest, and the version that it reports."""

    image: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPart:
    """The requirements on the platform's TLS."""

    http_url: str | None = None
    min_days: int = 30
    refused_versions: tuple[str, ...] = ("TLSv1", "TLSv1.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPart:
    """The folder of the backups, the key that decrypts them, and the server to restore one to."""

    directory: Path
    identity: str | None = None
    scratch_url: str | None = None
    max_age_h: float = 26.0
    restore_within_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityPart:
    """The records of security work: audit, scanner reports, exceptions, incident procedures."""

    audit_record: Path | None = None
    scans: tuple[Path, ...] = ()
    exceptions: Path | None = None
    incident_procedures: tuple[Path, ...] = ()
    max_audit_age_d: float = 90.0
    audit_query: str | None = None
    """SQL that selects the audit entries of request %(request_id)s; without it, the pods' logs are read."""
    expected_exposed: tuple[str, ...] = ()
    """Services that may be of type LoadBalancer or NodePort."""
    privileged_roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The rights that a database role may have beyond reading, by role; the file states a reason for each."""
    append_only: tuple[str, ...] = ()
    """Tables of the database whose rows nobody may change or delete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPart:
    """The record of the last recovery drill, and whether a gate may run one here."""

    record: Path | None = None
    drill: bool = False
    within_s: float = 300.0
    max_record_age_d: float = 90.0
    database_url: str | None = None
    backup_within_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPart:
    """The load that the platform must sustain, and the headroom that must remain."""

    users: int = 1000
    requests_per_s: float = 500.0
    requests_per_s_per_replica: float | None = None
    """For a run without a load run of its own, which measures it."""
    max_connections_cap: int = 800
    connections_per_replica: int | None = None
    reserved_connections: int = 10
    cpu_headroom: float = 0.2
    memory_headroom: float = 0.2
    disk_used_max: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPart:
    """How load gates reach the rate that ``capacity`` promises."""

    accounts: Path | None = None
    """What `bais-gates load prepare` wrote."""
    mix: tuple[tuple[str, int], ...] = ()
    """Pairs of a user's action and its weight; those that are not named keep theirs."""
    rate_per_s: float | None = None
    """Of a sandbox on a small machine: a lower rate than the promised one."""
    platform_pids: tuple[int, ...] = ()
    """Processes of the platform on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """The required settings of the cache."""

    maxmemory_policy: str | None = None
    persistence: str | None = None
    maxmemory: str | int | None = None
    admin_users: tuple[str, ...] = ()
    application_users: tuple[str, ...] | None = None
    """The users that may write; every other one may only read. None: only the gates' own is held to that."""
    hit_rate_samples: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningPart:
    """The key that signs decisions about this target, where a run is given none."""

    key_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StagingPart:
    """What is provisioned as staging, in which namespace, and with which variables."""

    overlay: str
    namespace: str = "bais-staging"
    images: tuple[str, ...] = ()
    timeout_s: float = 100.0
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The values are registered with redaction, except those whose names mark them as public."""
