"""Why a workload does not come up, in the words of those who know: its pods' last lines and its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.staging import pods as pod_rules
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.server import place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bais_gates.staging.pods import Trouble
    from bais_gates.staging.readiness import Object, Verdict
    from bais_gates.staging.server import Server

LOG_LINES: Final = 12
EVENTS: Final = 6
_LINE: Final = 300
_WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "Job"})
_SAID: Final = {
    StageCode.PROGRESS_DEADLINE,
    StageCode.NOT_READY,
    StageCode.JOB_FAILED,
    StageCode.JOB_DEADLINE,
}
"""Codes that a pod's own trouble says more exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What was read around a workload: its pods and the events about it, oldest first."""

    pods: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)

    @property
    def trouble(self) -> Trouble | None:
        """The trouble of one of its pods that is believed soonest."""
        return pod_rules.worst(self.pods)


def around(server: Server, workload: Object) -> Surroundings:
    """Read a workload's pods and the events about it, its ReplicaSets and its pods.

    Raises ``ClusterError``; of an object that has no pods nothing is read but the events.
    """
    namespace = workload["metadata"].get("namespace")
    if namespace is None:
        return Surroundings()
    sets: list[Object] = []
    pods: list[Object] = []
    if workload.get("kind") in _WORKLOADS:
        if workload["kind"] == "Deployment":
            sets = server.list("apps/v1", "ReplicaSet", namespace)
        pods = pod_rules.of_workload(workload, server.list("v1", "Pod", namespace), sets)
    own_sets = pod_rules.owned_by(sets, str(workload["metadata"].get("uid")))
    uids = {str(one["metadata"].get("uid")) for one in (workload, *own_sets, *pods)}
    events = [
        one for one in server.events(namespace) if str((one.get("involvedObject") or {}).get("uid")) in uids
    ]
    return Surroundings(pods=pods, events=sorted(events, key=_moment))


def _moment(event: Object) -> str:
    metadata = event.get("metadata") or {}
    seen = event.get("lastTimestamp") or event.get("eventTime") or metadata.get("creationTimestamp")
    return str(seen or "")


def failure(server: Server, workload: Object, verdict: Verdict, *, step: str) -> StageError:
    """Make the error for a workload that failed: the verdict, then what pods and events say of it."""
    try:
        seen = around(server, workload)
    except ClusterError as error:
        code = verdict.code or StageCode.NOT_READY
        text = f"{place(workload)}: {verdict.why}. Its pods and events could not be read: {error}"
        return StageError(code, text, step=step)
    return judged(server, workload, verdict, seen, step=step)


def judged(
    server: Server, workload: Object, verdict: Verdict, seen: Surroundings, *, step: str
) -> StageError:
    """Make the error from what was read already; the pod's own trouble gives the more exact code."""
    code = verdict.code or StageCode.NOT_READY
    trouble = seen.trouble
    if (
        trouble is not None
        and code in _SAID
        and not (
            code in {StageCode.JOB_FAILED, StageCode.JOB_DEADLINE} and trouble.code is StageCode.CRASH_LOOP
        )
    ):
        code = trouble.code
    parts = [f"{place(workload)}: {verdict.why.rstrip('.')}"]
    parts += _of_pod(server, trouble, seen.pods)
    told = event_lines(seen.events)
    if told:
        parts.append(f"Events: {'; '.join(told)}")
    return StageError(code, ". ".join(parts), step=step)


def _of_pod(server: Server, trouble: Trouble | None, pods: list[Object]) -> Iterator[str]:
    """Return what is wrong with the one pod that tells most, with its last lines."""
    pod = next((one for one in pods if trouble is not None and one["metadata"]["name"] == trouble.pod), None)
    if trouble is not None:
        sentence = trouble.sentence
        yield sentence[0].upper() + sentence[1:].rstrip(".")
    pod = pod or _telling(pods)
    if pod is None:
        return
    status = _container(pod, trouble.container if trouble else None)
    if trouble is None:
        how = pod_rules.ended(status) or "is not ready"
        yield f"Pod {pod['metadata']['name']}, container {status.get('name', '?')}, {how}"
    lines = last_lines(server, pod, str(status.get("name") or "") or None)
    if lines:
        yield f"Its last lines: {' | '.join(lines)}"


def _telling(pods: list[Object]) -> Object | None:
    """Choose the pod that failed or is not ready, the newest of them."""
    unwell = [one for one in pods if not pod_rules.is_ready(one)]
    failed = [one for one in unwell if (one.get("status") or {}).get("phase") == "Failed"]
    candidates = failed or unwell
    return max(candidates, key=lambda one: str(one["metadata"].get("creationTimestamp")), default=None)


def _container(pod: Object, name: str | None) -> Object:
    """Choose the container that is named, else the one that ended, else the one that is not ready."""
    status = pod.get("status") or {}
    all_of_them = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    if name is not None:
        return next((one for one in all_of_them if one.get("name") == name), {"name": name})
    bad = [one for one in all_of_them if _exit_status(one)] or [
        one for one in all_of_them if not one.get("ready")
    ]
    return next(iter(bad or all_of_them), {})


def _exit_status(status: Object) -> int:
    over = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
    return int((over or {}).get("exitCode") or 0)


def last_lines(server: Server, pod: Object, container: str | None) -> list[str]:
    """Return the last lines that a container wrote, before its restart if none since; [] without."""
    metadata = pod["metadata"]
    for previous in (False, True):
        try:
            text = server.logs(
                str(metadata["namespace"]),
                str(metadata["name"]),
                container,
                tail=LOG_LINES,
                previous=previous,
            )
        except ClusterError:
            continue  # no container yet, or none before this one
        # What only underlines a part of a traceback says nothing on a line of its own.
        lines = [line.strip()[:_LINE] for line in text.splitlines() if line.strip("^~ \t")]
        if lines:
            return lines[-LOG_LINES:]
    return []


def event_lines(events: list[Object]) -> list[str]:
    """Return the last warnings as ``Reason: message (3 times)``, each said once."""
    lines: dict[str, int] = {}
    for event in events:
        if event.get("type") != "Warning":
            continue
        text = f"{event.get('reason')}: {str(event.get('message', '')).strip()[:_LINE]}"
        lines[text] = lines.pop(text, 0) + int(event.get("count") or 1)
    told = [text if times == 1 else f"{text} ({times} times)" for text, times in lines.items()]
    return told[-EVENTS:]
