"""The controllers and the node agent, run until SIGTERM: ``python -m ...cluster.node CONFIG.json``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers import namespaces, nodes
from bais_gates.sandbox.cluster.controllers.client import Api, ApiError, ApiUnreachableError
from bais_gates.sandbox.cluster.controllers.engine import Controller, Engine
from bais_gates.sandbox.cluster.controllers.objects import has_condition, name_of, namespace_of, uid_of
from bais_gates.sandbox.cluster.controllers.resources import BY_KIND, LEASES, WATCHED
from bais_gates.sandbox.cluster.node.agent import Agent
from bais_gates.sandbox.cluster.node.authority import SandboxAuthority
from bais_gates.sandbox.cluster.node.configuration import load
from bais_gates.sandbox.cluster.node.health import Health
from bais_gates.sandbox.cluster.node.launching import Launcher
from bais_gates.sandbox.cluster.node.runtime import Containers
from bais_gates.sandbox.cluster.node.wiring import other_controllers, to_all, workload_controllers
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.runtime_client import RuntimeGoneError

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.node.configuration import Config


class Node:
    """Everything in this process, put together."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._api = Api(config.api_server, ca_file=config.ca_file, token=config.token)
        self._names = nodes.names(config.nodes)
        controllers: list[Controller] = []
        self.engine = Engine(self._api, WATCHED, controllers)
        self._containers = Containers(config.runtime_socket, self.engine.post)
        look_at = partial(self.engine.look_at, "kubelet")
        self._health = Health(self.engine.post, look_at)
        launcher = Launcher(
            self._containers,
            registry=config.registry,
            volumes=config.directory / "volumes",
            adopted_namespace=config.adopted_namespace,
            claimed=self._claimed,
        )
        self._agent = Agent(
            self._containers, launcher, self._health, {name: at for at, name in enumerate(self._names, 1)}
        )
        self._containers.changed = self._changed
        self._containers.measured = self._measured
        version = str(self._api.request("GET", "/version").get("gitVersion", ""))
        authority = Path(config.ca_file).read_text(encoding="utf-8")
        for controller in (
            *workload_controllers(),
            *other_controllers(self._containers.wipe, SandboxAuthority(config.directory)),
            Controller(
                name="namespace",
                kind="Namespace",
                reconcile=namespaces.reconciler(authority),
                component="namespace-controller",
                triggers={
                    "Pod": self._namespace_of_going,
                    **dict.fromkeys(("ServiceAccount", "ConfigMap"), self._namespace_of),
                },
            ),
            Controller(
                name="node",
                kind="Node",
                reconcile=nodes.reconciler(frozenset(self._names), version, lambda: 0),
                component="kubelet",
            ),
            Controller(
                name="kubelet",
                kind="Pod",
                reconcile=self._agent.sync,
                component="kubelet",
                gone=self._agent.gone,
                triggers={kind: to_all("Pod") for kind in ("ConfigMap", "Secret", "PersistentVolumeClaim")},
            ),
        ):
            self.engine.add(controller)

    def run(self) -> None:
        """Register the nodes, then work until SIGTERM."""
        self._containers.start()
        for number, name in enumerate(self._names, 1):
            self._make("Node", nodes.new_node(name, number))
        self.engine.when_ready = self._ready
        self.engine.every(nodes.RENEW_EVERY_S, self._renew)
        self.engine.run()
        self._health.stop()
        self._containers.stop_asking()

    def _make(self, kind: str, obj: dict[str, object]) -> None:
        try:
            self._api.request("POST", BY_KIND[kind].path(), body=obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    def _ready(self) -> None:
        self._renew()
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    def _renew(self) -> None:
        """Say of each node that it is alive."""
        for name in self._names:
            lease = nodes.new_lease(name, datetime.now(UTC))
            try:
                try:
                    path = LEASES.path("kube-node-lease", name)
                    body = {"spec": lease["spec"]}
                    self._api.request("PATCH", path, body=body, content_type="application/merge-patch+json")
                except ApiError as error:
                    if error.status != 404:
                        raise
                    self._api.request("POST", LEASES.path("kube-node-lease"), body=lease)
            except (ApiError, ApiUnreachableError):
                return

    def _claimed(self) -> set[str]:
        """Give the containers that some pod has, also one that is not known here yet."""
        known = {one.id for record in self._agent.records() for one in record.containers if one.launched}
        marks = (
            (pod["metadata"].get("annotations") or {}).get("sandbox.bais-gates/container")
            for pod in self.engine.world.of_kind("Pod", self._config.adopted_namespace)
        )
        return known | {mark for mark in marks if mark} | self._containers.stopping

    def _changed(self, names: list[str]) -> None:
        self._agent.clear_orphans()
        for record in self._agent.records():
            if any(one.id in names for one in record.containers):
                self.engine.look_at("kubelet", namespace_of(record.pod), name_of(record.pod))

    def _measured(self) -> None:
        world = self.engine.world
        for record in self._agent.records():
            used = [
                self._containers.cpu[one.id] for one in record.containers if one.id in self._containers.cpu
            ]
            if used:
                world.cpu_use[uid_of(record.pod)] = sum(used)
        for autoscaler in world.of_kind("HorizontalPodAutoscaler"):
            if not has_condition(autoscaler, "ScalingActive"):
                self.engine.look_at("autoscaler", namespace_of(autoscaler), name_of(autoscaler))

    @staticmethod
    def _namespace_of(_world: object, obj: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
        return [("", namespace_of(obj))]

    def _namespace_of_going(self, _world: object, pod: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
        return [("", namespace_of(pod))] if self.engine.is_going(namespace_of(pod)) else []


def _end_with(failure: threading.ExceptHookArgs) -> None:
    """End the whole process when one of its threads does: a cluster in which nothing moves tells nobody."""
    name = failure.thread.name if failure.thread is not None else "?"
    sys.stderr.write(
        f"the node agent's thread {name} ended: {failure.exc_type.__name__}: {failure.exc_value}\n"
    )
    sys.stderr.flush()
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Run with the configuration file in ``arguments[0]``."""
    try:
        threading.excepthook = _end_with
        node = Node(load(Path(arguments[0])))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: node.engine.stop())
        node.run()
    except (SandboxError, ApiError, ApiUnreachableError, RuntimeGoneError, OSError) as error:
        sys.stderr.write(f"the node agent can't work: {error}\n")
        return 1
    sys.stdout.flush()
    os._exit(0)  # the watches' threads wait for the server, and hold nothing that needs tidying up


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
