"""The kinds that the controllers watch, and where each of them lives in the API."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind and its place: ``apiVersion``, plural, and whether its objects live in namespaces.

    ``optional`` is one whose CRD may be absent.
    """

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    optional: bool = False

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Give the path of the collection (of one namespace), of an object in it, or of its subresource."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = f"/{name}" if name else ""
        return f"{root}{inside}/{self.plural}{tail}" + (f"/{subresource}" if subresource else "")


def _core(kind: str, plural: str, *, namespaced: bool = True) -> Resource:
    return Resource(api_version="v1", kind=kind, plural=plural, namespaced=namespaced)


WATCHED: tuple[Resource, ...] = (
    _core("Namespace", "namespaces", namespaced=False),
    _core("Node", "nodes", namespaced=False),
    _core("PersistentVolume", "persistentvolumes", namespaced=False),
    _core("PersistentVolumeClaim", "persistentvolumeclaims"),
    _core("Pod", "pods"),
    _core("Service", "services"),
    _core("Endpoints", "endpoints"),
    _core("ServiceAccount", "serviceaccounts"),
    _core("ConfigMap", "configmaps"),
    _core("Secret", "secrets"),
    _core("ResourceQuota", "resourcequotas"),
    Resource(api_version="apps/v1", kind="Deployment", plural="deployments"),
    Resource(api_version="apps/v1", kind="ReplicaSet", plural="replicasets"),
    Resource(api_version="apps/v1", kind="StatefulSet", plural="statefulsets"),
    Resource(api_version="batch/v1", kind="Job", plural="jobs"),
    Resource(api_version="batch/v1", kind="CronJob", plural="cronjobs"),
    Resource(api_version="autoscaling/v2", kind="HorizontalPodAutoscaler", plural="horizontalpodautoscalers"),
    Resource(api_version="policy/v1", kind="PodDisruptionBudget", plural="poddisruptionbudgets"),
    Resource(api_version="networking.k8s.io/v1", kind="Ingress", plural="ingresses"),
    Resource(api_version="discovery.k8s.io/v1", kind="EndpointSlice", plural="endpointslices"),
    Resource(api_version="storage.k8s.io/v1", kind="StorageClass", plural="storageclasses", namespaced=False),
    Resource(
        api_version="apiextensions.k8s.io/v1",
        kind="CustomResourceDefinition",
        plural="customresourcedefinitions",
        namespaced=False,
    ),
    Resource(api_version="cert-manager.io/v1", kind="Certificate", plural="certificates", optional=True),
    Resource(
        api_version="cert-manager.io/v1",
        kind="ClusterIssuer",
        plural="clusterissuers",
        namespaced=False,
        optional=True,
    ),
)
"""Everything that is cached: the kinds of the manifests, and those that make them come true."""

LEASES = Resource(api_version="coordination.k8s.io/v1", kind="Lease", plural="leases")
EVENTS = _core("Event", "events")
BY_KIND = {resource.kind: resource for resource in (*WATCHED, LEASES, EVENTS)}
