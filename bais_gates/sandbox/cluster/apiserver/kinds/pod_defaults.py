"""What the API server fills in for pods, wherever a pod is described."""

from __future__ import annotations

from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj

# The sources that a volume can have, except those nobody uses with this stand-in.
MODES = {"secret": 420, "configMap": 420, "projected": 420}
HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe")


def pod_spec(spec: Obj) -> None:
    """Fill in the specification of a pod or of a template's pod."""
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("schedulerName", "default-scheduler")
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes", ()):
        _volume(volume)
    for container in containers(spec):
        _container(container)


def containers(spec: Obj) -> list[Obj]:
    """Return all containers of a pod: init ones and ordinary ones."""
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def pod(obj: Obj) -> None:
    """Fill in a pod: its specification and what only pods get."""
    spec = obj["spec"]
    for container in containers(spec):
        resources = container.get("resources") or {}
        limits = resources.get("limits")
        if limits:
            resources["requests"] = {**limits, **resources.get("requests", {})}
    spec.setdefault("enableServiceLinks", True)
    pod_spec(spec)
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def admitted_pod(obj: Obj) -> None:
    """Do what the admission of a fresh pod adds: its priority and how long it bears a lost node."""
    spec = obj["spec"]
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    obj["spec"] = spec = with_default_tolerations(spec)
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}


def with_default_tolerations(spec: Obj) -> Obj:
    """Return a pod's specification that bears a node's being away for five minutes, as admission has it."""
    tolerations = list(spec.get("tolerations") or ())
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        borne = any(
            item.get("key", key) == key and item.get("effect", "NoExecute") == "NoExecute"
            for item in tolerations
        )
        if not borne:
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            )
    return {**spec, "tolerations": tolerations}


def qos_class(spec: Obj) -> str:
    """Return Guaranteed, Burstable or BestEffort, by the requests and limits of the containers."""
    guaranteed, any_set = True, False
    for container in containers(spec):
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            if name in limits or name in requests:
                any_set = True
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _container(container: Obj) -> None:
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for entry in container.get("env", ()):
        field = (entry.get("valueFrom") or {}).get("fieldRef")
        if field is not None:
            field.setdefault("apiVersion", "v1")
    for name in HANDLERS:
        probe = container.get(name)
        if probe is not None:
            _probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http_get(hook.get("httpGet"))


def _pull_policy(image: str) -> str:
    if not image:
        return "IfNotPresent"
    name = image.rpartition("/")[2]
    if "@" in name:
        return "Always" if ":latest@" in name else "IfNotPresent"
    tag = name.partition(":")[2] or "latest"
    return "Always" if tag == "latest" else "IfNotPresent"


def _probe(probe: Obj) -> None:
    for key, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(key):
            probe[key] = value
    _http_get(probe.get("httpGet"))


def _http_get(action: Any) -> None:
    if isinstance(action, dict):
        action.setdefault("path", "/")
        action.setdefault("scheme", "HTTP")


def _volume(volume: Obj) -> None:
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
    for source, mode in MODES.items():
        if source in volume:
            volume[source].setdefault("defaultMode", mode)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
