"""The controllers and the node agent, run until SIGTERM: ``python -m ...cluster.node CONFIG.json``."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers import nodes
from bais_gates.sandbox.cluster.controllers.client import Api, ApiError, ApiUnreachableError
from bais_gates.sandbox.cluster.controllers.engine import Controller, Engine
from bais_gates.sandbox.cluster.controllers.objects import annotations_of, uid_of
from bais_gates.sandbox.cluster.controllers.resources import BY_KIND, WATCHED
from bais_gates.sandbox.cluster.controllers.wiring import controllers, to_all
from bais_gates.sandbox.cluster.node.agent import CONTAINER, Agent
from bais_gates.sandbox.cluster.node.launching import Launcher
from bais_gates.sandbox.cluster.node.probes import Health
from bais_gates.sandbox.cluster.node.runtime import Containers
from bais_gates.sandbox.cluster.node.runtime_client import RuntimeGoneError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Where the API server and the container runtime are, and what the nodes are like.

    ``registry`` lists the image references that can be pulled; a container of any other waits (ErrImagePull).
    ``directory`` is the sandbox's folder: certificates are taken from it, and below ``volumes`` are the data
    of claims. ``adopted_namespace`` is the one whose processes were there before the cluster.
    """

    api_server: str
    ca_file: str
    token: str
    runtime_socket: Path
    directory: Path
    registry: tuple[str, ...]
    nodes: int
    adopted_namespace: str


class ConfigError(Exception):
    """The configuration file can't be used; the message names it and the key."""


def load(path: Path) -> Config:
    """Read the configuration, a JSON file. Raise ``ConfigError``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Config(
            api_server=str(content["api_server"]),
            ca_file=str(content["ca_file"]),
            token=str(content["token"]),
            runtime_socket=Path(content["runtime_socket"]),
            directory=Path(content["directory"]),
            registry=tuple(map(str, content.get("registry", ()))),
            nodes=int(content.get("nodes", 3)),
            adopted_namespace=str(content.get("adopted_namespace", "bais")),
        )
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except KeyError as error:
        raise ConfigError(f"{path}: the key {error} is missing") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is not the node agent's configuration: {error}") from None


class Node:
    """Everything in this process, put together."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._api = Api(config.api_server, ca_file=config.ca_file, token=config.token)
        self._names = nodes.names(config.nodes)
        self.engine = Engine(self._api, WATCHED)
        self._containers = Containers(config.runtime_socket, self.engine.post)
        self._containers.changed = self._changed
        self._containers.measured = self._measured
        self._health = Health(self.engine.post, partial(self.engine.look_at, "kubelet"))
        launcher = Launcher(
            self._containers,
            registry=config.registry,
            volumes=config.directory / "volumes",
            adopted_namespace=config.adopted_namespace,
            claimed=self._claimed,
        )
        numbers = {name: number for number, name in enumerate(self._names, 1)}
        self._agent = Agent(self._containers, launcher, self._health, numbers)

    def run(self) -> None:
        """Register the nodes, then work until SIGTERM."""
        version = str(self._api.request("GET", "/version").get("gitVersion", ""))
        self._containers.start()
        for number, name in enumerate(self._names, 1):
            self._register(nodes.new_node(name, number))
        self.engine.run(self._controllers(version), self._report_ready)
        self._health.stop()
        self._containers.stop_asking()

    def _register(self, node: dict[str, object]) -> None:
        try:
            self._api.request("POST", BY_KIND["Node"].path(), body=node)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    def _controllers(self, version: str) -> Iterator[Controller]:
        authority = Path(self._config.ca_file).read_text(encoding="utf-8")
        wipe, directory = self._containers.wipe, self._config.directory
        yield from controllers(wipe=wipe, directory=directory, authority=authority)
        yield Controller("node", ("Node",), nodes.reconciler(frozenset(self._names), version), "kubelet")
        needed = ("ConfigMap", "Secret", "PersistentVolumeClaim")
        look_again = dict.fromkeys(needed, to_all("Pod"))
        yield Controller("kubelet", ("Pod",), self._agent.sync, "kubelet", look_again, self._agent.gone)

    @staticmethod
    def _report_ready() -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    def _claimed(self) -> set[str]:
        """Return the containers that some pod has, also one that is not known here yet."""
        known = {one.id for record in self._agent.records() for one in record.containers if one.launched}
        pods = self.engine.world.of_kind("Pod", self._config.adopted_namespace)
        marked = {mark for pod in pods if (mark := annotations_of(pod).get(CONTAINER))}
        return known | marked | self._containers.stopping

    def _changed(self, names: list[str]) -> None:
        """Look at the pods of these containers again."""
        self._agent.clear_orphans()
        for record in self._agent.records():
            if any(one.id in names for one in record.containers):
                self.engine.look_at("kubelet", record.pod)

    def _measured(self) -> None:
        """Hand the processor time to the autoscaler."""
        world, cpu = self.engine.world, self._containers.cpu
        for record in self._agent.records():
            used = [cpu[one.id] for one in record.containers if one.id in cpu]
            if used:
                world.cpu_use[uid_of(record.pod)] = sum(used)


def _end_with(failure: threading.ExceptHookArgs) -> None:
    """End the whole process when one of its threads does: a cluster that stands still reports nothing."""
    name = failure.thread.name if failure.thread is not None else "?"
    message = f"{failure.exc_type.__name__}: {failure.exc_value}"
    sys.stderr.write(f"the node agent's thread {name} ended: {message}\n")
    sys.stderr.flush()
    os._exit(1)


def main() -> int:
    """Run with the configuration file that the command line names; return the exit status."""
    try:
        threading.excepthook = _end_with
        node = Node(load(Path(sys.argv[1])))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: node.engine.stop())
        node.run()
    except (ConfigError, ApiError, ApiUnreachableError, RuntimeGoneError, OSError) as error:
        sys.stderr.write(f"the node agent can't work: {error}\n")
        return 1
    sys.stdout.flush()
    os._exit(0)  # the watches' threads wait for the server, and hold nothing that needs tidying up


if __name__ == "__main__":
    sys.exit(main())
