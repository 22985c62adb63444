"""Jobs: pods until enough of them succeeded, too many failed, or time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    age_s,
    changed,
    has_condition,
    is_active,
    is_going,
    is_ready,
    name_of,
    spec_of,
    stamp,
    status_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.replicasets import first_to_go, new_pod
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan, Say, SetStatus

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_FIRST_BACK_OFF_S, _LONGEST_BACK_OFF_S = 10.0, 600.0


def finished(job: Object) -> bool:
    """Whether the Job is Complete or Failed."""
    return has_condition(job, "Complete") or has_condition(job, "Failed")


def reconcile(world: World, job: Object, now: datetime) -> Plan:
    """Start the pods that are still needed, or end the Job."""
    plan = Plan()
    if finished(job):
        _expire(plan, job, now)
        return plan
    if is_going(job):
        return plan
    pods = world.owned("Pod", job)
    active = [pod for pod in pods if is_active(pod)]
    failed = [pod for pod in pods if status_of(pod).get("phase") == "Failed"]
    succeeded = [pod for pod in pods if status_of(pod).get("phase") == "Succeeded"]
    terminating = [pod for pod in pods if is_going(pod) and pod not in failed and pod not in succeeded]
    status = _counts(job, active, failed, succeeded, terminating)
    conditions = list(status_of(job).get("conditions") or [])
    suspended = bool(spec_of(job).get("suspend"))
    if not suspended and "startTime" not in status:
        status["startTime"] = stamp(now)
    verdict = _verdict(job, status, active, failed, now)
    if verdict is not None:
        conditions = _end(plan, job, verdict, status, conditions, active, terminating, now)
    elif suspended:
        conditions = _suspend(plan, job, conditions, active, status, now)
    else:
        if any(one["type"] == "Suspended" and one["status"] == "True" for one in conditions):
            conditions = with_condition(
                conditions,
                now,
                touch="lastProbeTime",
                type="Suspended",
                status="False",
                reason="JobResumed",
                message="Job resumed",
            )
            status["startTime"] = stamp(now)
            plan.add(Say(about=job, reason="Resumed", message="Job resumed"))
        _run(plan, job, status, active, failed, now)
    if conditions:
        status["conditions"] = conditions
    if (update := changed(job, status=status)) is not None:
        plan.actions.insert(0, SetStatus(obj=update))
    return plan


def _counts(
    job: Object,
    active: list[Object],
    failed: list[Object],
    succeeded: list[Object],
    terminating: list[Object],
) -> Object:
    before = status_of(job)
    kept: Object = {key: before[key] for key in ("startTime", "completionTime") if key in before}
    return {
        **kept,
        "active": len(active),
        "ready": sum(map(is_ready, active)),
        "terminating": len(terminating),
        "succeeded": max(len(succeeded), int(before.get("succeeded") or 0)),
        "failed": max(len(failed), int(before.get("failed") or 0)),
        "uncountedTerminatedPods": {},
    }


def _limit(job: Object) -> int:
    value = spec_of(job).get("backoffLimit")
    return 6 if value is None else int(value)


def _verdict(
    job: Object, status: Object, active: list[Object], failed: list[Object], now: datetime
) -> tuple[str, str, str] | None:
    """Say whether the Job is over: the condition's type, reason and message, or None."""
    spec = spec_of(job)
    for earlier in status_of(job).get("conditions") or ():
        if earlier["type"] in {"SuccessCriteriaMet", "FailureTarget"} and earlier["status"] == "True":
            over = "Complete" if earlier["type"] == "SuccessCriteriaMet" else "Failed"
            return over, str(earlier.get("reason")), str(earlier.get("message"))
    restarts = 0
    if spec["template"]["spec"].get("restartPolicy") == "OnFailure":
        restarts = sum(
            int(container.get("restartCount") or 0)
            for pod in active
            for container in status_of(pod).get("containerStatuses") or ()
        )
    tried = max(int(status["failed"]), len(failed))
    if tried > _limit(job) or (restarts and restarts > _limit(job)):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not spec.get("suspend") and age_s(status.get("startTime"), now) >= deadline:
        return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
    wanted = spec.get("completions")
    if wanted is None:
        enough = int(status["succeeded"]) > 0 and not active
    else:
        enough = int(status["succeeded"]) >= int(wanted)
    if enough:
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def _end(  # noqa: PLR0917 - called in one place, with all that is known
    plan: Plan,
    job: Object,
    verdict: tuple[str, str, str],
    status: Object,
    conditions: list[Object],
    active: list[Object],
    terminating: list[Object],
    now: datetime,
) -> list[Object]:
    """Say first what decided it, and, once no pod runs any more, that it is over."""
    over, reason, message = verdict
    first = "SuccessCriteriaMet" if over == "Complete" else "FailureTarget"
    plan.add(*(Delete(obj=pod) for pod in active))
    for kind in (first, over):
        if kind == over and (active or terminating):
            continue
        conditions = with_condition(
            conditions,
            now,
            touch="lastProbeTime",
            type=kind,
            status="True",
            reason=reason,
            message=message,
        )
    if not active and not terminating:
        if over == "Complete":
            status["completionTime"] = stamp(now)
            plan.add(Say(about=job, reason="Completed", message="Job completed"))
        else:
            plan.add(Say(about=job, reason=reason, message=message, kind="Warning"))
        ttl = spec_of(job).get("ttlSecondsAfterFinished")
        if ttl is not None:
            plan.look_again(float(ttl) + 0.1)
    return conditions


def _suspend(  # noqa: PLR0917 - called in one place, with all that is known
    plan: Plan, job: Object, conditions: list[Object], active: list[Object], status: Object, now: datetime
) -> list[Object]:
    plan.add(*(Delete(obj=pod) for pod in active))
    status.pop("startTime", None)
    if not any(one["type"] == "Suspended" and one["status"] == "True" for one in conditions):
        plan.add(Say(about=job, reason="Suspended", message="Job suspended"))
    return with_condition(
        conditions,
        now,
        touch="lastProbeTime",
        type="Suspended",
        status="True",
        reason="JobSuspended",
        message="Job suspended",
    )


def _run(  # noqa: PLR0917 - called in one place, with all that is known
    plan: Plan, job: Object, status: Object, active: list[Object], failed: list[Object], now: datetime
) -> None:
    spec = spec_of(job)
    parallel = 1 if spec.get("parallelism") is None else int(spec["parallelism"])
    if spec.get("completions") is None:
        wanted = len(active) if int(status["succeeded"]) else parallel
    else:
        wanted = min(parallel, int(spec["completions"]) - int(status["succeeded"]))
    if (deadline := spec.get("activeDeadlineSeconds")) is not None:
        plan.look_again(float(deadline) - age_s(status.get("startTime"), now) + 0.1)
    surplus = len(active) - wanted
    if surplus > 0:
        plan.add(*(Delete(obj=pod) for pod in first_to_go(active)[:surplus]))
    elif surplus < 0:
        wait = back_off_s(failed, now)
        if wait > 0:
            plan.look_again(wait)
            return
        plan.add(*(Create(obj=new_pod(job), owner=job) for _ in range(-surplus)))


def back_off_s(failed: list[Object], now: datetime) -> float:
    """Give how long to wait before the next try: 10 s after one failure, twice as long after each more."""
    if not failed:
        return 0.0
    last = max(_ended(pod) for pod in failed)
    pause = min(_FIRST_BACK_OFF_S * 2.0 ** (len(failed) - 1), _LONGEST_BACK_OFF_S)
    return pause - age_s(last, now)


def _ended(pod: Object) -> str:
    ends = [
        str(ended["finishedAt"])
        for container in status_of(pod).get("containerStatuses") or ()
        if (ended := (container.get("state") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    return max(ends, default=str(pod["metadata"].get("creationTimestamp")))


def _expire(plan: Plan, job: Object, now: datetime) -> None:
    """Delete a finished Job whose time to live has passed."""
    ttl = spec_of(job).get("ttlSecondsAfterFinished")
    if ttl is None or is_going(job):
        return
    over = next(one for one in status_of(job)["conditions"] if one["type"] in {"Complete", "Failed"})
    left = float(ttl) - age_s(over.get("lastTransitionTime"), now)
    if left > 0:
        plan.look_again(left)
    else:
        plan.add(Delete(obj=job))


def outcome_name(job: Object) -> str:
    """Give the Job's name with how it ended, for a sentence."""
    return f"{name_of(job)}, condition: {'Complete' if has_condition(job, 'Complete') else 'Failed'}"
