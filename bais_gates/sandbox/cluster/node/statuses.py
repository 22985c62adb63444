"""The status of a pod, from what is known of its containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import Object, spec_of, stamp, status_of, with_condition
from bais_gates.sandbox.cluster.node.records import container_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bais_gates.sandbox.cluster.node.records import Container, Observed, Record

ALWAYS, ON_FAILURE = "Always", "OnFailure"


def policy_of(pod: Object) -> str:
    """Give the pod's ``restartPolicy``."""
    return str(spec_of(pod).get("restartPolicy") or ALWAYS)


def is_started(container: Container, observed: Observed | None) -> bool:
    """Whether the process runs and its startup probe, if it has one, has succeeded."""
    if observed is None or observed.get("state") != "running" or not container.launched:
        return False
    return not container.spec.get("startupProbe") or container.startup.ok is True


def is_ready(container: Container, observed: Observed | None) -> bool:
    """Whether the process runs, can be asked, and its readiness probe is content."""
    if not is_started(container, observed) or not (observed or {}).get("up", True) or container.asked_to_stop:
        return False
    return not container.spec.get("readinessProbe") or container.readiness.ok is True


def pod_status(record: Record, observed: Mapping[str, Observed], now: datetime) -> Object:
    """Give the status of a pod; conditions of others (PodScheduled, DisruptionTarget) are kept."""
    before = status_of(record.pod)
    states = [container_status(one, observed.get(one.id)) for one in record.containers]
    phase = _phase(record, states)
    over = phase in {"Succeeded", "Failed"}
    all_ready = bool(states) and all(one["ready"] for one in states) and not over
    not_ready = [one["name"] for one in states if not one["ready"]]
    why: Mapping[str, str] = {}
    if over:
        why = {"reason": "PodCompleted" if phase == "Succeeded" else "PodFailed", "message": ""}
    elif not all_ready:
        names = " ".join(not_ready)
        why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{names}]"}
    conditions = list(before.get("conditions") or [])
    facts = {
        "PodReadyToStartContainers": ("True" if record.ip and not over else "False", {}),
        "Initialized": ("True", {"reason": "PodCompleted"} if phase == "Succeeded" else {}),
        "Ready": ("True" if all_ready else "False", why),
        "ContainersReady": ("True" if all_ready else "False", why),
        "PodScheduled": ("True", {}),
    }
    for kind, (value, words) in facts.items():
        conditions = with_condition(
            conditions, now, type=kind, status=value, **{key: text for key, text in words.items() if text}
        )
    status: Object = {
        **before,
        "phase": phase,
        "conditions": conditions,
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "startTime": before.get("startTime") or stamp(now),
        "containerStatuses": states,
    }
    if record.ip:
        status |= {"podIP": record.ip, "podIPs": [{"ip": record.ip}]}
    return status


def container_status(container: Container, observed: Observed | None) -> Object:
    """Give one entry of ``containerStatuses``."""
    image = str(container.spec["image"])
    found: Object = {
        "name": container.name,
        "image": image,
        "imageID": image if container.launched else "",
        "ready": is_ready(container, observed),
        "started": is_started(container, observed),
        "restartCount": container.restarts,
        "state": _state(container, observed),
    }
    if container.launched and observed is not None:
        found["containerID"] = container_id(observed)
    if container.last_ended is not None:
        found["lastState"] = {"terminated": container.last_ended}
    return found


def _state(container: Container, observed: Observed | None) -> Object:
    if container.waiting is not None:
        reason, message = container.waiting
        return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    if container.ended is not None:
        return {"terminated": container.ended}
    return {"running": {"startedAt": (observed or {}).get("started_at")}}


def _phase(record: Record, states: list[Object]) -> str:
    policy = policy_of(record.pod)
    ended = [one["state"]["terminated"] for one in states if "terminated" in one["state"]]
    if states and len(ended) == len(states):
        if all(one["exitCode"] == 0 for one in ended) and policy != ALWAYS:
            return "Succeeded"
        if policy == "Never":
            return "Failed"
        return "Running"
    never_ran = [one for one in states if "waiting" in one["state"] and "lastState" not in one]
    return "Pending" if never_ran else "Running"


def address_of_pod(node_number: int, taken: set[str]) -> str:
    """Give a free address of a node's made-up network."""
    for number in range(2, 255):
        address = f"10.244.{node_number}.{number}"
        if address not in taken:
            return address
    return f"10.244.{node_number}.255"
