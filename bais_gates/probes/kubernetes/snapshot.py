"""Everything of a namespace, and what of the cluster it stands on, read once as plain objects.

What a checker judges should be of one moment: objects are read one kind after the other, within a second or
two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
)
IN_CLUSTER: Final = (
    ("v1", "PersistentVolume"),
    ("storage.k8s.io/v1", "StorageClass"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
)


def read_namespace(cluster: Cluster, namespace: str) -> list[Object]:
    """Read a namespace's objects and its running pods; ClusterError when a kind may not be read."""
    found = [obj for version, kind in IN_NAMESPACE for obj in cluster.list(version, kind, namespace)]
    return found + cluster.list("v1", "Pod", namespace) + cluster.list("batch/v1", "Job", namespace)


def read_network(cluster: Cluster, namespace: str) -> list[Object]:
    """Read all that decides who can talk to whom: every namespace and pod, and the namespace's policies.

    Policies of other namespaces are left out: what they let out of there is not ours to rely on.
    """
    return [
        *cluster.list("v1", "Namespace"),
        *cluster.list("v1", "Pod"),
        *cluster.list("networking.k8s.io/v1", "NetworkPolicy", namespace),
    ]


def read_cluster(cluster: Cluster) -> list[Object]:
    """Read the volumes, their classes, and the permissions that are given cluster-wide."""
    return [obj for version, kind in IN_CLUSTER for obj in cluster.list(version, kind)]
