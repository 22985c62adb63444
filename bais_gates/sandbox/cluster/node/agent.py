"""The node agent: brings the processes of the pods on its nodes to what their specs say, and reports it.

It is one more controller of the engine: ``sync`` is called when a pod changed, when the runtime listed one
of its containers anew, and when something is due. Nothing in it waits; probes run in threads of their own.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.endpoints import SERVICE_ADDRESS
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    annotations_of,
    is_finished,
    is_terminating,
    number_of,
    spec_of,
    status_of,
    uid_of,
    with_annotations,
)
from bais_gates.sandbox.cluster.controllers.world import Delete, Plan, Update
from bais_gates.sandbox.cluster.node import inputs, launching, statuses
from bais_gates.sandbox.cluster.node.records import new_record, terminated
from bais_gates.sandbox.cluster.node.runtime_client import RuntimeGoneError, RuntimeRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World
    from bais_gates.sandbox.cluster.node.launching import Launcher
    from bais_gates.sandbox.cluster.node.probes import Health
    from bais_gates.sandbox.cluster.node.records import Container, Observed, Record
    from bais_gates.sandbox.cluster.node.runtime import Containers

CONTAINER = "sandbox.bais-gates/container"
ADDRESS = "sandbox.bais-gates/address"
LOG = "sandbox.bais-gates/log"
_GRACE_S = 30
_FIRST_CRASH_S, _LONGEST_CRASH_S = 10.0, 300.0
_CALM_S = 600.0
"""A container that ran for so long starts with the shortest back-off again."""
_TAIL_LINES, _TAIL_BYTES = 12, 2048


class Agent:
    """All pods of all of the sandbox's nodes."""

    def __init__(
        self, containers: Containers, launcher: Launcher, health: Health, nodes: Mapping[str, int]
    ) -> None:
        self._containers, self._launcher, self._health, self._nodes = containers, launcher, health, nodes
        self._records: dict[str, Record] = {}
        self._orphans: set[str] = set()

    def records(self) -> list[Record]:
        """Return all pods that are known here."""
        return list(self._records.values())

    def sync(self, world: World, pod: Object, now: datetime) -> Plan:
        """Do the next step for one pod."""
        plan = Plan()
        node = str(spec_of(pod).get("nodeName") or "")
        if node not in self._nodes:
            return plan
        record = self._records.get(uid_of(pod))
        if record is None:
            record = self._records[uid_of(pod)] = new_record(pod)
            self._recall(record)
        record.pod = pod
        if is_terminating(pod):
            self._end(plan, record, now)
        elif not is_finished(pod):
            if not record.ip:
                taken = {str(status_of(other).get("podIP")) for other in world.of_kind("Pod")}
                taken |= {other.ip for other in self._records.values()}
                address = status_of(pod).get("podIP") or statuses.address_of_pod(self._nodes[node], taken)
                record.ip = str(address)
            if self._mounted(plan, world, record):
                for container in record.containers:
                    self._step(plan, world, record, container)
            if not self._annotate(plan, record):
                plan.set_status(pod, statuses.pod_status(record, self._containers.known, now))
        return plan

    def gone(self, pod: Object) -> None:
        """Forget a pod that no longer exists; whatever still runs of it ends now."""
        record = self._records.pop(uid_of(pod), None)
        for container in record.containers if record is not None else ():
            if container.launched:
                self._orphans.add(container.id)
        self.clear_orphans()

    def clear_orphans(self) -> None:
        """End and forget the containers whose pod vanished."""
        for name in list(self._orphans):
            try:
                if (self._containers.known.get(name) or {}).get("state") == "running":
                    self._containers.stop(name, grace_s=1)
                else:
                    self._orphans.discard(name)
                    self._containers.remove(name)
            except (RuntimeGoneError, RuntimeRefusedError):
                self._orphans.discard(name)

    def _recall(self, record: Record) -> None:
        """Take up a pod that an earlier node agent ran: its containers run on."""
        name = annotations_of(record.pod).get(CONTAINER)
        states = {one["name"]: one for one in status_of(record.pod).get("containerStatuses") or ()}
        for container in record.containers:
            if name and len(record.containers) == 1:
                container.id = name
            before = states.get(container.name, {})
            container.restarts = number_of(before, "restartCount")
            container.last_ended = (before.get("lastState") or {}).get("terminated")
            if before.get("containerID") and container.id in self._containers.known:
                container.launched, container.waiting = True, None
                container.kind = str(self._containers.known[container.id].get("kind"))

    def _mounted(self, plan: Plan, world: World, record: Record) -> bool:
        """Whether the volumes are there; if not, report it and look again."""
        if all(one.launched for one in record.containers):
            return True
        try:
            for container in record.containers:
                inputs.files(world, record.pod, container.spec)
        except inputs.UnmountableError as error:
            record.mount_failures += 1
            message = str(error)
            # A claim is often bound a moment after its pod got a node: that is no failure yet.
            if record.mount_failures > 2 and message not in record.reported:
                record.reported.add(message)
                plan.warn(record.pod, "FailedMount", message)
            plan.look_again(min(0.2 * 2**record.mount_failures, 5.0))
            return False
        return True

    def _step(self, plan: Plan, world: World, record: Record, container: Container) -> None:
        if not container.launched:
            if container.ended is None or container.waiting is not None:
                self._launcher.launch(plan, world, record, container)
            return
        observed = self._containers.known.get(container.id) or {"id": container.id, "state": "exited"}
        if observed["state"] != "running":
            self._take_end(plan, record, container, observed)
            return
        container.waiting = None
        failed = self._health.failed(plan, record, container, observed)
        if failed is not None and not container.asked_to_stop:  # it is started anew once it has ended
            container.asked_to_stop = True
            message = f"Container {container.name} failed {failed} probe, will be restarted"
            plan.event(record.pod, "Killing", message)
            grace = number_of(spec_of(record.pod), "terminationGracePeriodSeconds", _GRACE_S)
            self._containers.stop(container.id, grace_s=grace)

    def _take_end(self, plan: Plan, record: Record, container: Container, observed: Observed) -> None:
        """Take note of an ended process, and start it anew if the pod's policy says so."""
        ended = terminated(observed, container.spec, tail=_tail(observed))
        policy = statuses.policy_of(record.pod)
        container.launched = container.asked_to_stop = False
        container.reset_answers()
        container.ended, container.waiting = ended, None
        if policy == "Never" or (policy == statuses.ON_FAILURE and ended["exitCode"] == 0):
            return
        container.last_ended = ended
        container.restarts += 1
        if time.monotonic() - container.patience_until > _CALM_S:
            container.crashes = 0
        pause = 0.0
        if container.crashes:
            pause = min(_FIRST_CRASH_S * 2.0 ** (container.crashes - 1), _LONGEST_CRASH_S)
        container.crashes += 1
        container.not_before = time.monotonic() + pause
        if pause:
            launching.crash_loop(plan, record, container, pause)
        else:
            container.ended, container.waiting = None, ("ContainerCreating", "")
        plan.look_again(pause)

    def _annotate(self, plan: Plan, record: Record) -> bool:
        """Write down where the pod's process is reached and where its log is; return whether that changed."""
        wanted: dict[str, str] = {}
        for container in record.containers:
            observed = self._containers.known.get(container.id)
            if observed is None or not container.launched:
                continue
            wanted[CONTAINER] = container.id
            if observed.get("log"):
                wanted[LOG] = str(observed["log"])
            if port := observed.get("port"):
                host = observed.get("host") or "127.0.0.1"
                wanted[ADDRESS] = f"{host}:{port}"
                wanted[SERVICE_ADDRESS] = f"{host}:{observed.get('group_port') or port}"
        if wanted.items() <= annotations_of(record.pod).items():
            return False
        plan.add(Update(with_annotations(record.pod, wanted)))
        return True

    def _end(self, plan: Plan, record: Record, now: datetime) -> None:
        """Have the pod's processes ended, then let its object go."""
        grace = number_of(record.pod["metadata"], "deletionGracePeriodSeconds", _GRACE_S)
        known = self._containers.known
        left = [
            one
            for one in record.containers
            if one.launched and (known.get(one.id) or {}).get("state") == "running"
        ]
        for container in left:
            if f"Killing {container.name}" not in record.reported:
                record.reported.add(f"Killing {container.name}")
                self._containers.stop(container.id, grace_s=grace)
                plan.event(record.pod, "Killing", f"Stopping container {container.name}")
        for container in record.containers:
            if left:
                container.asked_to_stop = True
            elif container.launched or container.ended:
                self._containers.remove(container.id)
        if left:
            plan.set_status(record.pod, statuses.pod_status(record, known, now))
            plan.look_again(1.0)
        else:
            plan.add(Delete(obj=record.pod, grace_s=0))


def _tail(observed: Observed) -> str:
    """Return the last lines of a container's log, empty without one."""
    log = Path(str(observed.get("log")))
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join([line.rstrip() for line in lines if line.strip()][-_TAIL_LINES:])
