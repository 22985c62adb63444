"""Build the error for a workload that is not ready, from its pods' problems, their logs and the events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.server import qualified_name
from bais_gates.staging.workload import controlled_by, is_ready, last_exit, most_urgent, pods_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bais_gates.staging.readiness import Object, Verdict
    from bais_gates.staging.server import Server
    from bais_gates.staging.workload import PodProblem

LOG_LINES: Final = 12
EVENTS: Final = 6
_MAX_LINE: Final = 300
WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "Job"})
_JOB_CODES: Final = frozenset({StageCode.JOB_FAILED, StageCode.JOB_DEADLINE})
_GENERAL_CODES: Final = frozenset({StageCode.PROGRESS_DEADLINE, StageCode.NOT_READY, *_JOB_CODES})
"""Codes that the problem of a pod states more exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The pods of a workload, and the events about it and them, oldest first."""

    pods: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)

    @property
    def problem(self) -> PodProblem | None:
        """The pods' problem with the shortest grace period."""
        return most_urgent(self.pods)


def read_context(server: Server, workload: Object) -> Context:
    """Read a workload's pods and the events about it, its ReplicaSets and its pods.

    Raises ``ClusterError``. For an object that has no pods only the events are read.
    """
    namespace = workload["metadata"].get("namespace")
    if namespace is None:
        return Context()
    sets: list[Object] = []
    pods: list[Object] = []
    if workload.get("kind") in WORKLOADS:
        if workload["kind"] == "Deployment":
            sets = server.list("apps/v1", "ReplicaSet", namespace)
        pods = pods_of(workload, server.list("v1", "Pod", namespace), sets)
    own_sets = controlled_by(sets, str(workload["metadata"].get("uid")))
    uids = {str(one["metadata"].get("uid")) for one in (workload, *own_sets, *pods)}
    events = [
        one for one in server.events(namespace) if str((one.get("involvedObject") or {}).get("uid")) in uids
    ]
    return Context(pods=pods, events=sorted(events, key=_timestamp))


def _timestamp(event: Object) -> str:
    metadata = event.get("metadata") or {}
    time = event.get("lastTimestamp") or event.get("eventTime") or metadata.get("creationTimestamp")
    return str(time or "")


def read_error(server: Server, workload: Object, verdict: Verdict, *, step: str) -> StageError:
    """Read the context of a failed workload and return the error for it."""
    try:
        context = read_context(server, workload)
    except ClusterError as error:
        code = verdict.code or StageCode.NOT_READY
        text = f"{qualified_name(workload)}: {verdict.reason}. Its pods and events could not be read: {error}"
        return StageError(code, text, step=step)
    return build_error(server, workload, verdict, context, step=step)


def build_error(
    server: Server, workload: Object, verdict: Verdict, context: Context, *, step: str
) -> StageError:
    """Return the error for a failed workload; its code is that of a pod's problem if that is more exact."""
    code, problem = verdict.code or StageCode.NOT_READY, context.problem
    # A Job that failed because its container exits again and again has failed as a Job.
    crashed_job = code in _JOB_CODES and problem is not None and problem.code is StageCode.CRASH_LOOP
    if problem is not None and code in _GENERAL_CODES and not crashed_job:
        code = problem.code
    parts = [f"{qualified_name(workload)}: {verdict.reason.rstrip('.')}"]
    parts += _describe_pod(server, problem, context.pods)
    warnings = event_lines(context.events)
    if warnings:
        parts.append(f"Events: {'; '.join(warnings)}")
    return StageError(code, ". ".join(parts), step=step)


def _describe_pod(server: Server, problem: PodProblem | None, pods: list[Object]) -> Iterator[str]:
    """Yield what is wrong with the pod that has the problem, else with the newest unready one."""
    if problem is not None:
        yield problem.text[0].upper() + problem.text[1:].rstrip(".")
    pod = next((one for one in pods if problem and one["metadata"]["name"] == problem.pod), None)
    pod = pod or _newest_unready(pods)
    if pod is None:
        return
    status = _container_status(pod, problem.container if problem else None)
    if problem is None:
        state = last_exit(status) or "is not ready"
        yield f"Pod {pod['metadata']['name']}, container {status.get('name', '?')}, {state}"
    lines = last_lines(server, pod, str(status.get("name") or "") or None)
    if lines:
        yield f"Last lines of its log: {' | '.join(lines)}"


def _newest_unready(pods: list[Object]) -> Object | None:
    """Return the newest pod that failed, else the newest that is not ready."""
    unready = [one for one in pods if not is_ready(one)]
    failed = [one for one in unready if (one.get("status") or {}).get("phase") == "Failed"]
    return max(failed or unready, key=lambda one: str(one["metadata"].get("creationTimestamp")), default=None)


def _container_status(pod: Object, name: str | None) -> Object:
    """Return the status of the named container, else of one that failed, else of one that is not ready."""
    status = pod.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    if name is not None:
        return next((one for one in statuses if one.get("name") == name), {"name": name})
    failed = [one for one in statuses if _exit_status(one)]
    unready = [one for one in statuses if not one.get("ready")]
    return next(iter(failed or unready or statuses), {})


def _exit_status(status: Object) -> int:
    exit_ = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
    return int((exit_ or {}).get("exitCode") or 0)


def last_lines(server: Server, pod: Object, container: str | None) -> list[str]:
    """Return the last lines of a container's log, or of the one before its restart; [] without any."""
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
        # A line that only underlines a part of a traceback means nothing here.
        lines = [line.strip()[:_MAX_LINE] for line in text.splitlines() if line.strip("^~ \t")]
        if lines:
            return lines[-LOG_LINES:]
    return []


def event_lines(events: list[Object]) -> list[str]:
    """Return the last warnings as ``Reason: message (3 times)``, each once."""
    counts: dict[str, int] = {}
    for event in events:
        if event.get("type") != "Warning":
            continue
        text = f"{event.get('reason')}: {str(event.get('message', '')).strip()[:_MAX_LINE]}"
        counts[text] = counts.pop(text, 0) + int(event.get("count") or 1)
    lines = [text if count == 1 else f"{text} ({count} times)" for text, count in counts.items()]
    return lines[-EVENTS:]
