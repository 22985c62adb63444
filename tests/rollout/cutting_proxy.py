"""A way to the sandbox's API server that counts requests and can be cut at any of them."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme
import yaml

_KEPT = ("Authorization", "Content-Type", "Accept", "User-Agent")


class CuttingProxy(ThreadingHTTPServer):
    """It ends TLS with a certificate of its own, and passes each request on to ``upstream``."""

    daemon_threads = True

    def __init__(self, upstream: str, upstream_ca: Path, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        where = urlsplit(upstream)
        assert where.hostname
        assert where.port
        self.upstream = (where.hostname, where.port)
        self.trust = ssl.create_default_context(cafile=str(upstream_ca))
        authority = trustme.CA()
        self.ca_file = folder / "proxy-ca.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        # Shakes hands at the first read, in the thread of the connection: not in the one that accepts.
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._count = threading.Lock()
        self.reset()

    def reset(self, cut_at: int | None = None, *, carried_out: bool = False) -> None:
        """Count from 1 again, and cut from a request on; ``carried_out``: the first loses its answer only."""
        with self._count:
            self.requests: list[str] = []
            self.cut_at, self.carried_out = cut_at, carried_out

    def arrived(self, what: str) -> tuple[bool, bool]:
        """Count a request; return whether it is passed on, and whether its answer is passed back."""
        with self._count:
            self.requests.append(what)
            if self.cut_at is None or len(self.requests) < self.cut_at:
                return True, True
            return self.carried_out and len(self.requests) == self.cut_at, False

    def handle_error(self, *_request: object) -> None:
        """Say nothing of connections that were cut, here or by their client."""


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # what follows must not wait for an acknowledgement
    server: CuttingProxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        forward, back = self.server.arrived(f"{self.command} {self.path}")
        answer = self._ask(body) if forward else None
        if answer is None or not back:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        response, content = answer
        self.send_response_only(response.status)
        for name in ("Content-Type", "Date"):
            self.send_header(name, response.headers.get(name, ""))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass_on  # noqa: N815 - names that http.server asks for

    def setup(self) -> None:
        """Open a connection of its own to the API server for each of a client."""
        super().setup()
        trust = self.server.trust
        self.upstream = http.client.HTTPSConnection(*self.server.upstream, context=trust, timeout=30)

    def finish(self) -> None:
        """Close both connections."""
        self.upstream.close()
        super().finish()

    def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        headers = {name: self.headers[name] for name in _KEPT if name in self.headers}
        self.upstream.request(self.command, self.path, body=body or None, headers=headers)
        response = self.upstream.getresponse()
        return response, response.read()

    def log_message(self, *_arguments: object) -> None:
        """Write nothing."""


@contextmanager
def between(kubeconfig: Path, folder: Path) -> Iterator[CuttingProxy]:
    """Yield a proxy that everybody who uses this kubeconfig goes through meanwhile."""
    text = kubeconfig.read_text()
    config: dict[str, Any] = yaml.safe_load(text)
    (cluster,) = (each["cluster"] for each in config["clusters"])
    with CuttingProxy(cluster["server"], Path(cluster["certificate-authority"]), folder) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            cluster["server"] = f"https://127.0.0.1:{proxy.server_port}"
            cluster["certificate-authority"] = str(proxy.ca_file)
            kubeconfig.write_text(json.dumps(config))
            yield proxy
        finally:
            kubeconfig.write_text(text)
            proxy.shutdown()
            thread.join()
