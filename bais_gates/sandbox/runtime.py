"""The supervisor as container runtime: starts and ends processes for the cluster's node agent.

A request is a JSON object with ``op``, and so is the response (see ``cluster.node.runtime_client``):

- ``list`` returns ``{"containers": [...]}``, each with ``id``, ``kind``, ``pid``, ``state`` (running or
  exited), ``up`` (it accepts requests), ``exit_code`` (negative: a signal), ``host``, ``port`` (its own),
  ``group_port`` and ``http_port`` (shared by the replicas of an API), ``started_at``, ``ended_at``, ``log``,
  ``volume``, ``group`` and ``error``;
- ``run`` with ``id``, ``kind`` (postgres, redis, api, migrate, backup) and ``config`` starts a container, or
  restarts one that has ended, and returns it at once;
- ``stop`` with ``id`` and ``grace_s`` ends it, by SIGKILL after the grace period; returns at once;
- ``remove`` with ``id`` removes one that has ended; ``wipe`` with ``volume`` deletes the volume's data;
- ``cluster`` and then ``node-agent`` start the cluster's own processes (see
  :mod:`bais_gates.sandbox.bootstrap.control_plane`), ``monitoring`` those of Prometheus and Alertmanager
  (see :mod:`bais_gates.sandbox.monitoring.stack`).

A response with ``error`` and without ``id`` is a refusal. Nothing here blocks: ``tick`` is called repeatedly.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.errors import SandboxError, format_exit_status

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.sandbox.services.programs import Program

_TICK_S = 0.02
_QUIT_AFTER_S = 2.0
Operation = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes a request and returns the response."""


class RefusedError(Exception):
    """The request can't be fulfilled; the message is one line for the client."""


@dataclass(slots=True, kw_only=True)
class Container:
    """A program with an id, and the state of its process."""

    id: str
    kind: str
    program: Program
    name: str
    """Its name in the sandbox's status."""
    log: Path
    volume: str = ""
    group: str = ""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None
    error: str | None = None
    startup: Iterator[None] | None = None
    signals: list[tuple[float, int]] = field(default_factory=list)
    """The signals still to send to a container that is stopped, each with its time."""

    @property
    def running(self) -> bool:
        """Whether its process runs, or is still starting."""
        part = self.program.part
        return self.startup is not None or (self.error is None and part is not None and part.status is None)

    @property
    def exit_code(self) -> int | None:
        """The exit status (negative: a signal); None while it runs."""
        if self.running:
            return None
        part = self.program.part
        return 1 if self.error is not None or part is None or part.status is None else part.status

    @property
    def end_message(self) -> str:
        """How and when it ended; empty while it runs."""
        if self.running or self.ended_at is None:
            return ""
        how = self.error or format_exit_status(self.exit_code or 0)
        return f"{how} at {self.ended_at:%Y-%m-%dT%H:%M:%SZ}"

    def describe(self) -> dict[str, Any]:
        """Return the container as the protocol represents it."""
        part, group = self.program.part, getattr(self.program, "group", None)
        return {
            "id": self.id,
            "kind": self.kind,
            "pid": None if part is None else part.pid,
            "state": "running" if self.running else "exited",
            "up": self.running and self.startup is None,
            "exit_code": self.exit_code,
            "host": "127.0.0.1",
            "port": self.program.port,
            "group_port": self.program.port if group is None else group.port,
            "http_port": 0 if group is None else group.http_port,
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(timespec="milliseconds"),
            "log": str(self.log),
            "volume": self.volume,
            "group": self.group,
            "error": self.error,
        }


Maker = Callable[[str, str, Mapping[str, Any], "Container | None"], Container]
"""Makes a container from an id, a kind, a configuration, and the ended container with that id."""


class Runtime:
    """The containers of one sandbox."""

    def __init__(self, make: Maker, wipe: Callable[[str], None], operations: Mapping[str, Operation]) -> None:
        """``wipe`` deletes the data of a volume; ``operations`` are the supervisor's, by name."""
        self._make, self._delete = make, wipe
        self._containers: dict[str, Container] = {}
        self._operations: dict[str, Operation] = {
            **operations,
            "list": self._list,
            "run": self._run,
            "stop": self._stop,
            "remove": self._remove,
            "wipe": self._wipe,
        }

    @property
    def containers(self) -> list[Container]:
        """All containers."""
        return list(self._containers.values())

    def adopt(self, container: Container) -> None:
        """Add the container of a program that runs already."""
        self._containers[container.id] = container

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Execute the request and return the response."""
        operation = self._operations.get(str(request.get("op")))
        if operation is None:
            return {"error": f"unknown op; the operations are {', '.join(self._operations)}"}
        try:
            return operation(request)
        except RefusedError as refused:
            return {"error": str(refused)}
        except (SandboxError, OSError, KeyError, TypeError, ValueError) as error:
            return {"error": f"{type(error).__name__}: {error}".replace("\n", " ")}

    def tick(self) -> float | None:
        """Advance every container; return the seconds until the next call, None if nothing is in progress."""
        busy = False
        for container in self.containers:
            if container.startup is not None:
                _step(container)
            if container.signals:
                _send_due_signals(container)
            if container.ended_at is None and not container.running:
                container.ended_at, container.signals = datetime.now(UTC), []
            busy = busy or container.startup is not None or bool(container.signals)
        return _TICK_S if busy else None

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        return {"containers": [container.describe() for container in self.containers]}

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        name, kind, config = request["id"], request["kind"], request.get("config") or {}
        previous = self._containers.get(name)
        if previous is not None and previous.running:
            raise RefusedError(f"{name} is running already")
        if previous is not None and previous.kind != kind:
            raise RefusedError(f"{name} is a container of kind {previous.kind}")
        container = self._make(name, kind, config, previous)
        volume = container.volume
        if volume and (user := self._user_of(volume)) is not None and user.id != name:
            raise RefusedError(f"the volume {volume} is in use by {user.id}")
        container.startup = container.program.bring_up()
        self._containers[name] = container
        _step(container)
        return container.describe()

    def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        container = self._containers.get(request["id"])
        if container is None:
            return {}
        if container.running and not container.signals:
            _schedule_signals(container, float(request.get("grace_s", 10)))
            _send_due_signals(container)
        return container.describe()

    def _remove(self, request: dict[str, Any]) -> dict[str, Any]:
        container = self._containers.get(request["id"])
        if container is not None and container.running:
            raise RefusedError(f"{container.id} is running: stop it first")
        self._containers.pop(request["id"], None)
        return {}

    def _wipe(self, request: dict[str, Any]) -> dict[str, Any]:
        volume = str(request["volume"])
        if (user := self._user_of(volume)) is not None:
            raise RefusedError(f"the volume {volume} is in use by {user.id}")
        self._delete(volume)
        return {}

    def _user_of(self, volume: str) -> Container | None:
        return next((one for one in self.containers if one.volume == volume and one.running), None)


def _step(container: Container) -> None:
    """Advance the start by one step, or abort it if the container is stopped."""
    if container.startup is None:
        return
    if container.signals and (container.program.part is None or container.program.part.status is not None):
        container.startup = None
        container.error = "it was stopped while it was starting"
        return
    try:
        next(container.startup)
    except StopIteration:
        container.startup = None
    except (SandboxError, OSError) as error:
        container.startup = None
        container.error = str(error).replace("\n", " ")
        if container.program.part is not None and container.program.part.status is None:
            container.program.part.process.send_signal(signal.SIGKILL)  # it has ended for the cluster, too
        with container.log.open("a", encoding="utf-8") as log:
            log.write(f"{error}\n")


def _schedule_signals(container: Container, grace_s: float) -> None:
    """Schedule the program's first signal now, and the stronger ones after the grace period."""
    (first, _), *others = container.program.stop_signals
    now = time.monotonic()
    container.signals = [(now, first)]
    if len(others) > 1:  # PostgreSQL frees its shared memory on SIGQUIT, and can't on SIGKILL
        container.signals += [(now + grace_s, number) for number, _ in others[:-1]]
        grace_s += _QUIT_AFTER_S
    container.signals.append((now + grace_s, signal.SIGKILL))


def _send_due_signals(container: Container) -> None:
    part = container.program.part
    while container.signals and container.signals[0][0] <= time.monotonic():
        _, number = container.signals.pop(0)
        if part is not None and part.status is None:
            for one in (number, signal.SIGCONT):
                part.process.send_signal(one)
    if not container.running:
        container.signals = []
