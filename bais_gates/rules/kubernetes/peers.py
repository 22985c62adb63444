"""Judge whom network policies admit to a component, and where they let it go.

A selector admits every pod that will ever have its labels. So it is judged by the fewest labels that satisfy
it, and existing pods are compared besides. Source: CIS Kubernetes 5.3.2; Kubernetes documentation, "Network
Policies"; NSA/CISA Kubernetes Hardening Guide, "Network separation and hardening".
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bais_gates.rules.kubernetes.address_ranges import covered, is_everybody, protected
from bais_gates.rules.kubernetes.network_policies import (
    DNS_PORT,
    NAMESPACE_LABEL,
    Admission,
    Network,
    admissions,
    allows,
    applies,
    ports_allow,
)
from bais_gates.rules.kubernetes.objects import (
    Finding,
    Object,
    Workload,
    containers_of,
    describe,
    dig,
    locate,
    name_of,
    namespace_of,
    selects,
    workloads,
)

NAME: Final = "app.kubernetes.io/name"
COMPONENT: Final = "app.kubernetes.io/component"
_IDENTIFYING: Final = frozenset({NAME, COMPONENT, "app", "k8s-app"})
DNS_NAMESPACE: Final = "kube-system"
_DNS_APPS: Final = frozenset({"kube-dns", "coredns", "node-local-dns"})
_HTTPS_PORT = 443
_SELECTED_MAX: Final = 1000
"""Most combinations of labels that are compared for one selector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """Whom a component needs: other components of its namespace, and pods of other namespaces."""

    names: Mapping[str, str]
    """Each component by the value of its pods' label app.kubernetes.io/name."""
    components: Collection[str] = ()
    namespaces: Collection[str] = field(default=())

    def include(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels, by name and component as far as they have them, are a needed component's."""
        return bool(found := identities(labels, self.names)) and found <= set(self.components)


def identities(labels: Mapping[str, str], names: Mapping[str, str]) -> set[str]:
    """Return the components that labels claim, by app.kubernetes.io/component and app.kubernetes.io/name."""
    claimed = {labels[COMPONENT]} if COMPONENT in labels else set()
    return claimed | ({names.get(labels[NAME], labels[NAME])} if NAME in labels else set())


def fewest_labels(selector: Mapping[str, Any] | None) -> Iterator[dict[str, str]]:
    """Yield the smallest sets of labels that satisfy a selector; {} for one that excludes only."""
    required = dict(dig(selector, "matchLabels") or {})
    expressions = dig(selector, "matchExpressions") or ()
    choices = [
        [
            (one["key"], value)
            for value in (one.get("values") if one["operator"] == "In" else None) or ("any",)
        ]
        for one in expressions
        if one.get("operator") in {"In", "Exists"} and one["key"] not in required
    ]
    for chosen in itertools.islice(itertools.product(*choices), _SELECTED_MAX):
        labels = dict(chosen) | required
        if selects(selector, labels):
            yield labels


def _describe_peer(peer: Mapping[str, Any] | None) -> str:
    if peer is None:
        return "everybody"
    if peer.get("ipBlock") is not None:
        return f"the addresses {dig(peer, 'ipBlock', 'cidr')}"
    pods, spaces = describe(peer.get("podSelector")), peer.get("namespaceSelector")
    where = "" if spaces is None else " of every namespace" if not describe(spaces) else ""
    where = where or (f" of namespaces with {describe(spaces)}" if spaces is not None else "")
    return (f"pods with {pods}" if pods else "every pod") + where


def _candidates(admission: Admission) -> Iterator[tuple[str | None, dict[str, str]]]:
    """Yield the pods that a selecting peer admits, each as namespace (None: any) and fewest labels."""
    peer: Mapping[str, Any] = admission.peer or {}
    home, spaces = (
        str(dig(admission.policy, "metadata", "namespace") or "default"),
        peer.get("namespaceSelector"),
    )
    named = [home] if spaces is None else [one.get(NAMESPACE_LABEL) for one in fewest_labels(spaces)]
    for labels in fewest_labels(peer.get("podSelector") or {}):
        for space in named:
            # A namespace's name is not "any": a selector that asks for any name admits every namespace.
            yield (None if space == "any" else space), labels


def _applying(pod: Workload, network: Network, direction: Any) -> list[Admission]:
    return admissions((one for one in network.policies if applies(one, pod, direction)), direction)


def unneeded_sources(target: Workload, port: int, network: Network, needed: Peers) -> list[str]:
    """List whom policies admit to a TCP port beyond the needed peers, now or once such a pod exists.

    Where the selectors are right, the existing pods that they admit wrongly. ipBlocks are left to
    :func:`admitted_blocks`.
    """
    found = set()
    for one in _applying(target, network, "Ingress"):
        if one.block is None and ports_allow(one.ports, target, port):
            needless = one.peer is None or any(
                space not in needed.namespaces and not (space == target.namespace and needed.include(labels))
                for space, labels in _candidates(one)
            )
            if needless:
                found.add(f"{locate(one.policy)} admits {_describe_peer(one.peer)}")
    if found:
        return sorted(found)
    for source in network.workloads:
        known = source.namespace in needed.namespaces or (
            source.namespace == target.namespace and needed.include(source.labels)
        )
        if not known and allows(source, target, port, network, egress=False):
            found.add(source.where)
    return sorted(found)


def admitted_blocks(target: Workload, network: Network) -> list[str]:
    """List the ipBlocks that policies admit to a pod, and whether they are everybody together."""
    blocks = [one for one in _applying(target, network, "Ingress") if one.block is not None]
    found = sorted({f"{locate(one.policy)} admits {_describe_peer(one.peer)}" for one in blocks})
    everybody = is_everybody(covered(one.block for one in blocks if one.block is not None))
    return [*found, "together they are every address"] if everybody else found


def needless_ports(target: Workload, port: int, network: Network) -> list[str]:
    """List the ports that policies admit peers to beside a pod's TCP port, in the same rule."""
    found = set()
    for one in _applying(target, network, "Ingress"):
        if not ports_allow(one.ports, target, port):
            continue
        for entry in one.ports or [{}]:
            text = _port_text(entry)
            if text not in {f"TCP {port}", *_names(target, port)}:
                found.add(f"{locate(one.policy)} admits {_describe_peer(one.peer)} to {text}")
    return sorted(found)


def _port_text(entry: Mapping[str, Any]) -> str:
    protocol, first, last = entry.get("protocol") or "TCP", entry.get("port"), entry.get("endPort")
    if first is None:
        return f"every port of {protocol}" if entry else "every port"
    return f"{protocol} {first}-{last}" if last and last != first else f"{protocol} {first}"


def _names(pod: Workload, port: int) -> set[str]:
    declared = [one for container in containers_of(pod.spec) for one in container.get("ports") or ()]
    return {f"TCP {one.get('name')}" for one in declared if one.get("containerPort") == port}


def unreachable_for(
    components: Iterable[str], pods: Iterable[Workload], port: int, network: Network
) -> list[str]:
    """List the pods of needed components that policies keep from a port, as ``pod -> pod``."""
    targets, needed = list(pods), set(components)
    return sorted(
        f"{source.where} -> {target.where}"
        for target in targets
        for source in network.workloads
        if source.namespace == target.namespace
        and source.labels.get(COMPONENT) in needed
        and not allows(source, target, port, network)
    )


def without_dns(pods: Iterable[Workload], network: Network) -> list[str]:
    """List the policies that keep pods from the cluster's DNS, by UDP or TCP, with those pods.

    Those are the pods' policies with rules for port 53, or else the namespace's, which do not select them.
    """
    servers = [
        one
        for one in network.workloads
        if one.namespace == DNS_NAMESPACE and one.labels.get("k8s-app") in _DNS_APPS and one.kind == "Pod"
    ] or [dns_server()]
    denied: dict[str, set[str]] = {}
    for pod in pods:
        closed = [
            protocol
            for protocol in ("UDP", "TCP")
            if not any(
                allows(pod, one, DNS_PORT, network, protocol=protocol, ingress=False) for one in servers
            )
        ]
        if closed:
            here = [one for one in network.policies if namespace_of(one) == pod.namespace]
            asking = [one for one in _applying(pod, network, "Egress") if one.only(DNS_PORT)] or [
                one for one in admissions(here, "Egress") if one.only(DNS_PORT)
            ]
            named = sorted({locate(one.policy) for one in asking})
            verb = "allow no" if len(named) > 1 else "allows no"
            cause = (
                f"{' and '.join(named) or 'no policy'} {verb if named else 'allows'} {' or '.join(closed)}"
            )
            denied.setdefault(cause, set()).add(pod.where)
    return [
        f"{cause} {DNS_PORT} of kube-dns to {', '.join(sorted(found))}"
        for cause, found in sorted(denied.items())
    ]


def dns_server() -> Workload:
    """Return a pod of the cluster's DNS as Kubernetes' own manifests label it."""
    ports = [
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "containerPort": 53},
    ]
    spec = {"containers": [{"name": "coredns", "ports": ports}]}
    labels = {"k8s-app": "kube-dns"}
    return Workload(kind="Pod", namespace=DNS_NAMESPACE, name="kube-dns", labels=labels, spec=spec)


def unneeded_destinations(pod: Workload, network: Network, needed: Peers, *, outside: bool) -> list[str]:
    """List where policies let a pod go beyond DNS and the needed peers.

    ``outside``: whether it also needs addresses of other networks, and pods that a rule names by namespace,
    label and port. Everybody is then one of them by HTTPS alone, private ranges and metadata never are.
    """
    found, other_ports = set(), []
    for one in _applying(pod, network, "Egress"):
        if one.is_node_dns:
            continue
        to = f"{locate(one.policy)} lets it reach"
        if one.block is not None and outside:
            found |= {f"{to} {each} by {one.block['cidr']}" for each in protected(covered([one.block]))}
            other_ports += [] if one.only(_HTTPS_PORT) else [one]
        elif one.block is not None or not _is_needed(one, pod, needed, outside=outside):
            found.add(f"{to} {_describe_peer(one.peer)}")
    if is_everybody(covered(one.block for one in other_ports if one.block is not None)):
        named = " and ".join(sorted({locate(one.policy) for one in other_ports}))
        found.add(f"{named} lets it reach every address at ports other than {_HTTPS_PORT}")
    return sorted(found)


def _is_needed(one: Admission, pod: Workload, needed: Peers, *, outside: bool) -> bool:
    if one.peer is None:
        return False
    own = needed.names.get(pod.labels.get(NAME, ""))
    for space, labels in _candidates(one):
        asks_dns = one.only(DNS_PORT) and (
            space == DNS_NAMESPACE or labels.get("k8s-app") in _DNS_APPS or labels.get(NAME) in _DNS_APPS
        )
        at_home = space == pod.namespace
        claimed = identities(labels, needed.names) if at_home else set()
        named = space not in {None, DNS_NAMESPACE} and bool(_IDENTIFYING & set(labels)) and bool(one.ports)
        known = claimed & set(needed.names.values())
        if not (
            asks_dns
            or (at_home and (needed.include(labels) or claimed == {own}))
            or (outside and named and not known)
        ):
            return False
    return True


def impostors(objects: Iterable[Object], names: Mapping[str, str]) -> list[Finding]:
    """Return findings for workloads and pods with a component's labels that are not that component's.

    A component's objects are named for it (``bais-api``, ``bais-api-...``), and a controller owns its pods.
    """
    homes = {component: name for name, component in names.items()}
    findings = []
    for obj in objects:
        for workload in workloads([obj]):
            for name in sorted({homes[one] for one in identities(workload.labels, names) if one in homes}):
                owners = dig(obj, "metadata", "ownerReferences") or ()
                fault = ""
                if not f"{name_of(obj)}-".startswith(f"{name}-"):
                    fault = f"has the labels of {name}, whose peers admit it"
                elif workload.kind == "Pod" and not any(one.get("controller") for one in owners):
                    fault = f"has the labels of {name}, and no controller owns it"
                if fault:
                    findings.append(Finding(rule="impostor", where=workload.where, detail=fault))
    return findings
