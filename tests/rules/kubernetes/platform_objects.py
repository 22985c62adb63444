"""A healthy platform as plain objects, to which tests add faults."""

from __future__ import annotations

from typing import Any

NAMESPACE = "bais"
LABELS = {"app.kubernetes.io/name": "bais-api"}
PODS = ("bais-api-1", "bais-api-2", "bais-api-3")


def condition(kind: str, status: str = "True") -> dict[str, str]:
    """Return one condition."""
    return {"type": kind, "status": status}


def named(kind: str, name: str, api_version: str, **parts: Any) -> dict[str, Any]:
    """Return an object of the platform's namespace."""
    metadata = {"name": name, "namespace": NAMESPACE, "generation": 1, "uid": f"uid-{kind}-{name}"}
    metadata |= parts.pop("metadata", {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **parts}


def resources(cpu: str = "500m", memory: str = "512Mi") -> dict[str, Any]:
    """Return requests with equal limits."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}}


def pod_spec(**over: Any) -> dict[str, Any]:
    """Return the API's pod."""
    container = {
        "name": "api",
        "ports": [{"name": "https", "containerPort": 8443}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "https"}},
        "livenessProbe": {"httpGet": {"path": "/health", "port": "https"}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": resources(),
        "envFrom": [{"configMapRef": {"name": "bais-api"}}],
    }
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": dict(LABELS)}}
    return {
        "containers": [container],
        "terminationGracePeriodSeconds": 45,
        "topologySpreadConstraints": [apart],
        **over,
    }


def deployment() -> dict[str, Any]:
    """Return the API's Deployment with three replicas that are ready."""
    return named(
        "Deployment",
        "bais-api",
        "apps/v1",
        spec={
            "replicas": 3,
            "selector": {"matchLabels": dict(LABELS)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": dict(LABELS)}, "spec": pod_spec()},
        },
        status={
            "observedGeneration": 1,
            "replicas": 3,
            "readyReplicas": 3,
            "updatedReplicas": 3,
            "availableReplicas": 3,
        },
    )


def pod(name: str, node: str, **over: Any) -> dict[str, Any]:
    """Return a ready pod of the API, or of another component (``labels``)."""
    return named(
        "Pod",
        name,
        "v1",
        metadata={
            "labels": over.get("labels", dict(LABELS)),
            "ownerReferences": [{"kind": "ReplicaSet", "name": "bais-api-5d8f", "controller": True}],
        },
        spec={**pod_spec(), "nodeName": node, **over.get("spec", {})},
        status={
            "phase": "Running",
            "podIP": "10.244.0.1",
            "conditions": [condition("Ready"), condition("PodScheduled")],
        },
    )


def node(name: str, zone: str = "z1") -> dict[str, Any]:
    """Return a node with four CPUs and 16 GiB."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone},
        },
        "spec": {},
        "status": {
            "allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"},
            "conditions": [
                condition("Ready"),
                condition("MemoryPressure", "False"),
                condition("DiskPressure", "False"),
                condition("PIDPressure", "False"),
            ],
        },
    }


def service() -> dict[str, Any]:
    """Return the API's Service."""
    ports = [{"name": "https", "port": 443, "targetPort": "https"}]
    return named("Service", "bais-api", "v1", spec={"selector": dict(LABELS), "ports": ports})


def endpoint_slice() -> dict[str, Any]:
    """Return the EndpointSlice of the API's Service."""
    return named(
        "EndpointSlice",
        "bais-api-x",
        "discovery.k8s.io/v1",
        metadata={"labels": {"kubernetes.io/service-name": "bais-api"}},
        endpoints=[
            {
                "addresses": [f"10.244.0.{number}"],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": name},
            }
            for number, name in enumerate(PODS)
        ],
    )


def autoscaler() -> dict[str, Any]:
    """Return the API's autoscaler: three to five replicas."""
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    return named(
        "HorizontalPodAutoscaler",
        "bais-api",
        "autoscaling/v2",
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "bais-api"},
            "minReplicas": 3,
            "maxReplicas": 5,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
        status={
            "currentReplicas": 3,
            "desiredReplicas": 3,
            "conditions": [condition("ScalingActive"), condition("AbleToScale")],
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 5}}}
            ],
        },
    )


def budget() -> dict[str, Any]:
    """Return the API's disruption budget."""
    return named(
        "PodDisruptionBudget",
        "bais-api",
        "policy/v1",
        spec={"maxUnavailable": 1, "selector": {"matchLabels": dict(LABELS)}},
        status={
            "observedGeneration": 1,
            "expectedPods": 3,
            "currentHealthy": 3,
            "desiredHealthy": 2,
            "disruptionsAllowed": 1,
        },
    )


def claim(name: str, storage: str = "1Gi") -> dict[str, Any]:
    """Return a bound claim."""
    return named(
        "PersistentVolumeClaim",
        name,
        "v1",
        spec={"storageClassName": "bais-encrypted"},
        status={"phase": "Bound", "capacity": {"storage": storage}},
    )


def cron_job() -> dict[str, Any]:
    """Return the CronJob of the backup."""
    ends = {"containers": [{"name": "backup"}], "restartPolicy": "Never"}
    template = {"template": {"spec": ends}, "activeDeadlineSeconds": 600}
    how = {"startingDeadlineSeconds": 60, "concurrencyPolicy": "Forbid"}
    return named(
        "CronJob",
        "bais-backup",
        "batch/v1",
        spec={"schedule": "15 * * * *", "suspend": False, "jobTemplate": {"spec": template}, **how},
        status={"lastSuccessfulTime": "2026-11-23T22:16:00Z"},
    )


def platform() -> dict[str, dict[str, Any]]:
    """Return all objects by a short name."""
    cache = pod("bais-redis-0", "n3", labels={"app.kubernetes.io/name": "bais-redis"})
    ports = [{"name": "redis", "containerPort": 6379}]
    cache["spec"]["containers"] = [{"name": "redis", "ports": ports, "resources": resources("250m", "1Gi")}]
    return {
        "deployment": deployment(),
        "service": service(),
        "slice": endpoint_slice(),
        "autoscaler": autoscaler(),
        "budget": budget(),
        "cron_job": cron_job(),
        "pod1": pod(PODS[0], "n1"),
        "pod2": pod(PODS[1], "n2"),
        "pod3": pod(PODS[2], "n3"),
        "cache": cache,
        "n1": node("n1", "z1"),
        "n2": node("n2", "z2"),
        "n3": node("n3", "z3"),
        "class": {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "bais-encrypted"},
            "allowVolumeExpansion": True,
        },
        "data": claim("data-bais-postgres-0"),
        "backups": claim("bais-backups"),
        "configuration": named("ConfigMap", "bais-api", "v1", data={"DATABASE_POOL": "12"}),
    }
