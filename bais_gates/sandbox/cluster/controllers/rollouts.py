"""The arithmetic of a rolling update: how many pods each ReplicaSet of a Deployment may have now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    name_of,
    number_of,
    replicas_of,
    scaled,
    spec_of,
    status_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def limits(deployment: Object) -> tuple[int, int]:
    """Return how many pods more, and how many fewer, than wanted there may be: ``(surge, unavailable)``.

    A percentage of surge is rounded up, of unavailable down; both 0 would never move: then 1 may be missing.
    """
    strategy = spec_of(deployment).get("strategy") or {}
    wanted = replicas_of(deployment)
    if strategy.get("type") == "Recreate":
        return 0, wanted
    rolling = strategy.get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, wanted)


def new_size(deployment: Object, new: Object | None, old: Sequence[Object]) -> int:
    """Return how many pods the ReplicaSet of the present template may have."""
    wanted = replicas_of(deployment)
    has = replicas_of(new) if new is not None else 0
    if has >= wanted:
        return wanted
    room = wanted + limits(deployment)[0] - has - sum(map(replicas_of, old))
    return has + max(min(room, wanted - has), 0)


def old_sizes(deployment: Object, new: Object, old: Sequence[Object]) -> dict[str, int]:
    """Return how many pods each ReplicaSet of an earlier template keeps, by name.

    First those pods go that do not work anyway, then as many that work as can be spared.
    """
    sizes = {name_of(one): replicas_of(one) for one in old}
    least = replicas_of(deployment) - limits(deployment)[1]
    may_go = sum(sizes.values()) + _available(new) - least
    for one in old:  # the oldest first
        broken = min(sizes[name_of(one)] - _available(one), may_go)
        if broken > 0:
            sizes[name_of(one)] -= broken
            may_go -= broken
    may_go = min(may_go, _available(new) + sum(map(_available, old)) - least)
    for one in old:
        fewer = min(sizes[name_of(one)], max(may_go, 0))
        sizes[name_of(one)] -= fewer
        may_go -= fewer
    return sizes


def is_complete(deployment: Object, status: Object) -> bool:
    """Whether by that ``status`` only pods of the present template are left, all of them available."""
    counts = {status[key] for key in ("updatedReplicas", "replicas", "availableReplicas")}
    return counts == {replicas_of(deployment)}


def _available(replica_set: Object) -> int:
    return number_of(status_of(replica_set), "availableReplicas")
