"""Read Kubernetes objects, which are plain dicts here, exactly as the API server returned them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Object = dict[str, Any]
"""One Kubernetes object as JSON has it."""

_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{letter + "i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names: no vowels, so that no words come out."""


def name_of(obj: Object) -> str:
    """Return ``metadata.name``."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str:
    """Return ``metadata.namespace``, empty for an object of the whole cluster."""
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: Object) -> str:
    """Return ``metadata.uid``, empty for an object that was never stored."""
    return str(obj["metadata"].get("uid", ""))


def created_of(obj: Object) -> str:
    """Return ``metadata.creationTimestamp``."""
    return str(obj["metadata"].get("creationTimestamp"))


def generation_of(obj: Object) -> int:
    """Return ``metadata.generation``, 1 without one."""
    return int(obj["metadata"].get("generation", 1))


def labels_of(obj: Object) -> dict[str, str]:
    """Return ``metadata.labels``, never None."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    """Return ``metadata.annotations``, never None."""
    return obj["metadata"].get("annotations") or {}


def spec_of(obj: Object) -> Object:
    """Return ``spec``, never None."""
    return obj.get("spec") or {}


def status_of(obj: Object) -> Object:
    """Return ``status``, never None."""
    return obj.get("status") or {}


def number_of(values: Mapping[str, Any], key: str, default: int = 0) -> int:
    """Return the whole number under ``key``, ``default`` where it is absent or None."""
    value = values.get(key)
    return default if value is None else int(value)


def is_terminating(obj: Object) -> bool:
    """Whether the object is marked for deletion."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def with_annotations(obj: Object, values: Mapping[str, str]) -> Object:
    """Return a copy of ``obj`` with these annotations added."""
    return {**obj, "metadata": {**obj["metadata"], "annotations": {**annotations_of(obj), **values}}}


def without_finalizer(obj: Object, finalizer: str) -> Object:
    """Return a copy of ``obj`` without one of its finalizers."""
    kept = [one for one in obj["metadata"].get("finalizers") or () if one != finalizer]
    return {**obj, "metadata": {**obj["metadata"], "finalizers": kept}}


def format_time(time: datetime) -> str:
    """Write a time the way Kubernetes does: UTC, whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age_s(text: str | None, now: datetime) -> float:
    """Return the seconds from the time in ``text`` until ``now``; 0 without one."""
    return (now - datetime.fromisoformat(text)).total_seconds() if text else 0.0


def owner_reference(owner: Object) -> Object:
    """Return the owner reference with which a controller's object points at ``owner``."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owners_of(obj: Object) -> list[Object]:
    """Return ``metadata.ownerReferences``, never None."""
    return obj["metadata"].get("ownerReferences") or []


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference that is the controller's, None without one."""
    return next((ref for ref in owners_of(obj) if ref.get("controller")), None)


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (``matchLabels``, ``matchExpressions``) selects ``labels``.

    None selects nothing, an empty one everything (the API's own rule).
    """
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def selects(plain: Mapping[str, str] | None, labels: Mapping[str, str]) -> bool:
    """Whether a Service's selector (labels only) selects ``labels``; an empty one selects nothing."""
    return bool(plain) and matches({"matchLabels": plain}, labels)


def condition(obj: Object, type_: str) -> Object | None:
    """Return the condition of that type in ``status.conditions``, None without one."""
    return next((one for one in status_of(obj).get("conditions") or () if one.get("type") == type_), None)


def has_condition(obj: Object, type_: str, status: str = "True") -> bool:
    """Whether the condition of that type has ``status``."""
    return (condition(obj, type_) or {}).get("status") == status


def with_condition(
    conditions: Iterable[Object] | None,
    now: datetime,
    values: tuple[str, str, str, str] | tuple[str, str],
    *,
    touch: str | None = None,
) -> list[Object]:
    """Replace or add the condition ``(type, status, reason, message)``, the last two left out where empty.

    ``lastTransitionTime`` moves only when its status changes. ``touch`` names another time field
    (``lastUpdateTime``, ``lastProbeTime``) that moves whenever anything in the condition changes.
    """
    kept = [dict(one) for one in conditions or ()]
    fields = zip(("type", "status", "reason", "message"), values, strict=False)
    new: Object = {key: text for key, text in fields if text}
    old = next((one for one in kept if one["type"] == new["type"]), {})
    if old and all(old.get(key) == value for key, value in new.items()):
        return kept
    same_status = old.get("status") == new["status"]
    new["lastTransitionTime"] = (same_status and old.get("lastTransitionTime")) or format_time(now)
    if touch:
        new[touch] = format_time(now)
    return [new if one is old else one for one in kept] if old else [*kept, new]


def without_condition(conditions: Iterable[Object], type_: str) -> list[Object]:
    """Return the conditions but the one of that type."""
    return [dict(one) for one in conditions if one["type"] != type_]


def significant(value: object) -> object:
    """Drop what the API server may drop itself (zeros, empty texts and lists), so that two values compare."""
    if isinstance(value, dict):
        kept = ((key, significant(inner)) for key, inner in value.items())
        return {key: inner for key, inner in kept if inner is False or inner not in (None, "", 0, [], {})}
    return [significant(inner) for inner in value] if isinstance(value, list) else value


def digest(value: object, length: int = 10) -> str:
    """Make a short name part from a value: the same for equal values, letters that spell no word."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])
    letters = []
    for _ in range(length):
        number, rest = divmod(number, len(_SAFE))
        letters.append(_SAFE[rest])
    return "".join(letters)


def quantity(text: object) -> Decimal:
    """Read a quantity (``500m``, ``1Gi``, ``2``): cores, bytes or a number. Raise ``ValueError``."""
    written = str(text).strip()
    suffix = next((end for size in (2, 1) if (end := written[-size:]) in _SUFFIXES and end != written), "")
    try:
        return Decimal(written.removesuffix(suffix)) * _SUFFIXES.get(suffix, 1)
    except InvalidOperation:
        raise ValueError(f"{written!r} is not a quantity") from None


def scaled(value: object, total: int, *, up: bool) -> int:
    """Read an int-or-percentage against ``total``: ``25%`` of it, rounded up or down, or the number."""
    if isinstance(value, str) and value.endswith("%"):
        share = total * int(value[:-1])
        return -(-share // 100) if up else share // 100
    return int(str(value))


def replicas_of(workload: Object) -> int:
    """Return ``spec.replicas``, 1 where it is not set."""
    return number_of(spec_of(workload), "replicas", 1)


def is_ready(pod: Object) -> bool:
    """Whether the pod's condition Ready is True."""
    return has_condition(pod, "Ready")


def is_available(pod: Object, min_ready_s: int, now: datetime) -> bool:
    """Whether the pod has been ready for ``min_ready_s`` seconds."""
    ready = condition(pod, "Ready") or {}
    return ready.get("status") == "True" and (
        min_ready_s == 0 or age_s(ready.get("lastTransitionTime"), now) >= min_ready_s
    )


def is_finished(pod: Object) -> bool:
    """Whether the pod ran to its end."""
    return status_of(pod).get("phase") in {"Succeeded", "Failed"}


def is_active(pod: Object) -> bool:
    """Whether the pod runs or will run."""
    return not is_finished(pod) and not is_terminating(pod)


def pod_requests(pod: Object, kind: str = "requests") -> dict[str, Decimal]:
    """Add up what the pod's containers ask for (``requests``) or may use (``limits``), by resource."""
    total: dict[str, Decimal] = {}
    for container in spec_of(pod).get("containers") or ():
        for name, amount in ((container.get("resources") or {}).get(kind) or {}).items():
            total[name] = total.get(name, Decimal(0)) + quantity(amount)
    return total
