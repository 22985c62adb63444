"""What holds for the metadata, labels and selectors of every kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    TOO_LONG,
    Cause,
    forbidden,
    invalid,
    required,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.validation import names

IMMUTABLE = "field is immutable"
ANNOTATIONS_LIMIT = 256 * 1024
FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_NAME_RULES: dict[str, Callable[[str], list[str]]] = {
    "Namespace": names.dns_label,
    "Service": names.dns1035_label,
    "Role": names.path_segment,
    "RoleBinding": names.path_segment,
    "ClusterRole": names.path_segment,
    "ClusterRoleBinding": names.path_segment,
}
_POD_SECURITY = "pod-security.kubernetes.io/"
_LEVELS = ("privileged", "baseline", "restricted")


def causes(kind: Kind, obj: Obj) -> list[Cause]:
    """Return what is wrong with an object's metadata."""
    meta = obj.get("metadata") or {}
    violations: list[Cause] = []
    name = meta.get("name") or ""
    if not name:
        violations.append(required("metadata.name", "name or generateName is required"))
    else:
        violations += [invalid("metadata.name", name, message) for message in _name_rule(kind)(name)]
    if prefix := meta.get("generateName"):
        # A prefix may end where a name may not: what is made of it goes on.
        violations += [
            invalid("metadata.generateName", prefix, message)
            for message in _name_rule(kind)(f"{prefix.removesuffix('-')}")
        ]
    violations += label_causes(meta.get("labels"), "metadata.labels")
    violations += annotation_causes(meta.get("annotations"), "metadata.annotations")
    violations += _owners(meta.get("ownerReferences") or ())
    finalizers = meta.get("finalizers") or ()
    for finalizer in finalizers:
        violations += [
            invalid("metadata.finalizers", finalizer, message) for message in names.qualified_name(finalizer)
        ]
    for index, finalizer in enumerate(() if kind.custom else finalizers):
        if "/" not in finalizer and finalizer not in FINALIZERS:
            message = "name is neither a standard finalizer name nor is it fully qualified"
            violations.append(invalid(f"metadata.finalizers[{index}]", finalizer, message))
    return violations


def _name_rule(kind: Kind) -> Callable[[str], list[str]]:
    return names.dns_subdomain if kind.custom else _NAME_RULES.get(kind.kind, names.dns_subdomain)


def update_causes(old: Obj, new: Obj) -> list[Cause]:
    """Return which parts of the metadata an update changes though they never change."""
    before, after = old.get("metadata") or {}, new.get("metadata") or {}
    return [
        invalid(f"metadata.{field}", after[field], IMMUTABLE)
        for field in ("name", "namespace", "uid", "creationTimestamp")
        if after.get(field) is not None and before.get(field) != after[field]
    ]


def label_causes(values: Any, field: str) -> list[Cause]:
    """Return what is wrong with labels."""
    violations = []
    for key in sorted(values or {}):
        violations += [invalid(field, key, message) for message in names.qualified_name(key)]
        violations += [invalid(field, values[key], message) for message in names.label_value(values[key])]
    return violations


def annotation_causes(values: Any, field: str) -> list[Cause]:
    """Return what is wrong with annotations."""
    violations, size = [], 0
    for key in sorted(values or {}):
        violations += [invalid(field, key, message) for message in names.qualified_name(key.lower())]
        size += len(key.encode()) + len(str(values[key]).encode())
    if size > ANNOTATIONS_LIMIT:
        message = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        violations.append(Cause(reason=TOO_LONG, message=message, field=field))
    return violations


def _owners(owners: Any) -> list[Cause]:
    violations, controllers = [], []
    for owner in owners:
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                message = f"{'version' if key == 'apiVersion' else key} must not be empty"
                violations.append(invalid(f"metadata.ownerReferences.{key}", "", message))
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            message = "/v1, Kind=Event is disallowed from being an owner"
            violations.append(invalid("metadata.ownerReferences", owner, message))
        if owner.get("controller"):
            controllers.append(owner)
    if len(controllers) > 1:
        first, second = (f"{each.get('kind')}/{each.get('name')}" for each in controllers[:2])
        message = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{first} and {second}"
        )
        violations.append(invalid("metadata.ownerReferences", owners, message))
    return violations


def selector(value: Any, field: str) -> list[Cause]:
    """Return what is wrong with a label selector."""
    if not value:
        return []
    violations = label_causes(value.get("matchLabels"), f"{field}.matchLabels")
    for index, need in enumerate(value.get("matchExpressions") or ()):
        violations += requirement(need, f"{field}.matchExpressions[{index}]")
        for place, item in enumerate(need.get("values") or ()):
            here = f"{field}.matchExpressions[{index}].values[{place}]"
            violations += [invalid(here, item, message) for message in names.label_value(item)]
    return violations


def requirement(need: Any, here: str) -> list[Cause]:
    """Return what is wrong with one requirement of a selector, but for its values."""
    violations: list[Cause] = []
    operator, values = need.get("operator", ""), need.get("values") or []
    if operator in {"In", "NotIn"}:
        if not values:
            message = "must be specified when `operator` is 'In' or 'NotIn'"
            violations.append(required(f"{here}.values", message))
    elif operator in {"Exists", "DoesNotExist"}:
        if values:
            message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            violations.append(forbidden(f"{here}.values", message))
    else:
        violations.append(invalid(f"{here}.operator", operator, "not a valid selector operator"))
    key = need.get("key", "")
    violations += [invalid(f"{here}.key", key, message) for message in names.qualified_name(key)]
    return violations


def matches(value: Any, given: Any) -> bool:
    """Whether labels satisfy a label selector."""
    has = given or {}
    if any(has.get(key) != wanted for key, wanted in (value.get("matchLabels") or {}).items()):
        return False
    for need in value.get("matchExpressions") or ():
        key, values = need.get("key"), need.get("values") or []
        match need.get("operator"):
            case "In" if has.get(key) not in values or key not in has:
                return False
            case "NotIn" if key in has and has[key] in values:
                return False
            case "Exists" if key not in has:
                return False
            case "DoesNotExist" if key in has:
                return False
    return True


def unchanged(old: Any, new: Any, field: str) -> list[Cause]:
    """Return a cause if a field that can't change did."""
    return [] if old == new else [invalid(field, new, IMMUTABLE)]


def pod_security_causes(namespace: Obj) -> list[Cause]:
    """Return which Pod Security labels of a namespace name no level or no version."""
    labels, violations = namespace["metadata"].get("labels") or {}, []
    for mode in ("enforce", "audit", "warn"):
        level, version = labels.get(_POD_SECURITY + mode), labels.get(f"{_POD_SECURITY}{mode}-version")
        if level is not None and level not in _LEVELS:
            message = f"must be one of {', '.join(_LEVELS)}"
            violations.append(invalid(f"metadata.labels[{_POD_SECURITY}{mode}]", level, message))
        if version is not None and not re.fullmatch(r"latest|v1\.(0|[1-9][0-9]*)", version):
            message = 'must be "latest" or "v1.x"'
            violations.append(invalid(f"metadata.labels[{_POD_SECURITY}{mode}-version]", version, message))
    return violations
