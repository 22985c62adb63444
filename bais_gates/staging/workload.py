"""A workload's pods and configuration: the images that run, the problems of its pods, its declared settings.

Pure functions over objects and files. Each problem has a grace period, as a pull or a missing Secret may
resolve itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates.staging.errors import StageCode
from bais_gates.staging.readiness import Object, condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}$")


def running_digests(pods: Iterable[Object]) -> list[str]:
    """Return the digests of the images that the pods' containers run, from their status, sorted."""
    digests = set()
    for pod in pods:
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            match = _DIGEST.search(str(status.get("imageID") or ""))
            digests.add(match[0] if match else f"unknown ({status.get('name')})")
    return sorted(digests)


def declared_digests(workload: Object) -> list[str]:
    """Return the digests of the images in a workload's pod template, sorted."""
    spec = (((workload.get("spec") or {}).get("template") or {}).get("spec")) or {}
    images = [str(one.get("image")) for one in spec.get("containers") or []]
    return sorted({match[0] if (match := _DIGEST.search(image)) else image for image in images})


def restarts(pods: Iterable[Object]) -> int:
    """Return the number of restarts of all containers of the pods."""
    return sum(
        int(status.get("restartCount") or 0)
        for pod in pods
        for status in (pod.get("status") or {}).get("containerStatuses") or []
    )


def is_ready(pod: Object) -> bool:
    """Return whether a pod is ready and not being deleted."""
    deleted = (pod.get("metadata") or {}).get("deletionTimestamp")
    return not deleted and condition(pod, "Ready").get("status") == "True"


def controlled_by(objects: Iterable[Object], uid: str) -> list[Object]:
    """Return the objects whose controller has that uid."""
    return [
        one
        for one in objects
        if any(
            owner.get("uid") == uid and owner.get("controller")
            for owner in (one.get("metadata") or {}).get("ownerReferences") or []
        )
    ]


def pods_of(workload: Object, pods: list[Object], replica_sets: list[Object]) -> list[Object]:
    """Return a workload's pods; of a Deployment those of its newest ReplicaSet alone.

    The pods of an older ReplicaSet are about to be deleted: their problems are not this rollout's.
    """
    uid = str((workload.get("metadata") or {}).get("uid"))
    if workload.get("kind") != "Deployment":
        return controlled_by(pods, uid)
    sets = sorted(controlled_by(replica_sets, uid), key=_revision)
    return controlled_by(pods, str(sets[-1]["metadata"].get("uid"))) if sets else []


def all_pods_of(deployment: Object, pods: list[Object], replica_sets: list[Object]) -> list[Object]:
    """Return the pods of all ReplicaSets of a Deployment."""
    sets = controlled_by(replica_sets, str(deployment["metadata"].get("uid")))
    return [pod for one in sets for pod in controlled_by(pods, str(one["metadata"].get("uid")))]


def _revision(replica_set: Object) -> int:
    annotations = (replica_set.get("metadata") or {}).get("annotations") or {}
    text = str(annotations.get("deployment.kubernetes.io/revision", "0"))
    return int(text) if text.isdigit() else 0


# -- the problems of pods --


@dataclass(frozen=True, slots=True, kw_only=True)
class PodProblem:
    """What keeps a pod from becoming ready: its code, its container, and the kubelet's reason and message."""

    code: StageCode
    pod: str
    reason: str
    message: str = ""
    container: str | None = None
    grace_s: float = 0.0
    """Seconds for which it must last before it counts as a failure."""

    @property
    def text(self) -> str:
        """The problem in one line: ``pod bais-api-1, container api: ImagePullBackOff: ...``."""
        where = f", container {self.container}" if self.container else ""
        message = f": {self.message}" if self.message else ""
        return f"pod {self.pod}{where}: {self.reason}{message}"


_WAITING: Final[dict[str, tuple[StageCode, float]]] = {
    # reason of a waiting container -> code, and the grace period in seconds
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
UNSCHEDULABLE_GRACE_S: Final = 15.0
"""Another pod may be deleted, or an autoscaler add a node."""
CRASHES: Final = 3
"""Restarts from which on a crash loop has no grace period."""


def find_problem(pod: Object) -> PodProblem | None:
    """Return a pod's problem with the shortest grace period; None if it has none or is being deleted."""
    metadata = pod.get("metadata") or {}
    if metadata.get("deletionTimestamp") or (pod.get("status") or {}).get("phase") == "Succeeded":
        return None
    name = str(metadata.get("name"))
    problems = [one for status in _statuses(pod) if (one := _container_problem(name, status)) is not None]
    return min(problems, key=lambda one: one.grace_s) if problems else _scheduling_problem(name, pod)


def most_urgent(pods: Iterable[Object]) -> PodProblem | None:
    """Return the problem with the shortest grace period of any of the pods."""
    problems = [one for pod in pods if (one := find_problem(pod)) is not None]
    return min(problems, key=lambda one: one.grace_s, default=None)


def _statuses(pod: Object) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def _container_problem(pod: str, status: Mapping[str, Any]) -> PodProblem | None:
    state = (status.get("state") or {}).get("waiting") or {}
    reason = str(state.get("reason") or "")
    if reason not in _WAITING:
        return None
    code, grace_s = _WAITING[reason]
    message = str(state.get("message") or "")
    if code is StageCode.CRASH_LOOP:
        message = last_exit(status) or message
        if int(status.get("restartCount") or 0) >= CRASHES:
            grace_s = 0.0
    return PodProblem(
        code=code,
        pod=pod,
        reason=reason,
        message=message,
        container=str(status.get("name")),
        grace_s=grace_s,
    )


def last_exit(status: Mapping[str, Any]) -> str:
    """Return how a container exited last (``exited with status 137 (OOMKilled)``), empty if it has not."""
    for key in ("state", "lastState"):
        exit_ = (status.get(key) or {}).get("terminated") or {}
        if exit_:
            signal = f", signal {exit_['signal']}" if exit_.get("signal") else ""
            reason = exit_.get("reason")
            cause = f" ({reason})" if reason not in {None, "", "Error", "Completed"} else ""
            return f"exited with status {exit_.get('exitCode')}{signal}{cause}"
    return ""


def _scheduling_problem(name: str, pod: Object) -> PodProblem | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    message = str(scheduled.get("message") or "")
    volume = "unbound immediate PersistentVolumeClaims" in message or "persistentvolumeclaim" in message
    return PodProblem(
        code=StageCode.VOLUME if volume else StageCode.UNSCHEDULABLE,
        pod=name,
        reason="Unschedulable",
        message=message,
        grace_s=UNSCHEDULABLE_GRACE_S,
    )


# -- configuration and logs --

_CONTAINER_OWN: Final = frozenset(
    {"listen_addresses", "port", "unix_socket_directories", "config_file", "hba_file", "ident_file"}
)
"""Where a PostgreSQL listens and keeps its files: decided by the container, not by the platform."""
_POSTGRES_LINE: Final = re.compile(r"^\s*([A-Za-z_][\w.]*)\s*(?:=\s*|\s+)('(?:[^']|'')*'|[^#\s]+)")
_UPGRADE: Final = re.compile(r"Running upgrade\s+(\S*)\s*->\s*([^,\s]+)")


def postgres_settings(text: str) -> dict[str, str]:
    """Return the settings in a postgresql.conf that the platform decides; the last line of each counts."""
    settings: dict[str, str] = {}
    for line in text.splitlines():
        match = _POSTGRES_LINE.match(line)
        if match is None or match[1].lower() in _CONTAINER_OWN or match[1].lower().endswith("_file"):
            continue
        value = match[2]
        if value.startswith("'"):
            value = value[1:-1].replace("''", "'")
        settings[match[1].lower()] = value
    return settings


def redis_settings(text: str) -> dict[str, str]:
    """Return the directives in a redis.conf by name; the last line of each counts."""
    settings: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if name and not name.startswith("#"):
            settings[name.lower()] = value.strip().strip('"')
    return settings


def has_tls(configuration: str) -> bool:
    """Return whether a postgresql.conf or redis.conf enables TLS."""
    ssl = postgres_settings(configuration).get("ssl")
    return ssl in {"on", "true", "yes", "1"} or "tls-port" in redis_settings(configuration)


def last_revision(log: str) -> str | None:
    """Return the last revision that Alembic's log reports an upgrade to; None when it reports none."""
    upgrades = _UPGRADE.findall(log)
    return str(upgrades[-1][1]) if upgrades else None
