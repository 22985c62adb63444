"""The runtime's Unix socket, served from the supervisor's only thread without waiting for a client."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.node.runtime_client import short_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAX_REQUEST = 1 << 20
_SEND_WITHIN_S = 1.0


class RuntimeSocket:
    """Passes each request of a client to ``handle``, and returns the response to the client."""

    def __init__(self, path: Path, handle: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._handle = handle
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.settimeout(0)
        path.unlink(missing_ok=True)
        with short_path(path) as name:
            self._listening.bind(name)
        self._listening.listen(64)
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}

    @property
    def descriptors(self) -> list[int]:
        """The descriptors to poll."""
        return [self._listening.fileno(), *self._clients]

    def serve(self, readable: list[int]) -> None:
        """Read the data of these descriptors, and respond to every complete line."""
        for descriptor in readable:
            if descriptor == self._listening.fileno():
                self._accept()
            elif descriptor in self._clients:
                self._receive(descriptor)

    def close(self) -> None:
        """Close the socket and all connections."""
        self._listening.close()
        for descriptor in list(self._clients):
            self._drop(descriptor)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                client.settimeout(0)
                self._clients[client.fileno()] = (client, bytearray())

    def _receive(self, descriptor: int) -> None:
        client, pending = self._clients[descriptor]
        try:
            received = client.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received or len(pending) + len(received) > _MAX_REQUEST:
            self._drop(descriptor)
            return
        pending += received
        while (end := pending.find(b"\n")) >= 0:
            line = bytes(pending[:end])
            del pending[: end + 1]
            if not self._send(client, self._respond(line)):
                self._drop(descriptor)
                return

    def _respond(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except ValueError:
            return {"error": "the request is not JSON"}
        return (
            self._handle(request) if isinstance(request, dict) else {"error": "the request is not an object"}
        )

    @staticmethod
    def _send(client: socket.socket, response: dict[str, Any]) -> bool:
        """Send the response; return whether the client received it within a short time."""
        try:
            client.settimeout(_SEND_WITHIN_S)
            client.sendall(json.dumps(response).encode() + b"\n")
            client.settimeout(0)
        except OSError:
            return False
        return True

    def _drop(self, descriptor: int) -> None:
        client, _ = self._clients.pop(descriptor)
        with suppress(OSError):
            client.close()
