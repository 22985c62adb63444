"""Objects to start from, and short ways to ask the kinds about them."""

from __future__ import annotations

import copy
from typing import Any

from bais_gates.sandbox.cluster.apiserver import kinds

NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-02T00:00:00Z"
REGISTRY = kinds.KindRegistry()
Obj = dict[str, Any]

TEMPLATE: Obj = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "example/web:1", "ports": [{"containerPort": 80}]}]},
}
CLAIM: Obj = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
ONCE: Obj = {"spec": {"containers": [{"name": "once", "image": "example/once:1"}], "restartPolicy": "Never"}}
SPECS: dict[str, tuple[str, Obj]] = {
    "Pod": ("v1", {"spec": {"containers": [{"name": "web", "image": "example/web:1"}]}}),
    "Deployment": ("apps/v1", {"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}}),
    "ReplicaSet": ("apps/v1", {"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}}),
    "StatefulSet": (
        "apps/v1",
        {
            "spec": {
                "serviceName": "web",
                "selector": {"matchLabels": {"app": "web"}},
                "template": TEMPLATE,
                "volumeClaimTemplates": [CLAIM],
            }
        },
    ),
    "Job": ("batch/v1", {"spec": {"template": ONCE}}),
    "CronJob": ("batch/v1", {"spec": {"schedule": "5 1 * * *", "jobTemplate": {"spec": {"template": ONCE}}}}),
    "Service": ("v1", {"spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}),
    "ConfigMap": ("v1", {"data": {"key": "value"}}),
    "Secret": ("v1", {"stringData": {"password": "hunter2"}}),
    "Namespace": ("v1", {}),
    "PersistentVolumeClaim": ("v1", {"spec": CLAIM["spec"]}),
    "Ingress": (
        "networking.k8s.io/v1",
        {
            "spec": {
                "rules": [
                    {
                        "host": "web.example.com",
                        "http": {
                            "paths": [
                                {
                                    "path": "/",
                                    "pathType": "Prefix",
                                    "backend": {"service": {"name": "web", "port": {"number": 80}}},
                                }
                            ]
                        },
                    }
                ]
            }
        },
    ),
    "NetworkPolicy": ("networking.k8s.io/v1", {"spec": {"podSelector": {}, "egress": [{}]}}),
    "HorizontalPodAutoscaler": (
        "autoscaling/v2",
        {
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "maxReplicas": 5,
            }
        },
    ),
    "PodDisruptionBudget": (
        "policy/v1",
        {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}},
    ),
    "Role": (
        "rbac.authorization.k8s.io/v1",
        {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    ),
    "RoleBinding": (
        "rbac.authorization.k8s.io/v1",
        {"roleRef": {"kind": "Role", "name": "reader"}, "subjects": [{"kind": "User", "name": "ann"}]},
    ),
    "StorageClass": ("storage.k8s.io/v1", {"provisioner": "example.com/disk"}),
}


def kind(name: str) -> kinds.Kind:
    """Return a built-in kind by its name."""
    return next(each for each in REGISTRY.all() if each.kind == name)


def make(name: str, **changes: Any) -> Obj:
    """Return a valid object of a kind; ``spec__replicas=-1`` sets a field, ``...`` takes one away."""
    version, rest = SPECS[name]
    meta: Obj = {"name": "web", "namespace": "shop", "uid": "11111111-2222-3333-4444-555555555555"}
    obj: Obj = {"apiVersion": version, "kind": name, "metadata": meta, **copy.deepcopy(rest)}
    return changed(obj, **changes)


def changed(obj: Obj, **changes: Any) -> Obj:
    """Return a copy of an object with fields set, by their path joined with ``__``."""
    made = copy.deepcopy(obj)
    for path, value in changes.items():
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("__"))
        here: Any = made
        for part in parents:
            here = here[part] if isinstance(part, int) else here.setdefault(part, {})
        if value is ...:
            here.pop(last)
        else:
            here[last] = value
    return made


def created(name: str, **changes: Any) -> Obj:
    """Return an object of a kind as it is stored after a POST."""
    return kinds.prepare_create(kind(name), make(name, **changes), strict=True).obj


def said_of(name: str, **changes: Any) -> list[tuple[str, str, str]]:
    """Return the causes (reason, field, message) that a POST of a changed object is answered with."""
    try:
        created(name, **changes)
    except kinds.Invalid as refused:
        return [(cause.reason, cause.field, cause.message) for cause in refused.causes]
    return []
