"""Read the objects of a namespace and the related cluster-scoped objects, one kind after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bais_gates.probes.kubernetes.access import ClusterRefused

if TYPE_CHECKING:
    from bais_gates.probes.kubernetes.cluster import Cluster, Object

IN_NAMESPACE: Final = (
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "Pod"),
    ("batch/v1", "Job"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("cert-manager.io/v1", "Certificate"),
)
ROUTES: Final = (
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("gateway.networking.k8s.io/v1", "GRPCRoute"),
    ("gateway.networking.k8s.io/v1alpha2", "TLSRoute"),
    ("gateway.networking.k8s.io/v1alpha2", "TCPRoute"),
    ("gateway.networking.k8s.io/v1alpha2", "UDPRoute"),
)
IN_CLUSTER: Final = (
    ("v1", "PersistentVolume"),
    ("storage.k8s.io/v1", "StorageClass"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
)


def read_namespace(cluster: Cluster, namespace: str) -> list[Object]:
    """Read a namespace's objects and pods; raise ClusterError when a kind may not be read."""
    return [obj for version, kind in IN_NAMESPACE for obj in cluster.list(version, kind, namespace)]


def read_network(cluster: Cluster, namespace: str) -> list[Object]:
    """Read all namespaces and pods, and the NetworkPolicies of one namespace.

    The egress policies of other namespaces are left out, as others may change them.
    """
    return [
        *cluster.list("v1", "Namespace"),
        *cluster.list("v1", "Pod"),
        *cluster.list("networking.k8s.io/v1", "NetworkPolicy", namespace),
    ]


def read_exposure(cluster: Cluster) -> list[Object]:
    """Read the Services, Ingresses and Gateway API routes of all namespaces, and the IngressClasses.

    A cluster without the Gateway API has no routes.
    """
    objects = [
        *cluster.list("v1", "Service"),
        *cluster.list("networking.k8s.io/v1", "Ingress"),
        *cluster.list("networking.k8s.io/v1", "IngressClass"),
    ]
    return objects + [one for version, kind in ROUTES for one in list_served(cluster, version, kind)]


def list_served(cluster: Cluster, api_version: str, kind: str, namespace: str | None = None) -> list[Object]:
    """Read the objects of a kind, none where the cluster does not serve it; raise ClusterError else."""
    try:
        return cluster.list(api_version, kind, namespace)
    except ClusterRefused as e:
        if e.kind_missing:
            return []
        raise


def read_cluster(cluster: Cluster) -> list[Object]:
    """Read the persistent volumes, the storage classes, and the roles and bindings of all namespaces."""
    return [obj for version, kind in IN_CLUSTER for obj in cluster.list(version, kind)]
