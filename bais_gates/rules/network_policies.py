"""What NetworkPolicies let through, judged as the API defines it, and what is wrong with a set of them.

A pod is isolated in a direction once any policy of its namespace selects it for that direction; then only
what some policy allows gets through, and a connection needs the leave of both ends. Source: the NetworkPolicy
API (networking.k8s.io/v1); CIS 5.3.2; kube-linter's non-isolated-pod and dangling-networkpolicy checks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bais_gates.rules.objects import (
    Finding,
    Object,
    Workload,
    containers_of,
    dig,
    is_empty,
    labels_of,
    name_of,
    namespace_of,
    of_kind,
    selects,
    where,
    workloads,
)

Direction = Literal["Ingress", "Egress"]
BOTH: tuple[Direction, Direction] = ("Ingress", "Egress")
PEER_RULE = "dangling-network-policy-peer"
NAMESPACE_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The policies, pods and namespaces that a judgement is about."""

    policies: Sequence[Object]
    workloads: Sequence[Workload]
    namespaces: Mapping[str, Mapping[str, str]]
    """Labels by namespace; a namespace that is not known here has its name's label only."""
    complete: bool = False
    """Whether every namespace of the cluster is known, so that a peer that names another one is dangling."""

    @classmethod
    def of(cls, objects: Iterable[Object], *, complete: bool = False) -> Network:
        """Sort objects of any kind (policies, pods, workloads, namespaces) into a network."""
        every = list(objects)
        return cls(
            policies=of_kind(every, "NetworkPolicy"),
            workloads=workloads(every),
            namespaces={
                name_of(n): {NAMESPACE_LABEL: name_of(n)} | labels_of(n) for n in of_kind(every, "Namespace")
            },
            complete=complete,
        )

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a namespace; every one carries its own name as a label."""
        return self.namespaces.get(namespace, {NAMESPACE_LABEL: namespace})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Door:
    """A port of a pod."""

    target: Workload
    port: int
    protocol: str


def directions(policy: Object) -> set[str]:
    """Return what a policy is about: its policyTypes, or the API's default when it states none."""
    stated = dig(policy, "spec", "policyTypes")
    if stated:
        return set(stated)
    return {"Ingress", "Egress"} if dig(policy, "spec", "egress") else {"Ingress"}


def applies(policy: Object, pod: Workload, direction: Direction) -> bool:
    """Whether a policy selects a pod for a direction."""
    return (
        namespace_of(policy) == pod.namespace
        and direction in directions(policy)
        and selects(dig(policy, "spec", "podSelector") or {}, pod.labels)
    )


def isolation(pod: Workload, policies: Iterable[Object]) -> set[Direction]:
    """Return the directions in which a pod is closed but for what is allowed."""
    return {way for policy in policies for way in BOTH if applies(policy, pod, way)}


def open_rules(policy: Object, direction: Direction) -> list[int]:
    """Return the indexes of a policy's rules that name no peer, or any address: everyone is let through."""
    key, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    rules = dig(policy, "spec", key) or () if direction in directions(policy) else ()
    return [index for index, rule in enumerate(rules) if not rule.get(peers) or _any_peer(rule[peers])]


def _any_peer(peers: Iterable[Mapping[str, Any]]) -> bool:
    return any(
        (is_empty(peer.get("namespaceSelector")) and not (peer.get("podSelector") or {}))
        or (dig(peer, "ipBlock", "cidr") in {"0.0.0.0/0", "::/0"} and not dig(peer, "ipBlock", "except"))
        for peer in peers
    )


def reaches(
    source: Workload, target: Workload, port: int, network: Network, *, protocol: str = "TCP"
) -> bool:
    """Whether a connection from one pod to another's port gets through: out of the one and into the other."""
    return _passes(
        source, target, "Egress", _Door(target=target, port=port, protocol=protocol), network
    ) and _passes(target, source, "Ingress", _Door(target=target, port=port, protocol=protocol), network)


def _passes(held: Workload, peer: Workload, direction: Direction, door: _Door, network: Network) -> bool:
    mine = [policy for policy in network.policies if applies(policy, held, direction)]
    if not mine:
        return True
    key, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return any(
        _ports_allow(rule.get("ports"), door)
        and (not rule.get(peers) or any(_peer_matches(p, peer, policy, network) for p in rule[peers]))
        for policy in mine
        for rule in dig(policy, "spec", key) or ()
    )


def _peer_matches(peer: Mapping[str, Any], pod: Workload, policy: Object, network: Network) -> bool:
    block = peer.get("ipBlock")
    if block is not None:
        return pod.address is not None and in_block(pod.address, block)
    spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    if spaces is None:
        return pod.namespace == namespace_of(policy) and selects(pods, pod.labels)
    return selects(spaces, network.namespace_labels(pod.namespace)) and (
        pods is None or selects(pods, pod.labels)
    )


def in_block(address: str, block: Mapping[str, Any]) -> bool:
    """Whether an address is in an ipBlock and in none of its exceptions."""
    ip = ipaddress.ip_address(address)

    def inside(cidr: str) -> bool:
        net = ipaddress.ip_network(cidr, strict=False)
        return ip.version == net.version and ip in net

    return inside(block["cidr"]) and not any(inside(cidr) for cidr in block.get("except") or ())


def _ports_allow(ports: Sequence[Mapping[str, Any]] | None, door: _Door) -> bool:
    if not ports:
        return True
    return any(
        (entry.get("protocol") or "TCP") == door.protocol and _port_matches(entry, door) for entry in ports
    )


def _port_matches(entry: Mapping[str, Any], door: _Door) -> bool:
    stated = entry.get("port")
    if stated is None:
        return True
    if isinstance(stated, str) and not stated.isdigit():
        return any(
            port.get("name") == stated
            and port.get("containerPort") == door.port
            and (port.get("protocol") or "TCP") == door.protocol
            for container in containers_of(door.target.spec)
            for port in container.get("ports") or ()
        )
    first = int(stated)
    return first <= door.port <= int(entry.get("endPort") or first)


def admits(target: Workload, source: Workload, port: int, network: Network) -> bool:
    """Whether a pod's port lets a source in, whatever the source's own policies say."""
    return _passes(target, source, "Ingress", _Door(target=target, port=port, protocol="TCP"), network)


def admitted_by(target: Workload, port: int, network: Network) -> list[Workload]:
    """Return the pods and templates that a pod's port lets in; not the target's own kin."""
    return [source for source in _others(target, network) if admits(target, source, port, network)]


def reached_by(target: Workload, port: int, network: Network) -> list[Workload]:
    """Return the pods and templates whose connections to a port get through; not the target's own kin."""
    return [source for source in _others(target, network) if reaches(source, target, port, network)]


def _others(target: Workload, network: Network) -> list[Workload]:
    return [w for w in network.workloads if (w.namespace, w.labels) != (target.namespace, target.labels)]


def isolation_findings(network: Network, namespace: str | None = None) -> list[Finding]:
    """Name every pod that is open in a direction: no policy selects it, or a rule lets everyone through."""
    found = []
    for pod in network.workloads:
        if namespace is not None and pod.namespace != namespace:
            continue
        missing = sorted(set(BOTH) - isolation(pod, network.policies))
        if missing:
            detail = f"no NetworkPolicy selects it for {' and '.join(missing)}"
            rule = "non-isolated-pod" if len(missing) == len(BOTH) else "half-isolated-pod"
            found.append(Finding(rule=rule, where=pod.where, detail=detail))
        for policy in network.policies:
            for way in BOTH:
                if applies(policy, pod, way) and open_rules(policy, way):
                    detail = f"{where(policy)} lets everyone through ({way})"
                    found.append(Finding(rule="open-network-policy", where=pod.where, detail=detail))
    return found


def has_default_deny(namespace: str, policies: Iterable[Object], direction: Direction) -> bool:
    """Whether every pod of a namespace, also one made tomorrow, is closed in a direction."""
    return any(
        namespace_of(policy) == namespace
        and direction in directions(policy)
        and is_empty(dig(policy, "spec", "podSelector") or {})
        for policy in policies
    )


def dangling(network: Network, namespace: str | None = None) -> list[Finding]:
    """Name policies that select no pod, and peers that match nothing: a typing mistake, or what is gone."""
    found = []
    for policy in network.policies:
        home = namespace_of(policy)
        if namespace is not None and home != namespace:
            continue
        selector = dig(policy, "spec", "podSelector") or {}
        if not is_empty(selector) and not _any_pod(network, home, selector):
            found.append(
                Finding(
                    rule="dangling-network-policy",
                    where=where(policy),
                    detail="its podSelector selects no pod",
                )
            )
        for key, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in enumerate(dig(policy, "spec", key) or ()):
                for number, peer in enumerate(rule.get(peers) or ()):
                    said = _dangling_peer(peer, home, network)
                    if said:
                        detail = f"{key}[{index}].{peers}[{number}] {said}"
                        found.append(Finding(rule=PEER_RULE, where=where(policy), detail=detail))
    return found


def _any_pod(network: Network, namespace: str, selector: Mapping[str, Any]) -> bool:
    return any(pod.namespace == namespace and selects(selector, pod.labels) for pod in network.workloads)


def _dangling_peer(peer: Mapping[str, Any], home: str, network: Network) -> str | None:
    spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    if peer.get("ipBlock") is not None:
        return None
    if spaces is None and pods is None:
        return "names nobody"
    if spaces is None:
        return (
            None
            if is_empty(pods) or _any_pod(network, home, pods or {})
            else "selects no pod of this namespace"
        )
    known = {pod.namespace for pod in network.workloads} | set(network.namespaces) | {home}
    chosen = [space for space in known if selects(spaces, network.namespace_labels(space))]
    if not chosen:
        return "selects no namespace" if network.complete else None
    seen = [space for space in chosen if any(pod.namespace == space for pod in network.workloads)]
    if pods is None or is_empty(pods) or len(seen) < len(chosen):
        return None  # a namespace whose pods are not known may hold the one that is meant
    return (
        None
        if any(_any_pod(network, space, pods) for space in chosen)
        else "selects no pod of the namespaces"
    )


def admitted_blocks(pod: Workload, policies: Iterable[Object]) -> list[str]:
    """Return the address blocks that a pod's policies let in: addresses are nobody's name."""
    return sorted(
        {
            str(dig(peer, "ipBlock", "cidr"))
            for policy in policies
            if applies(policy, pod, "Ingress")
            for rule in dig(policy, "spec", "ingress") or ()
            for peer in rule.get("from") or ()
            if peer.get("ipBlock") is not None
        }
    )


def strangers(namespace: str) -> list[Workload]:
    """Make pods that nobody knows: one in the namespace, one in another. Nothing may let them in."""
    return [
        Workload(kind="Pod", namespace=space, name="stranger", labels={"stranger": "true"}, spec={})
        for space in (namespace, f"not-{namespace}")
    ]
