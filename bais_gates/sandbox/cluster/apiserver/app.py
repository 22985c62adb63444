"""The ASGI application: who asks, may they, and the answer - or the Status that says why not."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from bais_gates.sandbox.cluster.apiserver.audit import AuditLog, instant
from bais_gates.sandbox.cluster.apiserver.authorization import Attributes
from bais_gates.sandbox.cluster.apiserver.bodies import LIMIT
from bais_gates.sandbox.cluster.apiserver.bootstrap import seed
from bais_gates.sandbox.cluster.apiserver.config import User
from bais_gates.sandbox.cluster.apiserver.core import Core
from bais_gates.sandbox.cluster.apiserver.impersonation import SEPARATOR, effective_user
from bais_gates.sandbox.cluster.apiserver.request import Request, parse_query, read_info
from bais_gates.sandbox.cluster.apiserver.routes import Answer, answer, json_answer
from bais_gates.sandbox.cluster.apiserver.statuses import (
    PlainError,
    Resource,
    StatusError,
    forbidden,
    internal,
    too_large,
    unauthorized,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from bais_gates.sandbox.cluster.apiserver.config import Config

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_LOG = logging.getLogger(__name__)
_ANONYMOUS = User(name="system:anonymous", groups=("system:unauthenticated",))
_OPEN_TO_ALL = ("/healthz", "/livez", "/readyz", "/version")
"""Paths for which a request needs no identity."""


class _GoneError(Exception):
    """The client closed the connection before it had sent its request."""


class App:
    """The server, but for the sockets."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.core = Core(pod_security=config.pod_security)
        seed(self.core)
        self.audit = AuditLog(config.audit_log)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI's own
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        received, request = instant(), _request(scope)
        request.notes["audit-id"] = str(uuid.uuid4())
        try:
            answered = await self._answer(request, receive)
        except _GoneError:
            return
        if answered.chunks is None:
            self.audit.note(request, received=received, code=answered.code, status=answered.status)
            await send(_start(request, answered, len(answered.body)))
            await send(
                {"type": "http.response.body", "body": b"" if request.method == "HEAD" else answered.body}
            )
            return
        self.audit.note(request, received=received, code=200, stage="ResponseStarted")
        await _stream(request, answered, receive, send)
        self.audit.note(request, received=received, code=200)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self.audit.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, request: Request, receive: Receive) -> Answer:
        try:
            request.caller = request.user = self._authenticated(request)
            request.user = effective_user(self.core.authorizer, request.user, request.headers)
            self._authorize(request, request.user)
            request.body = await _body(request, receive)
            return await answer(self.core, request)
        except StatusError as error:
            refused = json_answer(error.body, error.code)
            refused.headers |= error.headers
            return refused
        except PlainError as error:
            return Answer(code=error.code, body=error.text.encode(), content_type="text/plain; charset=utf-8")
        except _GoneError:
            raise
        except Exception:  # noqa: BLE001 - whatever goes wrong in one request, the server goes on
            # Told in the log, with what happened; the client gets a Status and never what is inside.
            _LOG.exception("%s %s", request.method, request.path)
            error_ = internal("the request could not be answered")
            return json_answer(error_.body, error_.code)

    def _authenticated(self, request: Request) -> User:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            given = token.strip().encode()
            for known, user in self.config.tokens.items():
                if hmac.compare_digest(known.encode(), given):
                    groups = tuple(dict.fromkeys([*user.groups, "system:authenticated"]))
                    return User(name=user.name, uid=user.uid, groups=groups)
            raise unauthorized()
        if request.path.startswith(_OPEN_TO_ALL):
            return _ANONYMOUS
        raise unauthorized()

    def _authorize(self, request: Request, user: User) -> None:
        info = request.info
        asked = (
            Attributes(
                verb=info.verb,
                group=info.group,
                version=info.version,
                resource=info.plural,
                subresource=info.subresource,
                namespace=info.namespace,
                name=info.name,
            )
            if info.is_resource
            else Attributes(verb=info.verb, path=info.path)
        )
        decision = self.core.authorizer.decide(user, asked)
        request.notes["authorization.k8s.io/decision"] = "allow" if decision.allowed else "forbid"
        request.notes["authorization.k8s.io/reason"] = decision.reason
        if not decision.allowed:
            where = Resource(group=info.group, plural=info.plural)
            raise forbidden(where, info.name, asked.refusal(user))


def _request(scope: Message) -> Request:
    raw_path = scope.get("raw_path", b"").decode("latin-1").partition("?")[0]
    path = unquote(raw_path) if raw_path else str(scope["path"])
    text = scope.get("query_string", b"").decode("latin-1")
    query = parse_query(text)
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        several = name in headers and name.startswith("impersonate-")
        headers[name] = f"{headers[name]}{SEPARATOR}{value}" if several else value
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=path,
        raw_target=f"{raw_path or path}?{text}" if text else raw_path or path,
        query=query,
        headers=headers,
        info=read_info(scope["method"], path, query),
        client=client[0] if client else "",
    )


async def _body(request: Request, receive: Receive) -> bytes:
    """Read the body up to the limit; raises 413 as soon as it is past it."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > LIMIT:
        raise too_large(LIMIT)
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LIMIT:
            raise too_large(LIMIT)
        if not message.get("more_body"):
            return b"".join(parts)


def _start(request: Request, answered: Answer, length: int | None) -> Message:
    headers = {
        "content-type": answered.content_type,
        "audit-id": request.notes.get("audit-id", ""),
        "cache-control": "no-cache, private",
        **answered.headers,
    }
    if length is not None:
        headers["content-length"] = str(length)
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    pairs += [(b"warning", _warning(text)) for text in dict.fromkeys(request.warnings)]
    return {"type": "http.response.start", "status": answered.code, "headers": pairs}


def _warning(text: str) -> bytes:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    quoted = "".join(letter if letter.isprintable() else " " for letter in quoted)
    return f'299 - "{quoted}"'.encode("latin-1", "replace")


async def _stream(request: Request, answered: Answer, receive: Receive, send: Send) -> None:
    """Send chunks as they come, until they end or the client is gone."""
    if answered.chunks is None:
        return
    await send(_start(request, answered, None))
    # An empty chunk makes the head leave at once: a watch of nothing must be seen to have begun.
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    gone = asyncio.ensure_future(_until_gone(receive))
    events = aiter(answered.chunks)
    try:
        while True:
            following = asyncio.ensure_future(anext(events))
            await asyncio.wait({following, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                    await following
                return
            try:
                chunk = following.result()
            except StopAsyncIteration:
                break
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
