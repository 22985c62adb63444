"""A container runtime that only pretends: each container is a listening socket, or ends at once."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_ENDS = {"migrate", "backup"}


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        self.send_response(getattr(server, "status", 200))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class FakeRuntime:
    """Speaks the runtime's protocol; ``containers`` is what it runs, ``asked`` what it was asked for."""

    def __init__(self, path: Path, logs: Path) -> None:
        self._logs = logs
        self._lock = threading.Lock()
        self.containers: dict[str, dict[str, Any]] = {}
        self.servers: dict[str, ThreadingHTTPServer] = {}
        self.asked: list[dict[str, Any]] = []
        self.exit_codes: dict[str, int] = {}
        """By a part of the id, what a container that ends by itself ends with."""
        self.crashing: set[str] = set()
        """Parts of ids of containers that end with 1 as soon as they run."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End all containers."""
        self._listener.close()
        for name in list(self.servers):
            self.end(name, 0)

    def end(self, name: str, code: int) -> None:
        """Have a container end with this exit code."""
        with self._lock:
            self._end(name, code)

    def of(self, part: str) -> list[dict[str, Any]]:
        """Return the containers whose id contains ``part`` and that run."""
        with self._lock:
            return [
                one for name, one in self.containers.items() if part in name and one["state"] == "running"
            ]

    def start(self, name: str, kind: str) -> dict[str, Any]:
        """Have a container run that nobody asked for."""
        with self._lock:
            return self._run(name, kind)

    def _end(self, name: str, code: int) -> None:
        container = self.containers[name]
        if container["state"] == "exited":
            return
        container |= {"state": "exited", "exit_code": code, "ended_at": _now()}
        server = self.servers.pop(name, None)
        if server is not None:
            threading.Thread(target=_close, args=(server,), daemon=True).start()

    def _run(self, name: str, kind: str) -> dict[str, Any]:
        log = self._logs / (name.replace("/", ".") + ".log")
        with log.open("a") as file:
            file.write(f"{kind} started\n")
        port = 0
        if kind not in _ENDS:
            server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            self.servers[name] = server
            port = server.server_port
        container = self.containers[name] = {
            "id": name,
            "kind": kind,
            "pid": os.getpid(),
            "state": "running",
            "up": True,
            "exit_code": None,
            "host": "127.0.0.1",
            "port": port,
            "group_port": port,
            "started_at": _now(),
            "ended_at": None,
            "log": str(log),
        }
        if kind in _ENDS:
            code = next((code for part, code in self.exit_codes.items() if part in name), 0)
            threading.Timer(0.05, self.end, [name, code]).start()
        elif any(part in name for part in self.crashing):
            threading.Timer(0.02, self.end, [name, 1]).start()
        return container

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream, suppress(OSError):
            for line in stream:
                stream.write(json.dumps(self._do(json.loads(line))).encode() + b"\n")
                stream.flush()

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            name = str(request.get("id"))
            if request["op"] != "list":
                self.asked.append(request)
            match request["op"]:
                case "list":
                    return {"containers": list(self.containers.values())}
                case "run":
                    if name in self.containers and self.containers[name]["state"] == "running":
                        return {"error": "it runs already"}
                    return dict(self._run(name, str(request["kind"])))
                case "stop":
                    if name not in self.containers:
                        return {"error": "there is none"}
                    threading.Timer(0.03, self.end, [name, -15]).start()
                    return dict(self.containers[name])
                case "remove":
                    self.containers.pop(name, None)
            return {}


def _close(server: ThreadingHTTPServer) -> None:
    server.shutdown()
    server.server_close()


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
