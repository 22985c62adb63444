"""Staging for a run or the command line: build a plan from the environment file, and carry it out once."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bais_gates.errors import GateInputError
from bais_gates.manifests import image_references, render
from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.probes.postgres import Database, DatabaseError
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.holding import Holding, let_go
from bais_gates.staging.namespace import is_kept
from bais_gates.staging.plan import CompletedStep, Plan
from bais_gates.staging.provision import provision
from bais_gates.staging.reach import NotReachable, Reach
from bais_gates.staging.server import Clock
from bais_gates.staging.staged import StagedPlatform, StagingResult
from bais_gates.staging.teardown import tear_down
from bais_gates.targets.provision import RunContext, environment_for, make_staged_faults, once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.staging.readiness import Object
    from bais_gates.staging.server import Server
    from bais_gates.targets.environment import Environment

CLAIM: Final = "staging.claim"
"""File in the run directory: the namespace that this run began to provision, and tears down at its end."""
DEADLINE_SHARE: Final = 0.85
"""The part of a gate's deadline that provisioning may take, so that its error comes before the deadline."""
TEAR_DOWN_S: Final = 90.0
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
REVISION_QUERY: Final = "SELECT version_num FROM alembic_version"


def open_writer(environment: Environment) -> ClusterWriter:
    """Return the environment's cluster for writing; raise GateInputError if it is read_only."""
    from bais_gates.probes.kubernetes.writer import ClusterWriter  # noqa: PLC0415 - takes half a second

    return ClusterWriter(environment.kubernetes.write_access())


def plan_for(
    environment: Environment,
    *,
    gates_dir: Path,
    manifests: Path | None = None,
    overlay: str | None = None,
    namespace: str | None = None,
    images: Sequence[str] = (),
    run: str = "",
    keep: bool = False,
) -> Plan:
    """Render the environment's overlay, or the given one, as a plan.

    ``images`` (``NAME@sha256:...``) take precedence over ``staging.images`` and ``release.image`` of the
    file. Raises GateInputError that names what to correct.
    """
    part = environment.staging
    target_namespace = namespace_name(environment, namespace)
    folder = manifests or gates_dir / "staging" / "manifests" / "overlays" / (overlay or part.overlay)
    if not folder.is_dir():
        raise GateInputError(
            f"{folder}: no such overlay. Name one of gates/staging/manifests/overlays, or a folder with a "
            "kustomization.yaml by --manifests."
        )
    release = environment.release.image if environment.describes("release") else None
    named = [*([release] if release else []), *part.images, *images]
    references = dict(_reference(one) for one in named)
    objects = render(folder, namespace=target_namespace, images=references)
    _require_used({_reference(one)[0] for one in images}, objects)
    return Plan(
        namespace=target_namespace,
        owner=owner_name(environment),
        objects=objects,
        variables={**environment.variables, **part.variables},
        run=run,
        keep=keep,
    )


def namespace_name(environment: Environment, named: str | None = None) -> str:
    """Return the name of the namespace to stage in; raise GateInputError for one that Kubernetes refuses."""
    name = environment.staging.namespace if named is None else named
    if not _NAMESPACE.fullmatch(name):
        where = f"{environment.path}: staging.namespace" if named is None else "--namespace"
        raise GateInputError(
            f"{where}: {name!r} can't name a namespace. Use at most 63 lower-case letters, digits and "
            "hyphens, with a letter or digit at both ends."
        )
    return name


def owner_name(environment: Environment) -> str:
    """Return the value of the label ``bais-gates/owner`` for an environment."""
    return environment.name.strip("-")


def _reference(image: str) -> tuple[str, str]:
    """Return an image's name without tag and digest, and the whole reference."""
    name, at, _ = image.partition("@sha256:")
    if not at:
        raise GateInputError(f"{image!r} has no digest. Name the image as NAME@sha256:<64 hex digits>.")
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}", image


def _require_used(names: set[str], objects: list[Object]) -> None:
    used = {_reference(image)[0] for image in image_references(objects) if "@sha256:" in image}
    unknown = sorted(names - used)
    if unknown:
        raise GateInputError(
            f"--image {unknown[0]}: no workload of these manifests runs it. Name one of "
            f"{', '.join(sorted(used))}."
        )


def carry_out(
    server: Server, environment: Environment, plan: Plan, *, seconds: float, progress: Callable[[str], None]
) -> StagingResult:
    """Provision the plan and return the result, also of a failure."""
    completed: list[CompletedStep] = []
    try:
        provision(server, plan, clock=Clock.lasting(seconds), progress=progress, completed=completed)
    except StageError as error:
        return StagingResult.from_error(
            error, namespace=plan.namespace, owner=plan.owner, completed=tuple(completed)
        )
    with tempfile.TemporaryDirectory(prefix="bais-gates-") as folder:
        reach = Reach(server=server, namespace=plan.namespace, environment=environment, folder=Path(folder))
        revision = _read_revision(reach)
    return StagingResult(
        namespace=plan.namespace, owner=plan.owner, completed=tuple(completed), revision=revision
    )


def _read_revision(reach: Reach) -> str | None:
    """Return the schema's revision; None if the database can't be reached from here."""
    try:
        with Database(reach.database_url()) as database:
            revision = database.value(REVISION_QUERY)
    except (NotReachable, StageError, DatabaseError, GateInputError):
        return None
    return str(revision) if revision is not None else None


def open_staging(
    run: RunContext,
    server: Server,
    environment: Environment,
    *,
    gates_dir: Path,
    gate_deadline_s: float,
    progress: Callable[[str], None],
) -> StagedPlatform:
    """Provision in the first process of the run that gets here; return the staged platform in every one."""

    def stage() -> dict[str, str | None]:
        plan = plan_for(environment, gates_dir=gates_dir, run=run.run_id)
        claim = {"namespace": plan.namespace, "owner": plan.owner}
        (run.directory / CLAIM).write_text(json.dumps(claim), encoding="utf-8")
        seconds = min(environment.staging.timeout_s, DEADLINE_SHARE * gate_deadline_s)
        report = _prefixed(progress)
        if environment.provision == "none":  # nobody else reaches a sandbox that the run started
            Holding(lambda: open_writer(environment), plan).begin()
        staged = carry_out(server, environment, plan, seconds=seconds, progress=report)
        if staged.error is None:
            make_staged_faults(run)
        return staged.as_record()

    result = StagingResult.from_record(once(run.directory, "staging", stage))
    folder = run.directory / "staged"
    folder.mkdir(mode=0o700, exist_ok=True)
    reach = Reach(server=server, namespace=result.namespace, environment=environment, folder=folder)
    return StagedPlatform(result=result, server=server, environment=environment, reach=reach)


def release(run: RunContext, *, gates_dir: Path, progress: Callable[[str], None]) -> None:
    """Tear down the namespace that the run provisioned, if any, unless it is annotated as one to keep.

    Never raises, as the decision is made by then: what is left is reported with the command that removes it.
    """
    claim = _claim(run.directory)
    if claim is None:
        return
    namespace, owner = claim["namespace"], claim["owner"]
    report = _prefixed(progress)
    try:
        environment = environment_for(run, gates_dir=gates_dir)
        with open_writer(environment) as server:
            live = server.named("v1", "Namespace", namespace)
            if live is not None and is_kept(live, owner):
                let_go(server, namespace, run.run_id)
                report(f"the namespace {namespace} is kept (--keep)")
                return
            clock = Clock.lasting(TEAR_DOWN_S)
            if tear_down(server, namespace, owner, clock=clock, progress=report, only_run=run.run_id):
                report(f"the namespace {namespace} is deleted")
    except KeyboardInterrupt:
        report(_leftover(namespace, run, "interrupted"))
    except (StageError, ClusterError, GateInputError, OSError) as error:
        if not (isinstance(error, StageError) and error.code is StageCode.NAMESPACE_FOREIGN):
            report(_leftover(namespace, run, str(error)))


def _leftover(namespace: str, run: RunContext, reason: str) -> str:
    return (
        f"the namespace {namespace} could not be deleted ({reason}). Run `bais-gates stage --down --env "
        f"{run.environment}`."
    )


def _claim(directory: Path) -> dict[str, str] | None:
    try:
        claim: dict[str, str] = json.loads((directory / CLAIM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return claim


def _prefixed(progress: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: progress(f"staging: {text}")
