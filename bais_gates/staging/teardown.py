"""Taking a staged namespace away, whole or half-made, until nothing of it is left."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from bais_gates.probes.kubernetes.access import ClusterRefused
from bais_gates.staging.applying import STAGED_FOR
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.ownership import (
    OWNER,
    annotation,
    is_terminating,
    owner_of,
    require_own,
    why_terminating,
)
from bais_gates.staging.plan import describe
from bais_gates.staging.server import asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.staging.readiness import Object
    from bais_gates.staging.server import Server
    from bais_gates.staging.waiting import Clock

STEP: Final = "tear-down"
POLL_S: Final = 0.3
SAY_EVERY_S: Final = 5.0
_SHARED: Final = (
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("storage.k8s.io/v1", "StorageClass"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
)
"""Kinds outside namespaces that staging may have made, in the order in which they can go."""


def tear_down(
    server: Server,
    namespace: str,
    owner: str,
    *,
    clock: Clock,
    progress: Callable[[str], None],
    only_run: str | None = None,
) -> bool:
    """Take the namespace and everything made for it away, and wait until it is gone.

    False when there was nothing. ``only_run``: leave it when another run has provisioned it since. Raises
    ``StageError``: NAMESPACE_FOREIGN for one that is not ours (nothing is touched then), NOT_TORN_DOWN with
    what is left when the time is over, or what the server refused.
    """
    live: Object | None = _read(server, namespace)
    if live is not None:
        require_own(live, owner)
        if only_run is not None and annotation(live, "bais-gates/run") != only_run:
            progress(f"{STEP}: the namespace {namespace} is another run's by now and stays")
            return False
    shared = _shared_of(server, namespace, owner)
    volumes = _volumes_of(server, namespace)
    if live is None and not shared:
        return False
    for volume in volumes:
        _let_go(server, volume)
    if live is not None and not is_terminating(live):
        progress(f"{STEP}: deleting the namespace {namespace}")
        uid = str(live["metadata"]["uid"])
        asked(
            f"Deleting the namespace {namespace}",
            lambda: server.delete("v1", "Namespace", namespace, uid=uid),
            step=STEP,
        )
    if live is not None:
        await_gone(server, namespace, uid=str(live["metadata"]["uid"]), clock=clock, progress=progress)
    # What pods of the namespace still use (its storage class above all) goes after them.
    for one in shared:
        progress(f"{STEP}: deleting {describe(one)}")
        asked(f"Deleting {describe(one)}", partial(_delete, server, one), step=STEP)
    _await_volumes(server, volumes, clock=clock, progress=progress)
    return True


def await_gone(
    server: Server,
    namespace: str,
    *,
    uid: str,
    clock: Clock,
    progress: Callable[[str], None],
    step: str = STEP,
) -> None:
    """Wait until the namespace with that uid is gone; ``StageError`` with what holds it when it stays."""
    began = said_at = clock.now()
    while (live := _read(server, namespace)) is not None and live["metadata"].get("uid") == uid:
        if clock.left <= 0:
            why = why_terminating(live) or "nothing is told of what holds it"
            raise StageError(
                StageCode.NOT_TORN_DOWN,
                f"The namespace {namespace} is still there after {clock.now() - began:.0f} s: {why}",
                step=step,
            )
        if clock.now() - said_at >= SAY_EVERY_S:
            said_at = clock.now()
            progress(f"{step}: waiting until the namespace {namespace} is gone ({clock.now() - began:.0f} s)")
        clock.sleep(POLL_S)


def staged(server: Server) -> list[Object]:
    """Return every namespace that carries an owner's label, whoever's."""
    found: list[Object] = asked(
        "Listing the staged namespaces", lambda: server.list("v1", "Namespace", labels=OWNER), step="list"
    )
    return found


def _read(server: Server, namespace: str) -> Object | None:
    found: Object | None = asked(
        f"Reading the namespace {namespace}", lambda: server.named("v1", "Namespace", namespace), step=STEP
    )
    return found


def _shared_of(server: Server, namespace: str, owner: str) -> list[Object]:
    """Find what was made outside namespaces for this one; a kind that can't be listed was not made by us."""
    found: list[Object] = []
    for api_version, kind in _SHARED:
        try:
            found += server.list(api_version, kind, labels=f"{OWNER}={owner},{STAGED_FOR}={namespace}")
        except ClusterRefused as refusal:
            if refusal.status not in {403, 404}:
                raise asked_again(refusal, kind) from None
    return [one for one in found if owner_of(one) == owner]


def asked_again(refusal: ClusterRefused, kind: str) -> StageError:
    """Make the error for a list that was refused for another reason than that it may not be read."""
    return StageError(StageCode.SERVER, f"Listing every {kind} was refused: {refusal.message}", step=STEP)


def _volumes_of(server: Server, namespace: str) -> list[Object]:
    """Find the volumes that are bound to claims of the namespace; none where they may not be listed."""
    try:
        volumes = server.list("v1", "PersistentVolume")
    except ClusterRefused as refusal:
        if refusal.status in {403, 404}:
            return []
        raise asked_again(refusal, "PersistentVolume") from None
    return [
        one
        for one in volumes
        if ((one.get("spec") or {}).get("claimRef") or {}).get("namespace") == namespace
    ]


def _let_go(server: Server, volume: Object) -> None:
    """Have a volume go with its claim: what was staged is not kept, whatever the storage class says."""
    name = str(volume["metadata"]["name"])
    if (volume.get("spec") or {}).get("persistentVolumeReclaimPolicy") == "Delete":
        return
    patch = {"spec": {"persistentVolumeReclaimPolicy": "Delete"}}
    asked(
        f"Changing PersistentVolume {name}",
        lambda: server.patch("v1", "PersistentVolume", name, patch),
        step=STEP,
    )


def _await_volumes(
    server: Server, volumes: list[Object], *, clock: Clock, progress: Callable[[str], None]
) -> None:
    """Wait until the volumes are gone with their claims."""
    names = {str(one["metadata"]["name"]): str(one["metadata"].get("uid")) for one in volumes}
    said = False
    while names:
        for name, uid in list(names.items()):
            live: Object | None = asked(
                f"Reading PersistentVolume {name}",
                partial(server.named, "v1", "PersistentVolume", name),
                step=STEP,
            )
            if live is None or live["metadata"].get("uid") != uid:
                del names[name]
        if not names:
            return
        if clock.left <= 0:
            raise StageError(
                StageCode.NOT_TORN_DOWN, f"Volumes are left: {', '.join(sorted(names))}", step=STEP
            )
        if not said:
            progress(f"{STEP}: waiting until {len(names)} volumes are gone")
            said = True
        clock.sleep(POLL_S)


def _delete(server: Server, one: Object) -> bool:
    metadata = one["metadata"]
    return server.delete(
        str(one["apiVersion"]), str(one["kind"]), str(metadata["name"]), uid=str(metadata["uid"])
    )
