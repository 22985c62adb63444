"""Whether the security controls and compliance requirements hold for what runs, each its own check."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import Api
from bais_gates.probes import (
    Cluster,
    Database,
    HttpClient,
    inspect_dump,
    list_backups,
    plaintext_refusal,
    read_bytes,
    read_cluster,
    read_namespace,
    read_network,
    read_text,
    tls,
)
from bais_gates.rules import (
    Finding,
    Network,
    audit_trail,
    cache,
    exposure,
    hygiene,
    isolation_findings,
    labels_of,
    of_kind,
    parse_exceptions,
    parse_report,
    procedure_faults,
    rbac,
    uncovered,
    unencrypted_claims,
    violations,
)
from bais_gates.rules import objects as kubernetes_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

ENFORCE: Final = "pod-security.kubernetes.io/enforce"
LOGIN: Final = "/api/v1/auth/login"
GUARDED: Final = "/api/v1/analytics/dashboard"
SEEN_WITHIN_S: Final = 10.0
LOG_LINES: Final = 5000
PLAIN_DUMPS: Final = frozenset({".sql", ".dump", ".gz", ".tar", ".pgdump", ".bak"})


@pytest.mark.gate("checklist.compliance_verified")
def test_compliance_verified(
    cluster: Cluster, api: Api, environment: Environment, evidence: Evidence
) -> None:
    """Eight security controls and six compliance requirements hold for what runs, each on own evidence."""
    namespace = environment.kubernetes.namespace
    objects = [*read_namespace(cluster, namespace), *read_cluster(cluster)]
    network = read_network(cluster, namespace)
    pods_hold(objects, network, namespace, evidence)
    secrets_and_permissions(objects, namespace, evidence)
    encrypted_outside(objects, environment, evidence)
    scanning(environment, evidence)
    trail = Trail(api=api, cluster=cluster, environment=environment)
    logged(trail, evidence)
    monitored(trail, of_kind(objects, "Service"), evidence)
    encrypted_inside(objects, environment, evidence)
    backups_encrypted(environment.backup.directory, evidence)
    procedures(environment, evidence)


def none_of(
    evidence: Evidence, name: str, found: Iterable[Finding | str], source: str, n: int | None = None
) -> None:
    """Check that a rule names nothing."""
    evidence.check(name, sorted({str(finding) for finding in found}), "==", [], n=n, source=source)


def pods_hold(objects: list[Any], network: list[Any], namespace: str, evidence: Evidence) -> None:
    """Check the controls non-root, limits and network policies, of running pods and of their makers."""
    running = [pod for pod in of_kind(objects, "Pod") if kubernetes_objects.workloads([pod])]
    evidence.require("running pods", len(running), ">=", 1, source=f"pods of {namespace}")
    makers = [*running, *of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job")]
    held = [
        f"{obj['kind']} {obj['metadata']['name']}: {violation.message}"
        for obj in makers
        for violation in violations(obj, "restricted")
    ]
    none_of(
        evidence, "non-root: violations of restricted", held, "Pod Security Standards restricted", len(makers)
    )
    none_of(
        evidence,
        "non-root: containers that may be root",
        hygiene.root_users(makers),
        "CIS 5.2.7",
        len(makers),
    )
    space = next((o for o in of_kind(network, "Namespace") if o["metadata"]["name"] == namespace), {})
    enforced = labels_of(space).get(ENFORCE, "nothing")
    evidence.check("non-root: the namespace enforces", enforced, "==", "restricted", source="CIS 5.2.1")
    limits = hygiene.missing_resources(makers)
    none_of(evidence, "limits: containers without requests and limits", limits, "CKV_K8S_10-13", len(makers))
    open_pods = isolation_findings(Network.of(network), namespace)
    none_of(evidence, "network policies: pods open in a direction", open_pods, "CIS 5.3.2", len(running))


def secrets_and_permissions(objects: list[Any], namespace: str, evidence: Evidence) -> None:
    """Check the controls secrets management and RBAC."""
    literal = hygiene.literal_secrets(objects)
    none_of(
        evidence, "secrets management: secrets as text", literal, "CIS 5.4; Polaris sensitiveContainerEnvVar"
    )
    tokens = hygiene.account_findings(objects)
    none_of(evidence, "RBAC: accounts and tokens of pods", tokens, "CIS 5.1.5, 5.1.6")
    granted = rbac.binding_findings(objects, namespace)
    none_of(evidence, "RBAC: permissions that are too much", granted, "CIS 5.1.1-5.1.8")


def encrypted_outside(objects: list[Any], environment: Environment, evidence: Evidence) -> None:
    """Check the control TLS: today's protocol, trusted, and no host of an Ingress without it."""
    part = environment.api
    try:
        spoken = tls.handshake(tls.Server.of(part.url, part.ca_file)).protocol
    except (tls.TlsNotTrusted, ValueError) as e:
        spoken = str(e)
    evidence.check("TLS: protocol of the API", spoken, "in", ["TLSv1.2", "TLSv1.3"], source="PCI DSS 4.2.1")
    none_of(
        evidence, "TLS: Ingress hosts without it", exposure.ingress_tls(objects), "Polaris tlsSettingsMissing"
    )


def scanning(environment: Environment, evidence: Evidence) -> None:
    """Check the control scanning: reports are there, and nothing bad is open without a dated exception."""
    part = environment.security
    reports = [
        parse_report(read_bytes(path, "scanner report", "security.scans"), path) for path in part.scans
    ]
    exceptions = (
        parse_exceptions(read_text(file, "exceptions file", "security.exceptions"), file)
        if (file := part.exceptions)
        else ()
    )
    evidence.check("scanning: reports", len(reports), ">=", 1, source="PCI DSS 6.3, 11.3")
    found = [finding for report in reports for finding in report.open_findings("critical", "high")]
    left = uncovered(found, exceptions, tls.now().date())
    none_of(evidence, "scanning: open critical and high findings", map(str, left), "PCI DSS 6.3.3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """Where an action is done, and where it must then be seen."""

    api: Api
    cluster: Cluster
    environment: Environment

    def lines(self, request_id: str) -> list[dict[str, Any]]:
        """Read what the API's pods have logged of a request."""
        part = self.environment.kubernetes
        pods = self.cluster.list(
            "v1", "Pod", part.namespace, labels=f"app.kubernetes.io/name={part.names.api}"
        )
        logs = (self.cluster.logs(part.namespace, p["metadata"]["name"], tail=LOG_LINES) for p in pods)
        return [line for log in logs for line in audit_trail.find_entries(log, request_id)]

    def entries(self, request_id: str) -> list[dict[str, Any]]:
        """Read the audit entries of a request: by the environment's query, or from the pods' logs."""
        query = self.environment.security.audit_query
        if query is None:
            return [line for line in self.lines(request_id) if audit_trail.is_audit_entry(line)]
        with Database(self.environment.database.url) as database:
            return list(database.rows(query, {"request_id": request_id}))

    def sign_in(self) -> tuple[str, bool]:
        """Sign in as the test tenant, or as nobody without one; return request id and whether it worked."""
        known, request_id = self.environment, f"gates-{secrets.token_hex(12)}"
        read_only = known.describes("kubernetes") and known.kubernetes.read_only
        tenant = known.test_tenant if read_only or known.describes("test_tenant") else None
        email = f"{request_id}@gates.invalid" if tenant is None else tenant.email
        password = secrets.token_urlsafe(16) if tenant is None else tenant.password
        body = {"email": email, "password": password}
        answer = self.api.post(LOGIN, json=body, headers={"X-Request-ID": request_id})
        return answer.headers.get("x-request-id", request_id), answer.status == 200


def wait_for(look: Callable[[], list[Any]]) -> list[Any]:
    """Look until there is something, or the time is over."""
    until = time.monotonic() + SEEN_WITHIN_S
    while not (found := look()) and time.monotonic() < until:
        time.sleep(0.25)
    return found


def logged(trail: Trail, evidence: Evidence) -> None:
    """Check the audit log and the access log: a sign-in just made stands in both."""
    request_id, worked = trail.sign_in()
    entries = wait_for(lambda: trail.entries(request_id))
    evidence.check(
        "audit log active: entries of a sign-in just made", len(entries), ">=", 1, source="PCI DSS 10.2.1"
    )
    evidence.check(
        "audit log active: what they say of being allowed",
        audit_trail.allowed_values(entries),
        "==",
        [worked],
    )
    seen = wait_for(lambda: [line for line in trail.lines(request_id) if audit_trail.is_access_entry(line)])
    evidence.check("access logging: lines of a sign-in just made", len(seen), ">=", 1, source="PCI DSS 10.2")


def monitored(trail: Trail, services: list[Any], evidence: Evidence) -> None:
    """Check security monitoring: a refused request is counted, and the figures are collected."""
    part = trail.environment.metrics
    answer = trail.api.get(GUARDED)
    evidence.check(
        "security monitoring: a request without a token", answer.status, "==", 401, source=answer.url
    )

    def counted() -> list[float]:
        # Each connection may lead to another replica, and each counts its own requests.
        trail.api.get(GUARDED)
        with HttpClient(part.url, ca_file=part.ca_file) as client:
            count = audit_trail.count_unauthorized(client.request("GET", "").text)
        return [count] if count else []

    refused = sum(wait_for(counted))
    evidence.check("security monitoring: refused requests counted", refused, ">=", 1, source=part.url)
    namespace = trail.environment.kubernetes.namespace
    monitors = trail.cluster.list("monitoring.coreos.com/v1", "ServiceMonitor", namespace)
    faults = audit_trail.monitor_faults(monitors, services)
    none_of(evidence, "security monitoring: what is wrong with its collection", faults, "PCI DSS 10.4.1.1")


def encrypted_inside(objects: list[Any], environment: Environment, evidence: Evidence) -> None:
    """Check encryption at rest and in transit: the volumes, the database's sessions, the cache."""
    claims = of_kind(objects, "PersistentVolumeClaim")
    unsafe = unencrypted_claims(objects)
    none_of(
        evidence, "encryption at rest: volumes not known to be encrypted", unsafe, "PCI DSS 3.5", len(claims)
    )
    url = environment.database.url
    with Database(url) as database:
        plain, seen = database.network_sessions()
    evidence.check(
        "encryption in transit: database sessions without TLS", plain, "==", 0, n=seen, source="pg_stat_ssl"
    )
    refusal = plaintext_refusal(url) or "let in"
    evidence.check(
        "encryption in transit: a sign-in without TLS is", refusal, "!=", "let in", source="pg_hba.conf"
    )
    sealed = cache.is_encrypted(environment.cache.url)
    evidence.check(
        "encryption in transit: cache in the clear over a network", sealed is False, "==", limit=False
    )


def backups_encrypted(directory: Path, evidence: Evidence) -> None:
    """Check backup encryption: every backup is, and no dump lies beside them as it is."""
    found = list_backups(directory)
    evidence.check("backup encryption: backups", len(found), ">=", 1, source=str(directory))
    plain = [backup.path.name for backup in found if not inspect_dump(backup).encrypted]
    plain += [path.name for path in directory.iterdir() if path.suffix in PLAIN_DUMPS]
    none_of(evidence, "backup encryption: dumps in the clear", plain, "PCI DSS 9.4.1", len(found))


def procedures(environment: Environment, evidence: Evidence) -> None:
    """Check the incident procedures: written, whole, owned, and reviewed within the year."""
    paths = environment.security.incident_procedures
    evidence.check("incident procedures: how many", len(paths), ">=", 1, source="PCI DSS 12.10")
    today = tls.now().date()
    faults = [
        f"{path.name}: {fault}"
        for path in paths
        for fault in procedure_faults(
            read_text(path, "incident procedure", "security.incident_procedures"), today
        )
    ]
    none_of(
        evidence, "incident procedures: what is wrong with them", faults, "NIST SP 800-61; PCI DSS 12.10.2"
    )
