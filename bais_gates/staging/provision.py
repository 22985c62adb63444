"""Provision a plan step by step: apply the objects of a step, then wait until they are ready.

Idempotent: a finished Job, generated secrets and running pods stay if they are as the plan has them; a change
is rolled out; a Job that failed or changed is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from bais_gates.staging import credentials, diagnosis
from bais_gates.staging.applying import Applier
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.namespace import ensure_namespace
from bais_gates.staging.plan import CompletedStep, Step, check, describe, in_order, min_replicas
from bais_gates.staging.readiness import (
    State,
    Verdict,
    creation_refused,
    failed,
    has_readiness,
    is_unobserved,
    judge,
    waiting,
)
from bais_gates.staging.server import key_of, qualified_name, request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bais_gates.staging.plan import Plan
    from bais_gates.staging.readiness import Object
    from bais_gates.staging.server import Clock, Server

POLL_S: Final = (0.15, 1.0)
"""Seconds between two reads of a pending object, at first and at most."""
REPORT_EVERY_S: Final = 5.0
_NOT_WAITED_FOR: Final = frozenset({"PersistentVolumeClaim"})
"""A claim whose class binds with the first pod stays unbound until a pod uses it."""


def provision(
    server: Server,
    plan: Plan,
    *,
    clock: Clock,
    progress: Callable[[str], None],
    completed: list[CompletedStep],
) -> None:
    """Carry out the plan in the order of its steps; append each completed one to ``completed``.

    Raises ``StageError`` with the step that failed. What was created until then stays, for ``tear_down``.
    """
    check(plan.objects, plan.namespace)
    _check_secrets(plan)
    applier = Applier(server, plan.namespace, plan.owner, clock=clock, progress=progress)
    replicas = min_replicas(plan.objects)
    for step, manifests in in_order(plan.objects).items():
        began, objects = clock.now(), manifests
        try:
            if step is Step.NAMESPACE:
                ensure_namespace(server, plan, clock, progress)
                objects = [one for one in manifests if one["kind"] != "Namespace"]
            elif step is Step.CONFIGURATION:
                objects = [*_secrets(server, plan), *manifests]
            progress(f"{step}: applying {len(objects)} object{'s' if len(objects) != 1 else ''}")
            applied = applier.apply_all(objects, step=step)
            awaited = [one for one in applied if _is_awaited(str(one.get("kind")))]
            wait_until_ready(server, awaited, step=step, clock=clock, progress=progress, replicas=replicas)
        except StageError as error:
            raise error.at(step) from None
        seconds = clock.now() - began
        completed.append(CompletedStep(step=step, seconds=round(seconds, 2), objects=len(applied)))
        progress(f"{step}: ready after {seconds:.1f} s")


def _is_awaited(kind: str) -> bool:
    return has_readiness(kind) and kind not in _NOT_WAITED_FOR


def _check_secrets(plan: Plan) -> None:
    """Raise ``StageError`` for a Secret that staging does not create, before anything is written."""
    placeholders = dict.fromkeys((*credentials.value_names(), *plan.variables), "placeholder")
    credentials.platform_secrets(placeholders, plan.objects, plan.namespace)


def _secrets(server: Server, plan: Plan) -> list[Object]:
    """Return the Secrets to apply, with the values that were generated for this namespace before."""
    kept = request(
        f"Reading the Secret {credentials.GENERATED}",
        lambda: server.named("v1", "Secret", credentials.GENERATED, plan.namespace),
        step=Step.CONFIGURATION,
    )
    values = credentials.resolve(plan.variables, credentials.decode(kept))
    return [
        credentials.generated_secret(values, plan.namespace),
        *credentials.platform_secrets(values, plan.objects, plan.namespace),
    ]


# -- waiting --


@dataclass(slots=True)
class _Pending:
    """An object that is not ready yet."""

    manifest: Object
    live: Object
    verdict: Verdict
    problem_since: dict[str, float] = field(default_factory=dict)
    """When each code of a pod's problem was first observed."""


def wait_until_ready(
    server: Server,
    objects: list[Object],
    *,
    step: str,
    clock: Clock,
    progress: Callable[[str], None],
    replicas: Mapping[str, int],
) -> None:
    """Wait until every object is ready; raise ``StageError`` for one that fails or is not ready in time.

    ``replicas`` holds the autoscaler's minReplicas of a Deployment, as the Deployment itself has no number.
    """
    pending = [_Pending(one, one, waiting("just applied")) for one in objects]
    began = reported_at = clock.now()
    pause, reported = POLL_S[0], ""
    while True:
        for one in pending:
            _update(server, one, replicas, step)
        pending = [one for one in pending if one.verdict.state is not State.READY]
        if not pending:
            return
        _raise_for_pod_problems(server, pending, clock, step)
        if clock.remaining_s <= 0:
            raise _timeout_error(server, pending[0], clock.now() - began, step)
        text = "; ".join(f"{describe(one.manifest)}: {one.verdict.reason}" for one in pending[:3])
        if text != reported or clock.now() - reported_at >= REPORT_EVERY_S:
            progress(f"{step}: {text} ({clock.now() - began:.0f} s)")
            reported, reported_at = text, clock.now()
        clock.sleep(min(pause, max(clock.remaining_s, 0.0)))
        pause = min(pause * 1.3, POLL_S[1])


def _update(server: Server, one: _Pending, replicas: Mapping[str, int], step: str) -> None:
    """Read an object and judge it; raise ``StageError`` if it failed."""
    name = qualified_name(one.manifest)
    live = request(f"Reading {name}", lambda: server.named(*key_of(one.manifest)), step=step)
    if live is None:
        one.verdict = waiting("it no longer exists")
        return
    one.live = {**live, "kind": one.manifest["kind"], "apiVersion": one.manifest["apiVersion"]}
    one.verdict = _with_autoscaler(judge(one.live), one.live, replicas)
    if one.verdict.state is State.FAILED:
        raise diagnosis.read_error(server, one.live, one.verdict, step=step)


def _with_autoscaler(verdict: Verdict, live: Object, replicas: Mapping[str, int]) -> Verdict:
    """Return the verdict, or that a ready Deployment has fewer replicas than its autoscaler's minimum."""
    minimum = replicas.get(str(live["metadata"]["name"]), 0) if live.get("kind") == "Deployment" else 0
    available = int((live.get("status") or {}).get("availableReplicas") or 0)
    if verdict.state is State.READY and available < minimum:
        return waiting(f"{available} of {minimum} replicas (the autoscaler's minReplicas) are available")
    return verdict


def _raise_for_pod_problems(server: Server, pending: list[_Pending], clock: Clock, step: str) -> None:
    """Raise ``StageError`` for pods that can't be created, or whose problem outlasts its grace period."""
    for one in pending:
        if one.live.get("kind") not in diagnosis.WORKLOADS or "uid" not in one.live["metadata"]:
            continue
        if is_unobserved(one.live):  # its newest pods are still those of the template before
            continue
        context = request(
            f"Reading the pods of {qualified_name(one.live)}",
            partial(diagnosis.read_context, server, one.live),
            step=step,
        )
        refused = creation_refused(context.events) if not context.pods else None
        if refused is not None:
            raise diagnosis.build_error(server, one.live, refused, context, step=step)
        problem = context.problem
        if problem is None:
            one.problem_since.clear()
            continue
        since = one.problem_since.setdefault(problem.code, clock.now())
        if clock.now() - since >= problem.grace_s:
            verdict = failed(problem.code, one.verdict.reason)
            raise diagnosis.build_error(server, one.live, verdict, context, step=step)
        one.verdict = waiting(f"{one.verdict.reason} ({problem.reason})")


def _timeout_error(server: Server, one: _Pending, after_s: float, step: str) -> StageError:
    code = StageCode.VOLUME if one.live.get("kind") == "PersistentVolumeClaim" else StageCode.NOT_READY
    verdict = failed(code, f"not ready after {after_s:.0f} s: {one.verdict.reason}")
    return diagnosis.read_error(server, one.live, verdict, step=step)
