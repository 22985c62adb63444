"""Jobs: pods until enough of them succeeded, too many failed, or time is up.

A suspended Job has no pods, and its deadline does not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    age_s,
    condition,
    created_of,
    format_time,
    has_condition,
    is_active,
    is_finished,
    is_ready,
    is_terminating,
    number_of,
    spec_of,
    status_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.replicasets import first_to_go, new_pod
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_FIRST_BACK_OFF_S, _LONGEST_BACK_OFF_S = 10.0, 600.0
_DECIDED = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}
"""The condition for what decided a Job, and the one for its end, once no pod runs any more."""


def is_over(job: Object) -> bool:
    """Whether the Job is Complete or Failed."""
    return any(has_condition(job, type_) for type_ in _DECIDED.values())


def reconcile(world: World, job: Object, now: datetime) -> Plan:
    """Start the pods that are still needed, or end the Job."""
    plan = Plan()
    if is_over(job):
        _expire(plan, job, now)
    if is_over(job) or is_terminating(job):
        return plan
    pods = world.owned("Pod", job)
    active = [pod for pod in pods if is_active(pod)]
    failed = [pod for pod in pods if status_of(pod).get("phase") == "Failed"]
    running = [pod for pod in pods if not is_finished(pod)]
    status: Object = {
        **status_of(job),
        "active": len(active),
        "ready": sum(map(is_ready, active)),
        "terminating": len(running) - len(active),
        "succeeded": max(len(pods) - len(running) - len(failed), number_of(status_of(job), "succeeded")),
        "failed": max(len(failed), number_of(status_of(job), "failed")),
        "uncountedTerminatedPods": {},
    }
    if not spec_of(job).get("suspend"):
        status.setdefault("startTime", format_time(now))
    decision = _decision(job, status, active, now)
    if decision is not None:
        plan.add(*(Delete(obj=pod) for pod in active))
        _end(plan, job, status, decision, running, now)
    elif spec_of(job).get("suspend"):
        plan.add(*(Delete(obj=pod) for pod in active))
        status.pop("startTime", None)
    else:
        _run(plan, job, status, active, failed, now)
    plan.set_status(job, status, first=True)
    return plan


def _decision(
    job: Object, status: Object, active: list[Object], now: datetime
) -> tuple[str, str, str] | None:
    """Return what ends the Job: the first condition's type, reason and message; None while nothing does."""
    spec = spec_of(job)
    for type_ in _DECIDED:
        if (earlier := condition(job, type_)) is not None:
            return type_, str(earlier.get("reason")), str(earlier.get("message"))
    restarts = sum(  # of containers that are started again in their pod (restartPolicy OnFailure)
        number_of(container, "restartCount")
        for pod in active
        for container in status_of(pod).get("containerStatuses") or ()
    )
    limit = number_of(spec, "backoffLimit", 6)
    if status["failed"] > limit or restarts > limit:
        return "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not spec.get("suspend") and age_s(status.get("startTime"), now) >= deadline:
        return "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"
    completions = spec.get("completions")
    if status["succeeded"] >= (1 if completions is None else completions) and not (
        completions is None and active
    ):
        return "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def _end(  # noqa: PLR0917 - called in one place, with all that is known
    plan: Plan,
    job: Object,
    status: Object,
    decision: tuple[str, str, str],
    running: list[Object],
    now: datetime,
) -> None:
    """Set the condition for what decided it, and, once no pod runs any more, the one for its end."""
    first, reason, message = decision
    for type_ in (first,) if running else (first, _DECIDED[first]):
        values = (type_, "True", reason, message)
        status["conditions"] = with_condition(status.get("conditions"), now, values, touch="lastProbeTime")
    if running:
        return
    if first == "SuccessCriteriaMet":
        status["completionTime"] = format_time(now)
        plan.event(job, "Completed", "Job completed")
    else:
        plan.warn(job, reason, message)


def _run(  # noqa: PLR0917 - called in one place, with all that is known
    plan: Plan, job: Object, status: Object, active: list[Object], failed: list[Object], now: datetime
) -> None:
    spec = spec_of(job)
    wanted = number_of(spec, "parallelism", 1)
    if spec.get("completions") is not None:
        wanted = min(wanted, int(spec["completions"]) - status["succeeded"])
    elif status["succeeded"]:
        wanted = len(active)
    if (deadline := spec.get("activeDeadlineSeconds")) is not None:
        plan.look_again(float(deadline) - age_s(status.get("startTime"), now) + 0.1)
    surplus = len(active) - wanted
    plan.add(*(Delete(obj=pod) for pod in first_to_go(active)[: max(surplus, 0)]))
    if surplus < 0:
        wait = back_off_s(failed, now)
        if wait > 0:
            plan.look_again(wait)
        else:
            plan.add(*(Create(new_pod(job), owner=job) for _ in range(-surplus)))


def back_off_s(failed: list[Object], now: datetime) -> float:
    """Return how long to wait before the next try: 10 s after one failure, twice as long after each more."""
    if not failed:
        return 0.0
    pause = min(_FIRST_BACK_OFF_S * 2.0 ** (len(failed) - 1), _LONGEST_BACK_OFF_S)
    return pause - age_s(max(map(_ended, failed)), now)


def _ended(pod: Object) -> str:
    ends = [
        str(ended["finishedAt"])
        for container in status_of(pod).get("containerStatuses") or ()
        if (ended := (container.get("state") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    return max(ends, default=created_of(pod))


def _expire(plan: Plan, job: Object, now: datetime) -> None:
    """Delete a finished Job whose time to live has passed."""
    ttl = spec_of(job).get("ttlSecondsAfterFinished")
    if ttl is None or is_terminating(job):
        return
    over = condition(job, "Complete") or condition(job, "Failed") or {}
    left = float(ttl) - age_s(over.get("lastTransitionTime"), now)
    if left > 0:
        plan.look_again(left)
    else:
        plan.add(Delete(obj=job))
