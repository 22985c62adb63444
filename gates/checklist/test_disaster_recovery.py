"""Check the recovery from the loss of database, API and cache: the recorded drill, or a drill held now."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Environment, Evidence, RecordRefused, RecoveryPart
from bais_gates.bais import Api, Business, require_field
from bais_gates.probes import (
    Backup,
    BackupError,
    Cache,
    CacheError,
    ClusterWriter,
    Database,
    DatabaseError,
    Unreachable,
    list_backups,
    read_text,
    restore,
)
from bais_gates.rules import recovery
from bais_gates.rules.kubernetes import workloads

if TYPE_CHECKING:
    from collections.abc import Callable

PAYMENTS: Final = 3
"""Payments taken before the backup, and as many after it."""
AMOUNT: Final = 12.25
MIGRATION: Final = "bais-migrate"
PAUSE_S: Final = 0.1
GRACE_S: Final = 1
"""Seconds that a deleted pod has to end: the minimum that the API server accepts."""
HEAL_S: Final = 60.0
"""How long the gate tries to leave a healthy target behind."""


@pytest.mark.gate("checklist.disaster_recovery")
def test_disaster_recovery(
    environment: Environment, evidence: Evidence, request: pytest.FixtureRequest
) -> None:
    """The recorded drill is recent and passed; a drill, where allowed, restores the platform in time."""
    part = environment.recovery
    if not part.drill:
        check_record(part, environment, evidence)
        return
    new_business: Callable[[], Business] = request.getfixturevalue("new_business")
    drill = Drill(
        part=part,
        environment=environment,
        cluster=request.getfixturevalue("cluster_writer"),
        api=request.getfixturevalue("api"),
        evidence=evidence,
    )
    if part.record is not None:
        check_record(part, environment, evidence)
    try:
        drill.hold(new_business())
    finally:
        drill.heal()


def check_record(part: RecoveryPart, environment: Environment, evidence: Evidence) -> None:
    """Check that the recorded drill is recent and complete, and passed within the limits."""
    if part.record is None:
        raise environment.missing("recovery.record")
    try:
        text = read_text(part.record, "recovery drill record", "recovery.record")
        record = recovery.parse_record(text, part.record)
    except RecordRefused as e:
        evidence.check("state of the recorded drill", str(e), "==", "usable", source="recovery.record")
        return
    source = f"{part.record.name}: drill in {record.environment}, led by {record.led_by}"
    age_d, max_age_d = record.age_d(datetime.now(UTC)), part.max_record_age_d
    evidence.check("age of the recorded drill", age_d, "<=", max_age_d, unit="days", source=source)
    name = "age of the recorded drill (not in the future)"
    evidence.check(name, age_d, ">=", 0, unit="days", source=source)
    missing = recovery.missing_scenarios(record)
    evidence.check("scenarios missing from the recorded drill", missing, "==", [], source=source)
    result = "passed" if record.passed else "failed"
    evidence.check("result of the recorded drill", result, "==", "passed", source=source)
    name = "recovery time (recorded drill)"
    evidence.check(name, record.recovery_s, "<=", part.within_s, unit="s", source=source)
    limit = environment.backup.max_age_h * 3600
    evidence.check("data loss (recorded drill)", record.data_loss_s, "<=", limit, unit="s", source=source)
    if not environment.rehearsal:
        kind = "rehearsal" if record.rehearsal else "drill"
        source = f"{source}; a rehearsal counts for a sandbox only"
        evidence.check("kind of the recorded drill", kind, "==", "drill", source=source)
    evidence.attach("findings of the recorded drill", list(record.findings), "application/json")


@dataclass(kw_only=True)
class Drill:
    """One drill: what it acts on, and when each of its steps ended."""

    part: RecoveryPart
    environment: Environment
    cluster: ClusterWriter
    api: Api
    evidence: Evidence
    times: dict[str, float] = field(default_factory=dict)
    newest: Backup | None = None
    lost: bool = False
    _began: float = 0.0

    # -- the drill --

    def hold(self, business: Business) -> None:
        """Take payments before and after a backup, lose everything, restore, and compare."""
        workflow_id = business.workflow_id(amount=AMOUNT)
        before = self.pay(business, workflow_id)
        self.newest = newest = self.back_up()
        after = self.pay(business, workflow_id)
        self._began, lost_at = time.monotonic(), datetime.now(UTC)
        self.lose_database()
        self.restore_database(newest)
        self.lose_api_and_cache()
        self.wait_for_payment(business, workflow_id)
        self.check_recovery(business, before, after, newest.age_s(lost_at))

    def pay(self, business: Business, workflow_id: str) -> list[str]:
        """Take payments and return their ids."""
        payments = (business.pay(workflow_id, amount=AMOUNT) for _ in range(PAYMENTS))
        return [require_field(payment, 201, "payment_id") for payment in payments]

    def back_up(self) -> Backup:
        """Run the CronJob's Job now and return the backup that it made."""
        part = self.environment.kubernetes
        began = datetime.now(UTC)
        cron_job = self.cluster.named("batch/v1", "CronJob", part.names.backup, part.namespace)
        if cron_job is None:
            name, source = f"CronJob {part.names.backup}", f"namespace {part.namespace}"
            self.evidence.require(name, "absent", "==", "present", source=source)
        job = recovery.make_job(cron_job or {}, f"{part.names.backup}-drill-{secrets.token_hex(4)}")
        self.run(job, self.part.backup_within_s, "backup Job (before the loss)")
        every = list_backups(self.environment.backup.directory)
        found = [one for one in every if one.taken_at >= began.replace(microsecond=0)]
        self.evidence.require("backups made by the Job", len(found), ">=", 1, source="backup.directory")
        return found[-1]

    def run(self, job: dict[str, Any], within_s: float, what: str) -> None:
        """Run a Job to its end, require that it completes, and delete it."""
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        self.cluster.create(job)
        try:
            outcome = ""

            def has_ended() -> bool:
                nonlocal outcome
                found = self.cluster.named("batch/v1", "Job", name, namespace)
                outcome = recovery.job_outcome(found or {}) or ""
                return bool(outcome)

            wait_until(has_ended, within_s)
            state = outcome or f"not ended within {within_s:g} s"
            self.evidence.require(what, state, "==", "Complete", source=f"Job {name}")
        finally:
            self.cluster.delete("batch/v1", "Job", name, namespace)

    def lose_database(self) -> None:
        """Delete the database's pod and claim, and wait for the new, empty database."""
        part = self.environment.kubernetes
        pod, claim = f"{part.names.database}-0", f"data-{part.names.database}-0"
        old = {self.uid("v1", "Pod", pod), self.uid("v1", "PersistentVolumeClaim", claim)}
        self.lost = True
        self.cluster.delete("v1", "PersistentVolumeClaim", claim, part.namespace)
        self.cluster.delete("v1", "Pod", pod, part.namespace, grace_s=GRACE_S)
        self.wait(
            "database pod on a new volume",
            lambda: self.is_new(pod, old) and self.uid("v1", "PersistentVolumeClaim", claim) not in old,
        )
        with Database(self.environment.database.url) as database:
            self.wait("database connection", lambda: is_up(database))
            tables = sorted(restore.count_rows(database))
        self.evidence.require("tables in the new database", tables, "==", [], source="pg_class")

    def restore_database(self, newest: Backup) -> None:
        """Restore the newest backup into the empty database, as its owner."""
        identity = self.environment.backup.identity
        if identity is None or self.part.database_url is None:
            key = "backup.identity" if identity is None else "recovery.database_url"
            raise self.environment.missing(key)
        try:
            restore.restore(newest, identity, self.part.database_url, within_s=self.left())
            result = "restored"
        except BackupError as e:
            result = str(e)
        name, source = "restore of the newest backup", f"pg_restore of {newest.path.name}"
        self.evidence.require(name, result, "==", "restored", source=source)
        self.record_step(name)

    def lose_api_and_cache(self) -> None:
        """Delete every pod of the API and the cache's, and wait for new ones."""
        part = self.environment.kubernetes
        api_pods = self.api_pods()
        cache = f"{part.names.cache}-0"
        old = {pod["metadata"]["uid"] for pod in api_pods} | {self.uid("v1", "Pod", cache)}
        for name in [*(pod["metadata"]["name"] for pod in api_pods), cache]:
            self.cluster.delete("v1", "Pod", name, part.namespace, grace_s=GRACE_S)
        self.wait("cache pod", lambda: self.is_new(cache, old))
        self.wait("API pods", lambda: self.is_api_complete(old))

    def wait_for_payment(self, business: Business, workflow_id: str) -> None:
        """Require that the platform is ready and accepts a payment within what is left of the limit."""
        response = "no response"

        def is_accepted() -> bool:
            nonlocal response
            try:
                answer = self.api.get("/ready", deadline_s=5.0)
                if answer.status == 200:
                    answer = business.pay(workflow_id, amount=AMOUNT)
            except Unreachable as e:
                response = str(e)
                return False
            response = answer.describe()
            return answer.status == 201

        name = "payment after the loss"
        if wait_until(is_accepted, self.left()):
            response = "accepted"
        self.record_step(name)
        self.evidence.require(name, response, "==", "accepted", source="POST payment")

    def check_recovery(self, business: Business, before: list[str], after: list[str], loss_s: float) -> None:
        """Check the recovery time, and which of the payments are in the restored database."""
        took, limit = time.monotonic() - self._began, self.part.within_s
        source = "from the first deletion until a payment was accepted"
        self.evidence.check("recovery time", took, "<=", limit, unit="s", source=source)
        limit = self.environment.backup.max_age_h * 3600
        source = "from the newest backup's snapshot until the first deletion"
        self.evidence.check("data loss", loss_s, "<=", limit, unit="s", source=source)
        present = [one for one in [*before, *after] if business.payment(one).status == 200]
        rows, source = recovery.compare_rows(before, after, present), "GET payment"
        lost, kept = list(rows.lost_before), list(rows.kept_after)
        name = "payments of the backup that are missing"
        self.evidence.check(name, lost, "==", [], n=len(before), source=source)
        name = "payments present that are not in the backup"
        self.evidence.check(name, kept, "==", [], n=len(after), source=source)
        signed_in = business.api.login(business.email, business.password)
        name = "status of a sign-in after the loss"
        self.evidence.check(name, signed_in.status, "==", 200, source=signed_in.url)
        self.evidence.attach("seconds from the loss to each step", self.times, "application/json")
        record = recovery.make_record(
            environment=self.environment.name,
            rehearsal=self.environment.rehearsal,
            recovery_s=took,
            data_loss_s=loss_s,
            passed=took <= self.part.within_s and not lost and signed_in.status == 200,
        )
        self.evidence.attach("record of this drill (for recovery.record)", record, "application/json")

    # -- the state after the drill --

    def heal(self) -> None:
        """Leave a database with a schema and an API that answers, and check the state of the target."""
        state = "healthy"
        deadline = time.monotonic() + HEAL_S
        try:
            if self.lost:
                self.repair(deadline)
            if not wait_until(self.is_healthy, deadline - time.monotonic()):
                state = f"not healthy within {HEAL_S:g} s"
        except Exception as e:  # noqa: BLE001 - an error of the drill itself must not be hidden by this one
            state = f"{type(e).__name__}: {e}"
        name, source = "state of the target after the drill", "/ready, pods, autoscaler, cache"
        self.evidence.check(name, state, "==", "healthy", source=source)

    def repair(self, deadline: float) -> None:
        """Restore the data of an empty database, or at least its schema."""
        with Database(self.environment.database.url) as database:
            wait_until(lambda: is_up(database), deadline - time.monotonic())
            if restore.schema_revision(database) is not None:
                return
        identity, url = self.environment.backup.identity, self.part.database_url
        if self.newest is not None and identity is not None and url is not None:
            try:
                restore.restore(self.newest, identity, url, within_s=deadline - time.monotonic())
            except BackupError:
                pass  # the schema without data is created below
            else:
                return
        namespace = self.environment.kubernetes.namespace
        migration = self.cluster.named("batch/v1", "Job", MIGRATION, namespace)
        if migration is not None:
            again = recovery.copy_job(migration, f"{MIGRATION}-drill-{secrets.token_hex(4)}")
            self.run(again, deadline - time.monotonic(), "migration Job (after the drill)")

    # -- the cluster's objects --

    def uid(self, api_version: str, kind: str, name: str) -> str:
        """Return an object's uid; empty without the object."""
        namespace = self.environment.kubernetes.namespace
        found = self.cluster.named(api_version, kind, name, namespace)
        return str(found["metadata"]["uid"]) if found is not None else ""

    def is_new(self, pod: str, old: set[str]) -> bool:
        """Return whether a pod of this name is ready and not one of the old ones."""
        found = self.cluster.named("v1", "Pod", pod, self.environment.kubernetes.namespace)
        return found is not None and found["metadata"]["uid"] not in old and workloads.is_ready(found)

    def api_pods(self) -> list[dict[str, Any]]:
        """Return the API's pods."""
        part = self.environment.kubernetes
        deployment = self.cluster.named("apps/v1", "Deployment", part.names.api, part.namespace)
        pods = self.cluster.list("v1", "Pod", part.namespace)
        return workloads.owned_pods(deployment, pods) if deployment is not None else []

    def is_api_complete(self, old: set[str]) -> bool:
        """Return whether the API's Deployment is complete, without any of the ``old`` pods."""
        part = self.environment.kubernetes
        deployment = self.cluster.named("apps/v1", "Deployment", part.names.api, part.namespace)
        if deployment is None or not workloads.rollout(deployment).complete:
            return False
        pods = self.api_pods()
        desired = workloads.rollout(deployment).desired
        ready = [pod for pod in pods if workloads.is_ready(pod) and pod["metadata"]["uid"] not in old]
        return len(ready) == desired

    def is_healthy(self) -> bool:
        """Return whether the platform is ready and complete, its autoscaler active, its cache reachable."""
        part = self.environment.kubernetes
        scalers = self.cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", part.namespace)
        try:
            with Cache(self.environment.cache.url) as cache:
                cache.ping_ms()
        except CacheError:
            return False
        return (
            self.is_ready()
            and self.is_api_complete(set())
            and all(workloads.condition(one, "ScalingActive") == "True" for one in scalers)
        )

    def is_ready(self) -> bool:
        """Return whether GET /ready answers 200."""
        try:
            return self.api.get("/ready", deadline_s=5.0).status == 200
        except Unreachable:
            return False

    # -- time --

    def left(self) -> float:
        """Return the seconds left of the limit, at least one, so that each step reports its own error."""
        return max(1.0, self.part.within_s - (time.monotonic() - self._began))

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Require that a condition holds within what is left of the limit."""
        recovered = wait_until(condition, self.left())
        self.record_step(what)
        state = "recovered" if recovered else f"not recovered within {self.part.within_s:g} s of the loss"
        self.evidence.require(what, state, "==", "recovered", source="the cluster's objects")

    def record_step(self, what: str) -> None:
        """Record when a step ended, in seconds since the loss."""
        self.times[what] = round(time.monotonic() - self._began, 3)


def is_up(database: Database) -> bool:
    """Return whether the database answers a query."""
    try:
        return database.value("SELECT 1") == 1
    except DatabaseError:
        return False


def wait_until(condition: Callable[[], bool], within_s: float) -> bool:
    """Return True as soon as the condition holds; False if it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_S)
    return True
