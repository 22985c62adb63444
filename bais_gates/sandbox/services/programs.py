"""The programs of containers: their protocol, and those that are modules of this package."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bais_gates.sandbox.files import write_json
from bais_gates.sandbox.processes import Part, bound_socket, fork_module

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from socket import socket


class Program(Protocol):
    """What a container runs: a process, or several one after another."""

    part: Part | None
    port: int

    @property
    def log(self) -> Path:
        """The log file."""

    @property
    def stop_signals(self) -> Sequence[tuple[int, float]]:
        """The signals that stop it, each with the seconds until the next."""

    def bring_up(self) -> Iterator[None]:
        """Start it in small steps, one for each value. Raises ``SandboxError`` or ``OSError``."""


class Group:
    """The ports that all replicas of an API share; the kernel passes each connection to one replica.

    Two sockets that are bound and never listen reserve the ports while there is no replica.
    """

    def __init__(self) -> None:
        self._reserved = [bound_socket(shared=True), bound_socket(shared=True)]
        self.port, self.http_port = (int(one.getsockname()[1]) for one in self._reserved)

    def sockets(self) -> tuple[socket, socket]:
        """Return the sockets of another replica for https and for http."""
        return bound_socket(self.port, shared=True), bound_socket(self.http_port, shared=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The paths of a program: its working folder, its log, and its private configuration."""

    directory: Path
    log: Path
    config: Path


class PythonProgram:
    """A module of this package that is started with the path of a JSON file: a migration, a backup."""

    stop_signals: Sequence[tuple[int, float]] = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 2.0))

    def __init__(self, name: str, module: str, place: Place, content: Mapping[str, object]) -> None:
        self._name, self._module, self._place, self._content = name, module, place, content
        self.part: Part | None = None
        self.port = 0

    @property
    def log(self) -> Path:
        """The log file."""
        return self._place.log

    def bring_up(self) -> Iterator[None]:
        """Start it; it is a job that ends by itself."""
        self._write(self._content)
        self._start()
        return iter(())

    def _write(self, content: Mapping[str, object]) -> None:
        self._place.config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(self._place.config, content)

    def _start(self, *arguments: str, pass_fds: Sequence[int] = ()) -> None:
        self._place.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.part = fork_module(
            self._name,
            self._module,
            [self._place.config, *arguments],
            log=self._place.log,
            directory=self._place.directory,
            pass_fds=pass_fds,
        )


class ApiProgram(PythonProgram):
    """One replica of the API: it listens on its group's ports, and on a port of its own."""

    def __init__(self, place: Place, settings: Mapping[str, Any], group: Group) -> None:
        super().__init__("api", "bais_gates.sandbox.api.__main__", place, settings)
        self.group = group

    def bring_up(self) -> Iterator[None]:
        """Start it; GET /ready shows whether it is ready."""
        https, http = self.group.sockets()
        own = bound_socket()
        try:
            self.port = int(own.getsockname()[1])
            self._write({**self._content, "host": "127.0.0.1", "port": self.group.port})
            numbers = [one.fileno() for one in (https, own, http)]
            self._start(
                *("--fd", str(numbers[0]), "--fd", str(numbers[1]), "--redirect-fd", str(numbers[2])),
                pass_fds=numbers,
            )
        finally:
            for one in (https, own, http):
                with suppress(OSError):
                    one.close()
        return iter(())
