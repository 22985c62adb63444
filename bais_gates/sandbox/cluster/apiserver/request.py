"""What a request is about, read from its method and path as kube-apiserver's RequestInfo does."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.sandbox.cluster.apiserver.config import User

_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_NAME_SELECTED = re.compile(r"(?:.*,)?metadata\.name==?([^,=!]+)(?:,|$)")
_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What is asked: for a resource, or (``is_resource`` false) for a path such as ``/version``."""

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    plural: str = ""
    name: str = ""
    """The object's name; of a list, the one name that its field selector leaves."""
    collection: bool = False
    subresource: str = ""


@dataclass(slots=True, kw_only=True)
class Request:
    """One request: read once, then passed to whoever answers it."""

    method: str
    path: str
    raw_target: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    info: Info
    client: str = ""
    body: bytes = b""
    user: User | None = None
    """Whom it is answered for."""
    caller: User | None = None
    """Who sent it: another than ``user`` where it impersonates one."""
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    def option(self, name: str) -> str:
        """Return a query parameter, empty when it isn't there."""
        return self.query.get(name, [""])[0]

    def flag(self, name: str) -> bool:
        """Return whether a query parameter is true, as Go's strconv.ParseBool reads it."""
        return self.option(name).lower() in {"true", "1", "t"}


def parse_query(text: str) -> dict[str, list[str]]:
    """Read a query string; empty values are kept."""
    return parse_qs(text, keep_blank_values=True)


def read_info(method: str, path: str, query: Mapping[str, list[str]]) -> Info:
    """Return what a request asks for, by its method, path and query."""
    parts = [part for part in path.split("/") if part]
    verb = _VERBS.get(method, method.lower())
    plain = Info(path=path, verb=method.lower() if method != "HEAD" else "head")
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return plain
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and not (len(rest) == 3 and rest[2] in _NAMESPACE_SUBRESOURCES):
            rest = rest[2:]
    if len(rest) > 3:
        return plain
    plural, name, subresource = (*rest, "", "")[:3]
    if plural == "namespaces":
        namespace = name
    collection = not name
    if collection:
        verb = _collection_verb(verb, query)
        name = _selected_name(verb, query)
    return Info(
        path=path,
        verb=verb,
        is_resource=True,
        group=group,
        version=version,
        namespace=namespace,
        plural=plural,
        name=name,
        collection=collection,
        subresource=subresource,
    )


def _collection_verb(verb: str, query: Mapping[str, list[str]]) -> str:
    if verb == "get":
        return "watch" if query.get("watch", [""])[0].lower() in {"true", "1", "t"} else "list"
    return "deletecollection" if verb == "delete" else verb


def _selected_name(verb: str, query: Mapping[str, list[str]]) -> str:
    """Return the one name that a list selects, so that rules with resourceNames permit it."""
    if verb not in {"list", "watch", "deletecollection"}:
        return ""
    found = _NAME_SELECTED.match(query.get("fieldSelector", [""])[0])
    return found[1] if found else ""
