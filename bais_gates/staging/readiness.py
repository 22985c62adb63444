"""Whether an applied object is ready: pure functions over objects as the API server returns them.

A workload is judged as ``kubectl rollout status`` judges it: its status counts only once its controller has
observed the current generation. The problem of a pod (an image that can't be pulled, a container that exits
again and again) is reported before the workload's deadline passes, and is the better reason after it.
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
    """The readiness of an object."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The readiness of an object, the reason as text, and the code of a failed one."""

    state: State
    reason: str
    code: StageCode | None = None


def ready(reason: str) -> Verdict:
    """Return the verdict that an object is ready."""
    return Verdict(state=State.READY, reason=reason)


def waiting(reason: str) -> Verdict:
    """Return the verdict that an object is not ready yet."""
    return Verdict(state=State.WAITING, reason=reason)


def failed(code: StageCode, reason: str) -> Verdict:
    """Return the verdict that an object will not become ready."""
    return Verdict(state=State.FAILED, reason=reason, code=code)


def condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the condition of a type in ``status.conditions``, an empty one when it is absent."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})


def is_true(obj: Mapping[str, Any], kind: str) -> bool:
    """Return whether the condition of a type is ``True``."""
    return condition(obj, kind).get("status") == "True"


def judge(obj: Object) -> Verdict:
    """Judge an object by its kind; one without a readiness of its own is ready once it exists."""
    judgement = _BY_KIND.get(str(obj.get("kind")))
    return judgement(obj) if judgement else ready("it exists")


def has_readiness(kind: str) -> bool:
    """Return whether objects of this kind become ready some time after they are applied."""
    return kind in _BY_KIND


def deployment(obj: Object) -> Verdict:
    """Judge a Deployment: all replicas have the current template and are available, no old one is left."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    unobserved = _unobserved(obj)
    if unobserved is not None:
        return unobserved
    if spec.get("paused"):
        return failed(StageCode.SUSPENDED, "it is paused")
    wanted = _wanted(spec)
    if wanted == 0:
        return failed(StageCode.NOT_READY, "it has no replicas (spec.replicas: 0)")
    progressing = condition(obj, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return failed(
            StageCode.PROGRESS_DEADLINE,
            f"ProgressDeadlineExceeded: {progressing.get('message') or 'no progress in time'}",
        )
    refused = condition(obj, "ReplicaFailure")
    if refused.get("status") == "True":
        return _creation_verdict(str(refused.get("message", ""))) or waiting(
            f"its pods could not be created yet: {refused.get('message')}"
        )
    return _rolled_out(wanted, status)


def _rolled_out(wanted: int, status: Mapping[str, Any]) -> Verdict:
    present, updated, available = (
        int(status.get(key) or 0) for key in ("replicas", "updatedReplicas", "availableReplicas")
    )
    if updated < wanted:
        return waiting(f"{updated} of {wanted} replicas have the new template")
    if present > updated:
        return waiting(f"{present - updated} old replicas still exist")
    if available < updated:
        return waiting(f"{available} of {updated} replicas are available")
    return ready(f"{available} of {wanted} replicas are available")


def stateful_set(obj: Object) -> Verdict:
    """Judge a StatefulSet: all replicas are ready and have the current revision."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    unobserved = _unobserved(obj)
    if unobserved is not None:
        return unobserved
    wanted = _wanted(spec)
    if wanted == 0:
        return failed(StageCode.NOT_READY, "it has no replicas (spec.replicas: 0)")
    ready_now, updated = int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0)
    if ready_now < wanted:
        return waiting(f"{ready_now} of {wanted} replicas are ready")
    return _of_revision(spec.get("updateStrategy") or {}, wanted, updated, status) or ready(
        f"{ready_now} of {wanted} replicas are ready"
    )


def _of_revision(
    strategy: Mapping[str, Any], wanted: int, updated: int, status: Mapping[str, Any]
) -> Verdict | None:
    """Return the verdict for ready pods of an older revision, None when all have the current one."""
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if partition:
        target = wanted - partition
        return waiting(f"{updated} of {target} replicas have the new revision") if updated < target else None
    if status.get("updateRevision") == status.get("currentRevision"):
        return None
    if strategy.get("type") == "OnDelete":
        reason = "its update strategy is OnDelete: the old pods stay until they are deleted by hand"
        return failed(StageCode.NOT_READY, reason) if updated < wanted else None
    return waiting(f"{updated} of {wanted} replicas have the new revision")


def job(obj: Object) -> Verdict:
    """Judge a Job by Complete and Failed; FailureTarget and SuccessCriteriaMet only announce these."""
    failure = condition(obj, "Failed")
    if failure.get("status") == "True":
        reason = str(failure.get("reason") or "Failed")
        code = StageCode.JOB_DEADLINE if reason == "DeadlineExceeded" else StageCode.JOB_FAILED
        return failed(code, f"{reason}: {failure.get('message') or 'no message'}")
    status = obj.get("status") or {}
    if is_true(obj, "Complete"):
        return ready(f"complete, {int(status.get('succeeded') or 0)} succeeded")
    if (obj.get("spec") or {}).get("suspend"):
        return failed(StageCode.SUSPENDED, "it is suspended")
    counts = (f"{key} pods: {int(status.get(key) or 0)}" for key in ("active", "failed"))
    return waiting(", ".join(counts))


def volume_claim(obj: Object) -> Verdict:
    """Judge a PersistentVolumeClaim: bound to a volume."""
    phase = (obj.get("status") or {}).get("phase") or "Pending"
    if phase == "Bound":
        return ready("bound")
    if phase == "Lost":
        return failed(StageCode.VOLUME, "its volume is lost")
    return waiting("not bound to a volume yet")


def certificate(obj: Object) -> Verdict:
    """Judge a cert-manager Certificate: issued for its current generation."""
    issued = condition(obj, "Ready")
    observed = issued.get("observedGeneration")
    current = (obj.get("metadata") or {}).get("generation")
    if observed is not None and current is not None and int(observed) < int(current):
        return waiting(f"cert-manager has not observed generation {current} yet")
    if issued.get("status") == "True":
        return ready("issued")
    details = ": ".join(str(issued[key]) for key in ("reason", "message") if issued.get(key))
    return waiting(f"not issued yet ({details or 'no condition Ready'})")


def ingress(obj: Object) -> Verdict:
    """Judge an Ingress: a controller has assigned an address to it."""
    if ingress_points(obj):
        return ready("has an address")
    return waiting("no ingress controller has assigned an address to it yet")


def ingress_points(obj: Object) -> list[Mapping[str, Any]]:
    """Return the load balancer entries of an Ingress that have an ip or a host name."""
    points = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [point for point in points if point.get("ip") or point.get("hostname")]


def is_unobserved(obj: Object) -> bool:
    """Return whether a workload whose controller reports a generation has not observed the current one."""
    return obj.get("kind") in {"Deployment", "StatefulSet"} and _unobserved(obj) is not None


def _unobserved(obj: Object) -> Verdict | None:
    """Return the verdict if the controller has not observed the current generation, None if it has."""
    generation = int((obj.get("metadata") or {}).get("generation") or 0)
    observed = int((obj.get("status") or {}).get("observedGeneration") or 0)
    if observed < generation or observed == 0:
        return waiting(f"its controller has not observed generation {generation} yet")
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


# -- pods that the server refuses to create --


def refusal_code(message: str) -> StageCode | None:
    """Return the code for the message of an admission plugin, None for any other message.

    Known plugins: ResourceQuota, PodSecurity and NamespaceLifecycle.
    """
    if "exceeded quota" in message or "must specify limits" in message or "must specify requests" in message:
        return StageCode.QUOTA
    if "violates PodSecurity" in message:
        return StageCode.POD_SECURITY
    if "because it is being terminated" in message:
        return StageCode.NAMESPACE_TERMINATING
    return None


def _creation_verdict(message: str) -> Verdict | None:
    code = refusal_code(message)
    return failed(code, f"its pods were refused: {message}") if code else None


def creation_refused(events: list[Object]) -> Verdict | None:
    """Return why a workload's pods can't be created, from its events (newest last); None if nothing does."""
    for event in reversed(events):
        if event.get("type") == "Warning" and event.get("reason") == "FailedCreate":
            message = str(event.get("message", ""))
            known = _creation_verdict(message)
            if known is not None:
                return known
            if "admission webhook" in message or "denied the request" in message:
                return failed(StageCode.ADMISSION, f"its pods were refused: {message}")
    return None
