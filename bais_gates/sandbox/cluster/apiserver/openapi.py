"""OpenAPI as far as kubectl asks for it: schemas to explain and merge by, the options of each method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import kinds
from bais_gates.sandbox.cluster.apiserver.discovery import VERSION, groups_of

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind

Object = dict[str, Any]
_JSON = "application/json"

_WRITES = ("dryRun", "fieldManager", "fieldValidation")


def index(core: Core) -> Object:
    """Answer ``/openapi/v3``: where the document of each group and version is."""
    paths = {}
    for group, versions in groups_of(core).items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={core.kinds_changed}"}
    return {"paths": paths}


def document(core: Core, group: str, version: str) -> Object | None:
    """Answer ``/openapi/v3/apis/GROUP/VERSION``; None when there is no such version."""
    found = groups_of(core).get(group, {}).get(version)
    if found is None:
        return None
    paths: Object = {}
    for kind in found:
        paths |= _paths(kind)
    schemas = kinds.openapi_v3(found)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
        **schemas,
    }


def document_v2(core: Core) -> Object:
    """Answer ``/openapi/v2``."""
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": {},
        **kinds.openapi_v2_definitions(list(core.registry.all())),
    }


def _paths(kind: Kind) -> Object:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    where = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    found: Object = {where: _methods(kind, ("get", "post"))}
    if "get" in kind.verbs:
        one = _methods(kind, ("get", "put", "patch", "delete"))
        found[f"{where}/{{name}}"] = one
    return found


def _methods(kind: Kind, methods: tuple[str, ...]) -> Object:
    about = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    reference = {"$ref": f"#/components/schemas/{kinds.schema_name(kind)}"}
    made: Object = {}
    for method in methods:
        made[method] = {
            "x-kubernetes-action": method,
            "x-kubernetes-group-version-kind": about,
            "parameters": _parameters(method),
            "responses": {"200": {"description": "OK", "content": {_JSON: {"schema": reference}}}},
        }
    return made


def _parameters(method: str) -> list[Object]:
    names = {"get": (), "delete": ("dryRun",), "patch": (*_WRITES, "force")}.get(method, _WRITES)
    return [
        {
            "name": name,
            "in": "query",
            "schema": {"type": "boolean" if name == "force" else "string", "uniqueItems": True},
        }
        for name in names
    ]
