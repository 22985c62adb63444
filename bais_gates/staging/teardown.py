"""Tear down a staged namespace, complete or partial, until nothing of it is left."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from bais_gates.probes.kubernetes.access import ClusterRefused
from bais_gates.staging.applying import STAGED_FOR
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.holding import RUN, annotation
from bais_gates.staging.namespace import (
    OWNER,
    POLL_S,
    TEAR_DOWN,
    is_terminating,
    owner_of,
    read_namespace,
    require_own,
    wait_until_deleted,
)
from bais_gates.staging.plan import describe
from bais_gates.staging.server import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.staging.readiness import Object, Objects
    from bais_gates.staging.server import Clock, Server

_SHARED: Final = (
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("storage.k8s.io/v1", "StorageClass"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
)
"""Kinds outside namespaces that staging may have created, in the order of deletion."""


def tear_down(
    server: Server,
    namespace: str,
    owner: str,
    *,
    clock: Clock,
    progress: Callable[[str], None],
    only_run: str | None = None,
) -> bool:
    """Delete the namespace and everything created for it, and wait until it is gone.

    Returns False when there was nothing to delete. ``only_run``: leave a namespace that another run has
    provisioned since. Raises ``StageError``: NAMESPACE_FOREIGN for another owner's (nothing is changed then),
    NOT_TORN_DOWN with what is left when time is up, or the server's refusal.
    """
    live = read_namespace(server, namespace)
    if live is not None:
        require_own(live, owner)
        if only_run is not None and annotation(live, RUN) != only_run:
            progress(f"{TEAR_DOWN}: another run has provisioned the namespace {namespace}, so it stays")
            return False
    shared = _shared_objects(server, namespace, owner)
    volumes = _bound_volumes(server, namespace)
    if live is None and not shared:
        return False
    for volume in volumes:
        _set_reclaim_policy(server, volume)
    if live is not None and not is_terminating(live):
        progress(f"{TEAR_DOWN}: deleting the namespace {namespace}")
        uid = str(live["metadata"]["uid"])
        request(
            f"Deleting the namespace {namespace}",
            lambda: server.delete("v1", "Namespace", namespace, uid=uid),
            step=TEAR_DOWN,
        )
    if live is not None:
        wait_until_deleted(server, live, clock=clock, progress=progress)
    # The namespace's pods use these (its storage class above all), so they are deleted after it.
    for one in shared:
        progress(f"{TEAR_DOWN}: deleting {describe(one)}")
        request(f"Deleting {describe(one)}", partial(_delete, server, one), step=TEAR_DOWN)
    _wait_for_volumes(server, volumes, clock=clock, progress=progress)
    return True


def _shared_objects(server: Server, namespace: str, owner: str) -> Objects:
    """Return the objects outside namespaces that were created for this one; none of an unlistable kind."""
    shared = [
        one
        for api_version, kind in _SHARED
        for one in _list_if_allowed(server, api_version, kind, f"{OWNER}={owner},{STAGED_FOR}={namespace}")
    ]
    return [one for one in shared if owner_of(one) == owner]


def _bound_volumes(server: Server, namespace: str) -> Objects:
    """Return the volumes that are bound to claims of the namespace; none if they may not be listed."""
    return [
        one
        for one in _list_if_allowed(server, "v1", "PersistentVolume")
        if ((one.get("spec") or {}).get("claimRef") or {}).get("namespace") == namespace
    ]


def _list_if_allowed(server: Server, api_version: str, kind: str, labels: str | None = None) -> Objects:
    """Return the objects of a kind; none if the kind is unknown or may not be listed: then none is ours."""
    try:
        return server.list(api_version, kind, labels=labels)
    except ClusterRefused as refusal:
        if refusal.status in {403, 404}:
            return []
        message = f"Listing every {kind} was refused: {refusal.message}"
        raise StageError(StageCode.SERVER, message, step=TEAR_DOWN) from None


def _set_reclaim_policy(server: Server, volume: Object) -> None:
    """Have a volume deleted with its claim, whatever its storage class says: staged data is not retained."""
    name = str(volume["metadata"]["name"])
    if (volume.get("spec") or {}).get("persistentVolumeReclaimPolicy") == "Delete":
        return
    patch = {"spec": {"persistentVolumeReclaimPolicy": "Delete"}}
    request(
        f"Changing PersistentVolume {name}",
        lambda: server.patch("v1", "PersistentVolume", name, patch),
        step=TEAR_DOWN,
    )


def _wait_for_volumes(
    server: Server, volumes: Objects, *, clock: Clock, progress: Callable[[str], None]
) -> None:
    """Wait until the volumes are deleted with their claims; raise ``StageError`` when time is up."""
    names = {str(one["metadata"]["name"]): str(one["metadata"].get("uid")) for one in volumes}
    reported = False
    while names:
        for name, uid in list(names.items()):
            live = request(
                f"Reading PersistentVolume {name}",
                partial(server.named, "v1", "PersistentVolume", name),
                step=TEAR_DOWN,
            )
            if live is None or live["metadata"].get("uid") != uid:
                del names[name]
        if not names:
            return
        if clock.remaining_s <= 0:
            message = f"PersistentVolumes still exist: {', '.join(sorted(names))}"
            raise StageError(StageCode.NOT_TORN_DOWN, message, step=TEAR_DOWN)
        if not reported:
            progress(f"{TEAR_DOWN}: waiting until the volumes are deleted: {', '.join(sorted(names))}")
            reported = True
        clock.sleep(POLL_S)


def _delete(server: Server, one: Object) -> bool:
    metadata = one["metadata"]
    return server.delete(
        str(one["apiVersion"]), str(one["kind"]), str(metadata["name"]), uid=str(metadata["uid"])
    )
