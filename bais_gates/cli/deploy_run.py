"""The work of ``bais-gates deploy`` and ``bais-gates rollback``, loaded only when a command runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bais_gates.cli.common import DECISION, complain, report
from bais_gates.cli.deploy_after import Aftermath
from bais_gates.cli.deploy_emergency import emergency_of, settle
from bais_gates.cli.deploy_target import GATES, declared_version, is_running_sandbox, smoke_test
from bais_gates.cli.deploy_watch import gates_of, watch_of
from bais_gates.cli.stage_run import environment_of, sigterm_as_interrupt
from bais_gates.errors import GateInputError
from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.probes.kubernetes.writer import ClusterWriter
from bais_gates.redaction import redact
from bais_gates.rollout.decision import Demand, require_decision
from bais_gates.rollout.emergency import loud, reminders, with_emergency
from bais_gates.rollout.engine import Rollout
from bais_gates.rollout.errors import AGAIN, Paused, RefusalCode, Refused, RolloutStatus, Stuck
from bais_gates.rollout.freezes import Override, overridden, read_override, require_no_freeze
from bais_gates.rollout.lock import Lock
from bais_gates.rollout.migration import migration_job
from bais_gates.rollout.plan import last_record, plan_deploy, plan_rollback
from bais_gates.rollout.record import ANNOTATION, Folder, Phase, Record, record_on
from bais_gates.rollout.revocation import carried, require_not_revoked
from bais_gates.rollout.schema import prove
from bais_gates.rollout.verification import NotVerified, Verification
from bais_gates.rollout.way_back import why_no_way_back
from bais_gates.rollout.workload import Workload, images_of
from bais_gates.staging.errors import StageError
from bais_gates.staging.server import Clock
from bais_gates.verdict.model import Decision, Subject, parse_subject

if TYPE_CHECKING:
    from bais_gates.rollout.postdeploy import PostdeployGates
    from bais_gates.rollout.watch import Watch
    from bais_gates.targets.environment import Environment

INTERRUPTED = 130
PATIENCE_S = 10.0
"""Seconds for which a read of the cluster is tried: one lost answer must not stop a rollback half-way."""
FREEZES = GATES / "rollout" / "freezes.yaml"
Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """One call of a command: its arguments, environment and open cluster."""

    arguments: argparse.Namespace
    environment: Environment
    workload: Workload
    rehearsal: bool
    verification: Verification
    after: Aftermath
    watch: Watch | None
    gates: PostdeployGates | None

    @property
    def folder(self) -> Folder:
        """The folder of records."""
        return self.after.folder

    def under_lock(self) -> Lock:
        """Return the lock of this environment's deploys, not taken yet."""
        return Lock(self.workload.server, self.workload.namespace, f"{self.workload.name}-deploy")

    def rollout(self, lock: Lock) -> Rollout:
        """Return the engine, under a lock that is taken."""
        return Rollout(
            workload=self.workload,
            lock=lock,
            folder=self.folder,
            verification=self.verification,
            progress=report,
            timeout_s=getattr(self.arguments, "timeout", None),
            noted=self.after.note,
            watch=self.watch,
            gates=self.gates,
        )


def deploy(arguments: argparse.Namespace) -> int:
    """Run ``bais-gates deploy`` and return its exit status."""
    emergency_of(arguments)
    if arguments.resume or arguments.abort:
        if arguments.dry_run:
            raise GateInputError("--dry-run has no effect with --resume or --abort: leave one of them out.")
        return _run(arguments, _go_on)
    if arguments.subject is None:
        raise GateInputError("--subject is missing: name the image to deploy as NAME@sha256:...")
    return _run(arguments, _deploy)


def rollback(arguments: argparse.Namespace) -> int:
    """Run ``bais-gates rollback`` and return its exit status."""
    return _run(arguments, _rollback)


def _run(arguments: argparse.Namespace, work: Callable[[_Command], RolloutStatus | None]) -> int:
    """Open the cluster and do the work (None: a dry run); report how it ended."""
    environment = environment_of(arguments.env)
    _ = environment.api  # without it nothing could be verified
    folder = Folder(arguments.records)
    after = Aftermath(environment=environment, folder=folder, sign_key=arguments.sign_key)
    status = _attempt(arguments, environment, after, work)
    with sigterm_as_interrupt():
        after.end(status)
    return status


def _attempt(
    arguments: argparse.Namespace,
    environment: Environment,
    after: Aftermath,
    work: Callable[[_Command], RolloutStatus | None],
) -> int:
    part = environment.kubernetes
    access = replace(part.deploy_access(environment.path), patience_s=PATIENCE_S)
    try:
        with (
            ClusterWriter(access) as server,
            sigterm_as_interrupt(),
            ExitStack() as opened,
        ):
            workload = Workload(server=server, namespace=part.namespace, name=part.names.api)
            rehearsal = is_running_sandbox(environment)
            if rehearsal:
                report("REHEARSAL: this is the sandbox; nothing here proves that production would be fine")
            command = _Command(
                arguments=arguments,
                environment=environment,
                workload=workload,
                rehearsal=rehearsal,
                verification=Verification(
                    workload=workload,
                    environment=environment,
                    smoke=smoke_test(environment),
                    progress=report,
                ),
                after=after,
                watch=watch_of(arguments, environment, workload, report, opened),
                gates=gates_of(arguments, environment, report),
            )
            return _end(work(command), rehearsal=rehearsal)
    except Refused as refused:
        complain(f"REFUSED ({refused.code}): {refused}")
        return RolloutStatus.REFUSED
    except (Stuck, StageError, ClusterError) as error:
        complain(f"{'PAUSED' if isinstance(error, Paused) else 'STUCK'}: {redact(str(error))}")
        return RolloutStatus.STUCK
    except KeyboardInterrupt:
        complain(f"interrupted; the lock is released. If a deploy had begun, it is not finished: {AGAIN}")
        return INTERRUPTED


def _end(status: RolloutStatus | None, *, rehearsal: bool) -> int:
    if status is None:
        report("--dry-run: nothing was written")
        return 0
    label = "REHEARSAL: " if rehearsal else ""
    if status is RolloutStatus.ROLLBACK_FAILED:
        complain(f"{label}{status.name}: what runs is not verified. Look now; there is no second attempt.")
    else:
        report(f"{label}{status.name}")
    return status


# -- deploy --


def _deploy(command: _Command) -> RolloutStatus | None:
    arguments, workload = command.arguments, command.workload
    subject: Subject = arguments.subject
    override = read_override(arguments.override_freeze_by, arguments.reason)
    if emergency := emergency_of(arguments):
        override = overridden(FREEZES, command.environment.name, emergency)
    decision = _allow(command, subject, override, emergency)
    version = arguments.version or declared_version(command.environment, subject)
    command.under_lock().require_free()
    live = workload.read()
    last = last_record(live)
    if decision is not None:
        require_not_revoked(decision, last, command.folder.path / command.environment.name)
        given = not arguments.dry_run and settle(
            command.under_lock(), workload, command.after, subject, decision
        )
        live = workload.read() if given else live
        last = last_record(live)
    for reminder in reminders(last):
        complain(reminder)
    images = workload.with_image(live, subject)
    if {**images_of(live), **images} == images_of(live):
        return _runs_already(command, images, version)
    diff = workload.diff(live, images, take_over=arguments.take_over)
    record = plan_deploy(
        workload,
        live,
        command.environment,
        decision=decision,
        subject=subject,
        version=version,
        rehearsal=command.rehearsal,
        diff=diff,
        override=override,
    )
    job = _job(command, record)
    job_name = job["metadata"]["name"] if job else ""
    record = replace(record, **carried(last), job=job_name, reason=redact(arguments.reason or ""))
    record = with_emergency(record, emergency) if emergency else record
    _show(diff, job)
    if arguments.dry_run:
        return None
    record = _prove(command, record, job)
    with command.under_lock() as lock:
        _require_unchanged(workload, live)
        _allow(command, subject, override, emergency)
        rollout = command.rollout(lock)
        rollout.last()
        return rollout.go_on(rollout.enter(record, Phase.RECORDED), job)


def _allow(
    command: _Command, subject: Subject, override: Override | None, emergency: dict[str, str]
) -> Decision | None:
    """Return the decision that allows the deploy now; raise ``Refused`` without one, or in a freeze.

    None in an emergency, which no decision and no freeze stops.
    """
    if emergency:
        complain(loud(emergency, frozen=override is not None))
        return None
    demand = Demand(
        decision=command.arguments.decision or DECISION,
        catalog=command.arguments.catalog,
        environment=command.environment.name,
        environment_digest=command.environment.digest,
        subject=subject,
        cluster_uid=command.workload.server.uid(),
        rehearsal=command.rehearsal,
    )
    decision = require_decision(demand)
    require_no_freeze(FREEZES, command.environment.name, override=override)
    report(f"decision: run {decision.run.run_id}, valid until {decision.valid_until:%Y-%m-%d %H:%M} UTC")
    return decision


def _prove(command: _Command, record: Record, job: Object | None) -> Record:
    """Try the migration, and what runs now after it, on a copy; raise ``Refused`` if either fails."""
    return prove(
        record,
        job,
        workload=command.workload,
        environment=command.environment,
        smoke=smoke_test,
        accept_no_way_back=command.arguments.no_way_back or bool(record.no_way_back),
        progress=report,
    )


def _runs_already(command: _Command, images: dict[str, str], version: str) -> RolloutStatus:
    """Verify what a deploy would deploy and runs already: a pipeline's second attempt."""
    try:
        command.verification.verify(images, version, Clock.lasting(60.0))
    except NotVerified as error:
        raise Refused(
            RefusalCode.NOTHING_TO_DO, f"This image is applied already, and is not well: {error}"
        ) from None
    report("this image runs already; nothing was written")
    return RolloutStatus.DEPLOYED


def _job(command: _Command, record: Record) -> Object | None:
    manifests = command.arguments.manifests
    folder = manifests or GATES / "staging" / "manifests" / "overlays" / command.environment.name
    if manifests is None and not folder.is_dir():
        raise GateInputError(
            f"{folder} does not exist: it has the Job that migrates the schema. Name the folder by "
            "--manifests; one without such a Job stands for a release without a migration."
        )
    return migration_job(
        folder,
        namespace=command.workload.namespace,
        subject=parse_subject(next(iter(record.images.values()))),
        deploy=record.id,
    )


def _show(diff: str, job: Object | None) -> None:
    for line in diff.splitlines():
        print(f"    {line}")
    name = job["metadata"]["name"] if job else "none"
    report(f"migration: {f'Job {name}' if job else name}")


def _require_unchanged(workload: Workload, planned: Object) -> None:
    """Raise ``Refused`` if the Deployment is not the one that was planned for: before the lock was taken."""

    def facts(live: Object) -> tuple[object, object]:
        metadata = live["metadata"]
        return metadata.get("generation"), (metadata.get("annotations") or {}).get(ANNOTATION)

    if facts(workload.read()) != facts(planned):
        raise Refused(
            RefusalCode.UNFINISHED,
            "The Deployment was changed while this was planned, by another deploy or by hand. Run the "
            "command again.",
        )


# -- what stopped, and back --


def _go_on(command: _Command) -> RolloutStatus:
    """Go on with the deploy that stopped, or roll it back."""
    abort = command.arguments.abort
    no_way_back = "" if abort else _prove_again(command)
    with command.under_lock() as lock:
        rollout = command.rollout(lock)
        record = rollout.last()
        if record is None or record.finished:
            ended = f"the last one, {record.id}, ended with {record.phase}" if record else "none is recorded"
            raise Refused(RefusalCode.NOTHING_TO_DO, f"No deploy has stopped half-way: {ended}.")
        if record.environment != command.environment.name:
            raise Refused(
                RefusalCode.TARGET_OTHER,
                f"The deploy {record.id} that stopped is of the environment {record.environment}. Use --env "
                f"{record.environment}.",
            )
        report(f"{record.kind} {record.id} by {record.by} stopped in the phase {record.phase}")
        if record.kind == "rollback":
            return rollout.roll_back_by_name(record)
        if abort and (why_not := why_no_way_back(record)):
            raise Refused(
                RefusalCode.NO_WAY_BACK, f"{why_not} Use --resume, or deploy another release after it."
            )
        if abort or record.phase is Phase.ROLLING_BACK:
            record = replace(record, aborted=record.aborted or record.phase is not Phase.ROLLING_BACK)
            return rollout.roll_back(record, "it was aborted" if abort else "its rollback had begun")
        if record.phase is not Phase.WATCHING:  # from there on nothing more is deployed
            _allow_again(command, record)
        record = replace(record, no_way_back=no_way_back or record.no_way_back)
        return rollout.go_on(record, _job(command, record))


def _allow_again(command: _Command, record: Record) -> None:
    """Raise ``Refused`` unless the deploy that stopped is still allowed."""
    override = Override(**record.override) if record.override else None
    subject = parse_subject(next(iter(record.images.values())))
    decision = _allow(command, subject, override, record.emergency)
    if decision is not None:
        require_not_revoked(decision, record, command.folder.path / record.environment)


def _prove_again(command: _Command) -> str:
    """Try the migration of a deploy that stopped before it; return before which version is no way back."""
    command.under_lock().require_free()
    record = record_on(command.workload.read())
    ours = record is not None and (record.kind, record.environment) == ("deploy", command.environment.name)
    if record is None or not ours or record.phase is not Phase.RECORDED:
        return ""
    return _prove(command, record, _job(command, record)).no_way_back


def _rollback(command: _Command) -> RolloutStatus | None:
    arguments, workload = command.arguments, command.workload
    command.under_lock().require_free()
    live = workload.read()
    record = plan_rollback(
        workload,
        live,
        command.environment,
        to=arguments.to,
        folder=command.folder,
        rehearsal=command.rehearsal,
    )
    for name, image in record.images.items():
        report(f"container {name}: {record.before.images.get(name)} -> {image}")
    if arguments.dry_run:
        return None
    with command.under_lock() as lock:
        _require_unchanged(workload, live)
        rollout = command.rollout(lock)
        rollout.last()
        record = replace(record, **carried(record_on(live)), reason=redact(arguments.reason or ""))
        return rollout.roll_back_by_name(rollout.enter(record, Phase.RECORDED))
