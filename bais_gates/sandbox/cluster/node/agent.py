"""The node agent: brings the processes of the pods on its nodes to what their specs say, and tells of it.

It is one more controller of the engine: ``sync`` is called when a pod changed, when the runtime told of one
of its containers, and when something is due. Nothing in it waits; probes run in threads of their own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.endpoints import SERVICE_ADDRESS
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    annotations_of,
    changed,
    is_going,
    is_over,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
)
from bais_gates.sandbox.cluster.controllers.world import Delete, Plan, Say, SetStatus, Update
from bais_gates.sandbox.cluster.node import inputs, launching, statuses
from bais_gates.sandbox.cluster.node.records import new_record, terminated
from bais_gates.sandbox.processes import log_tail
from bais_gates.sandbox.runtime_client import RuntimeGoneError, RuntimeRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World
    from bais_gates.sandbox.cluster.node.health import Health
    from bais_gates.sandbox.cluster.node.launching import Launcher
    from bais_gates.sandbox.cluster.node.records import Container, Observed, Record
    from bais_gates.sandbox.cluster.node.runtime import Containers

CONTAINER = "sandbox.bais-gates/container"
ADDRESS = "sandbox.bais-gates/address"
LOG = "sandbox.bais-gates/log"
_FIRST_CRASH_S, _LONGEST_CRASH_S = 10.0, 300.0
_CALM_S = 600.0
"""A container that ran for so long starts with the shortest back-off again."""


class Agent:
    """All pods of all of the sandbox's nodes."""

    def __init__(
        self, containers: Containers, launcher: Launcher, health: Health, nodes: Mapping[str, int]
    ) -> None:
        self._containers, self._launcher, self._health, self._nodes = containers, launcher, health, nodes
        self._records: dict[str, Record] = {}
        self._orphans: set[str] = set()
        self.look_at: Callable[[str, str], None] = lambda _namespace, _name: None

    def records(self) -> list[Record]:
        """Give all pods that are known here."""
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
        if is_going(pod):
            self._end(plan, record, now)
            return plan
        if is_over(pod):
            return plan
        if not record.ip:
            taken = {str(status_of(other).get("podIP")) for other in world.of_kind("Pod")}
            taken |= {other.ip for other in self._records.values()}
            known = status_of(pod).get("podIP")
            record.ip = str(known or statuses.address_of_pod(self._nodes[node], taken))
        if self._mounted(plan, world, record):
            for container in record.containers:
                self._step(plan, world, record, container)
        if self._annotate(plan, record):
            return plan
        self._tell(plan, record, now)
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
            observed = self._containers.known.get(name)
            try:
                if observed is not None and observed.get("state") == "running":
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
            before = states.get(container.name)
            if before is None:
                continue
            container.restarts = int(before.get("restartCount") or 0)
            container.last_ended = (before.get("lastState") or {}).get("terminated")
            if before.get("containerID") and container.id in self._containers.known:
                container.launched, container.waiting = True, None
                container.kind = str(self._containers.known[container.id].get("kind"))

    def _mounted(self, plan: Plan, world: World, record: Record) -> bool:
        """Whether the volumes are there; if not, say so and look again."""
        if all(one.launched for one in record.containers):
            return True
        try:
            for container in record.containers:
                inputs.files(world, record.pod, container.spec)
        except inputs.UnmountableError as error:
            record.mount_failures += 1
            if record.mount_failures > 2:  # a claim is often bound a moment after its pod got a node
                self._say_once(plan, record, "FailedMount", str(error))
            plan.look_again(min(0.2 * 2**record.mount_failures, 5.0))
            return False
        return True

    def _step(self, plan: Plan, world: World, record: Record, container: Container) -> None:
        observed = self._containers.known.get(container.id)
        if not container.launched:
            if container.ended is None or container.waiting is not None:
                self._launcher.launch(plan, world, record, container)
            return
        if observed is None:
            observed = {"id": container.id, "state": "exited", "exit_code": None}
        if observed.get("state") == "running":
            container.waiting = None
            for reason in self._health.check(plan, record, container, observed):
                self._kill(plan, record, container, reason)
            return
        self._ended(plan, record, container, observed)

    def _kill(self, plan: Plan, record: Record, container: Container, reason: str) -> None:
        """Have a container that fails its probe ended; it is started anew once it has ended."""
        if container.asked_to_stop:
            return
        container.asked_to_stop = True
        told = f"Container {container.name} failed {reason} probe, will be restarted"
        plan.add(Say(about=record.pod, reason="Killing", message=told))
        grace = float(spec_of(record.pod).get("terminationGracePeriodSeconds") or 30)
        self._containers.stop(container.id, grace_s=grace)

    def _ended(self, plan: Plan, record: Record, container: Container, observed: Observed) -> None:
        """Take note of an ended process, and start it anew if the pod's policy says so."""
        tail = log_tail(launching.log_of(observed)) if observed.get("log") else ""
        ended = terminated(observed, container.spec, tail=tail)
        policy = statuses.policy_of(record.pod)
        again = policy == statuses.ALWAYS or (policy == statuses.ON_FAILURE and ended["exitCode"] != 0)
        container.launched = False
        container.asked_to_stop = False
        container.reset_answers()
        if not again:
            container.ended, container.waiting = ended, None
            return
        container.last_ended, container.ended = ended, ended
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
            container.waiting = None
            container.ended = None
            container.waiting = ("ContainerCreating", "")
        plan.look_again(pause or 0.01)

    def _annotate(self, plan: Plan, record: Record) -> bool:
        """Write down where the pod's process is reached and where its log is; whether that changed."""
        wanted: dict[str, str] = {}
        for container in record.containers:
            observed = self._containers.known.get(container.id)
            if observed is None or not container.launched:
                continue
            wanted[CONTAINER] = container.id
            if observed.get("log"):
                wanted[LOG] = str(observed["log"])
            if observed.get("port"):
                host = observed.get("host") or "127.0.0.1"
                wanted[ADDRESS] = f"{host}:{observed['port']}"
                wanted[SERVICE_ADDRESS] = f"{host}:{observed.get('group_port') or observed['port']}"
        have = annotations_of(record.pod)
        if all(have.get(key) == value for key, value in wanted.items()):
            return False
        metadata = {**record.pod["metadata"], "annotations": {**have, **wanted}}
        plan.add(Update(obj={**record.pod, "metadata": metadata}))
        return True

    def _tell(self, plan: Plan, record: Record, now: datetime) -> None:
        status = statuses.pod_status(record, self._containers.known, now)
        if (update := changed(record.pod, status=status)) is not None:
            plan.add(SetStatus(obj=update))

    def _say_once(self, plan: Plan, record: Record, reason: str, message: str) -> None:
        if message not in record.said:
            record.said.add(message)
            plan.add(Say(about=record.pod, reason=reason, message=message, kind="Warning"))

    def _end(self, plan: Plan, record: Record, now: datetime) -> None:
        """Have the pod's processes ended, then let its object go."""
        grace = record.pod["metadata"].get("deletionGracePeriodSeconds")
        left = False
        for container in record.containers:
            observed = self._containers.known.get(container.id)
            if observed is None or observed.get("state") != "running" or not container.launched:
                continue
            left = True
            if "Killing" + container.name not in record.said:
                record.said.add("Killing" + container.name)
                self._containers.stop(container.id, grace_s=float(30 if grace is None else grace))
                plan.add(
                    Say(about=record.pod, reason="Killing", message=f"Stopping container {container.name}")
                )
        if left:
            for container in record.containers:
                container.asked_to_stop = True
            self._tell(plan, record, now)
            plan.look_again(1.0)
            return
        for container in record.containers:
            if container.launched or container.ended:
                self._containers.remove(container.id)
        plan.add(Delete(obj=record.pod, grace_s=0))


def describe(pod: Object) -> str:
    """Name a pod for a log line."""
    return f"{namespace_of(pod)}/{name_of(pod)}"
