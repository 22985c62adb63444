"""Which controllers there are, and what makes each of them look again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers import (
    autoscaling,
    budgets,
    certificates,
    claims,
    cronjobs,
    deployments,
    endpoints,
    garbage,
    jobs,
    replicasets,
    scheduler,
    statefulsets,
)
from bais_gates.sandbox.cluster.controllers import quotas as quota_controller
from bais_gates.sandbox.cluster.controllers.engine import Controller
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    controller_of,
    name_of,
    namespace_of,
    spec_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bais_gates.sandbox.cluster.controllers.world import World

_Keys = "Iterable[tuple[str, str]]"


def to_controller(kind: str) -> Callable[[World, Object], Iterable[tuple[str, str]]]:
    """Look at the object of ``kind`` that controls the changed one."""

    def keys(_world: World, obj: Object) -> Iterable[tuple[str, str]]:
        ref = controller_of(obj)
        if ref is not None and ref["kind"] == kind:
            yield namespace_of(obj), str(ref["name"])

    return keys


def to_all(kind: str, *, same_namespace: bool = True) -> Callable[[World, Object], Iterable[tuple[str, str]]]:
    """Look at all objects of ``kind``: in the changed one's namespace, or everywhere."""

    def keys(world: World, obj: Object) -> Iterable[tuple[str, str]]:
        where = namespace_of(obj) if same_namespace else None
        return [(namespace_of(one), name_of(one)) for one in world.of_kind(kind, where)]

    return keys


def _to_dependents(kind: str) -> Callable[[World, Object], Iterable[tuple[str, str]]]:
    """Look at what the changed object owns, and at the owners that may be waiting for it."""

    def keys(world: World, obj: Object) -> Iterable[tuple[str, str]]:
        found = [
            (namespace_of(one), name_of(one))
            for one in garbage.dependents_of(world, obj)
            if one["kind"] == kind
        ]
        return found + [(space, name) for what, space, name in garbage.owners_of(obj) if what == kind]

    return keys


def _unscheduled(world: World, _obj: Object) -> Iterable[tuple[str, str]]:
    return [
        (namespace_of(pod), name_of(pod)) for pod in world.of_kind("Pod") if not spec_of(pod).get("nodeName")
    ]


def _to_claims(world: World, pod: Object) -> Iterable[tuple[str, str]]:
    del world
    return [(namespace_of(pod), name) for name in claims.claims_of(pod)]


def _to_volume(_world: World, claim: Object) -> Iterable[tuple[str, str]]:
    yield "", claims.volume_name(claim)
    if spec_of(claim).get("volumeName"):
        yield "", str(spec_of(claim)["volumeName"])


def _to_claim_of_volume(_world: World, volume: Object) -> Iterable[tuple[str, str]]:
    ref = spec_of(volume).get("claimRef") or {}
    if ref:
        yield str(ref.get("namespace", "")), str(ref.get("name", ""))


def workload_controllers() -> list[Controller]:
    """Give the controllers of workloads and of what belongs to them."""
    return [
        Controller(
            name="deployment",
            kind="Deployment",
            reconcile=deployments.reconcile,
            component="deployment-controller",
            triggers={"ReplicaSet": to_controller("Deployment"), "Pod": _pods_of_recreated},
        ),
        Controller(
            name="replicaset",
            kind="ReplicaSet",
            reconcile=replicasets.reconcile,
            component="replicaset-controller",
            triggers={"Pod": to_controller("ReplicaSet")},
        ),
        Controller(
            name="statefulset",
            kind="StatefulSet",
            reconcile=statefulsets.reconcile,
            component="statefulset-controller",
            triggers={"Pod": to_controller("StatefulSet"), "PersistentVolumeClaim": to_all("StatefulSet")},
        ),
        Controller(
            name="job",
            kind="Job",
            reconcile=jobs.reconcile,
            component="job-controller",
            triggers={"Pod": to_controller("Job")},
        ),
        Controller(
            name="cronjob",
            kind="CronJob",
            reconcile=cronjobs.reconcile,
            component="cronjob-controller",
            triggers={"Job": to_controller("CronJob")},
        ),
        Controller(
            name="autoscaler",
            kind="HorizontalPodAutoscaler",
            reconcile=autoscaling.reconcile,
            component="horizontal-pod-autoscaler",
            triggers={"Deployment": to_all("HorizontalPodAutoscaler")},
        ),
        Controller(
            name="budget",
            kind="PodDisruptionBudget",
            reconcile=budgets.reconcile,
            component="controllermanager",
            triggers={
                kind: to_all("PodDisruptionBudget")
                for kind in ("Pod", "ReplicaSet", "Deployment", "StatefulSet")
            },
        ),
        Controller(
            name="scheduler",
            kind="Pod",
            reconcile=scheduler.reconcile,
            component="default-scheduler",
            triggers={
                "Node": _unscheduled,
                "PersistentVolumeClaim": _unscheduled,
                "StorageClass": _unscheduled,
            },
        ),
    ]


def _pods_of_recreated(world: World, pod: Object) -> Iterable[tuple[str, str]]:
    """Look at the Deployment of a pod: one of the type Recreate waits for its old pods to be gone."""
    ref = controller_of(pod)
    owner = world.by_uid(str(ref["uid"])) if ref is not None else None
    if owner is not None and owner["kind"] == "ReplicaSet":
        yield from to_controller("Deployment")(world, owner)


def other_controllers(wipe: Callable[[str], None], authority: certificates.Authority) -> list[Controller]:
    """Give the controllers of storage, addresses, quotas, certificates and garbage."""
    quota_kinds = ("Pod", "PersistentVolumeClaim", "Service", "ConfigMap", "Secret")
    return [
        Controller(
            name="claim",
            kind="PersistentVolumeClaim",
            reconcile=claims.reconcile_claim,
            component="persistentvolume-controller",
            triggers={
                "Pod": _to_claims,
                "PersistentVolume": _to_claim_of_volume,
                "StorageClass": to_all("PersistentVolumeClaim", same_namespace=False),
            },
        ),
        Controller(
            name="volume",
            kind="PersistentVolume",
            reconcile=claims.volume_reconciler(wipe),
            component="persistentvolume-controller",
            triggers={"PersistentVolumeClaim": _to_volume},
        ),
        Controller(
            name="endpoints",
            kind="Service",
            reconcile=endpoints.reconcile,
            component="endpoint-slice-controller",
            triggers={kind: to_all("Service") for kind in ("Pod", "EndpointSlice", "Endpoints")},
        ),
        Controller(
            name="ingress",
            kind="Ingress",
            reconcile=endpoints.reconcile_ingress,
            component="nginx-ingress-controller",
            triggers={kind: to_all("Ingress") for kind in ("Pod", "Service")},
        ),
        Controller(
            name="quota",
            kind="ResourceQuota",
            reconcile=quota_controller.reconcile,
            component="resourcequota-controller",
            triggers={kind: to_all("ResourceQuota") for kind in quota_kinds},
        ),
        Controller(
            name="certificate",
            kind="Certificate",
            reconcile=certificates.reconciler(authority),
            component="cert-manager-certificates-issuing",
            triggers={
                "Secret": to_all("Certificate"),
                "ClusterIssuer": to_all("Certificate", same_namespace=False),
            },
        ),
        Controller(
            name="issuer",
            kind="ClusterIssuer",
            reconcile=certificates.reconcile_issuer,
            component="cert-manager-clusterissuers",
        ),
        *(
            Controller(
                name=f"garbage-{kind}",
                kind=kind,
                reconcile=garbage.reconcile,
                component="garbage-collector",
                triggers={other: _to_dependents(kind) for other in garbage.kinds()},
            )
            for kind in garbage.kinds()
        ),
    ]
