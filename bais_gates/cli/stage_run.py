"""The work of ``bais-gates stage``, loaded only when the command runs."""

from __future__ import annotations

import argparse
import runpy
import secrets
import signal
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bais_gates.cli.common import complain, report
from bais_gates.errors import GateInputError
from bais_gates.probes.http import Unreachable
from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.staging import run as staging
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.holding import RUN, Holding, annotation, let_go, require_free
from bais_gates.staging.namespace import KEPT, is_kept, owner_of, staged_namespaces
from bais_gates.staging.reach import NotReachable, Reach
from bais_gates.staging.server import Clock
from bais_gates.staging.teardown import tear_down
from bais_gates.targets.environment import load_environment
from bais_gates.targets.looks import require
from bais_gates.targets.target import Target, Unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.staging.plan import Plan
    from bais_gates.staging.staged import Finding
    from bais_gates.targets.environment import Environment

RELEASE_FAILED, REFUSED, CLUSTER_FAILED, INTERRUPTED = 1, 2, 3, 130
GATES = Path("gates")
SMOKE = GATES / "staging" / "smoke.py"
"""The suite's own check of the staged platform: its ``check(reach, target, unique)`` yields findings."""
TEAR_DOWN_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """One call of the command: its arguments, plan and open cluster."""

    arguments: argparse.Namespace
    environment: Environment
    server: ClusterWriter
    plan: Plan
    unique: Unique
    kept_before: bool
    """Whether the namespace was provisioned with --keep before: an interrupt must not delete it."""

    @property
    def down_command(self) -> str:
        """The command that deletes the namespace."""
        return f"bais-gates stage --down --env {self.arguments.env} --namespace {self.plan.namespace}"


def stage(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    try:
        _check_options(arguments)
        environment = environment_of(arguments.env)
        with staging.open_writer(environment) as server:
            if arguments.list:
                return _list(server)
            if arguments.down:
                return _down(arguments, environment, server)
            return _stage(arguments, environment, server)
    except StageError as error:
        return _report_error(error)
    except ClusterError as error:
        complain(str(error))
        return CLUSTER_FAILED


def _check_options(arguments: argparse.Namespace) -> None:
    """Raise GateInputError for an option that has no effect with --down or --list."""
    unused = {"overlay", "manifests", "image", "timeout"} | ({"namespace"} if arguments.list else set())
    given = sorted(f"--{name}" for name in unused if getattr(arguments, name) not in (None, []))
    if given and (arguments.down or arguments.list):
        action = "--list" if arguments.list else "--down"
        raise GateInputError(f"{given[0]} has no effect with {action}: leave one of them out.")


def environment_of(name: str, *parts: str) -> Environment:
    """Return the environment; one with ``provision: sandbox`` is completed by the sandbox that is up.

    Raises GateInputError also where one of ``parts`` of another target does not respond as it must.
    """
    environment = load_environment(name, gates_dir=GATES)
    if environment.provision != "sandbox":
        require(environment, *parts, gates_dir=GATES)
        return environment
    try:
        from bais_gates.sandbox import SandboxError, default_directory, status  # noqa: PLC0415 - an optional part
    except ImportError as error:
        raise GateInputError(
            f"the sandbox is not installed ({error}). Install it: pip install 'bais-gates[sandbox]'"
        ) from None
    try:
        info = status(default_directory())
    except SandboxError as error:
        raise GateInputError(str(error)) from None
    if info is None or info.state != "ready":
        raise GateInputError(
            "no sandbox is up. Start one with `bais-gates sandbox up`, or name another environment by --env."
        )
    return environment.completed_by(load_environment(info.environment_file, gates_dir=GATES))


def _stage(arguments: argparse.Namespace, environment: Environment, server: ClusterWriter) -> int:
    run_id = f"stage-{secrets.token_hex(4)}"
    plan = staging.plan_for(
        environment,
        gates_dir=GATES,
        manifests=arguments.manifests,
        overlay=arguments.overlay,
        namespace=arguments.namespace,
        images=arguments.image,
        run=run_id,
        keep=arguments.keep,
    )
    before = server.named("v1", "Namespace", plan.namespace)
    stage = _Stage(
        arguments=arguments,
        environment=environment,
        server=server,
        plan=plan,
        unique=Unique(run_id),
        kept_before=before is not None and is_kept(before, plan.owner),
    )
    with sigterm_as_interrupt(), Holding(lambda: staging.open_writer(environment), plan):
        try:
            status = _provision(stage)
        except KeyboardInterrupt:
            complain("interrupted: deleting what was created (press Ctrl-C again to leave it)")
            status = INTERRUPTED
        return _clean_up(stage, status)


def _provision(stage: _Stage) -> int:
    """Provision, then run the suite's check; print the progress of each and return the exit status."""
    began = time.monotonic()
    seconds = stage.arguments.timeout or stage.environment.staging.timeout_s
    result = staging.carry_out(stage.server, stage.environment, stage.plan, seconds=seconds, progress=report)
    if (error := result.error) is not None:
        return _report_error(error)
    report(f"the namespace {stage.plan.namespace} is ready after {time.monotonic() - began:.0f} s")
    if not SMOKE.is_file():
        report(f"no health check and smoke test: {SMOKE} does not exist")
        return 0
    with tempfile.TemporaryDirectory(prefix="bais-gates-") as folder:
        return _check(stage, Path(folder))


def _check(stage: _Stage, folder: Path) -> int:
    """Run the suite's check of the staged platform, print each finding and return the exit status."""
    reach = Reach(
        server=stage.server, namespace=stage.plan.namespace, environment=stage.environment, folder=folder
    )
    try:
        report(f"checking the API at {reach.url()}")
        target = Target(environment=stage.environment, gates_dir=GATES)
        false = 0
        for part, finding in _smoke_check()(reach, target, stage.unique):
            false += not finding.holds
            report(f"{'ok    ' if finding.holds else 'FAILED'} {part}: {finding.sentence}")
    except (Unreachable, NotReachable) as error:
        complain(str(error))
        return RELEASE_FAILED
    if false:
        complain(
            f"{false} {'check' if false == 1 else 'checks'} of the staged platform failed (the lines with "
            "FAILED). Run `bais-gates stage --keep`, then look at the namespace with kubectl."
        )
    return RELEASE_FAILED if false else 0


def _smoke_check() -> Callable[[Reach, Target, Unique], Iterable[tuple[str, Finding]]]:
    """Return the suite's ``check``; raise GateInputError if its file defines none."""
    check = runpy.run_path(str(SMOKE)).get("check")
    if not callable(check):
        raise GateInputError(f"{SMOKE}: it defines no check(reach, target, unique). Define it there.")
    return cast("Callable[[Reach, Target, Unique], Iterable[tuple[str, Finding]]]", check)


def _clean_up(stage: _Stage, status: int) -> int:
    """Tear down the namespace unless it is to be kept or is another owner's; return the exit status."""
    namespace = stage.plan.namespace
    live = stage.server.named("v1", "Namespace", namespace)
    if live is None or owner_of(live) != stage.plan.owner or annotation(live, RUN) != stage.plan.run:
        return status
    let_go(stage.server, namespace, stage.plan.run)
    if stage.kept_before or (status != INTERRUPTED and is_kept(live, stage.plan.owner)):
        report(f"the namespace {namespace} is kept; delete it with `{stage.down_command}`")
        return status
    try:
        _tear_down(stage.server, namespace, stage.plan.owner, only_run=stage.plan.run)
    except StageError as error:
        error_status = _report_error(error)
        return status or error_status
    except KeyboardInterrupt:
        complain(f"interrupted: the namespace {namespace} is left. Delete it with `{stage.down_command}`.")
        return INTERRUPTED
    return status


def _tear_down(server: ClusterWriter, namespace: str, owner: str, *, only_run: str | None = None) -> None:
    clock = Clock.lasting(TEAR_DOWN_S)
    existed = tear_down(server, namespace, owner, clock=clock, progress=report, only_run=only_run)
    report(f"the namespace {namespace} {'is deleted' if existed else 'does not exist: nothing to delete'}")


def _down(arguments: argparse.Namespace, environment: Environment, server: ClusterWriter) -> int:
    namespace = staging.namespace_name(environment, arguments.namespace)
    if (live := server.named("v1", "Namespace", namespace)) is not None:
        require_free(live)
    with sigterm_as_interrupt():
        _tear_down(server, namespace, staging.owner_name(environment))
    return 0


def _list(server: ClusterWriter) -> int:
    namespaces = staged_namespaces(server)
    for one in namespaces:
        metadata: dict[str, Any] = one["metadata"]
        phase = (one.get("status") or {}).get("phase", "?")
        kept = ", kept" if annotation(one, KEPT) == "true" else ""
        run = annotation(one, RUN) or "?"
        created = metadata.get("creationTimestamp")
        print(f"{metadata['name']}  {phase}{kept}, owner {owner_of(one)}, run {run}, created {created}")
    if not namespaces:
        print("no staged namespaces")
    return 0


def _report_error(error: StageError) -> int:
    """Print an error of staging and return the exit status for its code."""
    where = f" in the step {error.step}" if error.step else ""
    complain(f"staging failed{where}: {error}")
    if error.code in {StageCode.MANIFESTS, StageCode.NAMESPACE_FOREIGN, StageCode.NAMESPACE_HELD}:
        return REFUSED
    return RELEASE_FAILED if error.code.blames_release else CLUSTER_FAILED


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM (a cancelled job) as Ctrl-C, so that it cleans up."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
