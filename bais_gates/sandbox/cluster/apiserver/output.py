"""How an object is shown, as the client's Accept asks: as it is, as a row of a table, its metadata alone."""

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
PLAIN, TABLE, METADATA = "", "Table", "PartialObjectMetadata"
_SHAPES = {"Table": TABLE, "PartialObjectMetadata": METADATA, "PartialObjectMetadataList": METADATA}
_ANY = frozenset({"*/*", "application/*", "application/json"})
_ACCEPTED = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the answer is shown: ``form`` is PLAIN, TABLE or METADATA; ``include`` is a table's own option."""

    form: str = PLAIN
    version: str = "v1"
    include: str = "Metadata"
    yaml: bool = False


def negotiate(request: Request) -> Shape:
    """Choose the first format in Accept that is given here; raises 406."""
    accept = request.headers.get("accept", "").strip()
    if not accept:
        return Shape()
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        options = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media == "application/yaml" and "as" not in options:
            return Shape(yaml=True)
        if media not in _ANY:
            continue
        wanted = options.get("as")
        if wanted is None or media != "application/json":
            return Shape()
        if wanted in _SHAPES and options.get("g") == "meta.k8s.io" and options.get("v") in {"v1", "v1beta1"}:
            return Shape(
                form=_SHAPES[wanted],
                version=options["v"],
                include=request.option("includeObject") or "Metadata",
            )
    raise not_acceptable(_ACCEPTED)


def shown(shape: Shape, kind: Kind, obj: Object, *, header: bool = True) -> Object:
    """Show one object; ``header``: a table's columns too (a watch names them only once)."""
    if obj.get("kind") == "Status" or shape.form == PLAIN:
        return obj
    if shape.form == METADATA:
        return _metadata_only(obj, shape.version)
    table = _table(shape, kind, [obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})
    if not header:
        table["columnDefinitions"] = None
    return table


def shown_page(shape: Shape, kind: Kind, page: Page) -> Object:
    """Show a list."""
    if shape.form == TABLE:
        return _table(shape, kind, page.items, page.metadata)
    if shape.form == METADATA:
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{shape.version}",
            "metadata": page.metadata,
            "items": [_metadata_only(each, shape.version) for each in page.items],
        }
    items = page.items
    if not kind.custom:  # items of the kinds that are compiled in don't repeat what they are
        items = [
            {key: value for key, value in each.items() if key not in {"kind", "apiVersion"}} for each in items
        ]
    return {
        "kind": kind.list_kind,
        "apiVersion": kind.api_version,
        "metadata": page.metadata,
        "items": items,
    }


def _metadata_only(obj: Object, version: str) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj["metadata"],
    }


def _table(shape: Shape, kind: Kind, objs: list[Object], metadata: Object) -> Object:
    made = kinds.table(kind, objs)
    rows = []
    for row, obj in zip(made["rows"], objs, strict=True):
        entry = {"cells": row["cells"]}
        if shape.include == "Object":
            entry["object"] = obj
        elif shape.include != "None":
            entry["object"] = _metadata_only(obj, shape.version)
        rows.append(entry)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{shape.version}",
        "metadata": metadata,
        "columnDefinitions": made["columnDefinitions"],
        "rows": rows,
    }
