"""The objects that a kubectl command may name: those of the manifests, and what runs beside the platform."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bais_gates.manifests import Manifest, is_cluster_scoped
from bais_gates.oncall.programs import Call

_ALIASES: Final = {
    "certificate": "certificates cert certs",
    "certificaterequest": "certificaterequests cr",
    "challenge": "challenges",
    "clusterissuer": "clusterissuers",
    "clusterrole": "clusterroles",
    "clusterrolebinding": "clusterrolebindings",
    "configmap": "configmaps cm",
    "cronjob": "cronjobs cj",
    "daemonset": "daemonsets ds",
    "deployment": "deployments deploy",
    "endpoints": "endpoints ep",
    "endpointslice": "endpointslices",
    "event": "events ev",
    "horizontalpodautoscaler": "horizontalpodautoscalers hpa",
    "ingress": "ingresses ing",
    "job": "jobs",
    "namespace": "namespaces ns",
    "networkpolicy": "networkpolicies netpol",
    "node": "nodes no",
    "order": "orders",
    "persistentvolume": "persistentvolumes pv",
    "persistentvolumeclaim": "persistentvolumeclaims pvc",
    "pod": "pods po",
    "poddisruptionbudget": "poddisruptionbudgets pdb",
    "prometheusrule": "prometheusrules",
    "replicaset": "replicasets rs",
    "resourcequota": "resourcequotas quota",
    "role": "roles",
    "rolebinding": "rolebindings",
    "secret": "secrets",
    "service": "services svc",
    "serviceaccount": "serviceaccounts sa",
    "servicemonitor": "servicemonitors smon",
    "statefulset": "statefulsets sts",
    "storageclass": "storageclasses sc",
    "volumeattachment": "volumeattachments",
}
_KINDS: Final = {name: kind for kind, names in _ALIASES.items() for name in (kind, *names.split())}
_CLUSTER: Final = frozenset(
    {"clusterissuer", "clusterrole", "clusterrolebinding", "namespace", "node", "persistentvolume"}
    | {"storageclass", "volumeattachment"}
)
_GENERATED: Final = frozenset({"pod", "node", "replicaset", "job", "persistentvolume", "certificaterequest"})
"""Kinds whose objects have names that nobody can write down: a variable names them."""
_ELSEWHERE: Final = (
    ("namespace", "", "cert-manager"), ("deployment", "cert-manager", "cert-manager"),
    ("deployment", "cert-manager", "cert-manager-webhook"),
    ("namespace", "", "kube-system"), ("deployment", "kube-system", "coredns"),
    ("service", "kube-system", "kube-dns"),
    ("namespace", "", "ingress-nginx"), ("deployment", "ingress-nginx", "ingress-nginx-controller"),
    ("service", "ingress-nginx", "ingress-nginx-controller"),
    ("namespace", "", "monitoring"), ("service", "monitoring", "prometheus"),
    ("service", "monitoring", "alertmanager"),
)  # fmt: skip
"""What the platform needs and other manifests make, by the names of its usual installation."""
_SELECTORS_ELSEWHERE: Final = frozenset({("k8s-app", "kube-dns")})


@dataclass(frozen=True, slots=True)
class Inventory:
    """Names, containers, ports and labels of the objects of a platform."""

    objects: frozenset[tuple[str, str, str]]
    """Kind in small letters, namespace ("" for a cluster's) and name."""
    containers: dict[tuple[str, str, str], frozenset[str]] = field(default_factory=dict)
    ports: dict[tuple[str, str, str], frozenset[str]] = field(default_factory=dict)
    """Ports by name and by number."""
    labels: frozenset[tuple[str, str]] = frozenset()
    components: dict[str, frozenset[str]] = field(default_factory=dict)
    """Names of the objects of each component, by the label app.kubernetes.io/component."""
    ingress_hosts: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    """Paths of the manifests themselves, with / before the first folder."""

    @property
    def hosts(self) -> frozenset[str]:
        """Names under which something answers: those of Ingresses and Services, and this machine."""
        services = {f"{name}.{namespace}" for kind, namespace, name in self.objects if kind == "service"}
        return frozenset({*services, *self.ingress_hosts, "localhost", "127.0.0.1"})

    def namespaces_of(self, kind: str, name: str) -> set[str]:
        """Return the namespaces that have an object; {""} for a cluster's."""
        return {one[1] for one in self.objects if (one[0], one[2]) == (kind, name)}


def inventory(manifests: Iterable[Manifest], files: Iterable[Path] = ()) -> Inventory:
    """Return what the manifests of a platform make, with the pods, volumes and Secrets that they name."""
    objects = set(_ELSEWHERE)
    labels: set[tuple[str, str]] = set(_SELECTORS_ELSEWHERE)
    containers: dict[tuple[str, str, str], frozenset[str]] = {}
    ports: dict[tuple[str, str, str], frozenset[str]] = {}
    components: dict[str, frozenset[str]] = {}
    hosts: set[str] = set()
    for one in manifests:
        name = str(one["metadata"]["name"])
        namespace = "" if is_cluster_scoped(one) else str(one["metadata"].get("namespace", ""))
        keys = {(str(one["kind"]).lower(), namespace, name)}
        spec = one.get("spec") or {}
        template = (spec.get("jobTemplate", {}).get("spec") or spec).get("template") or {}
        if one["kind"] == "StatefulSet":
            for number in range(int(spec.get("replicas", 1))):
                keys.add(("pod", namespace, f"{name}-{number}"))
                for claim in spec.get("volumeClaimTemplates") or []:
                    volume = f"{claim['metadata']['name']}-{name}-{number}"
                    objects.add(("persistentvolumeclaim", namespace, volume))
        if one["kind"] == "Service":
            keys |= {("endpoints", namespace, name)}
        pod = template.get("spec") or {}
        held = [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]
        for key in keys:
            containers[key] = frozenset(str(container["name"]) for container in held)
            ports[key] = _ports(spec.get("ports") or []) | _ports(
                port for container in held for port in container.get("ports") or []
            )
        objects |= keys | {("secret", namespace, secret) for secret in _secrets(one)}
        own = one["metadata"].get("labels") or {}
        for found in (own, (template.get("metadata") or {}).get("labels") or {}):
            labels |= {(str(key), str(value)) for key, value in found.items()}
        component = str(own.get("app.kubernetes.io/component", ""))
        components[component] = components.get(component, frozenset()) | {name}
        if one["kind"] == "Ingress":
            hosts |= {str(rule["host"]) for rule in spec.get("rules") or [] if "host" in rule}
    components.pop("", None)
    return Inventory(
        objects=frozenset(objects),
        containers=containers,
        ports=ports,
        labels=frozenset(labels),
        components=components,
        ingress_hosts=frozenset(hosts),
        files=frozenset(one.resolve().as_posix() for one in files),
    )


def _ports(ports: Iterable[Manifest]) -> frozenset[str]:
    return frozenset(
        str(port[key]) for port in ports for key in ("name", "port", "containerPort") if key in port
    )


def _secrets(value: Any) -> Iterator[str]:
    """Yield the Secrets that a manifest refers to by name."""
    if isinstance(value, list):
        for one in value:
            yield from _secrets(one)
    if isinstance(value, dict):
        if isinstance(value.get("secretName"), str):
            yield value["secretName"]
        for key in ("secretRef", "secretKeyRef", "secret"):
            if isinstance(value.get(key), dict) and isinstance(value[key].get("name"), str):
                yield value[key]["name"]
        for one in value.values():
            yield from _secrets(one)


def check_kubectl(call: Call, known: Inventory, created: Collection[str] = ()) -> Iterator[str]:
    """Yield what is wrong with the objects that a kubectl command names.

    ``created`` are the Jobs that the commands before it made.
    """
    namespace = next(iter(call.values("-n", "--namespace")), "")
    if namespace and ("namespace", "", namespace) not in known.objects:
        yield f"the manifests have no namespace {namespace}"
        return
    kinds, named = targets(call)
    for kind in kinds:
        if kind not in _KINDS:
            yield f"{kind} is no kind of object that runbooks name"
    everywhere = any(name in {"-A", "--all-namespaces"} for name, _ in call.flags)
    if not namespace and not everywhere and any(_KINDS.get(kind) not in {*_CLUSTER, None} for kind in kinds):
        yield "no namespace; write -n NAMESPACE, as the shell's context may be another"
        return
    named = [one for one in named if _KINDS.get(one[0]) != "job" or one[1] not in created]
    for kind, name in named:
        yield from _check_object(_KINDS.get(kind, ""), name, namespace, known)
    yield from _check_parts(call, [(_KINDS.get(kind, ""), name) for kind, name in named], known)


def _check_object(kind: str, name: str, namespace: str, known: Inventory) -> Iterator[str]:
    if not kind:
        return
    if name.startswith("$"):
        if kind not in _GENERATED:
            yield f"{name} names a {kind}; write its name, which the manifests have"
        return
    if kind == "node":
        yield f"node {name} is a name of one day; write $NODE"
        return
    where = known.namespaces_of(kind, name)
    if not where:
        names = sorted({one[2] for one in known.objects if one[0] == kind and one[1] == namespace})
        yield f"the manifests have no {kind} {name} (they have {', '.join(names) or 'none of this kind'})"
    elif kind not in _CLUSTER and namespace and namespace not in where:
        yield f"{kind} {name} is in the namespace {', '.join(sorted(where))}, not in {namespace}"


def _check_parts(call: Call, named: list[tuple[str, str]], known: Inventory) -> Iterator[str]:
    """Yield containers, ports, labels and files that are not there."""
    namespace = next(iter(call.values("-n", "--namespace")), "")
    wanted = frozenset(call.values("-c", "--container"))
    if not named:  # selected by a label
        for container in wanted - {one for held in known.containers.values() for one in held}:
            yield f"no object of the manifests has a container {container}"
    ports = call.arguments[1:] if call.verb == "port-forward" else ()
    for kind, name in named:
        key = (kind, namespace, name)
        if key in known.containers:
            yield from (f"{kind} {name} has no container {one}" for one in wanted - known.containers[key])
            numbers = {pair.rpartition(":")[2] for pair in ports}
            yield from (f"{kind} {name} has no port {one}" for one in numbers - known.ports[key])
    for label, value in selected(call):
        if (label, value) not in known.labels:
            yield f"no object of the manifests has the label {label}={value}"
    for path in call.values("-f", "--filename"):
        if not path.startswith("gates/") or not any(one.endswith(f"/{path}") for one in known.files):
            yield f"{path} is no file of the manifests; write its path from the project's folder"


def selected(call: Call) -> Iterator[tuple[str, str]]:
    """Yield the labels by which a command selects, with their values."""
    for selector in call.values("-l", "--selector"):
        for label, one, several in _SELECTED.findall(selector):
            for value in [one] if one else several.split(","):
                yield label, value.strip()


_SELECTED: Final = re.compile(r"([\w./-]+)\s*(?:!?==?\s*([\w.-]+)|(?:not)?in\s*\(([^)]*)\))")
"""A part of a selector: a label with a value, or one of several."""
_ASSIGNED: Final = re.compile(r"[^=]+=.*|[\w.-]+(?:/[\w.-]+)?-", re.DOTALL)
"""What sets a label, a variable or an image, or takes one away."""


def targets(call: Call) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the kinds that a command names, and its objects as kind and name."""
    words = list(call.arguments)
    found = [
        (kind.lower(), name)
        for kind, slash, name in (one.partition("/") for one in call.values("--from", "--for"))
        if slash
    ]
    kinds: list[str] = []
    if call.verb in {"auth can-i", "config current-context"}:
        return [], []
    if call.verb == "create job":
        kinds = ["job"]  # its name is new
    elif call.verb in {"cordon", "uncordon", "drain", "top node", "top nodes"}:
        kinds = ["node"]
        found += [("node", name) for name in words]
    elif call.verb in {"logs", "exec", "port-forward", "top pod", "top pods", "events"}:
        kinds = ["pod"]
        words = words if call.verb.startswith("top") else words[:1]
        found += [(kind.lower(), name) if name else ("pod", kind) for kind, _, name in map(_parts, words)]
    else:
        if call.verb in {"annotate", "label", "set env", "set image", "taint"}:
            words = [one for one in words if not _ASSIGNED.fullmatch(one)]
        if words and "/" not in words[0]:
            kinds = words[0].lower().split(",")
            found += [(kinds[0], name) for name in words[1:]]
        else:
            found += [(kind.lower(), name) for kind, _, name in map(_parts, words)]
    return [*kinds, *(kind for kind, _ in found)], found


def _parts(word: str) -> tuple[str, str, str]:
    return word.partition("/")
