"""The supervisor as container runtime: what the cluster's node agent asks for becomes a process, or ends.

One JSON object with ``op`` for each request, one back (see :mod:`bais_gates.sandbox.runtime_client`):

- ``list`` gives ``{"containers": [...]}``: of each ``id``, ``kind``, ``pid``, ``state`` (running or exited),
  ``up`` (it can be asked), ``exit_code`` (negative: a signal), ``host``, ``port`` (its own), ``group_port``
  and ``http_port`` (shared by all replicas of an API), ``started_at``, ``ended_at``, ``log``, ``volume``,
  ``group`` and ``error``;
- ``run`` with ``id``, ``kind`` (postgres, redis, api, migrate, backup) and ``config`` starts one, or anew one
  that has ended, and answers at once with the container;
- ``stop`` with ``id`` and ``grace_s`` ends it, at the latest by SIGKILL; answers at once;
- ``remove`` with ``id`` forgets one that has ended; ``wipe`` with ``volume`` loses what the volume holds;
- ``cluster`` and then ``node-agent`` start the cluster's own processes (see
  :mod:`bais_gates.sandbox.bootstrap.control_plane`).

An answer with ``error`` and no ``id`` is a refusal. Nothing here waits: ``tick`` is called again and again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.errors import SandboxError, how_it_ended

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.sandbox.container_kinds import Kinds
    from bais_gates.sandbox.services.programs import Program

_TICK_S = 0.02
_QUIT_AFTER_S = 2.0


Operation = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes a request and gives the answer."""


class RefusedError(Exception):
    """What was asked for can't be done; the message is one line for whoever asked."""


@dataclass(slots=True, kw_only=True)
class Container:
    """One program under an id: how it came up, runs and ended."""

    id: str
    kind: str
    program: Program
    name: str
    """How the sandbox's status calls it."""
    log: Path
    volume: str = ""
    group: str = ""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None
    problem: str | None = None
    coming_up: Iterator[None] | None = None
    signals: list[tuple[float, int]] = field(default_factory=list)
    """What is sent when, to one that was told to end."""

    @property
    def running(self) -> bool:
        """Whether it is there, or still comes up."""
        part = self.program.part
        return self.coming_up is not None or (
            self.problem is None and part is not None and part.status is None
        )

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        if self.running:
            return None
        part = self.program.part
        return 1 if self.problem is not None or part is None or part.status is None else part.status

    @property
    def how_it_ended(self) -> str:
        """Say how and when, in a few words; empty while it runs."""
        if self.running or self.ended_at is None:
            return ""
        how = self.problem or how_it_ended(self.exit_code or 0)
        return f"{how} at {self.ended_at:%Y-%m-%dT%H:%M:%SZ}"

    def describe(self) -> dict[str, Any]:
        """Give what the protocol says of a container."""
        part, group = self.program.part, getattr(self.program, "group", None)
        return {
            "id": self.id,
            "kind": self.kind,
            "pid": None if part is None else part.pid,
            "state": "running" if self.running else "exited",
            "up": self.running and self.coming_up is None,
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
            "error": self.problem,
        }


class Runtime:
    """The containers of one sandbox."""

    def __init__(self, kinds: Kinds, more: Mapping[str, Operation] = MappingProxyType({})) -> None:
        """``more`` are further operations by name, which are the supervisor's."""
        self._kinds = kinds
        self._containers: dict[str, Container] = {}
        self._operations: dict[str, Operation] = {
            **more,
            "list": self._list,
            "run": self._run,
            "stop": self._stop,
            "remove": self._remove,
            "wipe": self._wipe,
        }

    @property
    def containers(self) -> list[Container]:
        """Every container there is."""
        return list(self._containers.values())

    def adopt(self, container: Container) -> None:
        """Take on a program that runs already."""
        self._containers[container.id] = container

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked, and say what became of it."""
        operation = self._operations.get(str(request.get("op")))
        if operation is None:
            return {"error": f"unknown op; there are {', '.join(self._operations)}"}
        try:
            return operation(request)
        except RefusedError as refused:
            return {"error": str(refused)}
        except (SandboxError, OSError, KeyError, TypeError, ValueError) as error:
            return {"error": f"{type(error).__name__}: {error}".replace("\n", " ")}

    def tick(self) -> float | None:
        """Take every container a step on; the seconds until there is more to do, None if there is not."""
        busy = False
        for container in self.containers:
            if container.coming_up is not None:
                _step(container)
            if container.signals:
                _insist(container)
            if container.ended_at is None and not container.running:
                container.ended_at, container.signals = datetime.now(UTC), []
            busy = busy or container.coming_up is not None or bool(container.signals)
        return _TICK_S if busy else None

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        return {"containers": [container.describe() for container in self.containers]}

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        name, kind, config = request["id"], request["kind"], request.get("config") or {}
        known = self._containers.get(name)
        if known is not None and known.running:
            raise RefusedError(f"{name} is running already")
        if known is not None and known.kind != kind:
            raise RefusedError(f"{name} is a container of kind {known.kind}")
        container = self._kinds.make(name, kind, config, known)
        volume = container.volume
        if volume and (user := self._user_of(volume)) is not None and user.id != name:
            raise RefusedError(f"the volume {volume} is in use by {user.id}")
        container.coming_up = container.program.bring_up()
        self._containers[name] = container
        _step(container)
        return container.describe()

    def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        container = self._containers.get(request["id"])
        if container is None:
            return {}
        if container.running and not container.signals:
            _tell(container, float(request.get("grace_s", 10)))
            _insist(container)
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
        self._kinds.wipe(volume)
        return {}

    def _user_of(self, volume: str) -> Container | None:
        return next((one for one in self.containers if one.volume == volume and one.running), None)


def _step(container: Container) -> None:
    """Take the start one step on; one that was told to end is not started any further."""
    if container.coming_up is None:
        return
    if container.signals and (container.program.part is None or container.program.part.status is not None):
        container.coming_up = None
        container.problem = "it was told to end while it was being started"
        return
    try:
        next(container.coming_up)
    except StopIteration:
        container.coming_up = None
    except (SandboxError, OSError) as error:
        container.coming_up = None
        container.problem = str(error).replace("\n", " ")
        with container.log.open("a", encoding="utf-8") as log:
            log.write(f"{error}\n")


def _tell(container: Container, grace_s: float) -> None:
    """Note the signals to send, and when: the program's own first one, then what is sure to end it."""
    (first, _), *others = container.program.stop_signals
    now = time.monotonic()
    container.signals = [(now, first)]
    if len(others) > 1:  # PostgreSQL gives its shared memory back on SIGQUIT, and can't on SIGKILL
        container.signals += [(now + grace_s, number) for number, _ in others[:-1]]
        grace_s += _QUIT_AFTER_S
    container.signals.append((now + grace_s, signal.SIGKILL))


def _insist(container: Container) -> None:
    part = container.program.part
    while container.signals and container.signals[0][0] <= time.monotonic():
        _, number = container.signals.pop(0)
        if part is not None and part.status is None:
            for one in (number, signal.SIGCONT):
                part.process.send_signal(one)
    if not container.running:
        container.signals = []
