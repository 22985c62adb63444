"""How an object is shown, as the client's Accept asks: as it is, or as a row of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import kinds
from bais_gates.sandbox.cluster.apiserver.statuses import not_acceptable

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.reading import Page
    from bais_gates.sandbox.cluster.apiserver.request import Request

Object = dict[str, Any]
_ANY = frozenset({"*/*", "application/*", "application/json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the answer is shown: as it is, or as a Table whose rows have ``include`` of their objects."""

    table: bool = False
    include: str = "Metadata"


def negotiate(request: Request) -> Shape:
    """Choose the first format in Accept that is served here; raises 406."""
    accept = request.headers.get("accept", "").strip()
    for clause in accept.split(",") if accept else ():
        media, *parameters = (part.strip() for part in clause.split(";"))
        options = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media not in _ANY:
            continue
        if "as" not in options:
            return Shape()
        if (options["as"], options.get("g"), options.get("v")) == ("Table", "meta.k8s.io", "v1"):
            return Shape(table=True, include=request.option("includeObject") or "Metadata")
    if accept:
        raise not_acceptable(("application/json",))
    return Shape()


def shown(shape: Shape, kind: Kind, obj: Object, *, header: bool = True) -> Object:
    """Show one object; ``header``: a table's columns too (a watch names them only once)."""
    if obj.get("kind") == "Status" or not shape.table:
        return obj
    table = _table(shape, kind, [obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})
    if not header:
        table["columnDefinitions"] = None
    return table


def shown_page(shape: Shape, kind: Kind, page: Page) -> Object:
    """Show a list."""
    if shape.table:
        return _table(shape, kind, page.items, page.metadata)
    items = page.items
    if not kind.custom:  # items of the kinds that are compiled in don't repeat what they are
        items = [
            {key: value for key, value in each.items() if key not in {"kind", "apiVersion"}} for each in items
        ]
    return {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": page.metadata, "items": items}


def _table(shape: Shape, kind: Kind, objs: list[Object], metadata: Object) -> Object:
    columns, cells = kinds.table(kind, objs)
    rows = []
    for row, obj in zip(cells, objs, strict=True):
        entry: Object = {"cells": row}
        if shape.include == "Object":
            entry["object"] = obj
        elif shape.include != "None":
            about = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
            entry["object"] = {**about, "metadata": obj["metadata"]}
        rows.append(entry)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    }
