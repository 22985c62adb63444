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
    violations: list[Cause] = []
    if obj["metadata"].get("name") != f"{given.get('plural', '')}.{group}":
        message = 'must be spec.names.plural+"."+spec.group'
        violations.append(invalid("metadata.name", obj["metadata"].get("name"), message))
    violations += fields.text(names.dns_subdomain)(group, "spec.group")
    scopes = ("Cluster", "Namespaced")
    violations += fields.one_of(*scopes, optional=False)(spec.get("scope"), "spec.scope")
    for key in ("plural", "singular", "kind", "listKind"):
        value = str(given.get(key) or "")
        lower = value.lower() if key in {"kind", "listKind"} else value
        violations += fields.text(names.dns1035_label)(lower, f"spec.names.{key}")
    return violations + _versions(spec.get("versions") or [])


def _versions(versions: list[Obj]) -> list[Cause]:
    violations: list[Cause] = []
    for index, version in enumerate(versions):
        here = f"spec.versions[{index}]"
        violations += fields.text(names.dns1035_label)(version.get("name"), f"{here}.name")
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            violations.append(required(f"{here}.schema.openAPIV3Schema", "schemas are required"))
        else:
            violations += _schema(schema, f"{here}.schema.openAPIV3Schema", root=True)
    if sum(1 for version in versions if version.get("storage")) != 1:
        message = "must have exactly one version marked as storage version"
        violations.append(invalid("spec.versions", versions, message))
    return violations


def _schema(schema: Any, field: str, *, root: bool = False) -> list[Cause]:
    if not isinstance(schema, dict):
        return []
    kind, violations = schema.get("type", ""), list[Cause]()
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if kind and kind not in _TYPES:
        violations.append(not_supported(f"{field}.type", kind, _TYPES))
    elif root and kind != "object":
        violations.append(invalid(f"{field}.type", kind, "must be object at the root"))
    elif not kind and not free:
        violations.append(required(f"{field}.type", "must not be empty for specified object fields"))
    if kind == "array" and schema.get("items") is None:
        violations.append(required(f"{field}.items", "must be specified"))
    for name, part in sorted((schema.get("properties") or {}).items()):
        violations += _schema(part, f"{field}.properties[{name}]")
    for key in ("items", "additionalProperties"):
        violations += _schema(schema.get(key), f"{field}.{key}")
    return violations


def updated(old: Obj, new: Obj) -> list[Cause]:
    """Return what an update of a definition changes though it never changes."""
    before, after = old["spec"], new["spec"]
    violations: list[Cause] = []
    for key in ("group", "scope"):
        violations += meta.unchanged(before.get(key), after.get(key), f"spec.{key}")
    for key in ("kind", "plural"):
        was, has = (before.get("names") or {}).get(key), (after.get("names") or {}).get(key)
        violations += meta.unchanged(was, has, f"spec.names.{key}")
    return violations
