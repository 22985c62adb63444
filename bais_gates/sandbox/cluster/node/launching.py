"""Starting a container: its image, its settings, a process that is there already, or a new one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import namespace_of
from bais_gates.sandbox.cluster.controllers.world import Say
from bais_gates.sandbox.cluster.node import addresses, images, inputs, translate
from bais_gates.sandbox.cluster.node.records import uid_and_name
from bais_gates.sandbox.runtime_client import RuntimeRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from bais_gates.sandbox.cluster.controllers.world import Plan, World
    from bais_gates.sandbox.cluster.node.records import Container, Observed, Record
    from bais_gates.sandbox.cluster.node.runtime import Containers

_PULL_S, _LONGEST_PULL_S = 10.0, 300.0
_ERROR_SHOWN_S = 0.5
_CONFIGURATION_S = 1.0
_PATIENCE_S = 20.0
"""How long a container waits for the Services in its settings to have an address before it gives up."""


class Launcher:
    """Starts containers, or says why they wait."""

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
        """Try to start a container that does not run; if it can't be, say why and when to try again."""
        left = container.not_before - time.monotonic()
        if left > 0:
            if container.waiting is not None and container.waiting[0] == "ErrImagePull":
                if time.monotonic() < container.shown_until:  # long enough to be seen
                    plan.look_again(container.shown_until - time.monotonic())
                    return
                self._back_off_pull(plan, record, container)
            plan.look_again(left)
            return
        if not self._pulled(plan, record, container):
            return
        kind = images.kind_of(container.spec)
        if kind is None:
            command = " ".join(map(str, container.spec.get("command") or container.spec.get("args") or ()))
            self._wait(
                plan, record, container, "CreateContainerError",
                f'exec: "{command}": executable file not found in $PATH: the sandbox runs no such process',
            )  # fmt: skip
            return
        container.kind = kind
        if self._adopt(record, container):
            plan.look_again(0.01)
            return
        try:
            config = translate.configuration(world, record.pod, container.spec, kind, volumes=self._volumes)
            self._start(plan, record, container, config)
        except inputs.MissingError as error:
            self._wait(plan, record, container, "CreateContainerConfigError", str(error))
        except inputs.UnmountableError:
            plan.look_again(_CONFIGURATION_S)
        except addresses.NotYetError as error:
            self._wait_for(plan, record, container, str(error))

    def _start(self, plan: Plan, record: Record, container: Container, config: dict[str, object]) -> None:
        observed = self._containers.known.get(container.id)
        if observed is not None and observed.get("state") == "running":
            plan.look_again(0.2)  # a predecessor of the same name is just ending
            return
        try:
            self._containers.run(container.id, container.kind, config)
        except RuntimeRefusedError as error:
            self._wait(plan, record, container, "CreateContainerError", str(error))
            return
        container.launched, container.waiting, container.ended = True, None, None
        container.run += 1
        container.reset_answers()
        container.patience_until = time.monotonic()
        image = container.spec["image"]
        plan.add(
            Say(
                about=record.pod,
                reason="Pulled",
                message=f'Container image "{image}" already present on machine',
            ),
            Say(about=record.pod, reason="Created", message=f"Created container: {container.name}"),
            Say(about=record.pod, reason="Started", message=f"Started container {container.name}"),
        )

    def _adopt(self, record: Record, container: Container) -> bool:
        """Take over a process that was there before the cluster; whether there was one."""
        if namespace_of(record.pod) != self._adopted or container.restarts:
            return False
        known = self._containers.known
        found = container.id if container.id in known and known[container.id]["state"] == "running" else None
        if found is None:
            claimed = self._claimed()
            found = next(
                (
                    name
                    for name, one in sorted(known.items())
                    if name.startswith(f"{self._adopted}/")
                    and one["kind"] == container.kind
                    and one["state"] == "running"
                    and name not in claimed
                ),
                None,
            )
        if found is None or container.kind not in {"postgres", "redis", "api"}:
            return False
        if found == container.id and found in self._containers.stopping:
            return False
        container.id, container.launched, container.waiting, container.ended = found, True, None, None
        container.run += 1
        container.patience_until = time.monotonic()
        return True

    def _pulled(self, plan: Plan, record: Record, container: Container) -> bool:
        image = str(container.spec["image"])
        if not images.is_valid(image):
            told = (
                f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
                "invalid reference format"
            )
            self._wait(plan, record, container, "InvalidImageName", told)
            return False
        if images.is_known(image, self._registry):
            container.pull_failures = 0
            return True
        if container.spec.get("imagePullPolicy") == "Never":
            told = f'Container image "{image}" is not present with pull policy of Never'
            self._wait(plan, record, container, "ErrImageNeverPull", told)
            return False
        why = (
            f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
            f"{image}: not found"
        )
        container.waiting = ("ErrImagePull", why)
        pause = min(_PULL_S * 2.0**container.pull_failures, _LONGEST_PULL_S)
        container.pull_failures += 1
        container.not_before = time.monotonic() + pause
        container.shown_until = time.monotonic() + _ERROR_SHOWN_S
        about = record.pod
        plan.add(
            Say(about=about, reason="Pulling", message=f'Pulling image "{image}"'),
            Say(
                about=about, reason="Failed", message=f'Failed to pull image "{image}": {why}', kind="Warning"
            ),
            Say(about=about, reason="Failed", message="Error: ErrImagePull", kind="Warning"),
        )
        plan.look_again(_ERROR_SHOWN_S)
        return False

    @staticmethod
    def _back_off_pull(plan: Plan, record: Record, container: Container) -> None:
        image = container.spec["image"]
        why = container.waiting[1] if container.waiting is not None else ""
        told = f'Back-off pulling image "{image}"'
        container.waiting = ("ImagePullBackOff", f"{told}: ErrImagePull: {why}")
        plan.add(
            Say(about=record.pod, reason="BackOff", message=told),
            Say(about=record.pod, reason="Failed", message="Error: ImagePullBackOff", kind="Warning"),
        )

    @staticmethod
    def _wait(plan: Plan, record: Record, container: Container, reason: str, message: str) -> None:
        if container.waiting != (reason, message):
            container.waiting = (reason, message)
            plan.add(Say(about=record.pod, reason="Failed", message=f"Error: {message}", kind="Warning"))
        container.not_before = time.monotonic() + _CONFIGURATION_S
        plan.look_again(_CONFIGURATION_S)

    def _wait_for(self, plan: Plan, record: Record, container: Container, service: str) -> None:
        """Wait a while for a Service's process; then let the container fail as one would without it."""
        now = time.monotonic()
        if not container.patience_until:
            container.patience_until = now + _PATIENCE_S
        message = f"waiting for an address behind the Service {service}"
        if now < container.patience_until:
            container.waiting = ("ContainerCreating", message)
            plan.look_again(0.1 if now < container.patience_until - _PATIENCE_S + 3 else 0.5)
            return
        self._wait(
            plan, record, container, "CreateContainerError", f"no address behind the Service {service}"
        )


def crash_loop(plan: Plan, record: Record, container: Container, pause: float) -> None:
    """Say that a container that ended is held back for ``pause`` seconds."""
    container.waiting = (
        "CrashLoopBackOff",
        f"back-off {pause:.0f}s restarting failed container={container.name} pod={uid_and_name(record.pod)}",
    )
    told = f"Back-off restarting failed container {container.name} in pod {uid_and_name(record.pod)}"
    plan.add(Say(about=record.pod, reason="BackOff", message=told, kind="Warning"))


def log_of(observed: Observed) -> Path:
    """Give the file that a container's output goes to."""
    return Path(str(observed["log"]))
