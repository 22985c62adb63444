"""What holds for CustomResourceDefinitions."""

from __future__ import annotations

from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    Cause,
    forbidden,
    invalid,
    not_supported,
    required,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.validation import meta, names

TYPES = ("array", "boolean", "integer", "number", "object", "string")


def definition(obj: Obj) -> list[Cause]:
    """Return what is wrong with a CustomResourceDefinition."""
    spec = obj["spec"]
    found: list[Cause] = []
    group, plural = spec.get("group", ""), (spec.get("names") or {}).get("plural", "")
    if obj["metadata"].get("name") != f"{plural}.{group}":
        said = 'must be spec.names.plural+"."+spec.group'
        found.append(invalid("metadata.name", obj["metadata"].get("name"), said))
    if not group:
        found.append(required("spec.group"))
    else:
        found += [invalid("spec.group", group, said) for said in names.dns_subdomain(group)]
        if "." not in group:
            found.append(invalid("spec.group", group, "should be a domain with at least one dot"))
    scope = spec.get("scope", "")
    if not scope:
        found.append(required("spec.scope"))
    else:
        found += meta.one_of(scope, ("Cluster", "Namespaced"), "spec.scope")
    found += _versions(spec.get("versions") or [])
    found += _names(spec.get("names") or {})
    return found


def _names(given: Obj) -> list[Cause]:
    found: list[Cause] = []
    for key in ("plural", "singular", "kind", "listKind"):
        value = given.get(key, "")
        if not value:
            found.append(required(f"spec.names.{key}"))
        else:
            text = value.lower() if key in {"kind", "listKind"} else value
            said = "may have mixed case, but should otherwise match: " if text != value else ""
            found += [
                invalid(f"spec.names.{key}", value, f"{said}{each}") for each in names.dns1035_label(text)
            ]
    for index, value in enumerate(given.get("shortNames") or ()):
        field = f"spec.names.shortNames[{index}]"
        found += [invalid(field, value, said) for said in names.dns1035_label(value)]
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        found.append(
            invalid("spec.names.listKind", given["listKind"], "kind and listKind may not be the same")
        )
    return found


def _versions(versions: list[Obj]) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for index, version in enumerate(versions):
        here = f"spec.versions[{index}]"
        name = version.get("name", "")
        found += [invalid(f"{here}.name", name, said) for said in names.dns1035_label(name)]
        if name in seen:
            found.append(invalid("spec.versions", versions, "must contain unique version names"))
        seen.add(name)
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            found.append(required(f"{here}.schema.openAPIV3Schema", "schemas are required"))
        else:
            found += _schema(schema, f"{here}.schema.openAPIV3Schema", top=True)
    stored = sum(1 for version in versions if version.get("storage"))
    if stored != 1:
        said = "must have exactly one version marked as storage version"
        found.append(invalid("spec.versions", versions, said))
    if not any(version.get("served") for version in versions) and not versions:
        found.append(required("spec.versions"))
    return found


def _schema(  # noqa: C901, PLR0912  # the rules of one level, each on its own
    schema: Any, here: str, *, top: bool = False
) -> list[Cause]:
    if not isinstance(schema, dict):
        return []
    found: list[Cause] = []
    kind = schema.get("type", "")
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if top and kind != "object":
        if kind:
            found.append(invalid(f"{here}.type", kind, "must be object at the root"))
        else:
            found.append(required(f"{here}.type", "must not be empty at the root"))
    elif not kind and not free:
        found.append(required(f"{here}.type", "must not be empty for specified object fields"))
    elif kind and kind not in TYPES:
        found.append(not_supported(f"{here}.type", kind, TYPES))
    if kind == "array" and schema.get("items") is None:
        found.append(required(f"{here}.items", "must be specified"))
    list_type = schema.get("x-kubernetes-list-type")
    if list_type is not None:
        found += meta.one_of(list_type, ("atomic", "map", "set"), f"{here}.x-kubernetes-list-type")
        if list_type == "map" and not schema.get("x-kubernetes-list-map-keys"):
            said = "must not be empty if x-kubernetes-list-type is map"
            found.append(required(f"{here}.x-kubernetes-list-map-keys", said))
    if schema.get("properties") and schema.get("additionalProperties"):
        said = "additionalProperties and properties are mutual exclusive"
        found.append(forbidden(f"{here}.additionalProperties", said))
    for name, part in sorted((schema.get("properties") or {}).items()):
        found += _schema(part, f"{here}.properties[{name}]")
    if isinstance(schema.get("items"), dict):
        found += _schema(schema["items"], f"{here}.items")
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        found += _schema(more, f"{here}.additionalProperties")
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
    kept = {version.get("name") for version in after.get("versions") or ()}
    for index, stored in enumerate((old.get("status") or {}).get("storedVersions") or ()):
        if stored not in kept:
            said = (
                f"missing from spec.versions; {stored} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {stored} and "
                f"removes {stored} from status.storedVersions"
            )
            found.append(invalid(f"status.storedVersions[{index}]", stored, said))
    return found
