"""Small objects as the API server returns them."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def deployment(**status: Any) -> Object:
    """Return a Deployment of 3 replicas, rolled out unless ``status`` changes that."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "bais-api", "namespace": "bais-staging", "uid": "d", "generation": 2},
        "spec": {"replicas": 3},
        "status": {
            "observedGeneration": 2,
            "replicas": 3,
            "updatedReplicas": 3,
            "availableReplicas": 3,
            **status,
        },
    }


def stateful_set(strategy: Object | None = None, **status: Any) -> Object:
    """Return a StatefulSet of 2 replicas, rolled out unless ``status`` changes that."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "bais-postgres", "namespace": "bais-staging", "uid": "s", "generation": 1},
        "spec": {"replicas": 2, "updateStrategy": strategy or {"type": "RollingUpdate"}},
        "status": {
            "observedGeneration": 1,
            "replicas": 2,
            "readyReplicas": 2,
            "updatedReplicas": 2,
            "currentRevision": "one",
            "updateRevision": "one",
            **status,
        },
    }


def job(*conditions: Object, **status: Any) -> Object:
    """Return a Job with those conditions."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "bais-migrate", "namespace": "bais-staging", "uid": "j", "generation": 1},
        "spec": {},
        "status": {"conditions": list(conditions), **status},
    }


def condition(kind: str, status: str = "True", **more: Any) -> Object:
    """Return a condition."""
    return {"type": kind, "status": status, **more}


def pod(name: str = "api-1", owner: str = "d", /, **status: Any) -> Object:
    """Return a pod of a workload with that uid."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "bais-staging",
            "uid": f"uid-{name}",
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "status": {"phase": "Pending", **status},
    }


def stuck(reason: str, message: str = "", *, restarts: int = 0, **more: Any) -> Object:
    """Return the status of a container that waits with that reason."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "api", "state": state, "restartCount": restarts, **more}


def event(reason: str, message: str, *, about: str = "d", kind: str = "Warning", count: int = 1) -> Object:
    """Return an event about the object with that uid."""
    return {
        "type": kind,
        "reason": reason,
        "message": message,
        "count": count,
        "involvedObject": {"uid": about},
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
    }
