"""Each fault of the platform fails exactly its gates, which name what is wrong; undone, they pass again."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from bais_gates import sandbox, servers
from bais_gates.probes.kubernetes.cluster import Cluster
from bais_gates.rollout.expectation import read_deployed
from bais_gates.rollout.workload import Workload
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.faults import FAULTS
from bais_gates.sandbox.platform_faults import ALL_FAULTS, PLATFORM_FAULTS, of_platform
from bais_gates.sandbox.platform_faults.changes import File
from bais_gates.sandbox.platform_faults.making import Maker
from bais_gates.sandbox.releases import RELEASES
from bais_gates.staging import run as staging
from bais_gates.staging.errors import StageError
from bais_gates.staging.reach import Reach
from bais_gates.staging.server import Clock
from bais_gates.staging.staged import StagedPlatform
from bais_gates.targets.environment import load_environment
from bais_gates.targets.target import Target, Unique, open_alertmanager, open_prometheus
from bais_gates.verdict.model import Outcome
from tests.gates.conftest import GATES, Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

    from bais_gates.pytest_plugin.evidence import Evidence
    from bais_gates.targets.environment import Environment
    from tests.gates.conftest import Judged

CATALOG: Final = {
    gate["id"]
    for gate in yaml.safe_load((GATES / "catalog.yaml").read_text(encoding="utf-8"))["gates"]
    if gate["phase"] in {"checklist", "staging"} and "rolls_up" not in gate
}
MONITORED: Final = {
    "monitoring.rules_loaded",
    "monitoring.targets_up",
    "monitoring.routes_deliver",
    "monitoring.dashboard_shows_data",
}
"""Gates of what the sandbox's monitoring has loaded. The faults of the others are tested with the rules."""
DRILL: Final = "checklist.disaster_recovery"
REASONS: Final[dict[str, str]] = {
    "database_duplicate_index": r"duplicate indexes: .*public.payments_of_workflow duplicates",
    "database_foreign_key_without_index": r"without an index: .*payments: FOREIGN KEY .workflow_id",
    "database_table_without_autovacuum": r"autovacuum.*payments",
    "database_replication_slot_unused": r"replication slots: .*former_replica",
    "database_passwords_hashed_by_md5": r"password_encryption: md5, expected scram-sha-256",
    "database_setting_pending_restart": r"pending a restart: .*max_connections",
    "database_second_superuser": r"support",
    "database_readable_by_everybody": r"payments",
    "database_audit_log_changeable": r"audit_log",
    "cluster_readable_by_anonymous": r"system:unauthenticated",
    "cache_evicts_nothing": r"eviction policy: noeviction",
    "cache_memory_changed": r"maxmemory .*: 33,554,432 bytes",
    "cache_persistent": r"persistence.*: aof",
    "cache_user_may_do_everything": r"bais_app: .*flushall",
    "backup_suspended": r"schedule.*: suspended",
    "backup_truncated": r"\.dump\.age.*: 0 bytes|dump size: 0 bytes",
    "backup_checksum_wrong": r"checksum.*: 0000",
    "backup_counts_wrong": r"payments: 0 restored, 1000000 in the backup",
    "backup_in_plain_text": r"unencrypted dumps: .*manual.sql",
    "backup_schedule_deleted": r"CronJob bais-backup: absent",
    "backup_encrypted_for_another_key": r"cannot be decrypted with backup.identity",
    "backup_job_fails": r"backup Job .*: Failed",
    "audit_outdated": r"audit age.*: [0-9,]+ days",
    "audit_approved_by_auditor": r"approve.*the sandbox",
    "audit_incomplete": r"missing.*authorization, cryptography",
    "audit_of_another_build": r"digest.*sha256:1111",
    "audit_leaves_finding_open": r"open critical findings.*: 1",
    "scan_changed_after_audit": r"ruff.sarif",
    "incident_procedure_outdated": r"incident_procedure.md: reviewed on 2020-01-01",
    "certificate_not_managed": r"Certificate bais-api: absent",
    "certificate_issuer_missing": r"Certificate.*: not ready",
    "certificate_for_another_host": r"missing from the Certificate.*: .*localhost",
    "ingress_with_another_certificate": r"Secret of the Certificate.*: bais-api-tls .*bais-internal-tls",
    "service_selects_nothing": r"endpoints of .*: none",
    "disruption_budget_deleted": r"disruption budget",
    "disruption_budget_blocks_drains": r"evict",
    "rollout_ends_all_replicas": r"maxUnavailable removes 3 of 3 replicas",
    "autoscaler_doubled": r"autoscalers.*: 2",
    "pod_security_not_enforced": r"Namespace/bais: .*enforce is privileged",
    "role_with_all_permissions": r"RoleBinding/bais/everything: .*every verb on every resource",
    "password_in_a_config_map": r"ConfigMap/bais/bais-api: .*SMTP_PASSWORD",
    "metrics_not_collected": r"no ServiceMonitor",
    "network_policies_without_default": r"default deny policy .*: missing",
    "database_open_to_all_namespaces": r"NetworkPolicy/bais/debug-database allows every peer",
    "cache_open_to_a_network": r"reach the cache: .*10.8.0.0/16",
    "ingress_without_tls": r"Ingress/bais/bais-api: spec.tls is empty",
    "service_exposed_outside_the_ingress": r"Service/bais/bais-api: has externalIPs",
    "autoscaler_at_its_maximum": r"current replicas .*: 3 pods",
    "quota_nearly_exhausted": r"nearly exhausted quotas: .*pods 5 of 5",
    "connection_pool_enlarged": r"pool.*: .*40",
    "pod_larger_than_any_node": r"unschedulable pods: .*report",
    "ingress_class_missing": r"missing IngressClasses: .*nginx",
    "ingress_of_an_unknown_class": r"missing IngressClasses: .*traefik",
    "prometheus_rules_unknown": r"prometheusrules.monitoring.coreos.com: not installed",
    "staging_open_to_everybody": r"open to everybody: .*allow-all",
    "staging_admits_privileged_pods": r"enforce: privileged",
    "staging_without_quota": r"without a quota: .*requests.cpu",
    "staging_writable_by_another_namespace": r"ci/deployer",
    "staging_database_writable_by_gates": r"writable by the gates' role: .*payments",
    "staging_database_setting_overridden": r"idle_in_transaction_session_timeout: 0ms",
    "staging_database_configuration_not_in_effect": r"max_connections: 100, expected 250",
    "staging_cache_configuration_not_in_effect": r"maxmemory .*: 67,108,864 bytes",
    "staging_cache_without_memory_limit": r"maxmemory .*: 0 bytes",
    "staging_cache_user_may_do_everything": r"bais_app: .*flushall",
    "staging_without_disruption_budget": r"disruption budgets .*: 0",
    "staging_without_autoscaler": r"autoscalers .*: 0",
    "staging_rollout_paused": r"state .Deployment bais-api.: failed",
    "staging_schema_at_another_revision": r"schema revision .*: 0001",
    "staging_schema_with_two_revisions": r"rows in alembic_version: 2",
    "staging_schema_without_revision": r"rows in alembic_version: 0",
    "staging_environment_not_in_effect": r"reported environment .*: sandbox .expected production",
    "staging_pod_fails": r"failing pods: .*pod report",
    "staging_of_another_version": r"reported version .*: 0.9.0",
    "staging_payments_lost": r"payment rows .staged database.: 0",
    "staging_payments_changed": r"payment amount .*: 50 ",
    "monitoring_rule_deleted": r"ApiErrorRateHigh is not loaded",
    "monitoring_comparison_flipped": r"ApiErrorRateHigh: the expression is .* < 0.01",
    "monitoring_alert_without_pager": r"ApiErrorRateHigh: labels is .*P3",
    "monitoring_target_hangs": r"redis .*: down",
    "monitoring_target_forgotten": r"postgres: no target",
    "monitoring_metric_dropped": r"payments_total: no series",
    "monitoring_namespace_relabeled": r"Pods: kube_deployment_status_replicas_available",
    "monitoring_record_deleted": r"Response time .*: job_route:http_request_duration_seconds:p95_5m",
    "monitoring_gauge_dropped": r"Cache memory: redis_memory_used_bytes",
    "monitoring_receiver_dead": r"firing alerts that did not arrive.*slack",
    "monitoring_route_shadowed": r"no alert comes to this route|reaches .*none with pagerduty",
    "monitoring_pager_key_wrong": r"firing alerts that did not arrive.*pagerduty",
    "staging_payments_refused": r"payment .smoke test.: not taken",
}
"""What the first gate of each fault names: a regular expression for its false checks."""


MONITORING: Final = not servers.missing()
"""Whether this machine has the programs of the sandbox's monitoring."""


needs_monitoring = pytest.mark.skipif(not MONITORING, reason="this machine has no Prometheus")
AFTER: Final = ("version", "health", "smoke", "payments", "latency_and_errors", "workloads", "alerts_quiet")
"""The gates after a deploy."""


class PlatformBench(Bench):
    """A sandbox with its cluster and staging, and the gates of checklist and staging run against it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.environment = load_environment(self.environment_file, gates_dir=GATES)
        self.server = staging.open_writer(self.environment)
        plan = staging.plan_for(self.environment, gates_dir=GATES, run="tests", keep=True)
        self.staged = staging.carry_out(
            self.server, self.environment, plan, seconds=60, progress=lambda _text: None
        )

    def judge(self, gate: str) -> Judged:
        """Run a gate of checklist or staging, named by its id."""
        phase, _, name = gate.partition(".")
        return self._run(name, self.environment, phase)

    def failing(self, *, drill: bool) -> dict[str, str]:
        """Run all gates, and return the outcome and the false checks of those that do not pass."""
        judged = {gate: self.judge(gate) for gate in sorted(CATALOG, reverse=True) if drill or gate != DRILL}
        return {
            gate: f"{one.outcome.value} {one.message}{one.false}"
            for gate, one in judged.items()
            # Beside other tests a latency proves nothing: the gate's own quiet run judges it.
            if one.outcome is Outcome.ERROR or any("latency" not in name for name in one.failed)
        }

    def _fixture(self, name: str, environment: Environment, evidence: Evidence, stack: ExitStack) -> Any:
        reach = Reach(
            server=self.server,
            namespace=self.staged.namespace,
            environment=environment,
            folder=self.directory,
        )
        makers: dict[str, Callable[[], Any]] = {
            "target": lambda: Target(environment=environment, gates_dir=GATES),
            "cluster": lambda: stack.enter_context(Cluster(environment.kubernetes.access())),
            "cluster_writer": lambda: self.server,
            "done_load_run": lambda: None,
            "read": lambda: lambda: read_deployed(self.server, environment),
            "deployed": lambda: read_deployed(self.server, environment),
            "tenant": lambda: self._business_maker(
                stack, self._fixture("api", environment, evidence, stack), Unique("tests")
            ),
            "prometheus": lambda: stack.enter_context(open_prometheus(environment)),
            "alertmanager": lambda: stack.enter_context(open_alertmanager(environment)),
            "staging": lambda: StagedPlatform(
                result=self.staged, server=self.server, environment=environment, reach=reach
            ),
            "request": lambda: SimpleNamespace(
                getfixturevalue=lambda other: self._fixture(other, environment, evidence, stack)
            ),
        }
        maker = makers.get(name)
        return super()._fixture(name, environment, evidence, stack) if maker is None else maker()


@pytest.fixture(scope="module")
def platform() -> Iterator[PlatformBench]:
    """Yield a sandbox whose cluster and staging are up."""
    with tempfile.TemporaryDirectory(prefix="bais-gates-test-") as parent:
        directory = Path(parent) / "sandbox"
        sandbox.start(directory, owner_pid=os.getpid())
        try:
            manifests = GATES / "staging" / "manifests" / "overlays" / "sandbox"
            sandbox.start_cluster(directory, manifests=manifests)
            if MONITORING:
                sandbox.start_monitoring(directory, artefacts=GATES / "monitoring")
            bench = PlatformBench(directory)
            with bench.server:
                yield bench
        finally:
            sandbox.stop(directory)


@needs_monitoring
def test_an_untouched_platform_is_as_after_a_good_deploy(platform: PlatformBench) -> None:
    """All gates of the phase pass, with nobody's traffic but their own; a busy machine may be slow."""
    judged = {gate: platform.judge(f"postdeploy.{gate}") for gate in AFTER}
    failed = {gate: {name for name in one.failed if "latency" not in name} for gate, one in judged.items()}

    assert failed == {gate: set() for gate in AFTER}
    assert {gate: one.message for gate, one in judged.items() if one.outcome is Outcome.ERROR} == {}


def _cases() -> list[Any]:
    """Return the faults, all but one a kind of change nightly; those that lose the data come last."""
    cases, covered = [], set[type]()
    for name, fault in sorted(PLATFORM_FAULTS.items(), key=lambda item: item[1].gates[0] == DRILL):
        kinds = {type(change) for change in fault.changes}
        if name.startswith("oncall_") or (name.startswith("monitoring_") and not MONITORING):
            continue
        marks: tuple[pytest.MarkDecorator, ...] = (
            ()
            if kinds - covered and fault.gates[0] not in {DRILL, "monitoring.targets_up"}
            else (pytest.mark.nightly,)
        )
        if not marks:
            covered |= kinds
        cases.append(pytest.param(name, id=name, marks=marks))
    return cases


@pytest.mark.parametrize("name", _cases())
def test_a_fault_fails_its_gates(platform: PlatformBench, name: str, request: pytest.FixtureRequest) -> None:
    """A fault fails every gate that it names, the first for its own reason; nightly: and no other."""
    fault, nightly = PLATFORM_FAULTS[name], request.node.get_closest_marker("nightly") is not None
    sandbox.set_faults(platform.directory, [name])
    try:
        judged = {gate: platform.judge(gate) for gate in fault.gates}
        others = platform.failing(drill=False) if nightly and fault.gates[0] != DRILL else {}
    finally:
        sandbox.set_faults(platform.directory, [])

    assert {gate: one.outcome for gate, one in judged.items()} == dict.fromkeys(fault.gates, Outcome.FAIL)
    assert re.search(REASONS[name], judged[fault.gates[0]].false, re.IGNORECASE), judged[fault.gates[0]].false
    assert others.keys() <= set(fault.gates), others


@pytest.mark.parametrize("drill", [pytest.param(True, marks=pytest.mark.nightly), False])
def test_a_platform_whose_faults_are_undone_passes(platform: PlatformBench, *, drill: bool) -> None:
    """Once every fault is undone, all gates pass, nightly also the recovery drill."""
    assert platform.failing(drill=drill) == {}


def test_faults_of_api_and_platform_are_switched_together(platform: PlatformBench) -> None:
    """Both kinds are one list; a fault that can't be made leaves no trace, and the others as they are."""
    sandbox.set_faults(platform.directory, ["slow_cache", "disruption_budget_deleted"])
    assert Maker(platform.directory).made == ("disruption_budget_deleted",)

    with pytest.raises(
        SandboxError, match=r"disruption_budget_blocks_drains could not be made: .*has no Pod"
    ):
        sandbox.set_faults(
            platform.directory, ["slow_cache", "disruption_budget_deleted", "disruption_budget_blocks_drains"]
        )
    info = sandbox.status(platform.directory)
    assert info is not None
    assert info.faults == ("slow_cache", "disruption_budget_deleted")

    sandbox.set_faults(platform.directory, [])
    assert Maker(platform.directory).made == ()
    assert platform.judge("checklist.load_balancing").outcome is Outcome.PASS


# -- after a deploy --

AFTER_FAULTS: Final = {
    "health_names_other_environment": ("health", Outcome.FAIL, "reported environment"),
    "status_claims_database_disconnected": ("health", Outcome.FAIL, "reported database status"),
    "decline_reported_as_completed": ("smoke", Outcome.FAIL, r"payment, declined card"),
    "idempotency_key_ignored": ("smoke", Outcome.FAIL, r"payment id"),
    "slow_analytics": ("latency_and_errors", Outcome.FAIL, "p95 latency"),
    "pod_larger_than_any_node": ("workloads", Outcome.FAIL, r"pods that wait.*report"),
    "monitoring_metric_dropped": ("payments", Outcome.NO_DATA, "share of successful payments"),
}
AFTER_RELEASES: Final = {
    "good": {"version"},
    "failing": {"version", "latency_and_errors"},
    "slow": {"version", "latency_and_errors"},
    "not_ready": {"version", "workloads", "health"},
}
"""What fails where a release is rolled out that the environment does not name."""


@needs_monitoring
@pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.nightly) for one in AFTER_FAULTS])
def test_a_fault_fails_its_gate_after_a_deploy(platform: PlatformBench, name: str) -> None:
    """A fault that a deploy may bring fails the gate of the phase that looks for it."""
    gate, outcome, reason = AFTER_FAULTS[name]
    sandbox.set_faults(platform.directory, [name])
    try:
        judged = platform.judge(f"postdeploy.{gate}")
    finally:
        sandbox.set_faults(platform.directory, [])

    assert judged.outcome is outcome, judged
    assert re.search(reason, judged.false)


@needs_monitoring
@pytest.mark.nightly
@pytest.mark.parametrize("name", AFTER_RELEASES)
def test_a_release_that_nobody_judged_fails(platform: PlatformBench, name: str) -> None:
    """Its version is seen at once, and what is wrong with it by the gate for that."""
    part, present = platform.environment.kubernetes, str(platform.environment.release.image)
    workload = Workload(server=platform.server, namespace=part.namespace, name=part.names.api)
    workload.apply({"api": RELEASES[name].reference(present)})
    try:
        with contextlib.suppress(StageError):
            workload.wait(Clock.lasting(20), lambda _text: None)
        judged = {gate: platform.judge(f"postdeploy.{gate}") for gate in AFTER}
    finally:
        workload.apply({"api": present})
        workload.wait(Clock.lasting(60), lambda _text: None)

    failed = {gate for gate, one in judged.items() if one.outcome is Outcome.FAIL}
    assert AFTER_RELEASES[name] <= failed, {gate: one.false for gate, one in judged.items()}


# -- the table --


def test_every_gate_has_faults_of_its_own() -> None:
    """Names are unique, each gate exists and has three faults or more, each fault a reason and a sentence."""
    of_oncall = {
        name for name in PLATFORM_FAULTS if name.startswith("oncall_")
    }  # tests/oncall/test_faults.py
    named = [gate for name in PLATFORM_FAULTS.keys() - of_oncall for gate in PLATFORM_FAULTS[name].gates]

    assert not set(PLATFORM_FAULTS) & set(FAULTS)
    assert set(PLATFORM_FAULTS) - of_oncall == set(REASONS)
    assert set(named) == CATALOG | MONITORED
    assert {gate: named.count(gate) for gate in CATALOG | MONITORED if named.count(gate) < 3} == {}
    for fault in ALL_FAULTS.values():
        assert fault.description.endswith("."), fault


def test_what_a_fault_changes_is_where_its_name_says() -> None:
    """A fault of staging changes nothing of the platform, and the other way round."""
    for name, fault in PLATFORM_FAULTS.items():
        for change in fault.changes:
            where = "" if isinstance(change, File) else repr(change)
            assert fault.staged is ("bais-staging" in where), name
    assert of_platform(["slow_cache", "staging_payments_lost"], staged=False) == ()
