"""Staging for a run or the command line: the environment file's words become a plan, which is carried out."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bais_gates.errors import GateInputError
from bais_gates.manifests import image_references, render
from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.probes.postgres import Database, DatabaseError
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.provision import Done, Plan, clock_for, kept, provision
from bais_gates.staging.reach import NotReachable, Reach
from bais_gates.staging.staged import Staged
from bais_gates.staging.teardown import tear_down
from bais_gates.targets.provision import RunContext, environment_for, once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.staging.readiness import Object
    from bais_gates.staging.server import Server
    from bais_gates.targets.environment import Environment

CLAIM: Final = "staging.claim"
"""File in the run directory: this run was about to stage something, which its end takes away."""
DEADLINE_SHARE: Final = 0.85
"""The part of a gate's deadline that provisioning may take: a reason is told before the gate is ended."""
TEAR_DOWN_S: Final = 90.0
REVISION: Final = "SELECT version_num FROM alembic_version"


def open_writer(environment: Environment) -> ClusterWriter:
    """Open the cluster of an environment for writing; GateInputError where that is not allowed."""
    from bais_gates.probes.kubernetes.writer import ClusterWriter  # noqa: PLC0415 - half a second

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
    """Render what is to be staged: the environment's overlay, or the one that is named, in its namespace.

    ``images`` (``NAME@sha256:...``) go before ``staging.images`` and ``release.image`` of the file.
    Raises GateInputError naming what is to be corrected.
    """
    part = environment.staging
    where = namespace or part.namespace
    folder = manifests or gates_dir / "staging" / "manifests" / "overlays" / (overlay or part.overlay)
    if not folder.is_dir():
        raise GateInputError(
            f"{folder}: there is no such overlay. Name one of gates/staging/manifests/overlays, or a folder "
            "with a kustomization.yaml by --manifests."
        )
    release = environment.release.image if environment.describes("release") else None
    named = [*([release] if release else []), *part.images, *images]
    references = dict(_reference(one) for one in named)
    objects = render(folder, namespace=where, images=references)
    _require_used({_reference(one)[0] for one in images}, objects)
    return Plan(
        namespace=where,
        owner=owner_of(environment),
        objects=objects,
        variables={**environment.variables, **part.variables},
        run=run,
        keep=keep,
    )


def owner_of(environment: Environment) -> str:
    """Return what the label ``bais-gates/owner`` says for an environment."""
    return environment.name.strip("-")


def _reference(image: str) -> tuple[str, str]:
    """Return an image's name without tag and digest, and the whole reference."""
    name, at, _ = image.partition("@sha256:")
    if not at:
        raise GateInputError(f"{image!r} is no NAME@sha256:..., so it does not say which image is meant.")
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}", image


def _require_used(names: set[str], objects: list[Object]) -> None:
    used = {_reference(image)[0] for image in image_references(objects) if "@sha256:" in image}
    unknown = sorted(names - used)
    if unknown:
        raise GateInputError(
            f"--image {unknown[0]}: no workload of these manifests runs it; they run "
            f"{', '.join(sorted(used))}."
        )


def carry_out(
    server: Server, environment: Environment, plan: Plan, *, seconds: float, progress: Callable[[str], None]
) -> Staged:
    """Provision and give the outcome, whatever it is."""
    done: list[Done] = []
    try:
        provision(server, plan, clock=clock_for(seconds), progress=progress, done=done)
    except StageError as error:
        return Staged.stopped(error, namespace=plan.namespace, owner=plan.owner, done=tuple(done))
    with tempfile.TemporaryDirectory(prefix="bais-gates-") as folder:
        reach = Reach(server=server, namespace=plan.namespace, environment=environment, folder=Path(folder))
        revision = _revision(reach)
    return Staged(namespace=plan.namespace, owner=plan.owner, done=tuple(done), revision=revision)


def _revision(reach: Reach) -> str | None:
    """Read the schema's revision; None where the database can't be asked from here."""
    try:
        with Database(reach.database_url()) as database:
            found = database.value(REVISION)
    except (NotReachable, StageError, DatabaseError, GateInputError):
        return None
    return str(found) if found is not None else None


def stage_once(
    run: RunContext,
    server: Server,
    environment: Environment,
    *,
    gates_dir: Path,
    gate_deadline_s: float,
    progress: Callable[[str], None],
) -> Staged:
    """Provision in the first process of the run that asks; every process is told how it went."""

    def make() -> dict[str, str | None]:
        plan = plan_for(environment, gates_dir=gates_dir, run=run.run_id)
        claim = {"namespace": plan.namespace, "owner": plan.owner}
        (run.directory / CLAIM).write_text(json.dumps(claim), encoding="utf-8")
        seconds = min(environment.staging.timeout_s, DEADLINE_SHARE * gate_deadline_s)
        say = _prefixed(progress)
        return carry_out(server, environment, plan, seconds=seconds, progress=say).as_record()

    return Staged.from_record(once(run.directory, "staging", make))


def release(run: RunContext, *, gates_dir: Path, progress: Callable[[str], None]) -> None:
    """Take away what the run staged, if it staged anything; a namespace that a person keeps stays.

    Never raises: the decision stands already. What is left is said, with the command that takes it away.
    """
    claim = _claim(run.directory)
    if claim is None:
        return
    namespace, owner = claim["namespace"], claim["owner"]
    say = _prefixed(progress)
    try:
        environment = environment_for(run, gates_dir=gates_dir)
        with open_writer(environment) as server:
            live = server.named("v1", "Namespace", namespace)
            if live is not None and kept(live, owner):
                say(f"the namespace {namespace} is kept, as `stage --keep` asked for")
                return
            clock = clock_for(TEAR_DOWN_S)
            if tear_down(server, namespace, owner, clock=clock, progress=say, only_run=run.run_id):
                say(f"the namespace {namespace} is gone")
    except KeyboardInterrupt:
        say(_left(namespace, run, "it was interrupted"))
    except (StageError, ClusterError, GateInputError, OSError) as error:
        if not _gone(error):
            say(_left(namespace, run, str(error)))


def _gone(error: Exception) -> bool:
    """Return whether nothing can be left because the namespace was refused as somebody else's."""
    return isinstance(error, StageError) and error.code is StageCode.NAMESPACE_FOREIGN


def _left(namespace: str, run: RunContext, why: str) -> str:
    return (
        f"the namespace {namespace} could not be taken away ({why}). Take it away with `bais-gates stage "
        f"--down --env {run.environment}`."
    )


def _claim(directory: Path) -> dict[str, str] | None:
    try:
        claim: dict[str, str] = json.loads((directory / CLAIM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return claim


def _prefixed(progress: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: progress(f"staging: {text}")
