"""Check the security controls and compliance requirements, each by checks of its own."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

from bais_gates import Environment, Evidence, KubernetesPart, RecordRefused
from bais_gates.bais import Api
from bais_gates.probes import (
    Cluster,
    Database,
    DatabaseAccess,
    DatabaseBlocked,
    HttpClient,
    database_access,
    database_maintenance,
    inspect_dump,
    read_backups,
    read_bytes,
    read_cluster,
    read_namespace,
    read_network,
    read_text,
    tls,
    version_number,
)
from bais_gates.rules import (
    audit_trail,
    cache,
    database,
    database_exposure,
    database_requirements,
    database_settings,
    parse_exceptions,
    parse_report,
    procedure_faults,
    uncovered,
)
from bais_gates.rules import database_access as access
from bais_gates.rules.kubernetes import (
    Finding,
    Network,
    exposure,
    hygiene,
    isolation_findings,
    of_kind,
    plaintext,
    rbac,
    unencrypted_claims,
    violations,
)
from bais_gates.rules.kubernetes import objects as kubernetes_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

LOGIN: Final = "/api/v1/auth/login"
PROTECTED: Final = "/api/v1/analytics/dashboard"
LOGGED_WITHIN_S: Final = 10.0
LOG_LINES: Final = 5000
BLOCKED_S: Final = 2.0
DUMP_SUFFIXES: Final = frozenset({".sql", ".dump", ".gz", ".tar", ".pgdump", ".bak"})


@pytest.mark.gate("checklist.compliance_verified")
def test_compliance_verified(
    cluster: Cluster, api: Api, environment: Environment, evidence: Evidence
) -> None:
    """Eight security controls and six compliance requirements hold for the platform as it runs."""
    namespace = environment.kubernetes.namespace
    objects = [*read_namespace(cluster, namespace), *read_cluster(cluster)]
    network = read_network(cluster, namespace)
    check_pods(objects, network, environment.kubernetes, evidence)
    check_namespace(network, namespace, cluster.version(), evidence)
    check_permissions(objects, environment.kubernetes, evidence)
    more = [o for o in network if o["kind"] == "NetworkPolicy" or o["metadata"]["name"] == namespace]
    check_secrets([*objects, *more], environment.kubernetes, evidence)
    check_tls(objects, environment, evidence)
    check_scans(environment, evidence)
    trail = Trail(api=api, cluster=cluster, environment=environment)
    check_logs(trail, evidence)
    check_monitoring(trail, objects, evidence)
    check_encryption(objects, environment, evidence)
    check_database(environment, evidence)
    check_backups(environment.backup.directory, evidence)
    check_procedures(environment, evidence)


def check_none(
    evidence: Evidence, name: str, found: Iterable[Finding | str], source: str, n: int | None = None
) -> None:
    """Check that a rule has no findings."""
    evidence.check(name, sorted({str(finding) for finding in found}), "==", [], n=n, source=source)


def check_pods(objects: list[Any], network: list[Any], part: KubernetesPart, evidence: Evidence) -> None:
    """Check non-root, images, limits and network policies, of the running pods and of what creates them."""
    running = [pod for pod in of_kind(objects, "Pod") if kubernetes_objects.workloads([pod])]
    evidence.require("running pods", len(running), ">=", 1, source=f"pods of {part.namespace}")
    every = [*running, *of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job")]
    violated = [
        f"{obj['kind']} {obj['metadata']['name']}: {violation.message}"
        for obj in every
        for violation in violations(obj, "restricted")
    ]
    own = {part.names.api, part.names.database, part.names.cache, part.names.backup}
    pss, writable = "Pod Security Standards restricted", hygiene.writable_root(every, own)
    for name, found, source in (
        ("non-root: violations of the restricted standard", violated, pss),
        ("non-root: containers that may run as root", hygiene.root_users(every), "CIS 5.2.7"),
        ("non-root: writable root file systems", writable, "CIS 5.7.3; NSA/CISA guide"),
        ("scanning: images that may change", hygiene.moving_images(every), "CKV_K8S_14"),
        ("limits: containers without requests or limits", hygiene.missing_resources(every), "CKV_K8S_10-13"),
    ):
        check_none(evidence, name, found, source, len(every))
    unisolated = isolation_findings(Network.of(network), part.namespace)
    name = "network policies: pods that are not isolated"
    check_none(evidence, name, unisolated, "CIS 5.3.2", len(running))


def check_namespace(network: list[Any], namespace: str, version: str, evidence: Evidence) -> None:
    """Check that the namespace enforces the restricted standard by the rules of the cluster's version."""
    found = [one for one in of_kind(network, "Namespace") if one["metadata"]["name"] == namespace]
    labels = hygiene.namespace_findings(found[0], version_number(version) or (0, 0))
    check_none(evidence, "non-root: Pod Security of the namespace", labels, "CIS 5.2.1")


def check_permissions(objects: list[Any], part: KubernetesPart, evidence: Evidence) -> None:
    """Check RBAC: accounts and their tokens, and who has permissions that lead to more."""
    accounts, name = hygiene.account_findings(objects), "RBAC: default service accounts and mounted tokens"
    check_none(evidence, name, accounts, "CIS 5.1.5, 5.1.6")
    trusted = [subject for subject, _ in part.trusted_subjects]
    bindings = rbac.binding_findings(objects, part.namespace, trusted)
    check_none(evidence, "RBAC: excessive permissions", bindings, "CIS 5.1.1-5.1.13; RBAC Good Practices")


def check_secrets(objects: list[Any], part: KubernetesPart, evidence: Evidence) -> None:
    """Check secrets management: no secret is text, no token is for ever, no password is a default."""
    text, name = plaintext.literal_secrets(objects), "secrets management: secrets in plain text"
    check_none(evidence, name, text, "CIS 5.4.1; detect-secrets")
    with Cluster(part.secrets_access()) as cluster:
        if not cluster.may("list", "secrets", part.namespace):
            right = f"--verb=list --resource=secrets -n {part.namespace}"
            source = f"context {cluster.access.context} may not: kubectl create role secrets-lister {right}"
            evidence.check("secrets management: Secrets looked through", None, ">=", 0, source=source)
            return
        listed = cluster.list("v1", "Secret", part.namespace)
    tokens, name = hygiene.long_lived_tokens(listed), "secrets management: tokens that never expire"
    check_none(evidence, name, tokens, "Kubernetes: Managing Service Accounts", len(listed))
    weak, name = plaintext.weak_secrets(listed), "secrets management: default passwords"
    check_none(evidence, name, weak, "PCI DSS 2.2.2", len(listed))


def check_tls(objects: list[Any], environment: Environment, evidence: Evidence) -> None:
    """Check TLS: a current protocol, a trusted certificate, and no Ingress host without TLS."""
    part = environment.api
    try:
        protocol = tls.handshake(tls.Server.of(part.url, part.ca_file)).protocol
    except (tls.TlsNotTrusted, ValueError) as e:
        protocol = str(e)
    evidence.check("TLS: protocol of the API", protocol, "in", ["TLSv1.2", "TLSv1.3"], source="PCI DSS 4.2.1")
    source = "Polaris tlsSettingsMissing"
    check_none(evidence, "TLS: Ingress hosts without TLS", exposure.ingress_tls(objects), source)


def check_scans(environment: Environment, evidence: Evidence) -> None:
    """Check scanning: there are reports, and no critical or high finding is open without an exception."""
    part = environment.security
    try:
        reports = [
            parse_report(read_bytes(path, "scanner report", "security.scans"), path) for path in part.scans
        ]
        exceptions = (
            parse_exceptions(read_text(file, "exceptions file", "security.exceptions"), file)
            if (file := part.exceptions)
            else ()
        )
    except RecordRefused as e:
        evidence.check("scanning: state of the records", str(e), "==", "usable", source="security")
        return
    evidence.check("scanning: scanner reports", len(reports), ">=", 1, source="PCI DSS 6.3, 11.3")
    found = [finding for report in reports for finding in report.open_findings("critical", "high")]
    left = map(str, uncovered(found, exceptions, tls.now().date()))
    check_none(evidence, "scanning: open critical and high findings", left, "PCI DSS 6.3.3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """The audit trail: where a sign-in is made and where its log entries are found."""

    api: Api
    cluster: Cluster
    environment: Environment

    def log_entries(self, request_id: str) -> list[dict[str, Any]]:
        """Return the entries of a request in the logs of the API's pods."""
        part = self.environment.kubernetes
        pods = self.cluster.list(
            "v1", "Pod", part.namespace, labels=f"app.kubernetes.io/name={part.names.api}"
        )
        logs = (self.cluster.logs(part.namespace, p["metadata"]["name"], tail=LOG_LINES) for p in pods)
        return [entry for log in logs for entry in audit_trail.find_entries(log, request_id)]

    def audit_entries(self, request_id: str) -> list[dict[str, Any]]:
        """Return the audit entries of a request, by the environment's query or from the pods' logs."""
        query = self.environment.security.audit_query
        if query is None:
            return [entry for entry in self.log_entries(request_id) if audit_trail.is_audit_entry(entry)]
        with Database(self.environment.database.url) as database:
            return list(database.rows(query, {"request_id": request_id}))

    def sign_in(self) -> tuple[str, bool]:
        """Sign in as the test tenant, or as an unknown user without one; return request id and success."""
        known, request_id = self.environment, f"gates-{secrets.token_hex(12)}"
        read_only = known.describes("kubernetes") and known.kubernetes.read_only
        tenant = known.test_tenant if read_only or known.describes("test_tenant") else None
        email = f"{request_id}@gates.invalid" if tenant is None else tenant.email
        password = secrets.token_urlsafe(16) if tenant is None else tenant.password
        body = {"email": email, "password": password}
        answer = self.api.post(LOGIN, json=body, headers={"X-Request-ID": request_id})
        return answer.headers.get("x-request-id", request_id), answer.status == 200


def wait_for(find: Callable[[], list[Any]]) -> list[Any]:
    """Call ``find`` until it returns something or ``LOGGED_WITHIN_S`` is over; return its last result."""
    until = time.monotonic() + LOGGED_WITHIN_S
    while not (found := find()) and time.monotonic() < until:
        time.sleep(0.25)
    return found


def check_logs(trail: Trail, evidence: Evidence) -> None:
    """Check that the audit log and the access log record a sign-in."""
    request_id, signed_in = trail.sign_in()
    entries = wait_for(lambda: trail.audit_entries(request_id))
    source = "PCI DSS 10.2.1"
    evidence.check("audit log: entries of the gate's sign-in", len(entries), ">=", 1, source=source)
    recorded = ["allowed" if allowed else "refused" for allowed in audit_trail.allowed_values(entries)]
    actual = ["allowed" if signed_in else "refused"]
    evidence.check("audit log: recorded result of the sign-in", recorded, "==", actual, source=source)
    entries = wait_for(lambda: list(filter(audit_trail.is_access_entry, trail.log_entries(request_id))))
    name = "access logging: entries of the gate's sign-in"
    evidence.check(name, len(entries), ">=", 1, source="PCI DSS 10.2")


def check_monitoring(trail: Trail, objects: list[Any], evidence: Evidence) -> None:
    """Check security monitoring: refused requests are counted, and Prometheus collects the metrics."""
    part = trail.environment.metrics
    answer = trail.api.get(PROTECTED)
    name = "security monitoring: status of a request without a token"
    evidence.check(name, answer.status, "==", 401, source=answer.url)

    def count_refused() -> list[float]:
        # Each connection may lead to another replica, and each counts its own requests.
        trail.api.get(PROTECTED)
        with HttpClient(part.url, ca_file=part.ca_file) as client:
            count = audit_trail.count_unauthorized(client.request("GET", "").text)
        return [count] if count else []

    refused = sum(wait_for(count_refused))
    evidence.check("security monitoring: counted 401 responses", refused, ">=", 1, source=part.url)
    name, path = trail.environment.kubernetes.names.api, urlsplit(part.url).path
    faults = audit_trail.monitor_faults(objects, name, path)
    check_none(evidence, "security monitoring: ServiceMonitor faults", faults, "PCI DSS 10.4.1.1")


def check_encryption(objects: list[Any], environment: Environment, evidence: Evidence) -> None:
    """Check encryption at rest (volumes) and in transit (cache connections)."""
    claims = of_kind(objects, "PersistentVolumeClaim")
    name = "encryption at rest: volumes not known to be encrypted"
    check_none(evidence, name, unencrypted_claims(objects), "PCI DSS 3.5", len(claims))
    words = {True: "encrypted", None: "on this machine", False: "unencrypted over a network"}
    connection = words[cache.is_encrypted(environment.cache.url)]
    name = "encryption in transit: cache connection"
    evidence.check(name, connection, "!=", words[False], source="scheme and host of cache.url")


def check_database(environment: Environment, evidence: Evidence) -> None:
    """Check the database: least privilege, authentication, encryption in transit, and what it logs."""
    url, part = environment.database.url, environment.security
    try:
        state = database_access.read(url, part.append_only)
    except DatabaseBlocked:
        blocking = database.blocking_sessions(database_maintenance.read_blockers(url, BLOCKED_S))
        if evidence.check(
            "database: sessions that block the catalogs", blocking, "==", [], source="pg_locks"
        ):
            raise
        return
    subjects = access.Subjects(
        gates=state.gates,
        application=state.application,
        roles=state.roles,
        declared=part.privileged_roles,
        managed=state.managed,
    )
    check_roles(state, subjects, evidence)
    check_authentication(state, subjects, url, evidence)
    check_database_log(state, environment, evidence)


def check_roles(state: DatabaseAccess, subjects: access.Subjects, evidence: Evidence) -> None:
    """Check that no role of the database may do more than it needs or the environment file declares."""
    n = len(state.roles)
    name = "database rights: roles with more rights than they need"
    check_none(evidence, name, access.attribute_findings(subjects), "CIS PostgreSQL 4.3; pg_roles", n)
    members = access.membership_findings(subjects, state.memberships)
    check_none(evidence, "database rights: memberships", members, "CIS PostgreSQL 4.9; pg_auth_members", n)
    grants = access.grant_findings(subjects, state.grants)
    check_none(evidence, "database rights: grants", grants, "CIS PostgreSQL 4.6; aclexplode", n)
    functions = access.function_findings(state.functions)
    check_none(evidence, "database rights: functions", functions, "CIS PostgreSQL 4.5; pg_proc")
    exposed = database_exposure.exposure_findings(subjects, state.exposed)
    name = "database rights: owners, extensions, languages, publications, row security"
    check_none(evidence, name, exposed, "PCI DSS 7.2; pg_database, pg_extension, ...")
    owned = [f"{name} belongs to {state.gates}" for name in state.owned]
    check_none(evidence, "database rights: objects of the gates' role", owned, "pg_shdepend")
    appended = access.append_only_findings(state.append_only)
    name, source = "database audit: append-only tables that can be changed", "PCI DSS 10.3.2; pg_trigger"
    check_none(evidence, name, appended, source)


def check_authentication(
    state: DatabaseAccess, subjects: access.Subjects, url: str, evidence: Evidence
) -> None:
    """Check how one signs in to the database, by rules and by attempts, and that sessions are encrypted."""
    source = "CIS PostgreSQL 5.4; pg_hba_file_rules"
    check_none(evidence, "database sign-in: rules", access.rule_findings(state.rules or ()), source)
    passwords = access.password_findings(subjects, state.passwords or (), state.rules or ())
    passwords += access.expiry_findings(subjects)
    check_none(evidence, "database sign-in: passwords", passwords, "CIS PostgreSQL 4.10; pg_authid, pg_roles")
    for name, encrypted in (
        ("database sign-in: method in effect", True),
        ("encryption in transit: database sign-in without TLS", False),
    ):
        methods = database_access.attempt_sign_ins(url, state.sign_ins, encrypted=encrypted)
        found = access.attempt_findings(methods, encrypted=encrypted)
        check_none(evidence, name, found, "CIS PostgreSQL 6.8; attempts without a password", len(methods))
    answer, name = database_access.wrong_password(url), "database sign-in: with a wrong password"
    evidence.check(name, answer, "==", "refused", source="an attempt as the gates' role")
    plain = access.session_findings(state.sessions)
    name = "encryption in transit: database sessions without TLS"
    check_none(evidence, name, plain, "PCI DSS 4.2.1; pg_stat_ssl", len(state.sessions))


def check_database_log(state: DatabaseAccess, environment: Environment, evidence: Evidence) -> None:
    """Check that the database logs what an audit needs, and that its settings close it to strangers."""
    stated = environment.database_settings if environment.describes("database_settings") else {}
    settings = database_settings.server_settings(state.settings, state.files)
    audit = database_settings.audit_requirements(settings)
    logged = database_settings.setting_findings(settings, audit, stated)
    logged += database_settings.log_findings(settings)
    source = "CIS PostgreSQL 3.1, 3.2; pg_settings"
    check_none(evidence, "database audit: settings of the log", logged, source)
    secured = database_settings.setting_findings(settings, database_requirements.AUTHENTICATION, stated)
    check_none(evidence, "database sign-in: settings", secured, "CIS PostgreSQL 6.8; pg_settings")
    overrides = database_settings.override_findings(
        state.overrides,
        state.settings,
        audit | database_requirements.AUTHENTICATION,
        {},
        application=state.application,
    )
    overrides += database_settings.search_path_findings(
        state.overrides, state.settings, application=state.application
    )
    overrides += database_settings.gates_findings(state.overrides, settings, state.gates)
    check_none(evidence, "database: settings of roles and databases", overrides, "pg_db_role_setting")


def check_backups(directory: Path, evidence: Evidence) -> None:
    """Check backup encryption: every backup is encrypted, and there is no other dump in the directory."""
    found, _ = read_backups(directory)  # invalid descriptions are for the gate of the backups
    evidence.check("backup encryption: backups", len(found), ">=", 1, source=str(directory))
    plain = [backup.path.name for backup in found if not inspect_dump(backup).encrypted]
    plain += [path.name for path in directory.iterdir() if path.suffix in DUMP_SUFFIXES]
    check_none(evidence, "backup encryption: unencrypted dumps", plain, "PCI DSS 9.4.1", len(found))


def check_procedures(environment: Environment, evidence: Evidence) -> None:
    """Check the incident procedures: complete, with an owner, reviewed within a year."""
    paths = environment.security.incident_procedures
    what, key, today = "incident procedure", "security.incident_procedures", tls.now().date()
    evidence.check(f"incident procedures: documents ({key})", len(paths), ">=", 1, source="PCI DSS 12.10")
    faults = []
    for path in paths:
        try:
            found = procedure_faults(read_text(path, what, key), today)
        except RecordRefused as e:
            found = [str(e)]
        faults += [f"{path.name}: {fault}" for fault in found]
    check_none(evidence, "incident procedures: faults", faults, "NIST SP 800-61; PCI DSS 12.10.2")
