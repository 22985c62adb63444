"""What ``bais-gates stage`` does, in words for a person; loaded only when it is asked for."""

from __future__ import annotations

import argparse
import runpy
import secrets
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bais_gates.errors import GateInputError
from bais_gates.probes.http import Unreachable
from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.staging import run as staging
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.ownership import KEPT, RUN, annotation, owner_of
from bais_gates.staging.provision import clock_for, kept
from bais_gates.staging.reach import NotReachable, Reach
from bais_gates.staging.teardown import staged, tear_down
from bais_gates.targets.environment import load_environment
from bais_gates.targets.target import Target, Unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.staging.findings import Finding
    from bais_gates.staging.provision import Plan
    from bais_gates.targets.environment import Environment

NOT_AS_IT_SHOULD_BE, REFUSED, SURROUNDINGS, INTERRUPTED = 1, 2, 3, 130
GATES = Path("gates")
SMOKE = GATES / "staging" / "smoke.py"
"""The suite's own check of what was provisioned: ``check(reach, target, unique)`` yields its findings."""
TEAR_DOWN_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """One call of the command: the open cluster, and what was asked for."""

    arguments: argparse.Namespace
    environment: Environment
    server: ClusterWriter
    plan: Plan
    unique: Unique
    kept_before: bool
    """A person asked earlier for it to stay: an interrupt must not take it away."""


def stage(arguments: argparse.Namespace) -> int:
    """Do what was asked and return the exit status."""
    try:
        environment = _environment(arguments.env)
        with staging.open_writer(environment) as server:
            if arguments.list:
                return _list(server)
            if arguments.down:
                return _down(arguments, environment, server)
            return _stage(arguments, environment, server)
    except StageError as error:
        return _told(error)
    except ClusterError as error:
        _complain(str(error))
        return SURROUNDINGS


def _environment(name: str) -> Environment:
    """Read the environment file; for one that a run would start itself, that of the sandbox that is up."""
    environment = load_environment(name, gates_dir=GATES)
    if environment.provision != "sandbox":
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
            "there is no sandbox up to stage in. Start one with `bais-gates sandbox up`, or name another "
            "environment with --env."
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
        kept_before=before is not None and kept(before, plan.owner),
    )
    with _sigterm_as_interrupt():
        try:
            status = _up(stage)
        except KeyboardInterrupt:
            _complain("interrupted; taking away what was made (once more Ctrl-C leaves it)")
            status = INTERRUPTED
        return _afterwards(stage, status)


def _up(stage: _Stage) -> int:
    """Provision, then health and smoke test; say how each went."""
    began = time.monotonic()
    seconds = stage.arguments.timeout or stage.environment.staging.timeout_s
    outcome = staging.carry_out(stage.server, stage.environment, stage.plan, seconds=seconds, progress=_say)
    if (error := outcome.error) is not None:
        return _told(error)
    _say(f"{stage.plan.namespace} is up after {time.monotonic() - began:.0f} s")
    if not SMOKE.is_file():
        _say(f"nothing more is checked: there is no {SMOKE}")
        return 0
    with tempfile.TemporaryDirectory(prefix="bais-gates-") as folder:
        return _try(stage, Path(folder))


def _try(stage: _Stage, folder: Path) -> int:
    reach = Reach(
        server=stage.server, namespace=stage.plan.namespace, environment=stage.environment, folder=folder
    )
    try:
        _say(f"the API answers at {reach.url()}")
        target = Target(environment=stage.environment, gates_dir=GATES)
        false = 0
        for part, finding in _smoke_check()(reach, target, stage.unique):
            false += not finding.holds
            print(f"  {'ok   ' if finding.holds else 'FALSE'} {part}: {finding.sentence}", flush=True)
    except (Unreachable, NotReachable) as error:
        _complain(str(error))
        return NOT_AS_IT_SHOULD_BE
    if false:
        _complain(f"{false} of these are not as they should be")
    return NOT_AS_IT_SHOULD_BE if false else 0


def _smoke_check() -> Callable[[Reach, Target, Unique], Iterable[tuple[str, Finding]]]:
    """Load the suite's ``check``; GateInputError where its file defines none."""
    check = runpy.run_path(str(SMOKE)).get("check")
    if not callable(check):
        raise GateInputError(f"{SMOKE}: it defines no check(reach, target, unique). Define it there.")
    return cast("Callable[[Reach, Target, Unique], Iterable[tuple[str, Finding]]]", check)


def _afterwards(stage: _Stage, status: int) -> int:
    """Take away what was made, unless it is to be kept or was never ours."""
    namespace = stage.plan.namespace
    live = stage.server.named("v1", "Namespace", namespace)
    if live is None or owner_of(live) != stage.plan.owner:
        return status
    if stage.kept_before or (status != INTERRUPTED and kept(live, stage.plan.owner)):
        _say(f"{namespace} is kept; take it away with `bais-gates stage --down`")
        return status
    try:
        _take_away(stage.server, namespace, stage.plan.owner)
    except StageError as error:
        told = _told(error)
        return status or told
    except KeyboardInterrupt:
        _complain(f"{namespace} is left; take it away with `bais-gates stage --down`")
        return INTERRUPTED
    return status


def _take_away(server: ClusterWriter, namespace: str, owner: str) -> None:
    there = tear_down(server, namespace, owner, clock=clock_for(TEAR_DOWN_S), progress=_say)
    _say(f"{namespace} is gone, nothing of it is left" if there else f"there is no {namespace}")


def _down(arguments: argparse.Namespace, environment: Environment, server: ClusterWriter) -> int:
    namespace = arguments.namespace or environment.staging.namespace
    with _sigterm_as_interrupt():
        _take_away(server, namespace, staging.owner_of(environment))
    return 0


def _list(server: ClusterWriter) -> int:
    found = staged(server)
    for one in found:
        metadata: dict[str, Any] = one["metadata"]
        phase = (one.get("status") or {}).get("phase", "?")
        stays = ", kept" if annotation(one, KEPT) == "true" else ""
        by = annotation(one, RUN) or "?"
        since = metadata.get("creationTimestamp")
        print(f"{metadata['name']}  {phase}{stays}, owner {owner_of(one)}, run {by}, since {since}")
    if not found:
        print("nothing is staged there")
    return 0


def _told(error: StageError) -> int:
    where = f" at the step {error.step}" if error.step else ""
    _complain(f"staging stopped{where}: {error}")
    if error.code in {StageCode.MANIFESTS, StageCode.NAMESPACE_FOREIGN}:
        return REFUSED
    return NOT_AS_IT_SHOULD_BE if error.code.blames_release else SURROUNDINGS


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Have SIGTERM (a cancelled job) clean up as Ctrl-C does."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


def _complain(text: str) -> None:
    sys.stdout.flush()
    print(f"bais-gates: {text}", file=sys.stderr, flush=True)
