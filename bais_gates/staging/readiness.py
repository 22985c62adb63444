"""Whether what was applied has come true: pure judgements over objects as the API server gives them.

A workload is judged as ``kubectl rollout status`` judges it: nothing in its status counts before its
controller has seen the current generation. A pod's own trouble (an image that can't be pulled, a container
that ends again and again) is told before the workload's deadline passes, and is the better reason after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from bais_gates.staging.errors import StageCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Object = dict[str, Any]
"""A Kubernetes object as JSON."""
Objects = list[Object]


class State(StrEnum):
    """How far an object is."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How far an object is, why in words, and for a failed one its code."""

    state: State
    why: str
    code: StageCode | None = None


def ready(why: str) -> Verdict:
    """Judge it ready."""
    return Verdict(state=State.READY, why=why)


def waiting(why: str) -> Verdict:
    """Judge it not there yet."""
    return Verdict(state=State.WAITING, why=why)


def failed(code: StageCode, why: str) -> Verdict:
    """Judge it beyond waiting."""
    return Verdict(state=State.FAILED, why=why, code=code)


def condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the condition of that type in ``status.conditions``, an empty one when there is none."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})


def is_true(obj: Mapping[str, Any], kind: str) -> bool:
    """Return whether the condition of that type is ``True``."""
    return condition(obj, kind).get("status") == "True"


def judge(obj: Object) -> Verdict:
    """Judge an object by its kind; what has no readiness of its own is ready once it is there."""
    judgement = _BY_KIND.get(str(obj.get("kind")))
    return judgement(obj) if judgement else ready("it is there")


def waits(kind: str) -> bool:
    """Return whether objects of this kind become ready some time after they were applied."""
    return kind in _BY_KIND


def deployment(obj: Object) -> Verdict:
    """Judge a Deployment: all replicas are of the current template and available, no old one is left."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    unseen = _unseen(obj)
    if unseen is not None:
        return unseen
    if spec.get("paused"):
        return failed(StageCode.SUSPENDED, "it is paused")
    wanted = _wanted(spec)
    if wanted == 0:
        return failed(StageCode.NOT_READY, "it asks for no replica (spec.replicas: 0)")
    progressing = condition(obj, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return failed(
            StageCode.PROGRESS_DEADLINE,
            f"ProgressDeadlineExceeded: {progressing.get('message') or 'no progress in time'}",
        )
    refused = condition(obj, "ReplicaFailure")
    if refused.get("status") == "True":
        return _refused_creation(str(refused.get("message", ""))) or waiting(
            f"its pods could not be made yet: {refused.get('message')}"
        )
    return _rolled_out(wanted, status)


def _rolled_out(wanted: int, status: Mapping[str, Any]) -> Verdict:
    present, updated, available = (
        int(status.get(key) or 0) for key in ("replicas", "updatedReplicas", "availableReplicas")
    )
    if updated < wanted:
        return waiting(f"{updated} of {wanted} replicas are of the new template")
    if present > updated:
        return waiting(f"{present - updated} old replicas are still there")
    if available < updated:
        return waiting(f"{available} of {updated} replicas are available")
    return ready(f"{available} of {wanted} replicas are available")


def stateful_set(obj: Object) -> Verdict:
    """Judge a StatefulSet: all replicas are ready and of the current revision."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    unseen = _unseen(obj)
    if unseen is not None:
        return unseen
    wanted = _wanted(spec)
    if wanted == 0:
        return failed(StageCode.NOT_READY, "it asks for no replica (spec.replicas: 0)")
    ready_now, updated = int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0)
    if ready_now < wanted:
        return waiting(f"{ready_now} of {wanted} replicas are ready")
    return _of_revision(spec.get("updateStrategy") or {}, wanted, updated, status) or ready(
        f"{ready_now} of {wanted} replicas are ready"
    )


def _of_revision(
    strategy: Mapping[str, Any], wanted: int, updated: int, status: Mapping[str, Any]
) -> Verdict | None:
    """Return what keeps the ready pods from being those of the current revision, None when they are."""
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if partition:
        due = wanted - partition
        return waiting(f"{updated} of {due} replicas are of the new revision") if updated < due else None
    if status.get("updateRevision") == status.get("currentRevision"):
        return None
    if strategy.get("type") == "OnDelete":
        why = "its update strategy is OnDelete: the old pods stay until somebody deletes them"
        return failed(StageCode.NOT_READY, why) if updated < wanted else None
    return waiting(f"{updated} of {wanted} replicas are of the new revision")


def job(obj: Object) -> Verdict:
    """Judge a Job by its conditions; FailureTarget and SuccessCriteriaMet announce what is not there yet."""
    broken = condition(obj, "Failed")
    if broken.get("status") == "True":
        reason = str(broken.get("reason") or "Failed")
        code = StageCode.JOB_DEADLINE if reason == "DeadlineExceeded" else StageCode.JOB_FAILED
        return failed(code, f"{reason}: {broken.get('message') or 'no message'}")
    status = obj.get("status") or {}
    if is_true(obj, "Complete"):
        return ready(f"complete, {int(status.get('succeeded') or 0)} succeeded")
    if (obj.get("spec") or {}).get("suspend"):
        return failed(StageCode.SUSPENDED, "it is suspended")
    tried = int(status.get("failed") or 0)
    running = f"{int(status.get('active') or 0)} pods at work"
    return waiting(f"{running}, {tried} failed so far" if tried else running)


def volume_claim(obj: Object) -> Verdict:
    """Judge a PersistentVolumeClaim: bound; one that waits for its first pod is as ready as it can be."""
    phase = (obj.get("status") or {}).get("phase") or "Pending"
    if phase == "Bound":
        return ready("bound")
    if phase == "Lost":
        return failed(StageCode.VOLUME, "its volume is lost")
    return waiting("not bound to a volume yet")


def certificate(obj: Object) -> Verdict:
    """Judge a cert-manager Certificate: issued for what it asks for now."""
    issued = condition(obj, "Ready")
    seen = issued.get("observedGeneration")
    current = (obj.get("metadata") or {}).get("generation")
    if seen is not None and current is not None and int(seen) < int(current):
        return waiting(f"cert-manager has not seen generation {current} yet")
    if issued.get("status") == "True":
        return ready("issued")
    return waiting(
        f"not issued yet ({issued.get('reason') or 'no condition'}: {issued.get('message') or ''})"
    )


def ingress(obj: Object) -> Verdict:
    """Judge an Ingress: a controller has given it an address."""
    found = ingress_points(obj)
    return ready("has an address") if found else waiting("no ingress controller has given it an address yet")


def ingress_points(obj: Object) -> list[Mapping[str, Any]]:
    """Return the load balancer points of an Ingress that name an ip or a host name."""
    points = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [point for point in points if point.get("ip") or point.get("hostname")]


def _unseen(obj: Object) -> Verdict | None:
    """Return a verdict where the controller has not seen the current generation; None where it has."""
    generation = int((obj.get("metadata") or {}).get("generation") or 0)
    observed = int((obj.get("status") or {}).get("observedGeneration") or 0)
    if observed < generation or observed == 0:
        return waiting(f"its controller has not seen generation {generation} yet")
    return None


def _wanted(spec: Mapping[str, Any]) -> int:
    replicas = spec.get("replicas")
    return 1 if replicas is None else int(replicas)


_BY_KIND: Final[dict[str, Callable[[Object], Verdict]]] = {
    "Deployment": deployment,
    "StatefulSet": stateful_set,
    "Job": job,
    "PersistentVolumeClaim": volume_claim,
    "Certificate": certificate,
    "Ingress": ingress,
}


# -- what the server says when a pod can't even be made --


def refusal_code(message: str) -> StageCode | None:
    """Return the code of an admission refusal by its words, None when it is none of those.

    Sources of the words: the ResourceQuota and PodSecurity admission plugins, and NamespaceLifecycle.
    """
    if "exceeded quota" in message or "must specify limits" in message or "must specify requests" in message:
        return StageCode.QUOTA
    if "violates PodSecurity" in message:
        return StageCode.POD_SECURITY
    if "because it is being terminated" in message:
        return StageCode.NAMESPACE_TERMINATING
    return None


def _refused_creation(message: str) -> Verdict | None:
    code = refusal_code(message)
    return failed(code, f"its pods are refused: {message}") if code else None


def creation_refused(events: list[Object]) -> Verdict | None:
    """Find in a workload's events (newest last) why no pod can be made: quota, Pod Security, webhook."""
    for event in reversed(events):
        if event.get("type") == "Warning" and event.get("reason") == "FailedCreate":
            message = str(event.get("message", ""))
            known = _refused_creation(message)
            if known is not None:
                return known
            if "admission webhook" in message or "denied the request" in message:
                return failed(StageCode.ADMISSION, f"its pods are refused: {message}")
    return None
