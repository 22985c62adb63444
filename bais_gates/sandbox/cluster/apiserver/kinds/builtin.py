"""The built-in kinds that the stand-in serves, and no more: what manifests, gates and their tools use."""

from __future__ import annotations

from dataclasses import dataclass

from bais_gates.sandbox.cluster.apiserver.kinds.kind import ALL_VERBS, Kind
from bais_gates.sandbox.cluster.apiserver.kinds.schema import named

STATUS = frozenset({"status"})
SCALED = frozenset({"status", "scale"})
CREATE_ONLY = ("create",)
WITHOUT_COLLECTION = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
EVERYTHING = ("all",)
# What the schemas need besides the kinds themselves: bodies of subresources and of deletions.
EXTRA_DEFINITIONS = (
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.core.v1.Binding",
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
)
PACKAGES = {
    "": "io.k8s.api.core",
    "apps": "io.k8s.api.apps",
    "batch": "io.k8s.api.batch",
    "autoscaling": "io.k8s.api.autoscaling",
    "policy": "io.k8s.api.policy",
    "networking.k8s.io": "io.k8s.api.networking",
    "rbac.authorization.k8s.io": "io.k8s.api.rbac",
    "storage.k8s.io": "io.k8s.api.storage",
    "discovery.k8s.io": "io.k8s.api.discovery",
    "coordination.k8s.io": "io.k8s.api.coordination",
    "authorization.k8s.io": "io.k8s.api.authorization",
    "authentication.k8s.io": "io.k8s.api.authentication",
    "scheduling.k8s.io": "io.k8s.api.scheduling",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A built-in kind before its schema is looked at."""

    group: str
    version: str
    kind: str
    plural: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: frozenset[str] = frozenset()
    verbs: tuple[str, ...] = ALL_VERBS
    categories: tuple[str, ...] = ()


def schema_of(entry: Entry | Kind) -> str:
    """Return the published name of a built-in kind's schema: ``io.k8s.api.apps.v1.Deployment``."""
    return f"{PACKAGES[entry.group]}.{entry.version}.{entry.kind}"


def _core(kind: str, plural: str, *short: str, **more: object) -> Entry:
    return Entry(group="", version="v1", kind=kind, plural=plural, short_names=short, **more)  # type: ignore[arg-type]  # the keys are Entry's own


def _in(group: str, kind: str, plural: str, *short: str, version: str = "v1", **more: object) -> Entry:
    return Entry(group=group, version=version, kind=kind, plural=plural, short_names=short, **more)  # type: ignore[arg-type]  # the keys are Entry's own


RBAC = "rbac.authorization.k8s.io"
NETWORKING = "networking.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
BUILT_IN: tuple[Entry, ...] = (
    _core("Namespace", "namespaces", "ns", namespaced=False, subresources=STATUS, verbs=WITHOUT_COLLECTION),
    _core("Node", "nodes", "no", namespaced=False, subresources=STATUS),
    _core("PersistentVolume", "persistentvolumes", "pv", namespaced=False, subresources=STATUS),
    _core("PersistentVolumeClaim", "persistentvolumeclaims", "pvc", subresources=STATUS),
    _core("Pod", "pods", "po", subresources=STATUS, categories=EVERYTHING),
    _core("Service", "services", "svc", subresources=STATUS, categories=EVERYTHING),
    _core("Endpoints", "endpoints", "ep"),
    _core("ConfigMap", "configmaps", "cm"),
    _core("Secret", "secrets"),
    _core("ServiceAccount", "serviceaccounts", "sa"),
    _core("Event", "events", "ev"),
    _core("ResourceQuota", "resourcequotas", "quota", subresources=STATUS),
    _core("LimitRange", "limitranges", "limits"),
    _in("apps", "Deployment", "deployments", "deploy", subresources=SCALED, categories=EVERYTHING),
    _in("apps", "ReplicaSet", "replicasets", "rs", subresources=SCALED, categories=EVERYTHING),
    _in("apps", "StatefulSet", "statefulsets", "sts", subresources=SCALED, categories=EVERYTHING),
    _in("apps", "DaemonSet", "daemonsets", "ds", subresources=STATUS, categories=EVERYTHING),
    _in("apps", "ControllerRevision", "controllerrevisions"),
    _in("batch", "Job", "jobs", subresources=STATUS, categories=EVERYTHING),
    _in("batch", "CronJob", "cronjobs", "cj", subresources=STATUS, categories=EVERYTHING),
    _in(
        "autoscaling",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "hpa",
        version="v2",
        subresources=STATUS,
        categories=EVERYTHING,
    ),
    _in("policy", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", subresources=STATUS),
    _in(NETWORKING, "Ingress", "ingresses", "ing", subresources=STATUS),
    _in(NETWORKING, "IngressClass", "ingressclasses", namespaced=False),
    _in(NETWORKING, "NetworkPolicy", "networkpolicies", "netpol"),
    _in(RBAC, "Role", "roles"),
    _in(RBAC, "RoleBinding", "rolebindings"),
    _in(RBAC, "ClusterRole", "clusterroles", namespaced=False),
    _in(RBAC, "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    _in("storage.k8s.io", "StorageClass", "storageclasses", "sc", namespaced=False),
    _in("discovery.k8s.io", "EndpointSlice", "endpointslices"),
    _in("coordination.k8s.io", "Lease", "leases"),
    _in("scheduling.k8s.io", "PriorityClass", "priorityclasses", "pc", namespaced=False),
    _in(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd",
        "crds",
        namespaced=False,
        subresources=STATUS,
        categories=("api-extensions",),
    ),
    _in(
        AUTHORIZATION,
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        namespaced=False,
        verbs=CREATE_ONLY,
    ),
    _in(
        AUTHORIZATION,
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        namespaced=False,
        verbs=CREATE_ONLY,
    ),
    _in(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", namespaced=False, verbs=CREATE_ONLY),
    _in(AUTHORIZATION, "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=CREATE_ONLY),
    _in("authentication.k8s.io", "TokenReview", "tokenreviews", namespaced=False, verbs=CREATE_ONLY),
    _in(
        "authentication.k8s.io",
        "SelfSubjectReview",
        "selfsubjectreviews",
        namespaced=False,
        verbs=CREATE_ONLY,
    ),
)


def built_in_kinds() -> list[Kind]:
    """Return the built-in kinds with their schemas."""
    return [
        Kind(
            group=entry.group,
            version=entry.version,
            kind=entry.kind,
            plural=entry.plural,
            singular=entry.kind.lower(),
            list_kind=f"{entry.kind}List",
            short_names=entry.short_names,
            namespaced=entry.namespaced,
            subresources=entry.subresources,
            verbs=entry.verbs,
            categories=entry.categories,
            node=named(schema_of(entry)),
        )
        for entry in BUILT_IN
    ]
