"""The schemas as the API server publishes them: OpenAPI v2 definitions and v3 components."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.builtin import schema_of
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.schema import definitions

V2, V3 = "#/definitions/", "#/components/schemas/"
LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
EVERYWHERE = (
    LIST_META,
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
)


def schema_name(kind: Kind) -> str:
    """Return the name under which a kind's schema is published: ``io.k8s.api.apps.v1.Deployment``."""
    if not kind.custom:
        return schema_of(kind)
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def openapi_v3(kinds: Iterable[Kind]) -> Obj:
    """Return the components of an OpenAPI v3 document for the kinds of one group and version."""
    return {"components": {"schemas": _schemas(tuple(kinds), V3)}}


def openapi_v2_definitions(kinds: Iterable[Kind]) -> Obj:
    """Return the definitions of the OpenAPI v2 document for all kinds."""
    return {"definitions": _schemas(tuple(kinds), V2)}


def _schemas(kinds: tuple[Kind, ...], prefix: str) -> Obj:
    made: Obj = {}
    needed = list(EVERYWHERE)
    for kind in kinds:
        name = schema_name(kind)
        if kind.custom:
            made[name] = _published(_custom(kind), prefix, needed)
        else:
            needed.append(name)
        made[f"{name}List"] = _list_of(kind, name, prefix)
    done: set[str] = set()
    while needed:
        name = needed.pop()
        if name in done:
            continue
        done.add(name)
        made[name] = _published(definitions()[name], prefix, needed)
    return dict(sorted(made.items()))


def _published(schema: Any, prefix: str, needed: list[str]) -> Any:
    if isinstance(schema, dict):
        made = {}
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                needed.append(value)
                made[key] = prefix + value
            elif key == "format" and value == "quantity":
                continue
            else:
                made[key] = _published(value, prefix, needed)
        return made
    return [_published(item, prefix, needed) for item in schema] if isinstance(schema, list) else schema


def _custom(kind: Kind) -> Obj:
    gvk = {"group": kind.group, "kind": kind.kind, "version": kind.version}
    return {**kind.node.source, "type": "object", "x-kubernetes-group-version-kind": [gvk]}


def _list_of(kind: Kind, name: str, prefix: str) -> Obj:
    gvk = {"group": kind.group, "kind": kind.list_kind, "version": kind.version}
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"$ref": prefix + LIST_META},
            "items": {"type": "array", "items": {"$ref": prefix + name}},
        },
        "x-kubernetes-group-version-kind": [gvk],
    }
