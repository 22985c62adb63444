"""The status of a pod, from what is known of its containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    format_time,
    spec_of,
    status_of,
    with_condition,
)
from bais_gates.sandbox.cluster.node.records import container_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bais_gates.sandbox.cluster.node.records import Container, Observed, Record

ALWAYS, ON_FAILURE = "Always", "OnFailure"


def policy_of(pod: Object) -> str:
    """Return the pod's ``restartPolicy``."""
    return str(spec_of(pod).get("restartPolicy") or ALWAYS)


def is_started(container: Container, observed: Observed | None) -> bool:
    """Whether the process runs and its startup probe, if it has one, has succeeded."""
    if observed is None or observed.get("state") != "running" or not container.launched:
        return False
    return not container.spec.get("startupProbe") or container.startup.ok is True


def is_ready(container: Container, observed: Observed | None) -> bool:
    """Whether the process runs, accepts connections, and its readiness probe, if it has one, succeeds."""
    if not is_started(container, observed) or not (observed or {}).get("up", True) or container.asked_to_stop:
        return False
    return not container.spec.get("readinessProbe") or container.readiness.ok is True


def pod_status(record: Record, observed: Mapping[str, Observed], now: datetime) -> Object:
    """Return the status of a pod; conditions of others (DisruptionTarget) are kept."""
    before = status_of(record.pod)
    states = [container_status(one, observed.get(one.id)) for one in record.containers]
    phase = _phase(policy_of(record.pod), states)
    over = phase in {"Succeeded", "Failed"}
    not_ready = " ".join(one["name"] for one in states if not one["ready"])
    ready: tuple[str, str, str] = ("True", "", "")
    if over:
        ready = ("False", "PodCompleted" if phase == "Succeeded" else "PodFailed", "")
    elif not_ready:
        ready = ("False", "ContainersNotReady", f"containers with unready status: [{not_ready}]")
    conditions = list(before.get("conditions") or [])
    for values in (
        ("PodReadyToStartContainers", "True" if record.ip and not over else "False", "", ""),
        ("Initialized", "True", "PodCompleted" if phase == "Succeeded" else "", ""),
        ("Ready", *ready),
        ("ContainersReady", *ready),
        ("PodScheduled", "True", "", ""),
    ):
        conditions = with_condition(conditions, now, values)
    addresses = {"podIP": record.ip, "podIPs": [{"ip": record.ip}]} if record.ip else {}
    return {
        **before,
        **addresses,
        "phase": phase,
        "conditions": conditions,
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "startTime": before.get("startTime") or format_time(now),
        "containerStatuses": states,
    }


def container_status(container: Container, observed: Observed | None) -> Object:
    """Return one entry of ``containerStatuses``."""
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


def _phase(policy: str, states: list[Object]) -> str:
    ended = [one["state"]["terminated"] for one in states if "terminated" in one["state"]]
    if states and len(ended) == len(states):
        if all(one["exitCode"] == 0 for one in ended) and policy != ALWAYS:
            return "Succeeded"
        return "Failed" if policy == "Never" else "Running"
    never_ran = any("waiting" in one["state"] and "lastState" not in one for one in states)
    return "Pending" if never_ran else "Running"


def address_of_pod(node_number: int, taken: set[str]) -> str:
    """Return a free address of a node's made-up network."""
    addresses = (f"10.244.{node_number}.{number}" for number in range(2, 255))
    return next((one for one in addresses if one not in taken), f"10.244.{node_number}.255")
