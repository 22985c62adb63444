"""The way of a deploy through its phases, forward and back.

Each phase is recorded under the lock before its first write, and can be entered again: that is how the next
command goes on after a kill. What fails because of the release is rolled back, once. What fails because the
cluster can't be reached, or the lock is lost, is left as it is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bais_gates.errors import GateInputError
from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.redaction import redact
from bais_gates.rollout.errors import AGAIN, Paused, RolloutStatus, Stuck
from bais_gates.rollout.migration import migrate
from bais_gates.rollout.record import NOTHING_APPLIED, Phase, Record, record_on
from bais_gates.rollout.verification import NotVerified, Verification
from bais_gates.rollout.way_back import why_no_way_back
from bais_gates.rollout.workload import changed_since, images_of
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.readiness import State, judge
from bais_gates.staging.server import Clock, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.rollout.lock import Lock
    from bais_gates.rollout.postdeploy import Gates
    from bais_gates.rollout.record import Folder
    from bais_gates.rollout.watch import Watch
    from bais_gates.rollout.workload import Workload

Object = dict[str, Any]
ROLLBACK_S: Final = 300.0
"""Seconds that a rollback with its verification may take."""
NOT_THE_RELEASE: Final = frozenset({StageCode.UNREACHABLE, StageCode.UNAUTHENTICATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One deploy or rollback of a Deployment, under a lock that is taken."""

    workload: Workload
    lock: Lock
    folder: Folder
    verification: Verification
    progress: Callable[[str], None]
    timeout_s: float | None = None
    """Seconds for the rollout; None for more than the Deployment's progressDeadlineSeconds."""
    noted: Callable[[Record], None] = lambda _record: None
    """Called with each phase that was recorded, and with what is about to be gone on with or rolled back."""
    watch: Watch | None = None
    """How the release is watched after its verification; None not to watch it."""
    gates: Gates | None = None
    """What judges it after the watch, and what ran before after a rollback; None without such gates."""

    def go_on(self, record: Record, job: Object | None) -> RolloutStatus:
        """Carry a recorded deploy out from its phase; roll it back if the release fails.

        Raises ``Stuck`` where neither is possible.
        """
        self.noted(record)
        self._require_ours(record)
        try:
            if record.phase in NOTHING_APPLIED:
                if job is not None:
                    record = self.enter(record, Phase.MIGRATING)
                    migrate(self.workload.server, job, progress=self.progress)
                record = self.enter(record, Phase.ROLLING_OUT)
            if record.phase is Phase.ROLLING_OUT:
                self._roll_out(record)
                record = self.enter(record, Phase.VERIFYING)
            self.verification.verify(record.images, record.version, Clock.lasting(ROLLBACK_S))
        except (StageError, NotVerified) as error:
            _stop_if_unreachable(error)
            return self.roll_back(record, str(error))
        note = "not watched to its end" if record.windows else "not watched"
        if self.watch is not None:
            record, standing = self.watch.run(self.enter(record, Phase.WATCHING), self._keep_windows)
            failure = f"the watch failed: {standing.summary}" if standing.failed else self._judge(record)
            if failure:
                return self.roll_back(record, failure)
            note = standing.summary
        self.enter(record, Phase.DEPLOYED, note)
        if note:
            self.progress(note)
        return RolloutStatus.DEPLOYED

    def roll_back(self, record: Record, why: str) -> RolloutStatus:
        """Apply what ran before, at once, and verify it; one attempt. Raises ``Stuck``."""
        self.noted(record.then(Phase.ROLLING_BACK, why))
        self._require_ours(record)
        if why_not := why_no_way_back(record):
            return self._stay(record, f"{why_not} It was to be rolled back because {why}")
        self.progress(f"rolling back to {', '.join(sorted(set(record.before.images.values())))}")
        self.progress(f"because {why}")
        clock = Clock.lasting(ROLLBACK_S)
        self._keep_evidence(record, why)
        record = self.enter(record, Phase.ROLLING_BACK, why)
        self._end_migration(record)
        return self._reach(record, record.before.images, record.before.version, clock)

    def _stay(self, record: Record, why: str) -> RolloutStatus:
        """Leave the release that failed in place, for people: what ran before does not work any more."""
        self.progress(why)
        self._keep_evidence(record, why)
        self.enter(record, Phase.ROLLBACK_FAILED, why)
        return RolloutStatus.ROLLBACK_FAILED

    def roll_back_by_name(self, record: Record) -> RolloutStatus:
        """Carry a recorded rollback out from its phase: it wants ``record.images``. Raises ``Stuck``."""
        self.noted(record.then(Phase.ROLLING_BACK))
        self._require_ours(record)
        clock = Clock.lasting(ROLLBACK_S)
        self._keep_evidence(record, "it was rolled back by name")
        record = self.enter(record, Phase.ROLLING_BACK)
        self._end_migration(record)
        return self._reach(record, record.images, record.version, clock)

    def enter(self, record: Record, phase: Phase, note: str = "") -> Record:
        """Record a phase while the lock is held: on the Deployment, then in the folder.

        The first one is written to the folder first: without a folder, nothing begins. Later on a folder that
        is full or gone stops neither a deploy nor a rollback.
        """
        if record.steps and record.phase is phase:
            return record
        request("Renewing the lock", self.lock.check, step="lock")
        record = record.then(phase, note)
        if phase is Phase.RECORDED:
            self.folder.write(record)
        self.workload.annotate(record)
        self._keep(record)
        self.noted(record)
        self.progress(f"{phase}: recorded")
        return record

    def last(self) -> Record | None:
        """Return the record on the Deployment, after writing to the folder what it lacks of it."""
        record = record_on(self.workload.read())
        if record is not None:
            self._keep(record)
        return record

    def _keep_windows(self, record: Record) -> None:
        """Record a window while the lock is held. Raises ``Stuck``, ``StageError``."""
        request("Renewing the lock", self.lock.check, step="watch")
        self.workload.annotate(record)
        self._keep(record)

    def _judge(self, record: Record) -> str:
        """Return which gates failed after the watch; raise ``Paused`` if it is not known."""
        if self.gates is None:
            return ""
        judged = self.gates.run(record, record.images)
        if judged.unproven and not judged.failed:
            raise Paused(f"The gates after the watch could not judge: {'; '.join(judged.unproven)}.")
        return f"gates after the watch failed: {'; '.join(judged.failed)}" if judged.failed else ""

    def _judge_rollback(self, record: Record, images: dict[str, str], clock: Clock) -> str:
        """Return what of the rollback the gates could not prove; raise ``NotVerified`` if one failed.

        Little traffic since says nothing against what ran well before.
        """
        if self.gates is None:
            return ""
        judged = self.gates.run(record, images, within_s=max(0.0, clock.remaining_s))
        if judged.failed:
            raise NotVerified("; ".join(judged.failed))
        return f"not proven by gates: {'; '.join(judged.unproven)}" if judged.unproven else ""

    def _keep(self, record: Record) -> None:
        try:
            self.folder.write(record)
        except GateInputError as error:
            self.progress(f"{record.phase} is recorded on the Deployment alone: {error}")

    def _roll_out(self, record: Record) -> None:
        request("Renewing the lock", self.lock.check, step="lock")
        self.workload.apply(record.images)
        seconds = self.timeout_s or self.workload.deadline_s(self.workload.read())
        self.workload.wait(Clock.lasting(seconds), self.progress)

    def _reach(
        self, record: Record, images: dict[str, str], version: str | None, clock: Clock
    ) -> RolloutStatus:
        """Apply images, wait and verify; record how it ended."""
        try:
            request("Renewing the lock", self.lock.check, step="lock")
            self.workload.apply(images)
            self.workload.wait(clock, self.progress)
            self.verification.verify(images, version, clock)
            unproven = self._judge_rollback(record, images, clock)
        except (StageError, NotVerified) as error:
            _stop_if_unreachable(error)
            self.progress(f"the rollback failed: {error}")
            self.enter(record, Phase.ROLLBACK_FAILED, str(error))
            return RolloutStatus.ROLLBACK_FAILED
        live = self.workload.read()
        changed = changed_since(record.before.configuration, self.workload.configuration(live))
        note = f"changed since it was recorded: {', '.join(changed)}" if changed else ""
        if note:
            self.progress(f"{note}; a rollback restores images, not configuration")
        if unproven:
            self.progress(unproven)
        self.enter(record, Phase.ROLLED_BACK, "; ".join(filter(None, (note, unproven))))
        return RolloutStatus.ROLLED_BACK

    def _require_ours(self, record: Record) -> None:
        """Raise ``Stuck`` if the Deployment runs an image that this record does not know."""
        live = images_of(self.workload.read())
        for name, image in live.items():
            known = {record.images.get(name), record.before.images.get(name)}
            if image not in known:
                raise Stuck(
                    f"The container {name} of {self.workload.name} has the image {image}, which is neither "
                    f"the one of this {record.kind} nor the one before it: somebody else changed it. Nothing "
                    "was written. Find out who (kubectl get deployment -o yaml --show-managed-fields), then "
                    "roll back by name: bais-gates rollback --to IMAGE."
                )

    def _end_migration(self, record: Record) -> None:
        """Delete a Job that is not complete: it could migrate the schema once nobody expects it any more."""
        if not record.job:
            return
        server, namespace = self.workload.server, self.workload.namespace
        key = ("batch/v1", "Job", record.job, namespace)
        live = request(f"Reading Job {record.job}", partial(server.named, *key), step="rollback")
        if live is not None and judge({**live, "kind": "Job"}).state is not State.READY:
            request(f"Deleting Job {record.job}", partial(server.delete, *key), step="rollback")
            self.progress(f"the migration's Job {record.job} was not complete, and is deleted")

    def _keep_evidence(self, record: Record, why: str) -> None:
        """Save logs and events of the pods before they are gone; a failure to do so stops nothing."""
        try:
            evidence = {"reason": redact(why), **self.workload.evidence()}
            file = self.folder.write_evidence(record, evidence)
        except (OSError, ClusterError, StageError, GateInputError) as error:
            self.progress(f"the pods' logs could not be saved ({error})")
        else:
            self.progress(f"logs and events of the pods: {file}")


def _stop_if_unreachable(error: Exception) -> None:
    if isinstance(error, StageError) and error.code in NOT_THE_RELEASE:
        raise Stuck(f"{error} {AGAIN}") from None
