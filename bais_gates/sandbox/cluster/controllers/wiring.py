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
    namespaces,
    quotas,
    replicasets,
    scheduler,
    statefulsets,
)
from bais_gates.sandbox.cluster.controllers.engine import Controller
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    controller_of,
    is_terminating,
    namespace_of,
    spec_of,
)
from bais_gates.sandbox.cluster.controllers.resources import WATCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from bais_gates.sandbox.cluster.controllers.world import World

    Trigger = Callable[[World, Object], Iterable[Object | None]]


def to_all(kind: str) -> Trigger:
    """Look at all objects of ``kind``: in the changed one's namespace, or everywhere if it has none."""
    return lambda world, obj: world.of_kind(kind, namespace_of(obj) or None)


def _to_controller(world: World, obj: Object) -> Iterable[Object | None]:
    """Look at the object that controls the changed one."""
    return [world.by_uid((controller_of(obj) or {}).get("uid"))]


def _to_unscheduled(world: World, _obj: Object) -> Iterable[Object]:
    return [pod for pod in world.of_kind("Pod") if not spec_of(pod).get("nodeName")]


def _to_claims(world: World, pod: Object) -> Iterable[Object | None]:
    names = claims.claims_of(pod)
    return [world.get("PersistentVolumeClaim", namespace_of(pod), name) for name in names]


def _to_volumes(world: World, claim: Object) -> Iterable[Object | None]:
    names = {claims.volume_name(claim), str(spec_of(claim).get("volumeName"))}
    return [world.get("PersistentVolume", "", name) for name in names]


def _to_claim(world: World, volume: Object) -> Iterable[Object | None]:
    return [world.by_uid((spec_of(volume).get("claimRef") or {}).get("uid"))]


def _to_namespace(world: World, obj: Object) -> Iterable[Object | None]:
    """Look at the namespace; for a pod only while the namespace is being deleted."""
    namespace = world.get("Namespace", "", namespace_of(obj))
    return [namespace] if namespace and (obj["kind"] != "Pod" or is_terminating(namespace)) else []


def controllers(*, wipe: Callable[[str], None], directory: Path, authority: str) -> list[Controller]:
    """Return all controllers but those of nodes and of the pods on them.

    ``wipe`` destroys the data of a volume, ``directory`` holds the sandbox's certificate, ``authority`` is
    the PEM text of who signed it.
    """
    return [
        *_workload_controllers(),
        Controller(
            "namespace",
            ("Namespace",),
            namespaces.reconciler(authority),
            "namespace-controller",
            dict.fromkeys(("Pod", "ServiceAccount", "ConfigMap"), _to_namespace),
        ),
        Controller(
            "claim",
            ("PersistentVolumeClaim",),
            claims.reconcile_claim,
            "persistentvolume-controller",
            {
                "Pod": _to_claims,
                "PersistentVolume": _to_claim,
                "StorageClass": to_all("PersistentVolumeClaim"),
            },
        ),
        Controller(
            "volume",
            ("PersistentVolume",),
            claims.volume_reconciler(wipe),
            "persistentvolume-controller",
            {"PersistentVolumeClaim": _to_volumes},
        ),
        Controller(
            "endpoints",
            ("Service",),
            endpoints.reconcile,
            "endpoint-slice-controller",
            dict.fromkeys(("Pod", "EndpointSlice"), to_all("Service")),
        ),
        Controller(
            "ingress",
            ("Ingress",),
            endpoints.reconcile_ingress,
            "nginx-ingress-controller",
            dict.fromkeys(("Pod", "Service"), to_all("Ingress")),
        ),
        Controller(
            "quota",
            ("ResourceQuota",),
            quotas.reconcile,
            "resourcequota-controller",
            dict.fromkeys((one.kind for one in WATCHED if one.namespaced), to_all("ResourceQuota")),
        ),
        Controller(
            "certificate",
            ("Certificate",),
            certificates.reconciler(directory),
            "cert-manager-certificates-issuing",
            dict.fromkeys(("Secret", "ClusterIssuer"), to_all("Certificate")),
        ),
        Controller(
            "issuer", ("ClusterIssuer",), certificates.reconcile_issuer, "cert-manager-clusterissuers"
        ),
        Controller(
            "garbage",
            garbage.KINDS,
            garbage.reconcile,
            "garbage-collector",
            dict.fromkeys(garbage.KINDS, garbage.related),
        ),
    ]


def _workload_controllers() -> list[Controller]:
    workloads = ("Pod", "ReplicaSet", "Deployment", "StatefulSet")
    return [
        Controller(
            "deployment",
            ("Deployment",),
            deployments.reconcile,
            "deployment-controller",
            {"ReplicaSet": _to_controller},
        ),
        Controller(
            "replicaset",
            ("ReplicaSet",),
            replicasets.reconcile,
            "replicaset-controller",
            {"Pod": _to_controller},
        ),
        Controller(
            "statefulset",
            ("StatefulSet",),
            statefulsets.reconcile,
            "statefulset-controller",
            {"Pod": _to_controller, "PersistentVolumeClaim": to_all("StatefulSet")},
        ),
        Controller("job", ("Job",), jobs.reconcile, "job-controller", {"Pod": _to_controller}),
        Controller(
            "cronjob", ("CronJob",), cronjobs.reconcile, "cronjob-controller", {"Job": _to_controller}
        ),
        Controller(
            "autoscaler",
            ("HorizontalPodAutoscaler",),
            autoscaling.reconcile,
            "horizontal-pod-autoscaler",
            {"Deployment": to_all("HorizontalPodAutoscaler")},
        ),
        Controller(
            "budget",
            ("PodDisruptionBudget",),
            budgets.reconcile,
            "controllermanager",
            dict.fromkeys(workloads, to_all("PodDisruptionBudget")),
        ),
        Controller(
            "scheduler",
            ("Pod",),
            scheduler.reconcile,
            "default-scheduler",
            dict.fromkeys(("Node", "PersistentVolumeClaim", "StorageClass"), _to_unscheduled),
        ),
    ]
