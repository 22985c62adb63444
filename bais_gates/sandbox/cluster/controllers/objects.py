"""Reading Kubernetes objects, which are plain dicts here, exactly as the API server gave them."""

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
    **{letter: Decimal(1000) ** power for power, letter in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{
        letter + "i": Decimal(1024) ** power for power, letter in enumerate(("K", "M", "G", "T", "P", "E"), 1)
    },
}
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names: no vowels, so that no words come out."""


def name_of(obj: Object) -> str:
    """Give ``metadata.name``."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str:
    """Give ``metadata.namespace``, empty for an object of the whole cluster."""
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: Object) -> str:
    """Give ``metadata.uid``, empty for an object that was never stored."""
    return str(obj["metadata"].get("uid", ""))


def labels_of(obj: Object) -> dict[str, str]:
    """Give ``metadata.labels``, never None."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    """Give ``metadata.annotations``, never None."""
    return obj["metadata"].get("annotations") or {}


def spec_of(obj: Object) -> Object:
    """Give ``spec``, never None."""
    return obj.get("spec") or {}


def status_of(obj: Object) -> Object:
    """Give ``status``, never None."""
    return obj.get("status") or {}


def is_going(obj: Object) -> bool:
    """Whether the object is marked for deletion."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def stamp(now: datetime) -> str:
    """Write a moment the way Kubernetes does: UTC, whole seconds."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Read a moment that Kubernetes wrote."""
    return datetime.fromisoformat(text)


def age_s(text: str | None, now: datetime) -> float:
    """Give the seconds from the moment in ``text`` until ``now``; 0 without one."""
    return (now - moment(text)).total_seconds() if text else 0.0


def reference(owner: Object, *, controller: bool = True) -> Object:
    """Make the owner reference that points at ``owner``."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": controller,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Object) -> Object | None:
    """Give the owner reference that is the controller's, if there is one."""
    return next(
        (ref for ref in obj["metadata"].get("ownerReferences") or () if ref.get("controller")),
        None,
    )


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
        case "DoesNotExist":
            return key not in labels
        case _:
            return False


def selects(plain: Mapping[str, str] | None, labels: Mapping[str, str]) -> bool:
    """Whether a Service's selector (labels only) selects ``labels``; an empty one selects nothing."""
    return bool(plain) and all(labels.get(key) == value for key, value in (plain or {}).items())


def condition(obj: Object, kind: str) -> Object | None:
    """Give the condition of type ``kind`` in ``status.conditions``."""
    return next((c for c in status_of(obj).get("conditions") or () if c.get("type") == kind), None)


def has_condition(obj: Object, kind: str, status: str = "True") -> bool:
    """Whether the condition ``kind`` has ``status``."""
    found = condition(obj, kind)
    return found is not None and found.get("status") == status


def with_condition(
    conditions: Iterable[Object], now: datetime, /, *, touch: str | None = None, **values: str
) -> list[Object]:
    """Replace or add a condition; ``lastTransitionTime`` moves only when its status changes.

    ``touch`` names another time field (``lastUpdateTime``, ``lastProbeTime``) that moves whenever anything
    in the condition changes.
    """
    kept = [dict(one) for one in conditions]
    old = next((one for one in kept if one["type"] == values["type"]), None)
    if old is not None and all(old.get(key) == value for key, value in values.items()):
        return kept
    new: Object = dict(values)
    same_status = old is not None and old.get("status") == values["status"]
    new["lastTransitionTime"] = (
        (old or {}).get("lastTransitionTime") or stamp(now) if same_status else stamp(now)
    )
    if touch:
        new[touch] = stamp(now)
    if old is None:
        return [*kept, new]
    return [new if one is old else one for one in kept]


def without_condition(conditions: Iterable[Object], kind: str) -> list[Object]:
    """Give the conditions other than ``kind``."""
    return [dict(one) for one in conditions if one["type"] != kind]


def significant(value: Object | None) -> Object:
    """Drop what the API server may drop itself (zeros, empty texts and lists): two statuses compare so."""
    return {
        key: inner
        for key, inner in (value or {}).items()
        if inner not in (None, "", 0, [], {}) or inner is False
    }


def changed(obj: Object, *, status: Object | None = None) -> Object | None:
    """Give a copy of ``obj`` with ``status``, or None if it has that status already."""
    if significant(obj.get("status")) == significant(status):
        return None
    return {**obj, "status": status}


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
    """Read a quantity (``500m``, ``1Gi``, ``2``): cores, bytes or a number. Raises ``ValueError``."""
    written = str(text).strip()
    for size in (2, 1):
        factor = _SUFFIXES.get(written[-size:])
        if factor is not None and len(written) > size:
            try:
                return Decimal(written[:-size]) * factor
            except InvalidOperation:
                break
    try:
        return Decimal(written)
    except InvalidOperation:
        raise ValueError(f"{written!r} is not a quantity") from None


def scaled(value: object, total: int, *, up: bool) -> int:
    """Read an int-or-percentage against ``total``: ``25%`` of it, rounded up or down, or the number."""
    if isinstance(value, str) and value.endswith("%"):
        share = total * int(value[:-1])
        return -(-share // 100) if up else share // 100
    return int(str(value))


def is_ready(pod: Object) -> bool:
    """Whether the pod's condition Ready is True."""
    return has_condition(pod, "Ready")


def is_available(pod: Object, min_ready_s: int, now: datetime) -> bool:
    """Whether the pod has been ready for ``min_ready_s`` seconds."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return False
    return min_ready_s == 0 or age_s(ready.get("lastTransitionTime"), now) >= min_ready_s


def is_over(pod: Object) -> bool:
    """Whether the pod ran to its end."""
    return status_of(pod).get("phase") in {"Succeeded", "Failed"}


def is_active(pod: Object) -> bool:
    """Whether the pod counts as one that runs or will run."""
    return not is_over(pod) and not is_going(pod)


def pod_requests(pod_spec: Mapping[str, Any], kind: str = "requests") -> dict[str, Decimal]:
    """Add up what a pod asks for (``requests``) or may use (``limits``), by resource.

    Containers add up; an init container counts where it alone asks for more (the scheduler's rule).
    """
    total: dict[str, Decimal] = {}
    for container in pod_spec.get("containers") or ():
        for name, amount in _resources(container, kind).items():
            total[name] = total.get(name, Decimal(0)) + amount
    for container in pod_spec.get("initContainers") or ():
        for name, amount in _resources(container, kind).items():
            total[name] = max(total.get(name, Decimal(0)), amount)
    return total


def _resources(container: Mapping[str, Any], kind: str) -> dict[str, Decimal]:
    found = (container.get("resources") or {}).get(kind) or {}
    return {name: quantity(amount) for name, amount in found.items()}
