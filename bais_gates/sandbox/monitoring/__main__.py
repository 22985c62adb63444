"""The process beside Prometheus and Alertmanager: cluster metrics, scrape targets, and receivers of alerts.

``python -m bais_gates.sandbox.monitoring CONFIG`` serves on the socket that the configuration names:
``GET /metrics/JOB``, ``GET /targets`` (the API's replicas, for http_sd_configs), ``GET /logs/TEXT`` (lines of
the API's access logs with a text, as a log search finds them), ``GET /inbox``, POST of the receivers, and
what stands in for PagerDuty, Slack and Statuspage (``bais_gates.sandbox.oncall``).
"""

from __future__ import annotations

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
from bais_gates.sandbox.monitoring.receivers import Inbox
from bais_gates.sandbox.oncall.http import Reply, Request, reply_json, reply_text
from bais_gates.sandbox.oncall.serving import PREFIXES, StandIns

_MAX_BODY = 1_000_000


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # what follows must not wait for an acknowledgement
    inbox: ClassVar[Inbox]
    stand_ins: ClassVar[StandIns]
    exporter: ClassVar[Exporter]
    directory: ClassVar[Path]

    def do_GET(self) -> None:
        """Answer with metrics, targets or the inbox, or as a stand-in."""
        job = self.path.removeprefix("/metrics/")
        if self.path.startswith(PREFIXES):
            self._stand_in(b"")
        elif self.path == "/inbox":
            self._send(self.inbox.listed())
        elif self.path == "/targets":
            self._send(reply_json(200, _targets(self.directory)))
        elif self.path.startswith("/logs/"):
            self._send(_search(self.directory, self.path.removeprefix("/logs/")))
        elif job in self.exporter.jobs:
            self._send(self._metrics(job))
        else:
            self._send(reply_text(404, "no such path"))

    def do_POST(self) -> None:
        """Answer as the receiver or the stand-in of this path."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY:
            self.close_connection = True
            self._send(reply_text(413, "too large"))
            return
        body = self.rfile.read(length)
        if self.path.startswith(PREFIXES):
            self._stand_in(body)
        else:
            self._send(self.inbox.reply(self.path, body))

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - the names of the base class

    def _stand_in(self, body: bytes) -> None:
        self._send(self.stand_ins.respond(Request.of(self.command, self.path, dict(self.headers), body)))

    def _metrics(self, job: str) -> Reply:
        registry, families = CollectorRegistry(), self.exporter.jobs[job]

        class OfJob(Collector):
            def collect(self) -> Any:
                return families()

        try:
            registry.register(OfJob())
            return Reply(200, CONTENT_TYPE_LATEST, generate_latest(registry))
        except Exception as error:  # noqa: BLE001 - whatever it is, the scrape must fail and say why
            return reply_text(503, f"{type(error).__name__}: {error}")

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        if reply.status != 204:
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

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
    return Reply(200, "application/x-ndjson", b"\n".join(found[-100:]))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # Alertmanager delivers many at once


def main() -> int:
    """Serve until a signal ends the process."""
    config = read_object(Path(sys.argv[1]))
    _Handler.directory = Path(config["directory"])
    _Handler.inbox = Inbox()
    _Handler.stand_ins = StandIns(read_object(Path(config["oncall"])), _Handler.inbox.keep)
    _Handler.inbox.on_event = _Handler.stand_ins.on_event
    _Handler.inbox.knows = _Handler.stand_ins.knows
    _Handler.exporter = Exporter(_Handler.directory, config["api_port"])
    server = _Server(("127.0.0.1", 0), _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=config["fd"])
    server.server_activate()
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
