"""What a fresh cluster has: its namespaces, its own Service, and the roles that everybody refers to."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import kinds
from bais_gates.sandbox.cluster.apiserver.authorization import GROUP, MASTERS
from bais_gates.sandbox.cluster.apiserver.core import key_of, now, type_of
from bais_gates.sandbox.cluster.apiserver.effects import before_create

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.core import Core

Object = dict[str, Any]
NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_HEALTH = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz",
              "/version", "/version/"]  # fmt: skip


def seed(core: Core) -> None:
    """Put the objects of a fresh cluster into an empty store."""
    for name in NAMESPACES:
        _put(core, "v1", "Namespace", {"metadata": {"name": name}})
    labels = {"component": "apiserver", "provider": "kubernetes"}
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}
    service = {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [port], "type": "ClusterIP"}
    metadata = {"name": "kubernetes", "namespace": "default", "labels": labels}
    _put(core, "v1", "Service", {"metadata": metadata, "spec": service})
    for name, rules in _roles().items():
        _put(core, f"{GROUP}/v1", "ClusterRole", {"metadata": _bootstrap(name), "rules": rules})
    for name, role, groups in (
        ("cluster-admin", "cluster-admin", [MASTERS]),
        ("system:discovery", "system:discovery", ["system:authenticated"]),
        ("system:basic-user", "system:basic-user", ["system:authenticated"]),
        (
            "system:public-info-viewer",
            "system:public-info-viewer",
            ["system:authenticated", "system:unauthenticated"],
        ),
    ):
        subjects = [{"kind": "Group", "apiGroup": GROUP, "name": group} for group in groups]
        reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
        binding = {"metadata": _bootstrap(name), "roleRef": reference, "subjects": subjects}
        _put(core, f"{GROUP}/v1", "ClusterRoleBinding", binding)


def _bootstrap(name: str) -> Object:
    return {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }


def _roles() -> dict[str, list[Object]]:
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    return {
        "cluster-admin": [_rule("*", ["*"], ["*"]), {"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "system:basic-user": [
            _rule("authorization.k8s.io", reviews, ["create"]),
            _rule("authentication.k8s.io", ["selfsubjectreviews"], ["create"]),
        ],
        "system:discovery": [{"verbs": ["get"], "nonResourceURLs": _DISCOVERY}],
        "system:public-info-viewer": [{"verbs": ["get"], "nonResourceURLs": _HEALTH}],
    }


def _rule(group: str, resources: list[str], verbs: list[str]) -> Object:
    return {"verbs": verbs, "apiGroups": [group], "resources": resources}


def _put(core: Core, api_version: str, kind_name: str, body: Object) -> None:
    kind = core.registry.find_kind(api_version, kind_name)
    if kind is None:
        raise LookupError(f"{api_version} {kind_name} is not served")
    metadata = {**body["metadata"], "uid": str(uuid.uuid4()), "creationTimestamp": now()}
    body = before_create(kind, {"apiVersion": api_version, "kind": kind_name, **body, "metadata": metadata})
    made = kinds.prepare_create(kind, body, strict=True)
    key = key_of(kind, metadata.get("namespace", ""), metadata["name"])
    core.store.put(type_of(kind), key, made.obj)
