"""The arithmetic of a rolling update: how many pods each ReplicaSet of a Deployment may have now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import Object, name_of, scaled, spec_of, status_of
from bais_gates.sandbox.cluster.controllers.replicasets import wanted_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def limits(deployment: Object) -> tuple[int, int]:
    """Give how many pods more, and how many fewer, than wanted there may be: ``(surge, unavailable)``.

    A percentage of surge is rounded up, of unavailable down; both 0 would never move: then 1 may be missing.
    """
    strategy = spec_of(deployment).get("strategy") or {}
    wanted = wanted_of(deployment)
    if strategy.get("type") == "Recreate":
        return 0, wanted
    rolling = strategy.get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, wanted)


def new_size(deployment: Object, new: Object | None, old: Sequence[Object]) -> int:
    """Give how many pods the ReplicaSet of the present template may have."""
    wanted = wanted_of(deployment)
    has = wanted_of(new) if new is not None else 0
    if has >= wanted:
        return wanted
    total = has + sum(map(wanted_of, old))
    room = wanted + limits(deployment)[0] - total
    return has + max(min(room, wanted - has), 0)


def old_sizes(deployment: Object, new: Object, old: Sequence[Object]) -> dict[str, int]:
    """Give how many pods each ReplicaSet of an earlier template keeps, by name.

    First those pods go that do not work anyway, then as many that work as can be spared.
    """
    sizes = {name_of(one): wanted_of(one) for one in old}
    least = wanted_of(deployment) - limits(deployment)[1]
    total = sum(sizes.values()) + wanted_of(new)
    new_not_up = wanted_of(new) - _available(new)
    may_go = total - least - new_not_up
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


def is_complete(deployment: Object, new: Object, old: Sequence[Object]) -> bool:
    """Whether only pods of the present template are left, and all of them are available."""
    wanted = wanted_of(deployment)
    return (
        _available(new) >= wanted
        and int(status_of(new).get("replicas") or 0) == wanted
        and not any(wanted_of(one) or status_of(one).get("replicas") for one in old)
    )


def done(deployment: Object, status: Object) -> bool:
    """Whether the Deployment's ``status`` says that its rollout is complete."""
    wanted = wanted_of(deployment)
    return bool(
        status["updatedReplicas"] == wanted
        and status["replicas"] == wanted
        and status["availableReplicas"] == wanted
    )


def _available(replica_set: Object) -> int:
    return int(status_of(replica_set).get("availableReplicas") or 0)
