"""A small client of the Kubernetes API: JSON over HTTPS, one connection a thread, and watches.

Not the official client: that takes more than a second to import, and this is most of the time that the
process has to start.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bais_gates.sandbox.cluster.controllers.objects import Object

_TIMEOUT_S = 15.0
_WATCH_S = 240
_IDLE_S = 3.0
"""A connection that was idle for longer is not used again: the server may just be closing it."""
_MANAGER = "bais-sandbox"


class ApiError(Exception):
    """The API server answered with an error: its ``status`` code, ``reason`` and message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class ApiUnreachableError(Exception):
    """The API server did not answer."""


class _Connection(threading.local):
    """What each thread keeps between its requests."""

    http: http.client.HTTPSConnection | None = None
    used = 0.0


class Api:
    """The API server at ``server``, asked with a bearer token; safe to use from several threads."""

    def __init__(self, server: str, *, ca_file: str, token: str) -> None:
        parts = urlsplit(server)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 443
        self._trust = ssl.create_default_context(cafile=ca_file)
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "User-Agent": _MANAGER,
        }
        self._mine = _Connection()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """Send a request and return the object of the response.

        Raise ``ApiError`` for any response that is not 2xx, ``ApiUnreachableError`` for none. A POST is never
        sent twice.
        """
        asked = dict(query or {})
        if method in {"POST", "PUT", "PATCH"}:
            asked.setdefault("fieldManager", _MANAGER)
        target = f"{path}?{urlencode(asked)}" if asked else path
        payload = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = self._headers if payload is None else self._headers | {"Content-Type": content_type}
        for attempt in (1, 2):
            try:
                status, answer = self._exchange(method, target, payload, headers)
                break
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if attempt == 2 or method == "POST":
                    raise ApiUnreachableError(f"{method} {path}: {error}") from error
        return _read(status, answer)

    def close(self) -> None:
        """Close the connection of the calling thread."""
        if self._mine.http is not None:
            self._mine.http.close()
            self._mine.http = None

    def watch(self, path: str, version: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield ``(type, object)`` as they happen after ``version``; end when the server ends it.

        Raise like ``request``; a version that is too old is ``ApiError`` 410.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_S),
            "allowWatchBookmarks": "true",
        }
        # The list before it was read over this thread's connection: another would need another handshake.
        connection, self._mine.http = self._mine.http or self._connection(_TIMEOUT_S), None
        connection.timeout = _WATCH_S + 30
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}", headers=self._headers)
            response = connection.getresponse()
            if response.status != 200:
                _read(response.status, response.read())
            while line := response.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    _raise(int(event["object"].get("code", 500)), event["object"])
                yield event["type"], event["object"]
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiUnreachableError(f"watching {path}: {error}") from error
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._trust)

    def _exchange(
        self, method: str, target: str, payload: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        if time.monotonic() - self._mine.used > _IDLE_S:
            self.close()
        if self._mine.http is None:
            self._mine.http = self._connection(_TIMEOUT_S)
        self._mine.http.request(method, target, body=payload, headers=dict(headers))
        response = self._mine.http.getresponse()
        answer = response.read()
        self._mine.used = time.monotonic()
        return response.status, answer


def _read(status: int, answer: bytes) -> Object:
    try:
        found = json.loads(answer) if answer else {}
    except ValueError:
        found = {"message": answer[:200].decode("utf-8", "replace")}
    if not 200 <= status < 300:
        _raise(status, found)
    return dict(found)


def _raise(status: int, answer: Mapping[str, Any]) -> None:
    raise ApiError(status, str(answer.get("reason", "")), str(answer.get("message", "")))
