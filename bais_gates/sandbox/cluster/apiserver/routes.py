"""From a request that may be answered to its answer: which path is which, and which verb does what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import (
    bodies,
    discovery,
    output,
    reviews,
    subresources,
    unsupported,
)
from bais_gates.sandbox.cluster.apiserver.core import write_options
from bais_gates.sandbox.cluster.apiserver.deletion import delete, delete_collection, delete_options
from bais_gates.sandbox.cluster.apiserver.patching import patch
from bais_gates.sandbox.cluster.apiserver.reading import get, list_, watch
from bais_gates.sandbox.cluster.apiserver.statuses import (
    PlainError,
    method_not_allowed,
    no_such_resource,
    not_served,
)
from bais_gates.sandbox.cluster.apiserver.store import encode
from bais_gates.sandbox.cluster.apiserver.writing import create, replace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.output import Shape
    from bais_gates.sandbox.cluster.apiserver.request import Info, Request

Object = dict[str, Any]
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_OF_COLLECTIONS = frozenset({"create", "list", "watch", "deletecollection"})


@dataclass(slots=True, kw_only=True)
class Answer:
    """What goes back: a body, or chunks of one that come as they come."""

    code: int = 200
    body: bytes = b""
    content_type: str = _JSON
    chunks: AsyncIterator[bytes] | None = None
    status: Object | None = None
    """The Status that the body is, for the audit log."""
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(value: Object, code: int = 200) -> Answer:
    """Answer with JSON."""
    return Answer(
        code=code, body=encode(value) + b"\n", status=value if value.get("kind") == "Status" else None
    )


async def answer(core: Core, request: Request) -> Answer:
    """Answer an authorised request; raises StatusError and PlainError."""
    if not request.info.is_resource:
        return _path(core, request)
    info = request.info
    kind = core.registry.find(info.group, info.version, info.plural)
    if kind is None:
        raise _unknown(core, info)
    if info.subresource:
        return _subresource(core, request, kind)
    if info.collection is not (info.verb in _OF_COLLECTIONS):
        raise method_not_allowed()  # a POST to one object, or a PUT to all of them
    if kind.plural in reviews.REVIEWS:
        return _review(core, request, kind)
    if kind.namespaced and not info.namespace and info.verb not in {"list", "watch"}:
        raise (no_such_resource() if not info.collection else method_not_allowed())
    if not kind.namespaced and info.namespace and info.plural != "namespaces":
        raise no_such_resource()
    if info.verb not in kind.verbs:
        raise method_not_allowed(f"the sandbox's API server does not serve {info.verb} of {info.plural}")
    return await _verb(core, request, kind)


def _unknown(core: Core, info: Info) -> Exception:
    """Return the error for no such resource: a Status where the group is served, else plain text."""
    if info.group in unsupported.GROUPS:  # none of them is registered
        return not_served(unsupported.refusal(info.group))
    group = [each for each in core.registry.all() if each.group == info.group]
    return PlainError() if not group or any(each.custom for each in group) else no_such_resource()


async def _verb(core: Core, request: Request, kind: Kind) -> Answer:
    shape = output.negotiate(request)
    namespace = request.info.namespace if kind.namespaced else ""
    if request.info.verb in {"create", "update", "patch", "delete"}:
        made, fresh = _write(core, request, kind, namespace)
        return _shown(shape, kind, made, 201 if fresh else 200)
    match request.info.verb:
        case "get":
            return _shown(shape, kind, get(core, kind, namespace, request.info.name))
        case "list":
            page = await list_(core, request, kind, namespace)
            return json_answer(output.shown_page(shape, kind, page))
        case "watch":
            events = await watch(core, request, kind, namespace)
            return Answer(chunks=_lines(shape, kind, events))
        case _:
            options_ = delete_options(request)
            page = await list_(core, request, kind, namespace)
            delete_collection(core, kind, page.items, options_)
            return json_answer(output.shown_page(shape, kind, page))


def _write(core: Core, request: Request, kind: Kind, namespace: str) -> tuple[Object, bool]:
    """Do what the request asks of an object; returns it, and whether it is new."""
    name = request.info.name
    match request.info.verb:
        case "patch":
            return patch(core, request, kind, namespace=namespace, name=name)
        case "delete":
            return delete(core, request, kind, namespace, name), False
        case "create":
            options = write_options(request, "CreateOptions")
            body = bodies.read_object(request, kind)
            return create(core, request, kind, body, namespace=namespace, options=options), True
        case _:
            options = write_options(request, "UpdateOptions")
            body = bodies.read_object(request, kind)
            return replace(core, request, kind, body, namespace=namespace, name=name, options=options)


def _shown(shape: Shape, kind: Kind, obj: Object, code: int = 200) -> Answer:
    return json_answer(output.shown(shape, kind, obj), code)


async def _lines(shape: Shape, kind: Kind, events: AsyncIterator[tuple[str, Object]]) -> AsyncIterator[bytes]:
    header = True
    async for type_, obj in events:
        seen = obj if type_ == "ERROR" else output.shown(shape, kind, obj, header=header)
        header = header and type_ == "ERROR"
        yield encode({"type": type_, "object": seen}) + b"\n"


def _review(core: Core, request: Request, kind: Kind) -> Answer:
    if request.method != "POST" or not request.info.collection or request.user is None:
        raise method_not_allowed() if request.info.collection else no_such_resource()
    write_options(request, "CreateOptions")
    body = bodies.read_object(request, kind)
    made = reviews.review(core, kind, body, request.user)
    return json_answer(made, 201)


def _subresource(core: Core, request: Request, kind: Kind) -> Answer:
    info, method = request.info, request.method
    namespace = info.namespace if kind.namespaced else ""
    if kind.namespaced and not namespace:
        raise no_such_resource()
    match (info.plural if not kind.group else "", info.subresource, method):
        case ("pods", "log", "GET"):
            text = subresources.log(core, request, kind, namespace, info.name)
            return Answer(body=text, content_type="text/plain")
        case ("pods", "eviction", "POST"):
            return json_answer(subresources.evict(core, request, kind, namespace, info.name), 201)
        case ("pods", "binding", "POST"):
            return json_answer(subresources.bind(core, request, kind, namespace, info.name), 201)
        case ("namespaces", "finalize", "PUT"):
            return json_answer(subresources.finalize(core, request, kind, info.name))
        case ("pods", "log" | "eviction" | "binding", _) | ("namespaces", "finalize", _):
            raise method_not_allowed()
    if info.subresource not in kind.subresources:
        raise (
            PlainError
            if kind.custom
            else not_served(unsupported.refusal(f"{info.plural}/{info.subresource}"))
        )
    if method not in {"GET", "PUT", "PATCH"}:
        raise method_not_allowed()
    shape = output.negotiate(request)
    if info.subresource == "scale":
        return _shown(shape, kind, subresources.scale(core, request, kind, namespace, info.name))
    return _shown(shape, kind, _status(core, request, kind, namespace))


def _status(core: Core, request: Request, kind: Kind, namespace: str) -> Object:
    name = request.info.name
    if request.method == "GET":
        return get(core, kind, namespace, name)
    if request.method == "PATCH":
        return patch(core, request, kind, namespace=namespace, name=name, subresource="status")[0]
    options = write_options(request, "UpdateOptions")
    body = bodies.read_object(request, kind)
    made, _ = replace(
        core, request, kind, body, namespace=namespace, name=name, options=options, subresource="status"
    )
    return made


def _path(core: Core, request: Request) -> Answer:
    path = request.path.rstrip("/") or "/"
    if request.method not in {"GET", "HEAD"}:
        if path in {"/api", "/apis", "/version"} or path.startswith(("/api/", "/apis/")):
            raise method_not_allowed()
        raise PlainError
    if path in {"/healthz", "/livez", "/readyz"}:
        return Answer(body=b"ok", content_type=_TEXT)
    if path == "/version":
        return json_answer(discovery.VERSION)
    found = _discovered(core, path)
    if found is None:
        raise PlainError
    return found


def _discovered(core: Core, path: str) -> Answer | None:
    found: Object | None = None
    match path.strip("/").split("/"):
        case ["api"]:
            found = discovery.api_versions()
        case ["apis"]:
            found = discovery.group_list(core)
        case ["api", version]:
            found = discovery.resource_list(core, "", version)
        case ["apis", group]:
            found = discovery.group(core, group)
        case ["apis", group, version]:
            found = discovery.resource_list(core, group, version)
        case ["openapi", "v3"]:
            found = discovery.openapi_index(core)
        case ["openapi", "v3", "api", version]:
            found = discovery.openapi(core, "", version)
        case ["openapi", "v3", "apis", group, version]:
            found = discovery.openapi(core, group, version)
    return None if found is None else json_answer(found)
