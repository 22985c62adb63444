"""What holds for CustomResourceDefinitions."""

from __future__ import annotations

from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import Cause, invalid, not_supported, required
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.validation import fields, meta, names

_TYPES = ("array", "boolean", "integer", "number", "object", "string")


def definition(obj: Obj) -> list[Cause]:
    """Return what is wrong with a CustomResourceDefinition."""
    spec = obj["spec"]
    group, given = spec.get("group", ""), spec.get("names") or {}
    found: list[Cause] = []
    if obj["metadata"].get("name") != f"{given.get('plural', '')}.{group}":
        message = 'must be spec.names.plural+"."+spec.group'
        found.append(invalid("metadata.name", obj["metadata"].get("name"), message))
    found += fields.text(names.dns_subdomain)(group, "spec.group")
    scopes = ("Cluster", "Namespaced")
    found += fields.one_of(*scopes, optional=False)(spec.get("scope"), "spec.scope")
    for key in ("plural", "singular", "kind", "listKind"):
        value = str(given.get(key) or "")
        lower = value.lower() if key in {"kind", "listKind"} else value
        found += fields.text(names.dns1035_label)(lower, f"spec.names.{key}")
    return found + _versions(spec.get("versions") or [])


def _versions(versions: list[Obj]) -> list[Cause]:
    found: list[Cause] = []
    for index, version in enumerate(versions):
        here = f"spec.versions[{index}]"
        found += fields.text(names.dns1035_label)(version.get("name"), f"{here}.name")
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            found.append(required(f"{here}.schema.openAPIV3Schema", "schemas are required"))
        else:
            found += _schema(schema, f"{here}.schema.openAPIV3Schema", root=True)
    if sum(1 for version in versions if version.get("storage")) != 1:
        message = "must have exactly one version marked as storage version"
        found.append(invalid("spec.versions", versions, message))
    return found


def _schema(schema: Any, field: str, *, root: bool = False) -> list[Cause]:
    if not isinstance(schema, dict):
        return []
    kind, found = schema.get("type", ""), list[Cause]()
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if kind and kind not in _TYPES:
        found.append(not_supported(f"{field}.type", kind, _TYPES))
    elif root and kind != "object":
        found.append(invalid(f"{field}.type", kind, "must be object at the root"))
    elif not kind and not free:
        found.append(required(f"{field}.type", "must not be empty for specified object fields"))
    if kind == "array" and schema.get("items") is None:
        found.append(required(f"{field}.items", "must be specified"))
    for name, part in sorted((schema.get("properties") or {}).items()):
        found += _schema(part, f"{field}.properties[{name}]")
    for key in ("items", "additionalProperties"):
        found += _schema(schema.get(key), f"{field}.{key}")
    return found


def updated(old: Obj, new: Obj) -> list[Cause]:
    """Return what an update of a definition changes though it never changes."""
    before, after = old["spec"], new["spec"]
    found: list[Cause] = []
    for key in ("group", "scope"):
        found += meta.unchanged(before.get(key), after.get(key), f"spec.{key}")
    for key in ("kind", "plural"):
        was, has = (before.get("names") or {}).get(key), (after.get("names") or {}).get(key)
        found += meta.unchanged(was, has, f"spec.names.{key}")
    return found
