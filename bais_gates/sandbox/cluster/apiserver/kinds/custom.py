"""Custom kinds: what a CustomResourceDefinition serves, its defaults, and its conditions."""

from __future__ import annotations

import copy
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.decoding import OBJECT_META
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.schema import Node


def kinds_of(crd: Obj) -> list[Kind]:
    """Return the kinds that a CustomResourceDefinition serves, one a served version."""
    spec = crd["spec"]
    names = spec["names"]
    made = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        subresources = frozenset({"status", "scale"} & set(version.get("subresources") or {}))
        made.append(
            Kind(
                group=spec["group"],
                version=version["name"],
                kind=names["kind"],
                plural=names["plural"],
                singular=names.get("singular") or names["kind"].lower(),
                list_kind=names.get("listKind") or f"{names['kind']}List",
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                namespaced=spec.get("scope") == "Namespaced",
                subresources=subresources,
                node=_node(version),
                definition=version,
            )
        )
    return made


def _node(version: Obj) -> Node:
    """Return the schema of a version, with what every object has in it."""
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    everywhere = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": OBJECT_META},
    }
    return Node({**schema, "properties": {**schema.get("properties", {}), **everywhere}}, custom=True)


def fill(node: Node, value: Any) -> None:
    """Fill in the defaults that a structural schema gives, in place."""
    if isinstance(value, dict):
        if node.shape == "map":
            for item in value.values():
                fill(node.element, item)
            return
        for name, part in node.fields.items():
            if part.default is not None and value.get(name) is None and not (name in value and part.nullable):
                value[name] = copy.deepcopy(part.default)
            if name in value:
                fill(part, value[name])
    elif isinstance(value, list) and node.shape == "list":
        for item in value:
            fill(node.element, item)


def established(crd: Obj, now: str) -> Obj:
    """Return the status of a CustomResourceDefinition whose names are taken and whose kinds are served."""
    spec, status = crd["spec"], crd.get("status") or {}
    before = {each["type"]: each for each in status.get("conditions") or () if each["status"] == "True"}
    conditions = [
        {
            "lastTransitionTime": before.get(kind, {}).get("lastTransitionTime", now),
            "message": message,
            "reason": reason,
            "status": "True",
            "type": kind,
        }
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    stored = list(status.get("storedVersions") or ())
    stored += [
        each["name"] for each in spec["versions"] if each.get("storage") and each["name"] not in stored
    ]
    return {
        "acceptedNames": copy.deepcopy(spec["names"]),
        "conditions": conditions,
        "storedVersions": stored,
    }
