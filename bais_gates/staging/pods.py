"""What is wrong with a pod, told apart: pure judgements over pods, with the patience that each deserves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates.staging.errors import StageCode
from bais_gates.staging.readiness import Object, condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What keeps a pod from working: its code, the container it is about, and the kubelet's words."""

    code: StageCode
    pod: str
    reason: str
    message: str = ""
    container: str | None = None
    patience_s: float = 0.0
    """Seconds it must last before it is believed: a pull or a missing Secret may mend itself."""

    @property
    def sentence(self) -> str:
        """Return it as the beginning of a paragraph."""
        where = f", container {self.container}" if self.container else ""
        said = f": {self.message}" if self.message else ""
        return f"pod {self.pod}{where}: {self.reason}{said}"


_WAITING: Final[dict[str, tuple[StageCode, float]]] = {
    # reason of a waiting container -> code, and the seconds for which it may still be passing
    "ErrImagePull": (StageCode.IMAGE_PULL, 10.0),
    "ImagePullBackOff": (StageCode.IMAGE_PULL, 5.0),
    "InvalidImageName": (StageCode.IMAGE_PULL, 0.0),
    "ErrImageNeverPull": (StageCode.IMAGE_PULL, 0.0),
    "ImageInspectError": (StageCode.IMAGE_PULL, 5.0),
    "RegistryUnavailable": (StageCode.IMAGE_PULL, 10.0),
    "SignatureValidationFailed": (StageCode.IMAGE_PULL, 0.0),
    "CreateContainerConfigError": (StageCode.CONTAINER_CONFIG, 5.0),
    "CreateContainerError": (StageCode.CONTAINER_CONFIG, 5.0),
    "RunContainerError": (StageCode.CONTAINER_CONFIG, 5.0),
    "CrashLoopBackOff": (StageCode.CRASH_LOOP, 10.0),
}
UNSCHEDULABLE_PATIENCE_S: Final = 15.0
"""Another pod may go, or an autoscaler bring a node."""
CRASHES: Final = 3
"""Restarts from which on a crash loop is believed at once."""


def trouble(pod: Object) -> Trouble | None:
    """Return the gravest trouble of a pod, None when it is well, still starting or on its way out."""
    metadata = pod.get("metadata") or {}
    if metadata.get("deletionTimestamp") or (pod.get("status") or {}).get("phase") == "Succeeded":
        return None
    name = str(metadata.get("name"))
    found = [one for status in _containers(pod) if (one := _of_container(name, status)) is not None]
    if found:
        return min(found, key=lambda one: one.patience_s)
    return _unscheduled(name, pod)


def worst(pods: Iterable[Object]) -> Trouble | None:
    """Return the trouble of those pods that is believed soonest."""
    return min(
        (one for pod in pods if (one := trouble(pod)) is not None),
        key=lambda one: one.patience_s,
        default=None,
    )


def _containers(pod: Object) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def _of_container(pod: str, status: Mapping[str, Any]) -> Trouble | None:
    state = (status.get("state") or {}).get("waiting") or {}
    reason = str(state.get("reason") or "")
    if reason not in _WAITING:
        return None
    code, patience = _WAITING[reason]
    message = str(state.get("message") or "")
    if code is StageCode.CRASH_LOOP:
        message = ended(status) or message
        if int(status.get("restartCount") or 0) >= CRASHES:
            patience = 0.0
    return Trouble(
        code=code,
        pod=pod,
        reason=reason,
        message=message,
        container=str(status.get("name")),
        patience_s=patience,
    )


def ended(status: Mapping[str, Any]) -> str:
    """Return how a container ended last, empty when it has not."""
    for key in ("state", "lastState"):
        over = (status.get(key) or {}).get("terminated") or {}
        if over:
            signal = f", signal {over['signal']}" if over.get("signal") else ""
            reason = (
                f" ({over['reason']})" if over.get("reason") not in {None, "", "Error", "Completed"} else ""
            )
            return f"ended with exit status {over.get('exitCode')}{signal}{reason}"
    return ""


def _unscheduled(name: str, pod: Object) -> Trouble | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    message = str(scheduled.get("message") or "")
    volume = "unbound immediate PersistentVolumeClaims" in message or "persistentvolumeclaim" in message
    return Trouble(
        code=StageCode.VOLUME if volume else StageCode.UNSCHEDULABLE,
        pod=name,
        reason="Unschedulable",
        message=message,
        patience_s=UNSCHEDULABLE_PATIENCE_S,
    )


def is_ready(pod: Object) -> bool:
    """Return whether a pod takes traffic and is not on its way out."""
    leaving = (pod.get("metadata") or {}).get("deletionTimestamp")
    return not leaving and condition(pod, "Ready").get("status") == "True"


def owned_by(objects: Iterable[Object], uid: str) -> list[Object]:
    """Return the objects whose controller has that uid."""
    return [
        one
        for one in objects
        if any(
            owner.get("uid") == uid and owner.get("controller")
            for owner in (one.get("metadata") or {}).get("ownerReferences") or []
        )
    ]


def of_workload(workload: Object, pods: list[Object], replica_sets: list[Object]) -> list[Object]:
    """Return a workload's pods; of a Deployment those of its newest ReplicaSet alone.

    An older ReplicaSet's pods go away by themselves: their trouble is not this rollout's.
    """
    uid = str((workload.get("metadata") or {}).get("uid"))
    if workload.get("kind") != "Deployment":
        return owned_by(pods, uid)
    sets = sorted(owned_by(replica_sets, uid), key=_revision)
    return owned_by(pods, str(sets[-1]["metadata"].get("uid"))) if sets else []


def _revision(replica_set: Object) -> int:
    annotations = (replica_set.get("metadata") or {}).get("annotations") or {}
    text = str(annotations.get("deployment.kubernetes.io/revision", "0"))
    return int(text) if text.isdigit() else 0
