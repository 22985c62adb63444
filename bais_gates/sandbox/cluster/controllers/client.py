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


class ApiError(Exception):
    """The API server answered with an error: its ``status`` code, ``reason`` and message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class ApiUnreachableError(Exception):
    """The API server did not answer."""


class _Connection:
    """What one thread keeps between its requests."""

    def __init__(self) -> None:
        self.http: http.client.HTTPSConnection | None = None
        self.used = 0.0

    def close(self) -> None:
        if self.http is not None:
            self.http.close()
            self.http = None


class Api:
    """The API server at ``server``, asked with a bearer token; safe to use from several threads."""

    def __init__(self, server: str, *, ca_file: str, token: str, manager: str = "bais-sandbox") -> None:
        parts = urlsplit(server)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 443
        self._trust = ssl.create_default_context(cafile=ca_file)
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "User-Agent": manager,
        }
        self._manager = manager
        self._local = threading.local()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """Ask, and give the answer's object.

        Raises ``ApiError`` for any answer that is not 2xx, ``ApiUnreachableError`` for none. A POST is never
        sent twice.
        """
        asked = dict(query or {})
        if method in {"POST", "PUT", "PATCH"}:
            asked.setdefault("fieldManager", self._manager)
        target = f"{path}?{urlencode(asked)}" if asked else path
        payload = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = self._headers if payload is None else self._headers | {"Content-Type": content_type}
        for attempt in (1, 2):
            connection = self._mine()
            try:
                status, answer = self._exchange(connection, method, target, payload, headers)
                break
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if attempt == 2 or method == "POST":
                    raise ApiUnreachableError(f"{method} {path}: {error}") from error
        return _read(status, answer)

    def close(self) -> None:
        """Give back the connection of the calling thread."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()

    def watch(
        self, path: str, version: str, *, within_s: int = _WATCH_S
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield ``(type, object)`` as they happen after ``version``; ends when the server ends it.

        Raises like ``request``; a version that is too old is ``ApiError`` 410.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(within_s),
            "allowWatchBookmarks": "true",
        }
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=within_s + 30, context=self._trust
        )
        try:
            connection.request("GET", f"{path}?{urlencode(query)}", headers=self._headers)
            response = connection.getresponse()
            if response.status != 200:
                _read(response.status, response.read())
            while line := response.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    problem = event["object"]
                    raise ApiError(
                        int(problem.get("code", 500)),
                        str(problem.get("reason", "")),
                        str(problem.get("message", "")),
                    )
                yield event["type"], event["object"]
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiUnreachableError(f"watching {path}: {error}") from error
        finally:
            connection.close()

    def _mine(self) -> _Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _Connection()
        if time.monotonic() - connection.used > _IDLE_S:
            connection.close()
        if connection.http is None:
            connection.http = http.client.HTTPSConnection(
                self._host, self._port, timeout=_TIMEOUT_S, context=self._trust
            )
        return connection

    @staticmethod
    def _exchange(
        connection: _Connection, method: str, target: str, payload: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        if connection.http is None:
            raise http.client.NotConnected
        connection.http.request(method, target, body=payload, headers=dict(headers))
        response = connection.http.getresponse()
        answer = response.read()
        connection.used = time.monotonic()
        return response.status, answer


def _read(status: int, answer: bytes) -> Object:
    try:
        found = json.loads(answer) if answer else {}
    except ValueError:
        found = {"message": answer[:200].decode("utf-8", "replace")}
    if not isinstance(found, dict):
        found = {}
    if 200 <= status < 300:
        return found
    raise ApiError(status, str(found.get("reason", "")), str(found.get("message", "")))
