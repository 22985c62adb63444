"""Which kinds are served: what manifests, gates and their tools use, and what CRDs define."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bais_gates.sandbox.cluster.apiserver.kinds.custom import kinds_of
from bais_gates.sandbox.cluster.apiserver.kinds.kind import ALL_VERBS, Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.schema import named

STATUS = frozenset({"status"})
SCALED = frozenset({"status", "scale"})
CREATE_ONLY = ("create",)
READ_ONLY = ("get", "list", "watch")
"""Kinds that gates ask for and nothing here could bring about."""
EVERYTHING = ("all",)
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


@dataclass(frozen=True, slots=True)
class Entry:
    """A built-in kind before its schema is looked at."""

    group: str
    kind: str
    plural: str
    short_names: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    verbs: tuple[str, ...] = ALL_VERBS
    categories: tuple[str, ...] = ()
    version: str = "v1"


def schema_of(entry: Entry) -> str:
    """Return the published name of a built-in kind's schema: ``io.k8s.api.apps.v1.Deployment``."""
    return f"{PACKAGES[entry.group]}.{entry.version}.{entry.kind}"


_NO_COLLECTION = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
_NETWORKING, _RBAC, _REVIEWS = "networking.k8s.io", "rbac.authorization.k8s.io", "authorization.k8s.io"
_CLUSTER_WIDE = frozenset(
    {
        "Namespace", "Node", "PersistentVolume", "IngressClass", "ClusterRole", "ClusterRoleBinding",
        "StorageClass", "PriorityClass", "CustomResourceDefinition", "SelfSubjectAccessReview",
        "SelfSubjectRulesReview", "SubjectAccessReview", "SelfSubjectReview",
    }
)  # fmt: skip
BUILT_IN = (
    Entry("", "Namespace", "namespaces", ("ns",), STATUS, _NO_COLLECTION),
    Entry("", "Node", "nodes", ("no",), STATUS),
    Entry("", "PersistentVolume", "persistentvolumes", ("pv",), STATUS),
    Entry("", "PersistentVolumeClaim", "persistentvolumeclaims", ("pvc",), STATUS),
    Entry("", "Pod", "pods", ("po",), STATUS, categories=EVERYTHING),
    Entry("", "Service", "services", ("svc",), STATUS, categories=EVERYTHING),
    Entry("", "Endpoints", "endpoints", ("ep",)),
    Entry("", "ConfigMap", "configmaps", ("cm",)),
    Entry("", "Secret", "secrets"),
    Entry("", "ServiceAccount", "serviceaccounts", ("sa",)),
    Entry("", "Event", "events", ("ev",)),
    Entry("", "ResourceQuota", "resourcequotas", ("quota",), STATUS),
    Entry("apps", "Deployment", "deployments", ("deploy",), SCALED, categories=EVERYTHING),
    Entry("apps", "ReplicaSet", "replicasets", ("rs",), SCALED, categories=EVERYTHING),
    Entry("apps", "StatefulSet", "statefulsets", ("sts",), SCALED, categories=EVERYTHING),
    Entry("apps", "DaemonSet", "daemonsets", ("ds",), verbs=READ_ONLY),
    Entry("batch", "Job", "jobs", (), STATUS, categories=EVERYTHING),
    Entry("batch", "CronJob", "cronjobs", ("cj",), STATUS, categories=EVERYTHING),
    Entry(
        "autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers", ("hpa",), STATUS,
        categories=EVERYTHING, version="v2",
    ),
    Entry("policy", "PodDisruptionBudget", "poddisruptionbudgets", ("pdb",), STATUS),
    Entry(_NETWORKING, "Ingress", "ingresses", ("ing",), STATUS),
    Entry(_NETWORKING, "IngressClass", "ingressclasses"),
    Entry(_NETWORKING, "NetworkPolicy", "networkpolicies", ("netpol",)),
    Entry(_RBAC, "Role", "roles"),
    Entry(_RBAC, "RoleBinding", "rolebindings"),
    Entry(_RBAC, "ClusterRole", "clusterroles"),
    Entry(_RBAC, "ClusterRoleBinding", "clusterrolebindings"),
    Entry("storage.k8s.io", "StorageClass", "storageclasses", ("sc",)),
    Entry("discovery.k8s.io", "EndpointSlice", "endpointslices"),
    Entry("coordination.k8s.io", "Lease", "leases"),
    Entry("scheduling.k8s.io", "PriorityClass", "priorityclasses", ("pc",), verbs=READ_ONLY),
    Entry(
        "apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", ("crd", "crds"),
        STATUS, categories=("api-extensions",),
    ),
    Entry(_REVIEWS, "SelfSubjectAccessReview", "selfsubjectaccessreviews", verbs=CREATE_ONLY),
    Entry(_REVIEWS, "SelfSubjectRulesReview", "selfsubjectrulesreviews", verbs=CREATE_ONLY),
    Entry(_REVIEWS, "SubjectAccessReview", "subjectaccessreviews", verbs=CREATE_ONLY),
    Entry(
        "authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", verbs=CREATE_ONLY
    ),
)  # fmt: skip


class KindRegistry:
    """The kinds of one API server, by group, version and plural."""

    def __init__(self) -> None:
        """Start with the built-in kinds."""
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in map(_kind, BUILT_IN)}
        self._by_definition: dict[str, list[Kind]] = {}

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """Return the kind that is served under these names."""
        return self._kinds.get((group, version, plural))

    def find_kind(self, api_version: str, kind: str) -> Kind | None:
        """Return the kind that an object's ``apiVersion`` and ``kind`` name."""
        for known in self._kinds.values():
            if known.kind == kind and known.api_version == api_version:
                return known
        return None

    def all(self) -> Iterable[Kind]:
        """Return every kind, built-in ones first."""
        return tuple(self._kinds.values())

    def register_crd(self, crd: Obj) -> list[Kind]:
        """Serve what a CustomResourceDefinition describes, in place of what it described before."""
        self.unregister_crd(crd["metadata"]["name"])
        made = kinds_of(crd)
        self._by_definition[crd["metadata"]["name"]] = made
        self._kinds.update({(kind.group, kind.version, kind.plural): kind for kind in made})
        return made

    def unregister_crd(self, name: str) -> None:
        """Serve the kinds of this CustomResourceDefinition no longer."""
        for kind in self._by_definition.pop(name, []):
            self._kinds.pop((kind.group, kind.version, kind.plural), None)


def _kind(entry: Entry) -> Kind:
    return Kind(
        group=entry.group,
        version=entry.version,
        kind=entry.kind,
        plural=entry.plural,
        singular=entry.kind.lower(),
        list_kind=f"{entry.kind}List",
        short_names=entry.short_names,
        namespaced=entry.kind not in _CLUSTER_WIDE,
        subresources=entry.subresources,
        verbs=entry.verbs,
        categories=entry.categories,
        node=named(schema_of(entry)),
    )
