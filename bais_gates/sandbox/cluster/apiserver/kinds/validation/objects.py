"""The rules about several fields at once: of a part by its definition's name, of an object by its kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    TOO_LONG,
    Cause,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.quantity import value_of
from bais_gates.sandbox.cluster.apiserver.kinds.validation import fields, meta, names

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_VALUE_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_NO_MATCH = "`selector` does not match template `labels`"
_MOST_DATA = 1024 * 1024


def _template(value: Obj, field: str) -> list[Cause]:
    about = value.get("metadata") or {}
    violations = meta.label_causes(about.get("labels"), f"{field}.labels")
    return violations + meta.annotation_causes(about.get("annotations"), f"{field}.annotations")


def _handler(action: Obj, field: str) -> list[Cause]:
    given = [name for name in _HANDLERS if action.get(name) is not None]
    if not given:
        return [required(field, "must specify a handler type")]
    return [forbidden(f"{field}.{extra}", "may not specify more than 1 handler type") for extra in given[1:]]


def _value_source(source: Obj, field: str) -> list[Cause]:
    given = [name for name in _VALUE_SOURCES if source.get(name) is not None]
    if len(given) == 1:
        return []
    if given:
        return [invalid(field, "", "may not have more than one field specified at a time")]
    listed = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
    return [invalid(field, "", f"must specify one of: {listed}")]


def _variable(entry: Obj, field: str) -> list[Cause]:
    if entry.get("value") and entry.get("valueFrom") is not None:
        return [invalid(f"{field}.valueFrom", "", "may not be specified when `value` is not empty")]
    return []


def _variables_from(entry: Obj, field: str) -> list[Cause]:
    given = [name for name in ("configMapRef", "secretRef") if entry.get(name) is not None]
    if len(given) == 1:
        return []
    message = "may not have more than one field specified at a time" if given else (
        "must specify one of: `configMapRef` or `secretRef`"
    )  # fmt: skip
    return [invalid(field.rpartition("[")[0], "", message)]


def _resources(given: Obj, field: str) -> list[Cause]:
    violations: list[Cause] = []
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    for side, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in sorted(amounts.items()):
            if (value_of(str(amount)) or 0) < 0:
                violations.append(invalid(f"{field}.{side}[{name}]", amount, fields.NOT_NEGATIVE))
    for name, amount in sorted(requests.items()):
        asked, cap = value_of(str(amount)), value_of(str(limits.get(name)))
        if asked is not None and cap is not None and asked > cap:
            message = f"must be less than or equal to {name} limit of {limits[name]}"
            violations.append(invalid(f"{field}.requests", amount, message))
    return violations


def _volume(volume: Obj, field: str) -> list[Cause]:
    sources = [key for key, value in volume.items() if key != "name" and value is not None]
    message = "may not specify more than 1 volume type"
    return [forbidden(f"{field}.{extra}", message) for extra in sources[1:]]


def _unique(items: Any, field: str, known: set[str] | None = None) -> list[Cause]:
    """Return a cause for each item whose name another one before it has."""
    seen, violations = set[str]() if known is None else known, []
    for index, item in enumerate(items or ()):
        name = item.get("name")
        if name and name in seen:
            violations.append(duplicate(f"{field}[{index}].name", name))
        seen.add(name or "")
    return violations


def pod_spec(spec: Obj, field: str, claims: Any = ()) -> list[Cause]:
    """Return which names of a pod's parts collide or lead nowhere; ``claims``: a workload's own volumes."""
    violations = _unique(spec.get("volumes"), f"{field}.volumes")
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()} | set(claims)
    known: set[str] = set()
    for group in ("containers", "initContainers"):
        violations += _unique(spec.get(group), f"{field}.{group}", known)
        for index, container in enumerate(spec.get(group) or ()):
            here = f"{field}.{group}[{index}].volumeMounts"
            paths: set[str] = set()
            for place, mount in enumerate(container.get("volumeMounts") or ()):
                if mount.get("name") not in volumes:
                    violations.append(not_found(f"{here}[{place}].name", mount.get("name") or ""))
                if mount.get("mountPath") in paths:
                    violations.append(
                        invalid(f"{here}[{place}].mountPath", mount["mountPath"], "must be unique")
                    )
                paths.add(mount.get("mountPath") or "")
    return violations


def _strategy(strategy: Obj, field: str) -> list[Cause]:
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == "Recreate" and rolling:
        message = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden(f"{field}.rollingUpdate", message)]
    if rolling.get("maxUnavailable") in {0, "0%"} and rolling.get("maxSurge") in {0, "0%"}:
        message = "may not be 0 when `maxSurge` is 0"
        return [invalid(f"{field}.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], message)]
    return []


def _service(spec: Obj, field: str) -> list[Cause]:
    kind, ports, address = spec.get("type"), spec.get("ports") or [], spec.get("clusterIP") or ""
    if kind == "ExternalName":
        return fields.text(names.dns_subdomain)(spec.get("externalName"), f"{field}.externalName")
    violations: list[Cause] = []
    if not ports and address != "None":
        violations.append(required(f"{field}.ports"))
    if len(ports) > 1:
        violations += [
            required(f"{field}.ports[{i}].name") for i, port in enumerate(ports) if not port.get("name")
        ]
    seen: list[Any] = []
    for index, port in enumerate(ports):
        pair = {"port": port.get("port"), "protocol": port.get("protocol")}
        if pair in seen:
            violations.append(duplicate(f"{field}.ports[{index}]", pair))
        seen.append(pair)
    violations += _unique(ports, f"{field}.ports")
    return violations + meta.label_causes(spec.get("selector"), f"{field}.selector")


def _ingress(spec: Obj, field: str) -> list[Cause]:
    if spec.get("rules") or spec.get("defaultBackend"):
        return []
    return [invalid(field, None, "either `defaultBackend` or `rules` must be specified")]


def _ingress_path(path: Obj, field: str) -> list[Cause]:
    kind, text = path.get("pathType"), path.get("path") or ""
    if kind is None:
        return [required(f"{field}.pathType", "pathType must be specified")]
    choices = ("Exact", "ImplementationSpecific", "Prefix")
    if kind not in choices:
        return [not_supported(f"{field}.pathType", kind, choices)]
    if not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        return [invalid(f"{field}.path", text, "must be an absolute path")]
    return []


def _backend(backend: Obj, field: str) -> list[Cause]:
    service = backend.get("service")
    if service is None:
        message = "resource or service backend is required"
        return [] if backend.get("resource") else [invalid(field, "", message)]
    port = service.get("port") or {}
    if not port.get("name") and not port.get("number"):
        return [required(field, "port name or number is required")]
    return fields.port(port.get("name") or port["number"], f"{field}.service.port")


def _peer(peer: Obj, field: str) -> list[Cause]:
    given = [name for name in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(name) is not None]
    if not given:
        return [required(field, "must specify a peer")]
    if len(given) > 1 and "ipBlock" in given:
        return [forbidden(field, "may not specify both ipBlock and another peer")]
    return []


def _autoscaler(spec: Obj, field: str) -> list[Cause]:
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if low is None or high >= low:
        return []
    return [invalid(f"{field}.maxReplicas", high, "must be greater than or equal to `minReplicas`")]


def _metric(metric: Obj, field: str) -> list[Cause]:
    if metric.get("type") != "Resource" or metric.get("resource") is not None:
        return []
    return [required(f"{field}.resource", "must populate information for the given metric source")]


def _budget(spec: Obj, field: str) -> list[Cause]:
    if "minAvailable" in spec and "maxUnavailable" in spec:
        return [invalid(field, spec, "minAvailable and maxUnavailable cannot be both set")]
    return []


def _claim(spec: Obj, field: str) -> list[Cause]:
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        return [required(f"{field}.resources[storage]")]
    fits = (value_of(str(size)) or 0) > 0
    return [] if fits else [invalid(f"{field}.resources[storage]", size, "must be greater than zero")]


def _policy_rule(rule: Obj, field: str) -> list[Cause]:
    if rule.get("nonResourceURLs"):
        return []
    return [
        required(f"{field}.{key}", f"resource rules must supply at least one {what}")
        for key, what in (("apiGroups", "api group"), ("resources", "resource"))
        if not rule.get(key)
    ]


PARTS: dict[str, fields.Rule] = {
    "LabelSelector": meta.selector,
    "PodTemplateSpec": _template,
    "Probe": _handler,
    "LifecycleHandler": _handler,
    "EnvVar": _variable,
    "EnvVarSource": _value_source,
    "EnvFromSource": _variables_from,
    "ResourceRequirements": _resources,
    "Volume": _volume,
    "DeploymentStrategy": _strategy,
    "ServiceSpec": _service,
    "IngressSpec": _ingress,
    "HTTPIngressPath": _ingress_path,
    "IngressBackend": _backend,
    "NetworkPolicyPeer": _peer,
    "HorizontalPodAutoscalerSpec": _autoscaler,
    "MetricSpec": _metric,
    "PodDisruptionBudgetSpec": _budget,
    "PersistentVolumeClaimSpec": _claim,
    "PolicyRule": _policy_rule,
}
"""The rules about a part, by its definition's name."""


def _workload(obj: Obj) -> list[Cause]:
    """Judge what keeps its pods running: its selector, its template, that they are always restarted."""
    spec, kind = obj["spec"], obj["kind"]
    chosen, template = spec.get("selector"), spec["template"]
    labels = (template.get("metadata") or {}).get("labels") or {}
    violations: list[Cause] = []
    if chosen is None:
        violations.append(required("spec.selector"))
    elif not chosen.get("matchLabels") and not chosen.get("matchExpressions"):
        # The real server says deployment of a ReplicaSet's selector, too.
        name = "statefulset" if kind == "StatefulSet" else "deployment"
        violations.append(invalid("spec.selector", chosen, f"empty selector is invalid for {name}"))
    # No selector chooses nothing, and so not the template either; an empty one chooses everything.
    if chosen is None or not meta.matches(chosen, labels):
        violations.append(invalid("spec.template.metadata.labels", labels or None, _NO_MATCH))
    claims = [(claim.get("metadata") or {}).get("name") for claim in spec.get("volumeClaimTemplates") or ()]
    violations += pod_spec(template["spec"], "spec.template.spec", claims)
    policy = template["spec"].get("restartPolicy")
    if policy != "Always":
        violations.append(not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        message = "must be greater than minReadySeconds"
        violations.append(invalid("spec.progressDeadlineSeconds", deadline, message))
    return violations


def _job_spec(spec: Obj, field: str) -> list[Cause]:
    violations = pod_spec(spec["template"]["spec"], f"{field}.template.spec")
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        violations.append(required(f"{field}.completions", "when completion mode is Indexed"))
    if spec["template"]["spec"].get("restartPolicy") == "Always":
        here = f"{field}.template.spec.restartPolicy"
        violations.append(required(here, 'valid values: "OnFailure", "Never"'))
    return violations


def _job(obj: Obj) -> list[Cause]:
    spec, violations = obj["spec"], _job_spec(obj["spec"], "spec")
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if spec.get("selector") is None:
        violations.append(required("spec.selector"))
    elif not meta.matches(spec["selector"], labels):
        violations.append(invalid("spec.template.metadata.labels", labels, _NO_MATCH))
    elif (
        not spec.get("manualSelector")
        and obj["metadata"].get("uid") not in spec["selector"].get("matchLabels", {}).values()
    ):
        violations.append(invalid("spec.selector", spec["selector"], "`selector` not auto-generated"))
    return violations


def _cron_job(obj: Obj) -> list[Cause]:
    violations = _job_spec(obj["spec"]["jobTemplate"]["spec"], "spec.jobTemplate.spec")
    if len(obj["metadata"].get("name") or "") > 52:  # a Job's name is the CronJob's and eleven more letters
        message = "must be no more than 52 characters"
        violations.append(invalid("metadata.name", obj["metadata"]["name"], message))
    return violations


def _data(obj: Obj) -> list[Cause]:
    """Judge the keys and the size of a ConfigMap or Secret."""
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    violations = [
        invalid(f"{field}[{key}]", key, message)
        for field, entries in (("data", data), ("binaryData", binary))
        for key in sorted(entries)
        for message in names.config_key(key)
    ]
    size = sum(len(str(value).encode()) for value in (*data.values(), *binary.values()))
    if obj["kind"] == "Secret":
        size = size * 3 // 4  # it is base64
    if size > _MOST_DATA:
        message = f"Too long: may not be more than {_MOST_DATA} bytes"
        violations.append(
            Cause(reason=TOO_LONG, message=message, field="data" if obj["kind"] == "Secret" else "")
        )
    return violations


def _binding(obj: Obj) -> list[Cause]:
    cluster, violations = obj["kind"] == "ClusterRoleBinding", list[Cause]()
    if cluster and (obj.get("roleRef") or {}).get("kind") == "Role":
        violations.append(not_supported("roleRef.kind", "Role", ("ClusterRole",)))
    for index, subject in enumerate(obj.get("subjects") or ()):
        if cluster and subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            violations.append(required(f"subjects[{index}].namespace"))
    return violations


def _event(obj: Obj) -> list[Cause]:
    """Judge where an Event lives: where what it is about lives, or in default."""
    about = (obj.get("involvedObject") or {}).get("namespace", "")
    namespace = obj["metadata"].get("namespace", "")
    if about == namespace or (not about and namespace == "default"):
        return []
    return [invalid("involvedObject.namespace", about, "does not match event.namespace")]


KINDS: dict[str, Callable[[Obj], list[Cause]]] = {
    "Pod": lambda obj: pod_spec(obj["spec"], "spec"),
    "Namespace": meta.pod_security_causes,
    "Deployment": _workload,
    "ReplicaSet": _workload,
    "StatefulSet": _workload,
    "Job": _job,
    "CronJob": _cron_job,
    "ConfigMap": _data,
    "Secret": _data,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "Event": _event,
}
"""The rules about a whole object, by its kind."""
