"""The rules of single fields, by the definition that has the field: one table, walked along the schema.

Only fields that the manifests, the controllers or everyday kubectl send have a rule; any other field is held
to its type and nothing else. Rules about several fields at once are in :mod:`objects`.
"""

from __future__ import annotations

import ipaddress
import zoneinfo
from collections.abc import Callable
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import Cause, invalid, not_supported, required
from bais_gates.sandbox.cluster.apiserver.kinds.omitted import short
from bais_gates.sandbox.cluster.apiserver.kinds.schema import Node
from bais_gates.sandbox.cluster.apiserver.kinds.validation import names

Rule = Callable[[Any, str], list[Cause]]
"""Takes a field's value (None when it isn't there) and its path."""
NOT_NEGATIVE = "must be greater than or equal to 0"
RBAC_GROUP = "rbac.authorization.k8s.io"
_COUNTS = frozenset(
    {
        "activeDeadlineSeconds", "backoffLimit", "completions", "failedJobsHistoryLimit", "failureThreshold",
        "initialDelaySeconds", "leaseTransitions", "minReadySeconds", "parallelism", "periodSeconds",
        "progressDeadlineSeconds", "replicas", "revisionHistoryLimit", "stabilizationWindowSeconds",
        "startingDeadlineSeconds", "successThreshold", "successfulJobsHistoryLimit", "timeoutSeconds",
        "ttlSecondsAfterFinished",
    }
)  # fmt: skip
"""Numbers that are never below zero, whichever definition has them."""


def needed(detail: str = "") -> Rule:
    """Return the rule of a field that must be there and say something."""
    return lambda value, field: [] if value or value is False else [required(field, detail)]


def text(rule: Callable[[str], list[str]], *, optional: bool = False, detail: str = "") -> Rule:
    """Return the rule of a text that ``rule`` finds no fault with."""

    def check(value: Any, field: str) -> list[Cause]:
        if not value:
            return [] if optional else [required(field, detail)]
        return [invalid(field, value, message) for message in rule(value)]

    return check


def one_of(*choices: str, optional: bool = True) -> Rule:
    """Return the rule of an enumeration."""

    def check(value: Any, field: str) -> list[Cause]:
        if value in choices or (value is None and optional):
            return []
        return [not_supported(field, "" if value is None else value, choices)]

    return check


def at_least(least: int, message: str) -> Rule:
    """Return the rule of a number that has a lower bound; none given is no mistake here."""
    return lambda value, field: (
        [invalid(field, value, message)] if value is not None and value < least else []
    )


def each(rule: Rule) -> Rule:
    """Return the rule of a list whose items keep ``rule``."""
    return lambda value, field: [
        cause for index, item in enumerate(value or ()) for cause in rule(item, f"{field}[{index}]")
    ]


def port_number(value: Any, field: str) -> list[Cause]:
    """Return what is wrong with a port's number."""
    fits = 1 <= (value or 0) <= 65535
    return [] if fits else [invalid(field, value or 0, "must be between 1 and 65535, inclusive")]


def port(value: Any, field: str) -> list[Cause]:
    """Return what is wrong with a port's number or name."""
    if isinstance(value, str):
        return [invalid(field, value, message) for message in names.port_name(value)]
    return port_number(value, field)


def int_or_percent(value: Any, field: str) -> list[Cause]:
    """Return what is wrong with a number or a percentage."""
    if not isinstance(value, str):
        return at_least(0, NOT_NEGATIVE)(value, field)
    messages = names.percent(value)
    if not messages and int(value[:-1]) > 100 and not field.endswith("maxSurge"):
        messages = ["must not be greater than 100%"]
    return [invalid(field, value, message) for message in messages]


def _user(value: Any, field: str) -> list[Cause]:
    fits = value is None or 0 <= value < 2**31
    return [] if fits else [invalid(field, value, "must be between 0 and 2147483647, inclusive")]


def _mode(value: Any, field: str) -> list[Cause]:
    fits = value is None or 0 <= value <= 0o777
    message = "must be a number between 0 and 0777 (octal), both inclusive"
    return [] if fits else [invalid(field, value, message)]


def _relative(value: Any, field: str) -> list[Cause]:
    if not value:
        return [required(field)]
    messages = ["must be a relative path"] if value.startswith("/") else []
    messages += ["must not contain '..'"] if ".." in value.split("/") else []
    return [invalid(field, value, message) for message in messages]


def _cidr(value: Any, field: str) -> list[Cause]:
    try:
        if not value:
            return [required(field)]
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        message = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        return [invalid(field, value, message)]
    return []


def _schedule(value: Any, field: str) -> list[Cause]:
    if not value:
        return [required(field)]
    parts = value.split()
    if not value.startswith("@") and len(parts) != 5:
        message = f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
        return [invalid(field, value, message)]
    from croniter import CroniterError, croniter  # type: ignore[import-untyped]  # noqa: PLC0415 - only CronJobs need it, and it has no types

    try:
        croniter.expand(value)
    except (CroniterError, ValueError) as error:
        return [invalid(field, value, str(error))]
    return []


def _time_zone(value: Any, field: str) -> list[Cause]:
    try:
        if value is not None:
            zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [invalid(field, value, f"unknown time zone {value}")]
    return []


_PROTOCOL = one_of("SCTP", "TCP", "UDP")
_SUBDOMAIN = text(names.dns_subdomain, optional=True)
_ACCESS_MODES = one_of("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_POSITIVE = at_least(1, "must be greater than zero")
_ABOVE_ZERO = at_least(1, "must be greater than 0")
_TOPOLOGY_KEY = text(names.qualified_name, detail="can not be empty")
_USERS: dict[str, Rule] = {"runAsUser": _user, "runAsGroup": _user, "fsGroup": _user}
_FIELDS: dict[str, dict[str, Rule]] = {
    "Container": {
        "name": text(names.dns_label),
        "image": needed(),
        "imagePullPolicy": one_of("Always", "IfNotPresent", "Never"),
        "terminationMessagePolicy": one_of("FallbackToLogsOnError", "File"),
    },
    "ContainerPort": {
        "name": text(names.port_name, optional=True),
        "containerPort": port_number,
        "protocol": _PROTOCOL,
    },
    "EnvVar": {"name": text(names.env_name)},
    "ConfigMapKeySelector": {"name": needed(), "key": text(names.config_key)},
    "SecretKeySelector": {"name": needed(), "key": text(names.config_key)},
    "ConfigMapEnvSource": {"name": needed()},
    "SecretEnvSource": {"name": needed()},
    "ExecAction": {"command": needed()},
    "HTTPGetAction": {"path": needed(), "port": port, "scheme": one_of("HTTP", "HTTPS")},
    "TCPSocketAction": {"port": port},
    "SecurityContext": _USERS,
    "PodSecurityContext": _USERS,
    "SeccompProfile": {"type": one_of("Localhost", "RuntimeDefault", "Unconfined", optional=False)},
    "VolumeMount": {"name": needed(), "mountPath": needed()},
    "Volume": {"name": text(names.dns_label)},
    "ConfigMapVolumeSource": {"name": needed(), "defaultMode": _mode},
    "SecretVolumeSource": {"secretName": needed(), "defaultMode": _mode},
    "ProjectedVolumeSource": {"defaultMode": _mode},
    "PersistentVolumeClaimVolumeSource": {"claimName": needed()},
    "ConfigMapProjection": {"name": needed()},
    "SecretProjection": {"name": needed()},
    "KeyToPath": {"key": needed(), "path": _relative, "mode": _mode},
    "HostPathVolumeSource": {"path": needed()},
    "PodSpec": {
        "containers": needed(),
        "restartPolicy": one_of("Always", "OnFailure", "Never"),
        "serviceAccountName": _SUBDOMAIN,
        "nodeName": _SUBDOMAIN,
    },
    "TopologySpreadConstraint": {
        "maxSkew": _POSITIVE,
        "topologyKey": _TOPOLOGY_KEY,
        "whenUnsatisfiable": one_of("DoNotSchedule", "ScheduleAnyway", optional=False),
    },
    "PodAffinityTerm": {"topologyKey": _TOPOLOGY_KEY},
    "WeightedPodAffinityTerm": {"weight": at_least(1, "must be in the range 1-100")},
    "Toleration": {
        "operator": one_of("Equal", "Exists"),
        "effect": one_of("NoExecute", "NoSchedule", "PreferNoSchedule"),
    },
    "DeploymentStrategy": {"type": one_of("Recreate", "RollingUpdate", optional=False)},
    "RollingUpdateDeployment": {"maxUnavailable": int_or_percent, "maxSurge": int_or_percent},
    "StatefulSetSpec": {"podManagementPolicy": one_of("OrderedReady", "Parallel")},
    "StatefulSetUpdateStrategy": {"type": one_of("OnDelete", "RollingUpdate")},
    "JobSpec": {
        "completionMode": one_of("NonIndexed", "Indexed"),
        "podReplacementPolicy": one_of("Failed", "TerminatingOrFailed"),
    },
    "CronJobSpec": {
        "schedule": _schedule,
        "timeZone": _time_zone,
        "concurrencyPolicy": one_of("Allow", "Forbid", "Replace"),
    },
    "ServiceSpec": {
        "type": one_of("ClusterIP", "ExternalName"),
        "sessionAffinity": one_of("ClientIP", "None"),
        "internalTrafficPolicy": one_of("Cluster", "Local"),
    },
    "ServicePort": {
        "name": text(names.dns_label, optional=True),
        "port": port_number,
        "protocol": _PROTOCOL,
        "targetPort": port,
    },
    "IngressSpec": {"ingressClassName": _SUBDOMAIN},
    "IngressRule": {"host": _SUBDOMAIN},
    "HTTPIngressRuleValue": {"paths": needed()},
    "IngressTLS": {"hosts": each(_SUBDOMAIN), "secretName": _SUBDOMAIN},
    "IngressServiceBackend": {"name": text(names.dns1035_label)},
    "IngressClassSpec": {"controller": needed()},
    "NetworkPolicySpec": {"policyTypes": each(one_of("Ingress", "Egress"))},
    "NetworkPolicyPort": {"protocol": _PROTOCOL},
    "IPBlock": {"cidr": _cidr, "except": each(_cidr)},
    "HorizontalPodAutoscalerSpec": {
        "minReplicas": at_least(1, "must be greater than or equal to 1"),
        "maxReplicas": _ABOVE_ZERO,
    },
    "CrossVersionObjectReference": {"kind": needed(), "name": needed()},
    "MetricSpec": {"type": one_of("Resource", optional=False)},
    "ResourceMetricSource": {"name": needed("must specify a resource name")},
    "MetricTarget": {
        "type": one_of("Utilization", "AverageValue", optional=False),
        "averageUtilization": _ABOVE_ZERO,
    },
    "HPAScalingRules": {"policies": needed("must specify at least one Policy")},
    "HPAScalingPolicy": {
        "type": one_of("Percent", "Pods"),
        "value": _POSITIVE,
        "periodSeconds": _POSITIVE,
    },
    "PodDisruptionBudgetSpec": {
        "minAvailable": int_or_percent,
        "maxUnavailable": int_or_percent,
        "unhealthyPodEvictionPolicy": one_of("AlwaysAllow", "IfHealthyBudget"),
    },
    "PersistentVolumeClaimSpec": {
        "accessModes": lambda value, field: (
            needed("at least 1 access mode is required")(value, field) + each(_ACCESS_MODES)(value, field)
        ),
        "storageClassName": _SUBDOMAIN,
        "volumeMode": one_of("Block", "Filesystem"),
    },
    "PersistentVolumeSpec": {
        "accessModes": needed(),
        "capacity": needed(),
        "persistentVolumeReclaimPolicy": one_of("Delete", "Recycle", "Retain"),
    },
    "StorageClass": {
        "provisioner": needed(),
        "reclaimPolicy": one_of("Delete", "Retain"),
        "volumeBindingMode": one_of("Immediate", "WaitForFirstConsumer"),
    },
    "PolicyRule": {"verbs": needed("verbs must contain at least one value")},
    "RoleRef": {
        "apiGroup": one_of(RBAC_GROUP, optional=False),
        "kind": one_of("Role", "ClusterRole", optional=False),
        "name": text(names.path_segment),
    },
    "Subject": {
        "kind": one_of("ServiceAccount", "User", "Group", optional=False),
        "name": needed(),
    },
    "LeaseSpec": {"leaseDurationSeconds": _ABOVE_ZERO},
    "EndpointSlice": {"addressType": one_of("IPv4", "IPv6", "FQDN", optional=False)},
    "Endpoint": {"addresses": needed("must contain at least 1 address")},
}
"""Definition name, field, rule."""


def causes(node: Node, value: Any, field: str, wholes: dict[str, Rule]) -> list[Cause]:
    """Return what is wrong with the fields of a value, and of what is inside it.

    ``wholes``: the rules about a whole part, by its definition's name.
    """
    if isinstance(value, list):
        element = node.element
        if element.shape not in {"object", "list"}:
            return []
        return [
            cause
            for index, item in enumerate(value)
            for cause in causes(element, item, f"{field}[{index}]", wholes)
        ]
    if not isinstance(value, dict) or node.shape != "object":
        return []
    name, violations = short(node.name), list[Cause]()
    for key, rule in _FIELDS.get(name, {}).items():
        violations += rule(value.get(key), _inside(field, key))
    if whole := wholes.get(name):
        violations += whole(value, field)
    for key, item in value.items():
        part = node.fields.get(key)
        if part is None or key in {"metadata", "status"}:
            continue
        if key in _COUNTS and isinstance(item, int):
            violations += at_least(0, NOT_NEGATIVE)(item, _inside(field, key))
        elif isinstance(item, dict | list):
            violations += causes(part, item, _inside(field, key), wholes)
    return violations


def _inside(field: str, key: str) -> str:
    return f"{field}.{key}" if field else key
