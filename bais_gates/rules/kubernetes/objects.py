"""Read names, labels, selectors and pod templates from Kubernetes objects as plain dicts.

The objects may be read from a cluster, rendered from manifests, or written in a test. Source: the Kubernetes
API reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "DeploymentConfig": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One violation of a rule by one object."""

    rule: str
    """Stable name of the rule, such as ``dangling-network-policy``."""
    where: str
    """The object: ``Kind/namespace/name`` or ``Kind/name``."""
    detail: str

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A running pod, or a workload's pod template."""

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    address: str | None = None
    """The pod's IP address; None for a template, or before one is assigned."""

    @property
    def where(self) -> str:
        """The object as ``Kind/namespace/name``."""
        return f"{self.kind}/{self.namespace}/{self.name}"


def dig(value: object, *keys: str) -> Any:  # a manifest's value may be anything
    """Return the value at nested keys; None where a key is absent or its parent is not a mapping."""
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def name_of(obj: Object) -> str:
    """Return the object's name, ``?`` when it has none."""
    return str(dig(obj, "metadata", "name") or dig(obj, "metadata", "generateName") or "?")


def namespace_of(obj: Object) -> str:
    """Return the object's namespace; ``default`` when it has none, as the API server assumes."""
    return str(dig(obj, "metadata", "namespace") or "default")


def labels_of(obj: Object) -> dict[str, str]:
    """Return the object's labels."""
    return dict(dig(obj, "metadata", "labels") or {})


def annotations_of(obj: Object) -> dict[str, str]:
    """Return the object's annotations."""
    return dict(dig(obj, "metadata", "annotations") or {})


def locate(obj: Object) -> str:
    """Return a namespaced object as ``Kind/namespace/name``."""
    return f"{obj.get('kind', '?')}/{namespace_of(obj)}/{name_of(obj)}"


def of_kind(objects: Iterable[Object], *kinds: str) -> list[Object]:
    """Return the objects of the given kinds, in their order."""
    return [obj for obj in objects if obj.get("kind") in kinds]


def workloads(objects: Iterable[Object]) -> list[Workload]:
    """Return the pods and pod templates among objects, without pods that have ended."""
    return [workload for obj in objects if (workload := _workload(obj)) is not None]


def _workload(obj: Object) -> Workload | None:
    kind = str(obj.get("kind", ""))
    holder = obj if kind == "Pod" else dig(obj, *_TEMPLATES[kind]) if kind in _TEMPLATES else None
    if not isinstance(holder, Mapping) or dig(obj, "status", "phase") in {"Succeeded", "Failed"}:
        return None
    # A template without a spec can still be selected by its labels.
    spec = dig(holder, "spec")
    return Workload(
        kind=kind,
        namespace=namespace_of(obj),
        name=name_of(obj),
        labels=labels_of(holder),
        spec=spec if isinstance(spec, Mapping) else {},
        address=dig(obj, "status", "podIP"),
    )


def containers_of(spec: Mapping[str, Any], *, ephemeral: bool = True) -> Iterator[dict[str, Any]]:
    """Yield a pod's init containers, containers and, unless excluded, ephemeral containers."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()
    if ephemeral:
        yield from spec.get("ephemeralContainers") or ()


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector matches labels: an empty selector matches all, None matches nothing.

    Raises ValueError for an unknown operator, as an unreadable selector must not count as harmless.
    Source: the LabelSelector type of the Kubernetes API.
    """
    if selector is None:
        return False
    required = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    return all(labels.get(key) == value for key, value in required.items()) and all(
        _holds(expression, labels) for expression in expressions
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = expression.get("key", ""), expression.get("operator")
    values = expression.get("values") or ()
    if operator == "In":
        return key in labels and labels[key] in values
    if operator == "NotIn":
        return key not in labels or labels[key] not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    raise ValueError(f"unknown label selector operator {operator!r}: use In, NotIn, Exists or DoesNotExist")


def is_empty(selector: Mapping[str, Any] | None) -> bool:
    """Return whether a selector is present and selects everything."""
    return selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions")


def describe(selector: Mapping[str, Any] | None) -> str:
    """Return a selector in kubectl's syntax: ``app=api,tier notin (web)``; empty if it selects all."""
    terms = [f"{key}={value}" for key, value in (dig(selector, "matchLabels") or {}).items()]
    for one in dig(selector, "matchExpressions") or ():
        key, values = one.get("key"), ", ".join(map(str, one.get("values") or ()))
        negated = "!" if one.get("operator") == "DoesNotExist" else ""
        operator = str(one.get("operator")).lower()
        terms.append(f"{key} {operator} ({values})" if values else f"{negated}{key}")
    return ",".join(terms)
