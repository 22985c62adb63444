"""Evaluate NetworkPolicies: which connections they allow, which pods they isolate, which select nothing.

A pod is isolated in a direction when a policy in its namespace selects it for that direction. Then only the
connections that a policy allows get through, and both ends must allow them. Source: the NetworkPolicy API
(networking.k8s.io/v1); CIS 5.3.2; kube-linter's non-isolated-pod and dangling-networkpolicy checks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bais_gates.rules.kubernetes.address_ranges import covered, is_everybody, is_node_dns, protected
from bais_gates.rules.kubernetes.objects import (
    Finding,
    Object,
    Workload,
    containers_of,
    describe,
    dig,
    is_empty,
    labels_of,
    locate,
    name_of,
    namespace_of,
    of_kind,
    selects,
    workloads,
)

Direction = Literal["Ingress", "Egress"]
DIRECTIONS: tuple[Direction, Direction] = ("Ingress", "Egress")
PEER_RULE = "dangling-network-policy-peer"
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
DNS_PORT = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The policies, workloads and namespaces to evaluate."""

    policies: Sequence[Object]
    workloads: Sequence[Workload]
    namespaces: Mapping[str, Mapping[str, str]]
    """Labels by namespace; a namespace that is not listed has only the label with its name."""
    complete: bool = False
    """Whether every namespace of the cluster is listed: a peer that selects none of them is dangling."""

    @classmethod
    def of(cls, objects: Iterable[Object], *, complete: bool = False) -> Network:
        """Return the network of the policies, pods, workloads and namespaces among objects."""
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
        """Return the labels of a namespace, including the label with its name."""
        return self.namespaces.get(namespace, {NAMESPACE_LABEL: namespace})


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """One peer of one rule of a policy."""

    policy: Object
    index: int
    """The rule's index in the policy's direction."""
    peer: Mapping[str, Any] | None
    """The peer; None where the rule names none, which admits everybody."""
    ports: Sequence[Mapping[str, Any]]
    """The rule's ports; empty for all ports."""

    @property
    def block(self) -> Mapping[str, Any] | None:
        """The peer's ipBlock, if it is one."""
        return dig(self.peer, "ipBlock")  # type: ignore[no-any-return]  # a manifest's value

    def only(self, port: int) -> bool:
        """Return whether the rule allows one port alone."""
        return bool(self.ports) and all(
            str(entry.get("port")) == str(port) and entry.get("endPort") in {None, port}
            for entry in self.ports
        )

    @property
    def is_node_dns(self) -> bool:
        """Whether it admits a DNS cache of the node, by port 53 alone."""
        return self.block is not None and self.only(DNS_PORT) and is_node_dns(self.block)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PodPort:
    """A port of a pod."""

    target: Workload
    port: int
    protocol: str


def directions(policy: Object) -> set[str]:
    """Return the policyTypes of a policy, or the API's default when it has none."""
    types = dig(policy, "spec", "policyTypes")
    if types:
        return set(types)
    return {"Ingress", "Egress"} if dig(policy, "spec", "egress") else {"Ingress"}


def applies(policy: Object, pod: Workload, direction: Direction) -> bool:
    """Return whether a policy selects a pod for a direction."""
    return (
        namespace_of(policy) == pod.namespace
        and direction in directions(policy)
        and selects(dig(policy, "spec", "podSelector") or {}, pod.labels)
    )


def isolated_directions(pod: Workload, policies: Iterable[Object]) -> set[Direction]:
    """Return the directions in which a policy isolates a pod."""
    return {direction for policy in policies for direction in DIRECTIONS if applies(policy, pod, direction)}


def admissions(policies: Iterable[Object], direction: Direction) -> list[Admission]:
    """Return every peer that the rules of policies for a direction admit, one by one."""
    key, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return [
        Admission(policy=policy, index=index, peer=peer, ports=tuple(rule.get("ports") or ()))
        for policy in policies
        if direction in directions(policy)
        for index, rule in enumerate(dig(policy, "spec", key) or ())
        for peer in rule.get(peers) or (None,)
    ]


def open_rules(policy: Object, direction: Direction) -> list[int]:
    """Return the indexes of a policy's rules that allow every peer."""
    admitted = admissions([policy], direction)
    indexes = sorted({one.index for one in admitted})
    return [index for index in indexes if _open([one for one in admitted if one.index == index], direction)]


def _open(admitted: Sequence[Admission], direction: Direction) -> bool:
    """Return whether peers together are everybody: any pod of any namespace, or the ranges of the world.

    Egress to the world is open only if it includes private ranges or the metadata service; a DNS cache of
    the node is neither.
    """
    ranges = covered(one.block for one in admitted if one.block is not None and not one.is_node_dns)
    return any(one.peer is None or _is_any_pod(one.peer) for one in admitted) or (
        is_everybody(ranges) and (direction == "Ingress" or bool(protected(ranges)))
    )


def _is_any_pod(peer: Mapping[str, Any]) -> bool:
    """Return whether a peer admits a pod without labels in a namespace of any name."""
    spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    anywhere = spaces is not None and selects(spaces, {NAMESPACE_LABEL: "any"})
    return anywhere and (pods is None or selects(pods, {}))


def allows(
    source: Workload,
    target: Workload,
    port: int,
    network: Network,
    *,
    protocol: str = "TCP",
    egress: bool = True,
    ingress: bool = True,
) -> bool:
    """Return whether policies allow a connection to a pod's port: those of both ends, or of the named one."""
    pod_port = _PodPort(target=target, port=port, protocol=protocol)
    return (not egress or _allows(source, target, "Egress", pod_port, network)) and (
        not ingress or _allows(target, source, "Ingress", pod_port, network)
    )


def ports_allow(ports: Sequence[Mapping[str, Any]], target: Workload, port: int) -> bool:
    """Return whether a rule's ports include a pod's TCP port."""
    return _ports_allow(ports, _PodPort(target=target, port=port, protocol="TCP"))


def _allows(
    pod: Workload, peer: Workload, direction: Direction, pod_port: _PodPort, network: Network
) -> bool:
    policies = [policy for policy in network.policies if applies(policy, pod, direction)]
    if not policies:
        return True
    return any(
        _ports_allow(one.ports, pod_port)
        and (one.peer is None or _peer_matches(one.peer, peer, one.policy, network))
        for one in admissions(policies, direction)
    )


def _peer_matches(peer: Mapping[str, Any], pod: Workload, policy: Object, network: Network) -> bool:
    block = peer.get("ipBlock")
    if block is not None:
        return pod.address is not None and _is_in_block(pod.address, block)
    spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    if spaces is None:
        return pod.namespace == namespace_of(policy) and selects(pods, pod.labels)
    return selects(spaces, network.namespace_labels(pod.namespace)) and (
        pods is None or selects(pods, pod.labels)
    )


def _is_in_block(address: str, block: Mapping[str, Any]) -> bool:
    """Return whether an address is in an ipBlock and in none of its exceptions."""
    ip = ipaddress.ip_address(address)

    def is_in(cidr: str) -> bool:
        net = ipaddress.ip_network(cidr, strict=False)
        return ip.version == net.version and ip in net

    return is_in(block["cidr"]) and not any(is_in(cidr) for cidr in block.get("except") or ())


def _ports_allow(ports: Sequence[Mapping[str, Any]] | None, pod_port: _PodPort) -> bool:
    if not ports:
        return True
    return any(
        (entry.get("protocol") or "TCP") == pod_port.protocol and _port_matches(entry, pod_port)
        for entry in ports
    )


def _port_matches(entry: Mapping[str, Any], pod_port: _PodPort) -> bool:
    allowed = entry.get("port")
    if allowed is None:
        return True
    if isinstance(allowed, str) and not allowed.isdigit():
        return any(
            port.get("name") == allowed
            and port.get("containerPort") == pod_port.port
            and (port.get("protocol") or "TCP") == pod_port.protocol
            for container in containers_of(pod_port.target.spec)
            for port in container.get("ports") or ()
        )
    first = int(allowed)
    return first <= pod_port.port <= int(entry.get("endPort") or first)


def isolation_findings(network: Network, namespace: str | None = None) -> list[Finding]:
    """Return findings for pods that no policy isolates, or for which a rule allows every peer."""
    findings = []
    for pod in network.workloads:
        if namespace is not None and pod.namespace != namespace:
            continue
        missing = sorted(set(DIRECTIONS) - isolated_directions(pod, network.policies))
        if missing:
            detail = f"no NetworkPolicy selects it for {' and '.join(missing)}"
            rule = "non-isolated-pod" if len(missing) == len(DIRECTIONS) else "half-isolated-pod"
            findings.append(Finding(rule=rule, where=pod.where, detail=detail))
        for direction in DIRECTIONS:
            policies = [policy for policy in network.policies if applies(policy, pod, direction)]
            opening = [policy for policy in policies if open_rules(policy, direction)]
            if not opening and _open(admissions(policies, direction), direction):
                opening = [one.policy for one in admissions(policies, direction) if one.block is not None]
            if opening:
                named = " and ".join(sorted({locate(policy) for policy in opening}))
                detail = f"{named} {'allows' if len(opening) == 1 else 'allow'} every peer ({direction})"
                findings.append(Finding(rule="open-network-policy", where=pod.where, detail=detail))
    return findings


def default_deny(namespace: str, policies: Iterable[Object], direction: Direction) -> str:
    """Return ``present`` if a policy isolates all present and future pods of a namespace in a direction.

    Else ``missing``, with the policies without rules, which deny less.
    """
    here = [policy for policy in policies if namespace_of(policy) == namespace]
    if any(direction in directions(one) and is_empty(dig(one, "spec", "podSelector") or {}) for one in here):
        return "present"
    denying = [
        f"{locate(one)} denies {' and '.join(sorted(directions(one)))} of "
        + (f"pods with {text}" if (text := describe(dig(one, "spec", "podSelector"))) else "every pod")
        for one in here
        if not dig(one, "spec", "ingress") and not dig(one, "spec", "egress")
    ]
    return ": ".join(["missing", *(["; ".join(sorted(denying))] if denying else [])])


def dangling_findings(network: Network, namespace: str | None = None) -> list[Finding]:
    """Return findings for policies that select no pod, and for peers that match nothing."""
    findings = []
    for policy in network.policies:
        home = namespace_of(policy)
        if namespace is not None and home != namespace:
            continue
        selector = dig(policy, "spec", "podSelector") or {}
        if not is_empty(selector) and not _any_pod(network, home, selector):
            detail = "its podSelector selects no pod"
            findings.append(Finding(rule="dangling-network-policy", where=locate(policy), detail=detail))
        for key, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in enumerate(dig(policy, "spec", key) or ()):
                for number, peer in enumerate(rule.get(peers) or ()):
                    fault = _peer_fault(peer, home, network)
                    if fault:
                        detail = f"{key}[{index}].{peers}[{number}] {fault}"
                        findings.append(Finding(rule=PEER_RULE, where=locate(policy), detail=detail))
    return findings


def _any_pod(network: Network, namespace: str, selector: Mapping[str, Any]) -> bool:
    return any(pod.namespace == namespace and selects(selector, pod.labels) for pod in network.workloads)


def _peer_fault(peer: Mapping[str, Any], home: str, network: Network) -> str | None:
    spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    if peer.get("ipBlock") is not None:
        return None
    if spaces is None and pods is None:
        return "is empty"
    if spaces is None:
        return (
            None
            if is_empty(pods) or _any_pod(network, home, pods or {})
            else "selects no pod in this namespace"
        )
    known = {pod.namespace for pod in network.workloads} | set(network.namespaces) | {home}
    selected = [space for space in known if selects(spaces, network.namespace_labels(space))]
    if not selected:
        return "selects no namespace" if network.complete else None
    listed = [space for space in selected if any(pod.namespace == space for pod in network.workloads)]
    if pods is None or is_empty(pods) or len(listed) < len(selected):
        return None  # the selected pod may be in a namespace whose pods are not listed
    return (
        None
        if any(_any_pod(network, space, pods) for space in selected)
        else "selects no pod in the selected namespaces"
    )
