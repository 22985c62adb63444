"""Whether the platform comes back from losing its database, API and cache, in time, and what is lost."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Environment, Evidence, RecoveryPart
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
from bais_gates.rules import recovery, workloads

if TYPE_CHECKING:
    from collections.abc import Callable

MARKS: Final = 3
"""Payments before the backup, and as many after it."""
AMOUNT: Final = 12.25
MIGRATION: Final = "bais-migrate"
PAUSE_S: Final = 0.25
GRACE_S: Final = 1
"""Seconds that a pod gets to end: a disaster gives none, and the API server makes at least one of them."""
HEAL_S: Final = 60.0
"""How long the gate goes on trying to leave a healthy target behind."""


@pytest.mark.gate("checklist.disaster_recovery")
def test_disaster_recovery(
    environment: Environment, evidence: Evidence, request: pytest.FixtureRequest
) -> None:
    """The last drill is recorded and fresh; where one may be held, the platform comes back, with its data."""
    part = environment.recovery
    if not part.drill:
        recorded(part, environment, evidence)
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
        recorded(part, environment, evidence)
    try:
        drill.hold(new_business())
    finally:
        drill.heal()


def recorded(part: RecoveryPart, environment: Environment, evidence: Evidence) -> None:
    """Check that the last drill is not long ago, was about everything, and went well."""
    if part.record is None:
        raise environment.missing("recovery.record")
    text = read_text(part.record, "recovery drill record", "recovery.record")
    told = recovery.parse_record(text, part.record)
    source = f"{part.record.name}: drill in {told.environment}, led by {told.led_by}"
    age_d, oldest_d = told.age_d(datetime.now(UTC)), part.max_record_age_d
    evidence.check("last recorded drill, age", age_d, "<=", oldest_d, unit="days", source=source)
    evidence.check("last recorded drill, ahead of now", age_d, ">=", 0, unit="days", source=source)
    evidence.check("scenarios it left out", recovery.missing_scenarios(told), "==", [], source=source)
    came_out = "passed" if told.passed else "failed"
    evidence.check("last recorded drill", came_out, "==", "passed", source=source)
    evidence.check("recovery, as recorded", told.recovery_s, "<=", part.within_s, unit="s", source=source)
    evidence.check(
        "data loss, as recorded",
        told.data_loss_s,
        "<=",
        environment.backup.max_age_h * 3600,
        unit="s",
        source=source,
    )
    if not environment.rehearsal:
        kind = "a rehearsal" if told.rehearsal else "a drill"
        evidence.check(
            "what was recorded", kind, "==", "a drill", source=f"{source}; only a sandbox may rehearse"
        )
    evidence.attach("findings of the recorded drill", list(told.findings), "application/json")


@dataclass(kw_only=True)
class Drill:
    """One drill: what it acts on, and when each of its steps was over."""

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
        """Mark, back up, mark again, lose everything, restore, and see what came back."""
        workflow_id = business.workflow_id(amount=AMOUNT)
        before = self.mark(business, workflow_id)
        self.newest = newest = self.back_up()
        after = self.mark(business, workflow_id)
        self._began, lost_at = time.monotonic(), datetime.now(UTC)
        self.lose_database()
        self.put_back(newest)
        self.lose_api_and_cache()
        self.paying_again(business, workflow_id)
        self.judge(business, before, after, newest.age_s(lost_at))

    def mark(self, business: Business, workflow_id: str) -> list[str]:
        """Take payments to be found again, or not; give their ids."""
        return [
            require_field(business.pay(workflow_id, amount=AMOUNT), 201, "payment_id") for _ in range(MARKS)
        ]

    def back_up(self) -> Backup:
        """Have the CronJob's own Job run now, and give the backup that it made."""
        part = self.environment.kubernetes
        began = datetime.now(UTC)
        cron_job = self.cluster.named("batch/v1", "CronJob", part.names.backup, part.namespace)
        if cron_job is None:
            self.evidence.require(
                f"CronJob {part.names.backup}", "absent", "==", "there", source=part.namespace
            )
        job = recovery.make_job(cron_job or {}, f"{part.names.backup}-drill-{secrets.token_hex(4)}")
        self.run(job, self.part.backup_within_s, "backup before the loss")
        found = [
            one
            for one in list_backups(self.environment.backup.directory)
            if one.taken_at >= began.replace(microsecond=0)
        ]
        self.evidence.require("backups made by it", len(found), ">=", 1, source="backup.directory")
        return found[-1]

    def run(self, job: dict[str, Any], within_s: float, what: str) -> None:
        """Run a Job to its end, require that it completes, and remove it."""
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        self.cluster.create(job)
        try:
            outcome: list[str] = []

            def ended() -> bool:
                found = self.cluster.named("batch/v1", "Job", name, namespace)
                outcome[:] = [recovery.job_outcome(found or {}) or ""]
                return bool(outcome[0])

            until(ended, within_s)
            told = outcome[0] or f"not done within {within_s:g} s"
            self.evidence.require(what, told, "==", "Complete", source=f"Job {name}")
        finally:
            self.cluster.delete("batch/v1", "Job", name, namespace)

    def lose_database(self) -> None:
        """Delete the database's pod and its claim, and wait for an empty database in their place."""
        part = self.environment.kubernetes
        pod, claim = f"{part.names.database}-0", f"data-{part.names.database}-0"
        old = {self.uid("v1", "Pod", pod), self.uid("v1", "PersistentVolumeClaim", claim)}
        self.lost = True
        self.cluster.delete("v1", "PersistentVolumeClaim", claim, part.namespace)
        self.cluster.delete("v1", "Pod", pod, part.namespace, grace_s=GRACE_S)
        self.wait(
            "database's pod is back, on a volume of its own",
            lambda: self.is_new(pod, old) and self.uid("v1", "PersistentVolumeClaim", claim) not in old,
        )
        with Database(self.environment.database.url) as database:
            self.wait("database answers", lambda: answers(database))
            tables = sorted(restore.count_rows(database))
        self.evidence.require("tables in the database that came back", tables, "==", [], source="pg_class")

    def put_back(self, newest: Backup) -> None:
        """Restore the newest backup into the empty database, as its owner."""
        identity = self.environment.backup.identity
        if identity is None or self.part.database_url is None:
            key = "backup.identity" if identity is None else "recovery.database_url"
            raise self.environment.missing(key)
        try:
            restore.restore(newest, identity, self.part.database_url, within_s=self.left())
            told = "restored"
        except BackupError as e:
            told = str(e)
        self.evidence.require("backup is", told, "==", "restored", source=f"pg_restore of {newest.path.name}")
        self.step("backup restored")

    def lose_api_and_cache(self) -> None:
        """Delete every pod of the API and that of the cache, and wait for others."""
        part = self.environment.kubernetes
        api_pods = self.api_pods()
        cache = f"{part.names.cache}-0"
        old = {pod["metadata"]["uid"] for pod in api_pods} | {self.uid("v1", "Pod", cache)}
        for name in [*(pod["metadata"]["name"] for pod in api_pods), cache]:
            self.cluster.delete("v1", "Pod", name, part.namespace, grace_s=GRACE_S)
        self.wait("cache's pod is back", lambda: self.is_new(cache, old))
        self.wait("API's pods are back", lambda: self.api_is_back(old))

    def paying_again(self, business: Business, workflow_id: str) -> None:
        """Wait until the platform says that it is ready, and a payment works."""
        told: list[str] = ["nothing was asked"]

        def works() -> bool:
            try:
                ready = self.api.get("/ready", deadline_s=5.0)
                paid = business.pay(workflow_id, amount=AMOUNT) if ready.status == 200 else ready
            except Unreachable as e:
                told[:] = [str(e)]
                return False
            told[:] = [paid.describe()]
            return paid.status == 201

        done = until(works, self.left())
        self.step("a payment works")
        self.evidence.require(
            "a payment after the loss", "works" if done else told[0], "==", "works", source="POST payment"
        )

    def judge(self, business: Business, before: list[str], after: list[str], loss_s: float) -> None:
        """Hold what was measured to the promise: the time, and which of the marked payments are there."""
        took = time.monotonic() - self._began
        source = "from the first deletion until a payment works"
        self.evidence.check("recovery took", took, "<=", self.part.within_s, unit="s", source=source)
        self.evidence.check(
            "data lost, of the time before the loss",
            loss_s,
            "<=",
            self.environment.backup.max_age_h * 3600,
            unit="s",
            source="from the newest backup's snapshot until the first deletion",
        )
        there = [one for one in [*before, *after] if business.payment(one).status == 200]
        found = recovery.compare_rows(before, after, there)
        self.evidence.check(
            "payments lost that the backup held",
            list(found.lost_before),
            "==",
            [],
            n=len(before),
            source="GET payment",
        )
        self.evidence.check(
            "payments there that no backup held",
            list(found.kept_after),
            "==",
            [],
            n=len(after),
            source="GET payment",
        )
        signed_in = business.api.login(business.email, business.password)
        self.evidence.check("signing in after the loss", signed_in.status, "==", 200, source=signed_in.url)
        self.evidence.attach("seconds since the loss", self.times, "application/json")
        came_through = took <= self.part.within_s and not found.lost_before and signed_in.status == 200
        told = recovery.make_record(
            environment=self.environment.name,
            rehearsal=self.environment.rehearsal,
            recovery_s=took,
            data_loss_s=loss_s,
            passed=came_through,
        )
        self.evidence.attach("record of this drill (for recovery.record)", told, "application/json")

    # -- leaving it healthy --

    def heal(self) -> None:
        """Whatever happened, leave a database with a schema and an API that answers; check that it is so."""
        told = "healthy"
        deadline = time.monotonic() + HEAL_S
        try:
            if self.lost:
                self.repair(deadline)
            if not until(self.is_healthy, deadline - time.monotonic()):
                told = f"not as before within {HEAL_S:g} s"
        except Exception as e:  # noqa: BLE001 - what went wrong in the drill itself must not be hidden by this
            told = f"{type(e).__name__}: {e}"
        self.evidence.check(
            "the target, after the drill", told, "==", "healthy", source="/ready, pods, autoscaler, cache"
        )

    def repair(self, deadline: float) -> None:
        """Give an empty database its data again, or at least its schema."""
        with Database(self.environment.database.url) as database:
            until(lambda: answers(database), deadline - time.monotonic())
            if restore.schema_revision(database) is not None:
                return
        identity, url = self.environment.backup.identity, self.part.database_url
        if self.newest is not None and identity is not None and url is not None:
            try:
                restore.restore(self.newest, identity, url, within_s=deadline - time.monotonic())
            except BackupError:
                pass  # a schema without data is what is left to give
            else:
                return
        namespace = self.environment.kubernetes.namespace
        migration = self.cluster.named("batch/v1", "Job", MIGRATION, namespace)
        if migration is not None:
            again = recovery.copy_job(migration, f"{MIGRATION}-drill-{secrets.token_hex(4)}")
            self.run(again, deadline - time.monotonic(), "migration after the drill")

    # -- looking --

    def uid(self, api_version: str, kind: str, name: str) -> str:
        """Give an object's uid; empty when there is none."""
        namespace = self.environment.kubernetes.namespace
        found = self.cluster.named(api_version, kind, name, namespace)
        return str(found["metadata"]["uid"]) if found is not None else ""

    def is_new(self, pod: str, old: set[str]) -> bool:
        """Whether a pod of this name is there, ready, and none of the old ones."""
        found = self.cluster.named("v1", "Pod", pod, self.environment.kubernetes.namespace)
        return found is not None and found["metadata"]["uid"] not in old and workloads.is_ready(found)

    def api_pods(self) -> list[dict[str, Any]]:
        """Give the API's pods."""
        part = self.environment.kubernetes
        deployment = self.cluster.named("apps/v1", "Deployment", part.names.api, part.namespace)
        pods = self.cluster.list("v1", "Pod", part.namespace)
        return workloads.owned_pods(deployment, pods) if deployment is not None else []

    def api_is_back(self, old: set[str]) -> bool:
        """Whether the API's Deployment is complete, without any of the ``old`` pods."""
        part = self.environment.kubernetes
        deployment = self.cluster.named("apps/v1", "Deployment", part.names.api, part.namespace)
        if deployment is None or not workloads.rollout(deployment).complete:
            return False
        pods = self.api_pods()
        wanted = workloads.rollout(deployment).desired
        ready = [pod for pod in pods if workloads.is_ready(pod) and pod["metadata"]["uid"] not in old]
        return len(ready) == wanted

    def is_healthy(self) -> bool:
        """Whether the platform is ready, complete, seen by its autoscaler, and its cache where it was."""
        part = self.environment.kubernetes
        scalers = self.cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", part.namespace)
        try:
            with Cache(self.environment.cache.url) as cache:
                cache.ping_ms()
        except CacheError:
            return False
        return (
            self.is_ready()
            and self.api_is_back(set())
            and all(workloads.condition(one, "ScalingActive") == "True" for one in scalers)
        )

    def is_ready(self) -> bool:
        """Whether the platform says that it is ready."""
        try:
            return self.api.get("/ready", deadline_s=5.0).status == 200
        except Unreachable:
            return False

    # -- time --

    def left(self) -> float:
        """Seconds that are left of the promise, at least one, so that a step's error is its own."""
        return max(1.0, self.part.within_s - (time.monotonic() - self._began))

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Require that something comes true within what is left of the promise."""
        done = until(condition, self.left())
        self.step(what)
        told = "done" if done else f"not within {self.part.within_s:g} s of the loss"
        self.evidence.require(what, told, "==", "done", unit=None, source="the cluster's objects")

    def step(self, what: str) -> None:
        """Note when a step was over, in seconds since the loss."""
        self.times[what] = round(time.monotonic() - self._began, 3)


def answers(database: Database) -> bool:
    """Whether the database answers at all."""
    try:
        return database.value("SELECT 1") == 1
    except DatabaseError:
        return False


def until(condition: Callable[[], bool], within_s: float) -> bool:
    """Ask again and again until it is so; False when it is not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_S)
    return True
