"""The process beside Prometheus and Alertmanager: cluster metrics, scrape targets, and receivers of alerts.

``python -m bais_gates.sandbox.monitoring CONFIG`` serves on the socket that the configuration names:
``GET /metrics/JOB``, ``GET /targets`` (the API's replicas, for http_sd_configs), ``GET /logs/TEXT`` (lines of
the API's access logs with a text, as a log search finds them), ``GET /inbox``, and POST of the receivers.
"""

from __future__ import annotations

import json
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from bais_gates.sandbox.cluster.node.runtime_client import RuntimeClient
from bais_gates.sandbox.files import read_object
from bais_gates.sandbox.monitoring.exporter import Exporter
from bais_gates.sandbox.monitoring.receivers import Inbox, Reply

_MAX_BODY = 1_000_000


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    inbox: ClassVar[Inbox]
    exporter: ClassVar[Exporter]
    directory: ClassVar[Path]

    def do_GET(self) -> None:
        """Answer with metrics, targets or the inbox."""
        job = self.path.removeprefix("/metrics/")
        if self.path == "/inbox":
            self._send(self.inbox.listed())
        elif self.path == "/targets":
            self._send((200, "application/json", json.dumps(_targets(self.directory)).encode()))
        elif self.path.startswith("/logs/"):
            self._send(_search(self.directory, self.path.removeprefix("/logs/")))
        elif job in self.exporter.jobs:
            self._send(self._metrics(job))
        else:
            self._send((404, "text/plain", b"no such path"))

    def do_POST(self) -> None:
        """Answer as the receiver of this path."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY:
            self.close_connection = True
            self._send((413, "text/plain", b"too large"))
            return
        self._send(self.inbox.reply(self.path, self.rfile.read(length)))

    def _metrics(self, job: str) -> Reply:
        registry, families = CollectorRegistry(), self.exporter.jobs[job]

        class OfJob(Collector):
            def collect(self) -> Any:
                return families()

        try:
            registry.register(OfJob())
            return 200, CONTENT_TYPE_LATEST, generate_latest(registry)
        except Exception as error:  # noqa: BLE001 - whatever it is, the scrape must fail and say why
            return 503, "text/plain", f"{type(error).__name__}: {error}".encode()

    def _send(self, reply: Reply) -> None:
        status, content_type, body = reply
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Log nothing: every scrape would be a line."""


def _targets(directory: Path) -> list[dict[str, object]]:
    """Return the platform's replicas of the API, each with the port of its own."""
    runtime = RuntimeClient(directory / "runtime.sock", timeout_s=5)
    try:
        containers = runtime.list()
    finally:
        runtime.close()
    replicas = [
        one for one in containers if one["kind"] == "api" and one["up"] and one["id"].startswith("bais/")
    ]
    return [{"targets": [f"127.0.0.1:{one['port']}" for one in replicas], "labels": {}}]


def _search(directory: Path, text: str) -> Reply:
    """Return the lines of the API's access logs that have the text."""
    files = (directory / "logs").rglob("access.jsonl")
    found = [line for file in files for line in file.read_bytes().splitlines() if text.encode() in line]
    return 200, "application/x-ndjson", b"\n".join(found[-100:])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # Alertmanager delivers many at once


def main() -> int:
    """Serve until a signal ends the process."""
    config = read_object(Path(sys.argv[1]))
    _Handler.directory = Path(config["directory"])
    _Handler.inbox = Inbox()
    _Handler.exporter = Exporter(_Handler.directory, config["api_port"])
    server = _Server(("127.0.0.1", 0), _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=config["fd"])
    server.server_activate()
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
