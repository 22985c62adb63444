"""What the manifests say comes true in a namespace of its own, step by step, or an error says why.

Idempotent: what is there already and is as it should be stays (a finished Job, generated secrets, running
pods); what has changed is rolled out; a Job that failed or changed is replaced.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bais_gates.probes.kubernetes.access import ClusterRefused
from bais_gates.staging import credentials
from bais_gates.staging.applying import Applier
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.ownership import (
    KEPT,
    OWNER,
    RUN,
    is_terminating,
    owned,
    require_own,
    why_terminating,
)
from bais_gates.staging.plan import Step, check, in_order, least_replicas
from bais_gates.staging.readiness import waits
from bais_gates.staging.server import asked
from bais_gates.staging.teardown import await_gone
from bais_gates.staging.waiting import Clock, until_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bais_gates.staging.readiness import Object
    from bais_gates.staging.server import Server

_NOT_WAITED_FOR: Final = frozenset({"PersistentVolumeClaim"})
"""A claim of a class that binds with the first pod stays unbound until a pod needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to come true, where, and for whom."""

    namespace: str
    owner: str
    """The environment's name: what the label ``bais-gates/owner`` says."""
    objects: list[Object] = field(repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    run: str = ""
    """The run that provisions, noted on the namespace."""
    keep: bool = False
    """Note on the namespace that a person wants it to stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One step that came true."""

    step: str
    seconds: float
    objects: int


def provision(
    server: Server, plan: Plan, *, clock: Clock, progress: Callable[[str], None], done: list[Done]
) -> None:
    """Bring the plan about in its steps' order; each that came true is added to ``done``.

    Raises ``StageError`` with the step it happened in; what was made until then stays, for ``tear_down``.
    """
    check(plan.objects, plan.namespace)
    secrets_missing_early(plan)
    steps = in_order(plan.objects)
    applier = Applier(server, plan.namespace, plan.owner, clock=clock, progress=progress)
    least = least_replicas(plan.objects)
    for step, objects in steps.items():
        began = clock.now()
        try:
            count = _bring_about(server, plan, step, objects, applier, least, clock, progress)
        except StageError as error:
            raise error.at(step) from None
        done.append(Done(step=step, seconds=round(clock.now() - began, 2), objects=count))
        progress(f"{step}: ready after {clock.now() - began:.1f} s")


def secrets_missing_early(plan: Plan) -> None:
    """Find a Secret that nobody makes before anything is written."""
    placeholders = dict.fromkeys((*credentials.names(), *plan.variables), "placeholder")
    credentials.platform_secrets(placeholders, plan.objects, plan.namespace)


def _bring_about(  # noqa: PLR0917 - private, one call
    server: Server,
    plan: Plan,
    step: Step,
    objects: list[Object],
    applier: Applier,
    least: Mapping[str, int],
    clock: Clock,
    progress: Callable[[str], None],
) -> int:
    if step is Step.NAMESPACE:
        objects = [one for one in objects if one["kind"] != "Namespace"]
        _namespace(server, plan, clock, progress)
    if step is Step.CONFIGURATION:
        objects = [*_secrets(server, plan), *objects]
    progress(f"{step}: applying {len(objects)} objects")
    applied = applier.all(objects, step=step)
    awaited = [one for one in applied if waits(str(one.get("kind"))) and one["kind"] not in _NOT_WAITED_FOR]
    until_ready(server, awaited, step=step, clock=clock, progress=progress, least=least)
    return len(applied)


def _secrets(server: Server, plan: Plan) -> list[Object]:
    """Make the Secrets, from what was generated when the namespace was made."""
    kept: Object | None = asked(
        f"Reading the Secret {credentials.GENERATED}",
        lambda: server.named("v1", "Secret", credentials.GENERATED, plan.namespace),
        step=Step.CONFIGURATION,
    )
    values = credentials.settle(plan.variables, credentials.read(kept))
    return [
        credentials.generated(values, plan.namespace),
        *credentials.platform_secrets(values, plan.objects, plan.namespace),
    ]


def _namespace(server: Server, plan: Plan, clock: Clock, progress: Callable[[str], None]) -> None:
    """Make the namespace, or take the one that is ours already; raise for any other, untouched."""
    wanted = namespace_object(plan)
    live = _read(server, plan.namespace)
    if live is not None and is_terminating(live):
        require_own(live, plan.owner)
        progress(f"namespace: waiting until the last {plan.namespace} is gone")
        _await_last(server, live, clock, progress)
        live = None
    if live is None:
        live = _create(server, wanted)
    require_own(live, plan.owner)
    if kept(live, plan.owner):
        wanted["metadata"]["annotations"][KEPT] = "true"
    asked(
        f"Applying the namespace {plan.namespace}",
        lambda: server.apply(wanted, force=True),
        step=Step.NAMESPACE,
    )


def namespace_object(plan: Plan) -> Object:
    """Return the manifests' Namespace with the owner's label and the run's annotation on it."""
    found = next((one for one in plan.objects if one.get("kind") == "Namespace"), None)
    if found is None:
        raise StageError(
            StageCode.MANIFESTS,
            f"There is no Namespace {plan.namespace} among the manifests",
            step=Step.NAMESPACE,
        )
    made = owned(found, plan.owner)
    annotations: dict[str, Any] = {**(made["metadata"].get("annotations") or {}), RUN: plan.run}
    if plan.keep:
        annotations[KEPT] = "true"
    made["metadata"]["annotations"] = annotations
    return made


def _create(server: Server, wanted: Object) -> Object:
    """Create the namespace: two who do so at once do not end up with one namespace between them."""
    name = wanted["metadata"]["name"]

    def create() -> Object:
        try:
            return server.create(wanted)
        except ClusterRefused as refusal:
            if refusal.reason == "AlreadyExists" and (there := server.named("v1", "Namespace", name)):
                return there
            raise

    created: Object = asked(f"Creating the namespace {name}", create, step=Step.NAMESPACE)
    return created


def _read(server: Server, name: str) -> Object | None:
    found: Object | None = asked(
        f"Reading the namespace {name}", lambda: server.named("v1", "Namespace", name), step=Step.NAMESPACE
    )
    return found


def _await_last(server: Server, live: Object, clock: Clock, progress: Callable[[str], None]) -> None:
    metadata = live["metadata"]
    try:
        await_gone(
            server,
            str(metadata["name"]),
            uid=str(metadata["uid"]),
            clock=clock,
            progress=progress,
            step=Step.NAMESPACE,
        )
    except StageError as error:
        if error.code is not StageCode.NOT_TORN_DOWN:
            raise
        raise StageError(
            StageCode.NAMESPACE_TERMINATING,
            f"The namespace {metadata['name']} is on its way out and does not go: {why_terminating(live)}",
            step=Step.NAMESPACE,
        ) from None


def kept(namespace: Object, owner: str) -> bool:
    """Return whether a person asked for this owner's namespace to stay."""
    metadata = namespace.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return labels.get(OWNER) == owner and annotations.get(KEPT) == "true"


def clock_for(seconds: float) -> Clock:
    """Make a clock that ends so many seconds from now."""
    return Clock(ends_at=time.monotonic() + seconds)
