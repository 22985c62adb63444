"""Starting a container: its image, its settings, a process that is there already, or a new one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import name_of, namespace_of, uid_of
from bais_gates.sandbox.cluster.node import addresses, images, inputs, translate
from bais_gates.sandbox.cluster.node.runtime_client import RuntimeRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from bais_gates.sandbox.cluster.controllers.world import Plan, World
    from bais_gates.sandbox.cluster.node.records import Container, Record
    from bais_gates.sandbox.cluster.node.runtime import Containers

_PULL_S, _LONGEST_PULL_S = 10.0, 300.0
_ERROR_SHOWN_S = 0.5
"""How long ErrImagePull is shown before ImagePullBackOff: long enough to be seen."""
_CONFIGURATION_S = 1.0
_PATIENCE_S = 20.0
"""How long a container waits for the Services in its settings to have an address before it gives up."""


class Launcher:
    """Starts containers, or reports why they wait."""

    def __init__(
        self,
        containers: Containers,
        *,
        registry: Collection[str],
        volumes: Path,
        adopted_namespace: str,
        claimed: Callable[[], Collection[str]],
    ) -> None:
        self._containers, self._registry, self._volumes = containers, registry, volumes
        self._adopted, self._claimed = adopted_namespace, claimed

    def launch(self, plan: Plan, world: World, record: Record, container: Container) -> None:
        """Try to start a container that does not run; if it can't be, report why and when to try again."""
        now = time.monotonic()
        if now < container.not_before:
            self._hold_back(plan, record, container, now)
            return
        if not self._pulled(plan, record, container):
            return
        kind = images.kind_of(container.spec)
        if kind is None:
            command = " ".join(map(str, container.spec.get("command") or container.spec.get("args") or ()))
            why = f'exec: "{command}": executable file not found in $PATH: the sandbox runs no such process'
            _wait(plan, record, container, "CreateContainerError", why)
            return
        container.kind = kind
        if self._adopt(record, container):
            plan.look_again(0.01)
            return
        try:
            own = self._others(record, container)
            config = translate.configuration(
                world, record.pod, container.spec, kind, volumes=self._volumes, own=own
            )
            self._start(plan, record, container, config)
        except inputs.MissingError as error:
            _wait(plan, record, container, "CreateContainerConfigError", str(error))
        except inputs.UnmountableError:
            plan.look_again(_CONFIGURATION_S)
        except addresses.NotYetError as error:
            _wait_for(plan, record, container, str(error))

    def _others(self, record: Record, container: Container) -> dict[int, str | None]:
        """Return the ports of a pod's other containers, each with the address of its process."""
        found: dict[int, str | None] = {}
        for other in record.containers:
            observed = self._containers.known.get(other.id) or {}
            ready = other.launched and observed.get("state") == "running" and observed.get("port")
            address = f"{observed.get('host') or '127.0.0.1'}:{observed['port']}" if ready else None
            for port in () if other is container else other.spec.get("ports") or ():
                found[port["containerPort"]] = address
        return found

    @staticmethod
    def _hold_back(plan: Plan, record: Record, container: Container, now: float) -> None:
        """Look again when the back-off is over, and turn ErrImagePull into ImagePullBackOff meanwhile."""
        plan.look_again(container.not_before - now)
        if container.waiting is None or container.waiting[0] != "ErrImagePull":
            return
        if now < container.shown_until:
            plan.look_again(container.shown_until - now)
            return
        message = f'Back-off pulling image "{container.spec["image"]}"'
        container.waiting = ("ImagePullBackOff", f"{message}: ErrImagePull: {container.waiting[1]}")
        plan.event(record.pod, "BackOff", message)
        plan.warn(record.pod, "Failed", "Error: ImagePullBackOff")

    def _start(self, plan: Plan, record: Record, container: Container, config: dict[str, object]) -> None:
        if (self._containers.known.get(container.id) or {}).get("state") == "running":
            plan.look_again(0.2)  # a predecessor of the same name is just ending
            return
        try:
            self._containers.run(container.id, container.kind, config)
        except RuntimeRefusedError as error:
            _wait(plan, record, container, "CreateContainerError", str(error))
            return
        container.started(time.monotonic())
        present = f'Container image "{container.spec["image"]}" already present on machine'
        plan.event(record.pod, "Pulled", present)
        plan.event(record.pod, "Created", f"Created container: {container.name}")
        plan.event(record.pod, "Started", f"Started container {container.name}")

    def _adopt(self, record: Record, container: Container) -> bool:
        """Take over a process that was there before the cluster; return whether there was one."""
        if namespace_of(record.pod) != self._adopted or container.restarts:
            return False
        running = {name: one for name, one in self._containers.known.items() if one["state"] == "running"}
        found: str | None = container.id
        if found not in running:
            claimed = self._claimed()
            unclaimed = (
                name
                for name, one in sorted(running.items())
                if name.startswith(f"{self._adopted}/")
                and one["kind"] == container.kind
                and name not in claimed
            )
            found = next(unclaimed, None)
        elif found in self._containers.stopping:
            found = None
        if found is None or container.kind not in {"postgres", "redis", "api"}:
            return False
        container.id = found
        container.started(time.monotonic())
        return True

    def _pulled(self, plan: Plan, record: Record, container: Container) -> bool:
        """Whether the image is there; if not, report why, and when it is tried again."""
        image, pod = str(container.spec["image"]), record.pod
        if not images.is_valid(image):
            why = f'couldn\'t parse image name "{image}": invalid reference format'
            _wait(plan, record, container, "InvalidImageName", why)
            return False
        if images.is_known(image, self._registry):
            container.pull_failures = 0
            return True
        if container.spec.get("imagePullPolicy") == "Never":
            why = f'Container image "{image}" is not present with pull policy of Never'
            _wait(plan, record, container, "ErrImageNeverPull", why)
            return False
        why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": not found'
        container.waiting = ("ErrImagePull", why)
        pause = min(_PULL_S * 2.0**container.pull_failures, _LONGEST_PULL_S)
        container.pull_failures += 1
        container.not_before = time.monotonic() + pause
        container.shown_until = time.monotonic() + _ERROR_SHOWN_S
        plan.event(pod, "Pulling", f'Pulling image "{image}"')
        plan.warn(pod, "Failed", f'Failed to pull image "{image}": {why}')
        plan.warn(pod, "Failed", "Error: ErrImagePull")
        plan.look_again(_ERROR_SHOWN_S)
        return False


def _wait(plan: Plan, record: Record, container: Container, reason: str, message: str) -> None:
    if container.waiting != (reason, message):
        container.waiting = (reason, message)
        plan.warn(record.pod, "Failed", f"Error: {message}")
    container.not_before = time.monotonic() + _CONFIGURATION_S
    plan.look_again(_CONFIGURATION_S)


def _wait_for(plan: Plan, record: Record, container: Container, service: str) -> None:
    """Wait a while for a Service's process; then let the container fail as one would without it."""
    now = time.monotonic()
    if not container.patience_until:
        container.patience_until = now + _PATIENCE_S
    if now < container.patience_until:
        message = f"waiting for an address behind the Service {service}"
        container.waiting = ("ContainerCreating", message)
        plan.look_again(0.1 if now < container.patience_until - _PATIENCE_S + 3 else 0.5)
    else:
        message = f"no address behind the Service {service}"
        _wait(plan, record, container, "CreateContainerError", message)


def crash_loop(plan: Plan, record: Record, container: Container, pause: float) -> None:
    """Report that a container that ended is held back for ``pause`` seconds."""
    pod = f"{name_of(record.pod)}_{namespace_of(record.pod)}({uid_of(record.pod)})"
    why = f"back-off {pause:.0f}s restarting failed container={container.name} pod={pod}"
    container.waiting = ("CrashLoopBackOff", why)
    message = f"Back-off restarting failed container {container.name} in pod {pod}"
    plan.warn(record.pod, "BackOff", message)
