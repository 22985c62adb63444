"""The work of ``bais-gates deploy`` and ``bais-gates rollback``, loaded only when a command runs."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates.cli.deploy_watch import gates_of, watch_of
from bais_gates.cli.stage_run import environment_of, sigterm_as_interrupt
from bais_gates.errors import GateInputError
from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.probes.kubernetes.writer import ClusterWriter
from bais_gates.redaction import redact
from bais_gates.rollout.decision import Demand, require_decision
from bais_gates.rollout.engine import Rollout
from bais_gates.rollout.errors import AGAIN, Paused, RefusalCode, Refused, RolloutStatus, Stuck
from bais_gates.rollout.freezes import Override, read_override, require_no_freeze
from bais_gates.rollout.lock import Lock
from bais_gates.rollout.migration import migration_job
from bais_gates.rollout.plan import last_record, plan_deploy, plan_rollback
from bais_gates.rollout.record import ANNOTATION, Folder, Phase, Record
from bais_gates.rollout.verification import NotVerified, Verification
from bais_gates.rollout.workload import Workload, images_of
from bais_gates.staging.errors import StageError
from bais_gates.staging.server import Clock
from bais_gates.targets.environment import load_environment
from bais_gates.targets.target import Target, Unique
from bais_gates.verdict.model import Decision, Subject, parse_subject

if TYPE_CHECKING:
    from bais_gates.rollout.postdeploy import PostdeployGates
    from bais_gates.rollout.watch import Watch
    from bais_gates.staging.staged import Finding
    from bais_gates.targets.environment import Environment

INTERRUPTED = 130
GATES = Path("gates")
SMOKE = GATES / "rollout" / "smoke.py"
"""The suite's check of what runs: its ``check(target, unique)`` yields parts and findings."""
FREEZES = GATES / "rollout" / "freezes.yaml"
_SANDBOX = "sandbox"
Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """One call of a command: its arguments, environment and open cluster."""

    arguments: argparse.Namespace
    environment: Environment
    workload: Workload
    rehearsal: bool
    verification: Verification
    watch: Watch | None
    gates: PostdeployGates | None

    @property
    def folder(self) -> Folder:
        """The folder of records."""
        return Folder(self.arguments.records)

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
            progress=_report,
            timeout_s=getattr(self.arguments, "timeout", None),
            watch=self.watch,
            gates=self.gates,
        )


def deploy(arguments: argparse.Namespace) -> int:
    """Run ``bais-gates deploy`` and return its exit status."""
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
    part = environment.kubernetes
    try:
        with (
            ClusterWriter(part.deploy_access(environment.path)) as server,
            sigterm_as_interrupt(),
            ExitStack() as opened,
        ):
            workload = Workload(server=server, namespace=part.namespace, name=part.names.api)
            rehearsal = _is_running_sandbox(environment)
            if rehearsal:
                _report("REHEARSAL: this is the sandbox; nothing here proves that production would be fine")
            command = _Command(
                arguments=arguments,
                environment=environment,
                workload=workload,
                rehearsal=rehearsal,
                verification=Verification(
                    workload=workload,
                    environment=environment,
                    smoke=_smoke_test(environment),
                    progress=_report,
                ),
                watch=watch_of(arguments, environment, workload, _report, opened),
                gates=gates_of(arguments, environment, _report),
            )
            return _end(work(command), rehearsal=rehearsal)
    except Refused as refused:
        _complain(f"REFUSED ({refused.code}): {refused}")
        return RolloutStatus.REFUSED
    except (Stuck, StageError, ClusterError) as error:
        _complain(f"{'PAUSED' if isinstance(error, Paused) else 'STUCK'}: {redact(str(error))}")
        return RolloutStatus.STUCK
    except KeyboardInterrupt:
        _complain(f"interrupted; the lock is released. If a deploy had begun, it is not finished: {AGAIN}")
        return INTERRUPTED


def _end(status: RolloutStatus | None, *, rehearsal: bool) -> int:
    if status is None:
        _report("--dry-run: nothing was written")
        return 0
    label = "REHEARSAL: " if rehearsal else ""
    if status is RolloutStatus.ROLLBACK_FAILED:
        _complain(f"{label}{status.name}: what runs is not verified. Look now; there is no second attempt.")
    else:
        _report(f"{label}{status.name}")
    return status


# -- deploy --


def _deploy(command: _Command) -> RolloutStatus | None:
    arguments, workload = command.arguments, command.workload
    subject: Subject = arguments.subject
    override = read_override(arguments.override_freeze_by, arguments.reason)
    decision = _allow(command, subject, override)
    version = arguments.version or _declared_version(command.environment, subject)
    command.under_lock().require_free()
    live = workload.read()
    last_record(live)
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
    record = replace(
        record, job=job["metadata"]["name"] if job else "", reason=redact(arguments.reason or "")
    )
    _show(diff, job)
    if arguments.dry_run:
        return None
    with command.under_lock() as lock:
        _require_unchanged(workload, live)
        _allow(command, subject, override)
        rollout = command.rollout(lock)
        rollout.last()
        return rollout.go_on(rollout.enter(record, Phase.RECORDED), job)


def _allow(command: _Command, subject: Subject, override: Override | None) -> Decision:
    """Return the decision that allows the deploy now; raise ``Refused`` without one, or in a freeze."""
    demand = Demand(
        decision=command.arguments.decision,
        catalog=command.arguments.catalog,
        environment=command.environment.name,
        environment_digest=command.environment.digest,
        subject=subject,
        cluster_uid=command.workload.server.uid(),
        rehearsal=command.rehearsal,
    )
    decision = require_decision(demand)
    require_no_freeze(FREEZES, command.environment.name, override=override)
    _report(f"decision: run {decision.run.run_id}, valid until {decision.valid_until:%Y-%m-%d %H:%M} UTC")
    return decision


def _declared_version(environment: Environment, subject: Subject) -> str:
    if environment.describes("release"):
        release = environment.release
        if release.image == str(subject) and release.version:
            return release.version
    raise GateInputError(
        "--version is missing: name the version that this image reports at GET /health (or describe it as "
        f"release.image and release.version in {environment.path}). It is verified after the rollout."
    )


def _runs_already(command: _Command, images: dict[str, str], version: str) -> RolloutStatus:
    """Verify what a deploy would deploy and runs already: a pipeline's second attempt."""
    try:
        command.verification.verify(images, version, Clock.lasting(60.0))
    except NotVerified as error:
        raise Refused(
            RefusalCode.NOTHING_TO_DO, f"This image is applied already, and is not well: {error}"
        ) from None
    _report("this image runs already; nothing was written")
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
    _report(f"migration: {f'Job {name}' if job else name}")


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
        _report(f"{record.kind} {record.id} by {record.by} stopped in the phase {record.phase}")
        if record.kind == "rollback":
            return rollout.roll_back_by_name(record)
        if abort or record.phase is Phase.ROLLING_BACK:
            return rollout.roll_back(record, "it was aborted" if abort else "its rollback had begun")
        if record.phase is not Phase.WATCHING:  # from there on nothing more is deployed
            override = Override(**record.override) if record.override else None
            _allow(command, parse_subject(next(iter(record.images.values()))), override)
        return rollout.go_on(record, _job(command, record))


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
        _report(f"container {name}: {record.before.images.get(name)} -> {image}")
    if arguments.dry_run:
        return None
    with command.under_lock() as lock:
        _require_unchanged(workload, live)
        rollout = command.rollout(lock)
        rollout.last()
        record = replace(record, reason=redact(arguments.reason or ""))
        return rollout.roll_back_by_name(rollout.enter(record, Phase.RECORDED))


# -- the environment --


def _is_running_sandbox(environment: Environment) -> bool:
    """Return whether the cluster to write to is that of a sandbox that runs here."""
    if environment.name != _SANDBOX:
        return False
    from bais_gates.sandbox import SandboxError, default_directory, status  # noqa: PLC0415 - an optional part

    provisioned = environment.provision == _SANDBOX
    directory = default_directory() if provisioned else environment.path.parent
    try:
        info = status(directory)
    except SandboxError:
        return False
    if info is None or info.state != "ready":
        return False
    return load_environment(info.environment_file, gates_dir=GATES).kubernetes == environment.kubernetes


def _smoke_test(environment: Environment) -> Callable[[], Iterable[tuple[str, Finding]]] | None:
    """Return the suite's check of what runs, loaded before the first write; None if it has none."""
    if not SMOKE.is_file():
        return None
    check = runpy.run_path(str(SMOKE)).get("check")
    if not callable(check):
        raise GateInputError(f"{SMOKE}: it defines no check(target, unique). Define it there.")
    target = Target(environment=environment, gates_dir=GATES)
    return lambda: check(target, Unique("deploy"))


def _report(text: str) -> None:
    print(f"  {text}", flush=True)


def _complain(text: str) -> None:
    sys.stdout.flush()
    print(f"bais-gates: {text}", file=sys.stderr, flush=True)
