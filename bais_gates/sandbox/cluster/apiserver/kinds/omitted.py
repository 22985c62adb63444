"""What the API server's own types leave out when they are written, and what they always write.

The published schemas don't say it: a field that is empty (``""``, ``0``, ``false``, an empty list or map)
is left out unless the type holds it by pointer, and a part that the type holds by value is written even
when it is empty (``resources: {}``, ``strategy: {}``, ``status: {}``).
"""

from __future__ import annotations

from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.schema import named

# Texts that are held by pointer: an empty one says something else than none.
KEPT_WHEN_EMPTY = frozenset(
    {
        "appProtocol",
        "deprecationWarning",
        "endPort",
        "hostname",
        "ingressClassName",
        "loadBalancerClass",
        "nodeName",
        "nominatedNodeName",
        "runtimeClassName",
        "storageClassName",
        "volumeAttributesClassName",
    }
)
DROPPED_WHEN_FALSE = frozenset(
    {
        "globalDefault",
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "paused",
        "publishNotReadyAddresses",
        "readOnly",
        "stdin",
        "stdinOnce",
        "tty",
        "unschedulable",
    }
)
DROPPED_WHEN_ZERO = frozenset(
    {
        "active",
        "availableReplicas",
        "count",
        "currentReplicas",
        "failed",
        "fullyLabeledReplicas",
        "generation",
        "healthCheckNodePort",
        "hostPort",
        "initialDelaySeconds",
        "minReadySeconds",
        "nodePort",
        "numberUnavailable",
        "observedGeneration",
        "readyReplicas",
        "replicas",
        "signal",
        "succeeded",
        "unavailableReplicas",
        "updatedNumberScheduled",
        "updatedReplicas",
    }
)
# Definitions whose field of one of the names above is a pointer after all.
ZERO_IS_SAID = frozenset({"DeploymentSpec", "ReplicaSetSpec", "StatefulSetSpec", "JobSpec", "CronJobSpec"})
_BOTH = ("metadata", "spec", "status")
ALWAYS: dict[str, tuple[str, ...]] = {
    "Deployment": _BOTH,
    "DeploymentSpec": ("strategy", "template"),
    "ReplicaSet": _BOTH,
    "ReplicaSetSpec": ("template",),
    "StatefulSet": _BOTH,
    "StatefulSetSpec": ("template", "updateStrategy"),
    "PodTemplateSpec": ("metadata", "spec"),
    "Job": _BOTH,
    "JobSpec": ("template",),
    "JobTemplateSpec": ("metadata", "spec"),
    "CronJob": _BOTH,
    "CronJobSpec": ("jobTemplate",),
    "Pod": _BOTH,
    "Container": ("resources",),
    "EphemeralContainer": ("resources",),
    "ContainerStatus": ("state", "lastState"),
    "Service": _BOTH,
    "ServiceStatus": ("loadBalancer",),
    "Ingress": _BOTH,
    "IngressStatus": ("loadBalancer",),
    "HTTPIngressPath": ("backend",),
    "IngressClass": ("metadata", "spec"),
    "NetworkPolicy": ("metadata", "spec"),
    "NetworkPolicySpec": ("podSelector",),
    "PersistentVolume": _BOTH,
    "PersistentVolumeClaim": _BOTH,
    "PersistentVolumeClaimSpec": ("resources",),
    "Namespace": _BOTH,
    "Node": _BOTH,
    "NodeStatus": ("daemonEndpoints", "nodeInfo"),
    "NodeDaemonEndpoints": ("kubeletEndpoint",),
    "HorizontalPodAutoscaler": _BOTH,
    "HorizontalPodAutoscalerSpec": ("scaleTargetRef",),
    "ResourceMetricSource": ("target",),
    "ResourceMetricStatus": ("current",),
    "PodDisruptionBudget": _BOTH,
    "ResourceQuota": _BOTH,
    "Event": ("metadata", "involvedObject", "source"),
    "Lease": ("metadata", "spec"),
    "Endpoint": ("conditions",),
    "CustomResourceDefinition": _BOTH,
    "CustomResourceDefinitionSpec": ("names",),
    "RoleBinding": ("metadata", "roleRef"),
    "ClusterRoleBinding": ("metadata", "roleRef"),
}
# Texts and numbers that are written even when nobody gave them.
ALWAYS_VALUES: dict[str, dict[str, Any]] = {
    "ReplicaSetStatus": {"replicas": 0},
    "StatefulSetStatus": {"replicas": 0, "availableReplicas": 0},
    "PodDisruptionBudgetStatus": {
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "disruptionsAllowed": 0,
        "expectedPods": 0,
    },
    "HorizontalPodAutoscalerStatus": {"currentMetrics": None, "desiredReplicas": 0},
    "Role": {"rules": None},
    "ClusterRole": {"rules": None},
    "DaemonEndpoint": {"Port": 0},
    "PodCondition": {"lastProbeTime": None, "lastTransitionTime": None},
    "JobCondition": {"lastProbeTime": None, "lastTransitionTime": None},
    "PersistentVolumeClaimCondition": {"lastProbeTime": None, "lastTransitionTime": None},
    "DeploymentCondition": {"lastUpdateTime": None, "lastTransitionTime": None},
    "ReplicaSetCondition": {"lastTransitionTime": None},
    "StatefulSetCondition": {"lastTransitionTime": None},
    "NamespaceCondition": {"lastTransitionTime": None},
    "NodeCondition": {"lastHeartbeatTime": None, "lastTransitionTime": None},
    "Event": {
        "eventTime": None,
        "firstTimestamp": None,
        "lastTimestamp": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
    "NodeSystemInfo": {
        "architecture": "",
        "bootID": "",
        "containerRuntimeVersion": "",
        "kernelVersion": "",
        "kubeProxyVersion": "",
        "kubeletVersion": "",
        "machineID": "",
        "operatingSystem": "",
        "osImage": "",
        "systemUUID": "",
    },
}


def short(name: str) -> str:
    """Return ``DeploymentSpec`` for ``io.k8s.api.apps.v1.DeploymentSpec``."""
    return name.rpartition(".")[2]


def zero_value(name: str) -> dict[str, Any]:
    """Return what a type writes when nothing of it was set: the object before it is created."""
    made: dict[str, Any] = {}
    for field in ALWAYS.get(short(name), () if "." not in name else ("metadata",) if _is_kind(name) else ()):
        part = named(name).fields.get(field)
        made[field] = zero_value(part.name) if part is not None and part.name else {}
    for field in named(name).required:
        part = named(name).fields.get(field)
        if field not in made and part is not None and part.shape in {"list", "map", "object"}:
            made[field] = None
    return made | {key: value for key, value in ALWAYS_VALUES.get(short(name), {}).items() if key not in made}


def _is_kind(name: str) -> bool:
    return bool(named(name).source.get("x-kubernetes-group-version-kind"))
