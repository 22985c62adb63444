"""What holds for where a pod may run: affinity, spread and tolerations."""

from __future__ import annotations

from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    Cause,
    duplicate,
    invalid,
    not_supported,
    required,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.validation import meta, names

TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
WHEN = ("DoNotSchedule", "ScheduleAnyway")
NEEDED, WANTED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
WEIGHT = "must be in the range 1-100"


def tolerations(items: Any, field: str) -> list[Cause]:
    """Return what is wrong with tolerations."""
    found: list[Cause] = []
    for index, item in enumerate(items or ()):
        here = f"{field}[{index}]"
        key, operator, value = item.get("key", ""), item.get("operator", ""), item.get("value") or ""
        if key:
            found += [invalid(f"{here}.key", key, said) for said in names.qualified_name(key)]
        elif operator != "Exists":
            said = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.append(invalid(f"{here}.operator", operator, said))
        if "tolerationSeconds" in item and item.get("effect") != "NoExecute":
            said = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            found.append(invalid(f"{here}.effect", item.get("effect", ""), said))
        if operator == "Exists" and value:
            found.append(invalid(f"{here}.operator", item, "value must be empty when `operator` is 'Exists'"))
        if operator in {"", "Equal"}:
            found += [invalid(f"{here}.operator", value, said) for said in names.label_value(value)]
        found += meta.one_of(operator or None, ("Equal", "Exists"), f"{here}.operator")
        found += meta.one_of(item.get("effect") or None, TAINT_EFFECTS, f"{here}.effect")
    return found


def spread(items: Any, field: str) -> list[Cause]:
    """Return what is wrong with topology spread constraints."""
    found: list[Cause] = []
    pairs = [(item.get("topologyKey", ""), item.get("whenUnsatisfiable", "")) for item in items or ()]
    for index, item in enumerate(items or ()):
        here = f"{field}[{index}]"
        if item.get("maxSkew", 0) <= 0:
            found.append(invalid(f"{here}.maxSkew", item.get("maxSkew", 0), "must be greater than zero"))
        key, action = pairs[index]
        if not key:
            found.append(required(f"{here}.topologyKey", "can not be empty"))
        else:
            found += [invalid(f"{here}.topologyKey", key, said) for said in names.qualified_name(key)]
        if action not in WHEN:
            found.append(not_supported(f"{here}.whenUnsatisfiable", action, WHEN))
        if pairs[index] in pairs[index + 1 :]:
            name = f"{here}.{{topologyKey, whenUnsatisfiable}}"
            found.append(duplicate(name, f"{{{key}, {action}}}"))
        found += meta.selector(item.get("labelSelector"), f"{here}.labelSelector")
    return found


def affinity(value: Any, field: str) -> list[Cause]:
    """Return what is wrong with a pod's affinity to nodes and to other pods."""
    given = value or {}
    found: list[Cause] = []
    if (node := given.get("nodeAffinity")) is not None:
        found += _node(node, f"{field}.nodeAffinity")
    for name in ("podAffinity", "podAntiAffinity"):
        if (pod := given.get(name)) is not None:
            found += _pod(pod, f"{field}.{name}")
    return found


def _node(value: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    needed = value.get(NEEDED)
    if needed is not None:
        at = f"{here}.{NEEDED}.nodeSelectorTerms"
        terms = needed.get("nodeSelectorTerms") or []
        if not terms:
            found.append(required(at, "must have at least one node selector term"))
        for index, term in enumerate(terms):
            found += _node_term(term, f"{at}[{index}]")
    for index, item in enumerate(value.get(WANTED) or ()):
        at = f"{here}.{WANTED}[{index}]"
        found += _weight(item, at) + _node_term(item.get("preference") or {}, f"{at}.preference")
    return found


def _weight(item: Obj, at: str) -> list[Cause]:
    weight = item.get("weight", 0)
    return [] if 1 <= weight <= 100 else [invalid(f"{at}.weight", weight, WEIGHT)]


def _node_term(term: Obj, field: str) -> list[Cause]:
    found: list[Cause] = []
    for index, need in enumerate(term.get("matchExpressions") or ()):
        here = f"{field}.matchExpressions[{index}]"
        operator, values = need.get("operator", ""), need.get("values") or []
        if operator in {"Gt", "Lt"}:
            if len(values) != 1:
                said = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                found.append(required(f"{here}.values", said))
            key = need.get("key", "")
            found += [invalid(f"{here}.key", key, said) for said in names.qualified_name(key)]
        else:
            found += meta.requirement(need, here)
    return found


def _pod(value: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    for index, term in enumerate(value.get(NEEDED) or ()):
        found += _pod_term(term, f"{here}.{NEEDED}[{index}]")
    for index, item in enumerate(value.get(WANTED) or ()):
        at = f"{here}.{WANTED}[{index}]"
        found += _weight(item, at) + _pod_term(item.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")
    return found


def _pod_term(term: Obj, here: str) -> list[Cause]:
    found = meta.selector(term.get("labelSelector"), f"{here}.labelSelector")
    found += meta.selector(term.get("namespaceSelector"), f"{here}.namespaceSelector")
    for name in term.get("namespaces") or ():
        found += [invalid(f"{here}.namespace", name, said) for said in names.dns_label(name)]
    key = term.get("topologyKey", "")
    if not key:
        found.append(required(f"{here}.topologyKey", "can not be empty"))
    return found + [invalid(f"{here}.topologyKey", key, said) for said in names.qualified_name(key)]
