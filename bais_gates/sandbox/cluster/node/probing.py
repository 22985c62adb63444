"""Asking a container's process how it is, the way its probes say."""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
import struct
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROTOCOL_3 = 196608
_SSL_REQUEST = 80877103
_STARTING = b"57P03"
"""PostgreSQL's code for "cannot connect now": it is starting up or shutting down."""


class UnhealthyError(Exception):
    """The probe failed; the message is what the event says."""


def ask(probe: Mapping[str, Any], host: str, port: int) -> None:
    """Probe the process at ``host:port``, the address of this very container. Raises ``UnhealthyError``.

    Commands are not run: the two that the manifests know are asked the way those programs ask.
    """
    timeout = float(probe.get("timeoutSeconds") or 1)
    try:
        if "httpGet" in probe:
            _http(probe["httpGet"], host, port, timeout)
        elif "exec" in probe:
            _command(list(probe["exec"].get("command") or ()), host, port, timeout)
        else:
            socket.create_connection((host, port), timeout=timeout).close()
    except (OSError, http.client.HTTPException, struct.error) as error:
        raise UnhealthyError(f"{type(error).__name__}: {error}") from error


def _http(get: Mapping[str, Any], host: str, port: int, timeout: float) -> None:
    scheme = str(get.get("scheme") or "HTTP").upper()
    connection: http.client.HTTPConnection
    if scheme == "HTTPS":
        # As the kubelet does: a probe asks whether the process answers, not who it is.
        connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=_any_certificate())
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    headers = {one["name"]: one["value"] for one in get.get("httpHeaders") or ()}
    with closing(connection):
        connection.request(
            "GET", str(get.get("path") or "/"), headers={"User-Agent": "kube-probe/1.36", **headers}
        )
        status = connection.getresponse().status
    if not 200 <= status < 400:
        raise UnhealthyError(f"HTTP probe failed with statuscode: {status}")


@functools.cache
def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _command(command: list[str], host: str, port: int, timeout: float) -> None:
    program = command[0].rpartition("/")[2] if command else ""
    if program == "pg_isready":
        _postgres(host, port, timeout)
    elif program in {"redis-cli", "valkey-cli"}:
        _redis(host, port, timeout)
    else:
        raise UnhealthyError(f'exec: "{program}": executable file not found in $PATH')


def _postgres(host: str, port: int, timeout: float) -> None:
    """Ask as ``pg_isready`` does: any answer to the first message but "starting up" means ready."""
    with socket.create_connection((host, port), timeout=timeout) as plain:
        plain.sendall(struct.pack("!ii", 8, _SSL_REQUEST))
        asked: socket.socket = plain
        if plain.recv(1) == b"S":
            asked = _any_certificate().wrap_socket(plain)
        with asked:
            wanted = b"user\0bais_probe\0database\0postgres\0\0"
            asked.sendall(struct.pack("!ii", 8 + len(wanted), _PROTOCOL_3) + wanted)
            answer = asked.recv(1024)
    if not answer or _STARTING in answer:
        raise UnhealthyError(f"{host}:{port} - rejecting connections")


def _redis(host: str, port: int, timeout: float) -> None:
    """Ask for a PONG; a server that wants a password first answers too."""
    with socket.create_connection((host, port), timeout=timeout) as asked:
        asked.sendall(b"PING\r\n")
        answer = asked.recv(256)
    if not answer.startswith((b"+PONG", b"-NOAUTH", b"-NOPERM")):
        raise UnhealthyError(answer.decode("utf-8", "replace").strip() or "no answer")
