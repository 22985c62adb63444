"""Ask the container runtime to run and end processes: a small blocking client.

The protocol is one line of JSON there and one back, over a Unix socket that only its owner may open. A
request has an ``op`` (``list``, ``run``, ``stop``, ``remove``, ``wipe``); a response with ``error`` and no
``id`` is a refusal.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class RuntimeGoneError(Exception):
    """Nobody answers at the socket: the runtime is down."""


class RuntimeRefusedError(Exception):
    """The runtime refused a request; the message is its one line."""


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Yield a name for the socket at ``path`` that is short enough for the kernel (108 bytes)."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class RuntimeClient:
    """One connection to the runtime, made when it is first needed. For one thread."""

    def __init__(self, path: Path, *, timeout_s: float = 10.0) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._connection: socket.socket | None = None

    def list(self) -> list[dict[str, Any]]:
        """Return every container there is."""
        found: list[dict[str, Any]] = self.ask({"op": "list"})["containers"]
        return found

    def run(self, container_id: str, kind: str, config: Mapping[str, object]) -> dict[str, Any]:
        """Start a container, or one of that id that has ended anew; return it as listed."""
        return self.ask({"op": "run", "id": container_id, "kind": kind, "config": dict(config)})

    def stop(self, container_id: str, *, grace_s: float) -> dict[str, Any]:
        """Have a container end, and killed ``grace_s`` seconds later; return at once."""
        return self.ask({"op": "stop", "id": container_id, "grace_s": grace_s})

    def remove(self, container_id: str) -> None:
        """Forget a container that has ended; its volume stays."""
        self.ask({"op": "remove", "id": container_id})

    def wipe(self, volume: str) -> None:
        """Destroy what the volume ``<namespace>.<claim>`` holds."""
        self.ask({"op": "wipe", "volume": volume})

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Send one request, return the response. Raise ``RuntimeGoneError`` or ``RuntimeRefusedError``."""
        try:
            answer: dict[str, Any] = json.loads(self._exchange(json.dumps(request).encode() + b"\n"))
        except (OSError, ValueError) as error:
            self.close()
            raise RuntimeGoneError(
                f"the sandbox's runtime does not answer at {self._path}: {error}"
            ) from error
        if isinstance(problem := answer.get("error"), str) and "id" not in answer:
            raise RuntimeRefusedError(problem)
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
            self._connection = None

    def _exchange(self, line: bytes) -> bytes:
        if self._connection is None:
            self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._connection.settimeout(self._timeout_s)
            with short_path(self._path) as name:
                self._connection.connect(name)
        self._connection.sendall(line)
        received = b""
        while not received.endswith(b"\n"):
            part = self._connection.recv(65536)
            if not part:
                raise ConnectionResetError("the connection ended")
            received += part
        return received
