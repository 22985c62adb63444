"""The staged namespace: whose it is, and how it is created and awaited. A foreign one is never changed.

Every object that staging creates carries the label ``bais-gates/owner`` with the name of its environment. A
namespace with this label may be provisioned again and torn down; no other may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bais_gates.probes.kubernetes.access import ClusterRefused
from bais_gates.staging import holding
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.holding import RUN, annotation
from bais_gates.staging.plan import Step
from bais_gates.staging.server import request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bais_gates.staging.plan import Plan
    from bais_gates.staging.readiness import Object, Objects
    from bais_gates.staging.server import Clock, Server

OWNER: Final = "bais-gates/owner"
"""Label: the environment that the object was created for."""
KEPT: Final = "bais-gates/kept"
"""Annotation of the namespace: ``true`` when it was provisioned with --keep."""
TEAR_DOWN: Final = "tear-down"
"""Name of tearing down in progress and errors, as a step's."""
POLL_S: Final = 0.3
REPORT_EVERY_S: Final = 5.0


def owner_of(obj: Mapping[str, Any]) -> str | None:
    """Return the owner in an object's label, None without one."""
    labels = (obj.get("metadata") or {}).get("labels") or {}
    owner = labels.get(OWNER)
    return str(owner) if owner else None


def with_owner(obj: Object, owner: str) -> Object:
    """Return the object with the owner's label."""
    metadata = obj.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), OWNER: owner}
    return {**obj, "metadata": {**metadata, "labels": labels}}


def is_kept(namespace: Object, owner: str) -> bool:
    """Return whether this owner's namespace was provisioned with --keep."""
    return owner_of(namespace) == owner and annotation(namespace, KEPT) == "true"


def is_terminating(namespace: Mapping[str, Any]) -> bool:
    """Return whether a namespace is being deleted."""
    deleted = (namespace.get("metadata") or {}).get("deletionTimestamp")
    return bool(deleted) or (namespace.get("status") or {}).get("phase") == "Terminating"


def require_own(namespace: Mapping[str, Any], owner: str) -> None:
    """Raise ``StageError`` unless the namespace carries this owner's label."""
    actual = owner_of(namespace)
    if actual == owner:
        return
    name = namespace["metadata"]["name"]
    whose = f"its label bais-gates/owner is {actual!r}" if actual else "it has no label bais-gates/owner"
    raise StageError(
        StageCode.NAMESPACE_FOREIGN,
        f"The namespace {name} exists and was not created by `bais-gates stage` for the environment "
        f"{owner!r}: {whose}. Nothing in it was changed",
    )


def read_namespace(server: Server, name: str, *, step: str = TEAR_DOWN) -> Object | None:
    """Return a namespace, None when it does not exist."""
    return request(f"Reading the namespace {name}", lambda: server.named("v1", "Namespace", name), step=step)


def staged_namespaces(server: Server) -> Objects:
    """Return every namespace with an owner's label, of any owner."""
    return request(
        "Listing the staged namespaces", lambda: server.list("v1", "Namespace", labels=OWNER), step="list"
    )


def ensure_namespace(server: Server, plan: Plan, clock: Clock, progress: Callable[[str], None]) -> None:
    """Create the namespace or update the plan owner's, and hold it for the plan's run.

    Raises ``StageError`` for a foreign one, and for one that another live run holds; neither is changed.
    """
    wanted = namespace_object(plan)
    live = read_namespace(server, plan.namespace, step=Step.NAMESPACE)
    if live is not None and is_terminating(live):
        require_own(live, plan.owner)
        progress(f"namespace: waiting until the previous {plan.namespace} is deleted")
        _wait_for_previous(server, live, clock, progress)
        live = None
    if live is None:
        live = _create(server, wanted)
    require_own(live, plan.owner)
    holding.require_free(live, plan.run)
    if annotation(live, RUN) != plan.run:
        holding.take(server, live, wanted["metadata"]["annotations"])
    if is_kept(live, plan.owner):
        wanted["metadata"]["annotations"][KEPT] = "true"
    request(
        f"Applying the namespace {plan.namespace}",
        lambda: server.apply(wanted, force=True),
        step=Step.NAMESPACE,
    )


def namespace_object(plan: Plan) -> Object:
    """Return the manifests' Namespace with the owner's label and the run's annotation."""
    manifest = next((one for one in plan.objects if one.get("kind") == "Namespace"), None)
    if manifest is None:
        raise StageError(
            StageCode.MANIFESTS,
            f"The manifests have no Namespace {plan.namespace}",
            step=Step.NAMESPACE,
        )
    obj = with_owner(manifest, plan.owner)
    annotations: dict[str, Any] = {**(obj["metadata"].get("annotations") or {}), RUN: plan.run}
    annotations |= holding.held_now()
    if plan.keep:
        annotations[KEPT] = "true"
    obj["metadata"]["annotations"] = annotations
    return obj


def _create(server: Server, wanted: Object) -> Object:
    """Create the namespace, or return the one that somebody else created since it was looked up."""
    name = wanted["metadata"]["name"]

    def create() -> Object:
        try:
            return server.create(wanted)
        except ClusterRefused as refusal:
            if refusal.reason == "AlreadyExists" and (live := server.named("v1", "Namespace", name)):
                return live
            raise

    return request(f"Creating the namespace {name}", create, step=Step.NAMESPACE)


def _wait_for_previous(server: Server, live: Object, clock: Clock, progress: Callable[[str], None]) -> None:
    try:
        wait_until_deleted(server, live, clock=clock, progress=progress, step=Step.NAMESPACE)
    except StageError as error:
        if error.code is not StageCode.NOT_TORN_DOWN:
            raise
        name = live["metadata"]["name"]
        raise StageError(
            StageCode.NAMESPACE_TERMINATING,
            f"The namespace {name} is being deleted and does not go: {_blockers(live)}",
            step=Step.NAMESPACE,
        ) from None


def wait_until_deleted(
    server: Server, namespace: Object, *, clock: Clock, progress: Callable[[str], None], step: str = TEAR_DOWN
) -> None:
    """Wait until this namespace (by its uid) is gone; raise ``StageError`` with what blocks it otherwise."""
    name, uid = str(namespace["metadata"]["name"]), namespace["metadata"]["uid"]
    began = reported_at = clock.now()
    while (live := read_namespace(server, name, step=step)) and live["metadata"].get("uid") == uid:
        if clock.remaining_s <= 0:
            raise StageError(
                StageCode.NOT_TORN_DOWN,
                f"The namespace {name} still exists after {clock.now() - began:.0f} s: "
                f"{_blockers(live) or 'its conditions do not state why'}",
                step=step,
            )
        if clock.now() - reported_at >= REPORT_EVERY_S:
            reported_at = clock.now()
            progress(f"{step}: waiting until the namespace {name} is deleted ({clock.now() - began:.0f} s)")
        clock.sleep(POLL_S)


def _blockers(namespace: Mapping[str, Any]) -> str:
    """Return what blocks a namespace's deletion, from its conditions; empty without any."""
    conditions = (namespace.get("status") or {}).get("conditions") or []
    return "; ".join(
        str(one.get("message") or one.get("reason"))
        for one in conditions
        if one.get("status") == "True" and str(one.get("type", "")).startswith("Namespace")
    )
