"""Whom policies admit, also once such pods exist, and where they let pods go."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules.kubernetes import peers
from bais_gates.rules.kubernetes.network_policies import Network
from bais_gates.rules.kubernetes.objects import Workload

NAMES = {"bais-api": "api", "bais-postgres": "database", "bais-redis": "cache", "bais-backup": "backup"}
METADATA_NAME = "kubernetes.io/metadata.name"
HTTPS, DNS = [{"port": 443}], [{"port": 53, "protocol": "UDP"}, {"port": 53}]
PUBLIC = {
    "cidr": "0.0.0.0/0",
    "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"],
}


def labels(name: str, component: str | None = None) -> dict[str, str]:
    """Return the labels of a component's pods."""
    return {peers.NAME: name, peers.COMPONENT: component or NAMES.get(name, name)}


def pod(name: str, space: str = "bais", **more: Any) -> dict[str, Any]:
    """Return a pod of a component, owned by a controller."""
    ports = [{"name": "postgres", "containerPort": 5432}]
    metadata = {"name": f"{name}-0", "namespace": space, "labels": labels(name)} | more
    owned = {"ownerReferences": [{"kind": "ReplicaSet", "controller": True}]}
    return {
        "kind": "Pod",
        "metadata": owned | metadata,
        "spec": {"containers": [{"name": "c", "ports": ports}]},
    }


def named(*names: str) -> dict[str, Any]:
    """Return a peer: pods by their name's label."""
    return {
        "podSelector": {"matchExpressions": [{"key": peers.NAME, "operator": "In", "values": list(names)}]}
    }


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    """Return a selector with one expression."""
    return {
        "matchExpressions": [
            {"key": key, "operator": operator} | ({"values": list(values)} if values else {})
        ]
    }


def policy(name: str, rule: dict[str, Any] | None = None, *, egress: bool = False) -> dict[str, Any]:
    """Return the policy of a component's pods with at most one rule."""
    kind, key = ("Egress", "egress") if egress else ("Ingress", "ingress")
    rules = [] if rule is None else [rule]
    spec = {"podSelector": {"matchLabels": {peers.NAME: name}}, "policyTypes": [kind], key: rules}
    return {"kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "bais"}, "spec": spec}


def network(*objects: dict[str, Any]) -> Network:
    """Return a network of the components' pods, a pod of monitoring, and further objects."""
    spaces = [
        {"kind": "Namespace", "metadata": {"name": one}} for one in ("bais", "monitoring", "kube-system")
    ]
    pods = [pod("bais-api"), pod("bais-postgres"), pod("bais-redis"), pod("prometheus", "monitoring")]
    return Network.of([*spaces, *pods, *objects], complete=True)


def one(net: Network, name: str) -> Workload:
    """Return a pod of the network."""
    return next(pod for pod in net.workloads if pod.name == f"{name}-0")


NEEDED = peers.Peers(names=NAMES, components={"api", "backup"})
TO_DATABASE = [{"port": 5432}]


@pytest.mark.parametrize(
    ("peer", "who"),
    [
        (named("bais-api", "bais-backup"), None),
        ({"podSelector": {"matchLabels": {peers.COMPONENT: "api"}}}, None),
        ({"podSelector": {"matchLabels": labels("bais-api") | {"tier": "x"}}}, None),
        (named("bais-api") | {"namespaceSelector": {"matchLabels": {METADATA_NAME: "bais"}}}, None),
        (named("bais-api", "spy"), "app.kubernetes.io/name in (bais-api, spy)"),
        (named("bais-api", "bais-redis"), "pods with"),
        ({"podSelector": {"matchLabels": labels("bais-api", "spy")}}, "pods with"),
        ({"podSelector": {"matchLabels": {"tier": "backend"}}}, "pods with tier=backend"),
        ({"podSelector": {}}, "every pod"),
        ({"podSelector": expression(peers.NAME, "Exists")}, "pods with app.kubernetes.io/name"),
        ({"podSelector": expression(peers.NAME, "NotIn", "bais-redis")}, "notin (bais-redis)"),
        ({"podSelector": expression("quarantine", "DoesNotExist")}, "!quarantine"),
        ({"namespaceSelector": {}}, "every pod of every namespace"),
        (named("bais-api") | {"namespaceSelector": {}}, "of every namespace"),
        ({"namespaceSelector": {"matchLabels": {METADATA_NAME: "monitoring"}}}, "monitoring"),
        (named("bais-api") | {"namespaceSelector": {"matchLabels": {"team": "x"}}}, "namespaces with team=x"),
        (named("bais-api") | {"namespaceSelector": expression(METADATA_NAME, "Exists")}, "namespaces with"),
        (named("bais-api") | {"namespaceSelector": expression(METADATA_NAME, "NotIn", "x")}, "notin (x)"),
        ({"podSelector": expression(peers.NAME, "In")}, "pods with"),
    ],
    ids=str,
)
def test_a_selector_is_judged_by_the_fewest_labels_that_satisfy_it(
    peer: dict[str, Any], who: str | None
) -> None:
    """A pod that does not exist yet counts as much as one that does."""
    net = network(policy("bais-postgres", {"from": [peer], "ports": TO_DATABASE}))

    found = peers.unneeded_sources(one(net, "bais-postgres"), 5432, net, NEEDED)

    if peer == {"podSelector": expression(peers.NAME, "In")}:
        who = None  # "In" without values selects nothing
    assert [who in text for text in found] == [True] if who else found == []


def test_existing_pods_with_contradicting_labels_are_found() -> None:
    """A pod with the API's name and another component is admitted, and not the API's."""
    spy = pod("spy", labels=labels("bais-api", "spy"))
    net = network(policy("bais-postgres", {"from": [named("bais-api")]}), spy)

    assert peers.unneeded_sources(one(net, "bais-postgres"), 5432, net, NEEDED) == ["Pod/bais/spy-0"]


def test_needed_namespaces_are_admitted_whatever_their_pods() -> None:
    """The rule of monitoring is no finding where monitoring is needed; a rule for everybody is."""
    peer = {"namespaceSelector": {"matchLabels": {METADATA_NAME: "monitoring"}}}
    needed = peers.Peers(names=NAMES, namespaces={"monitoring"})
    net = network(policy("bais-api", {"from": [peer]}))
    wide = network(policy("bais-api", {}))

    assert peers.unneeded_sources(one(net, "bais-api"), 8443, net, needed) == []
    assert peers.unneeded_sources(one(wide, "bais-api"), 8443, wide, needed) == [
        "NetworkPolicy/bais/p admits everybody"
    ]


@pytest.mark.parametrize(
    ("blocks", "count"),
    [
        ([], 0),
        ([{"cidr": "10.0.0.0/8"}], 1),
        ([{"cidr": "0.0.0.0/1"}, {"cidr": "128.0.0.0/1"}], 3),
        ([{"cidr": "::/1"}, {"cidr": "8000::/1"}], 3),
        ([{"cidr": "0.0.0.0/0", "except": ["192.0.2.0/24"]}], 2),
        ([{"cidr": "192.0.2.0/24", "except": ["192.0.2.0/25"]}, {"cidr": "2001:db8::/32"}], 2),
    ],
)
def test_blocks_are_listed_and_added_up(blocks: list[dict[str, Any]], count: int) -> None:
    """Two halves of the world are everybody, in either family and without their exceptions."""
    net = network(policy("bais-postgres", {"from": [{"ipBlock": block} for block in blocks] or [named("x")]}))

    found = peers.admitted_blocks(one(net, "bais-postgres"), net)

    assert len(found) == count
    assert ("together they are every address" in found) is (count > len(blocks))


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([{"port": 5432}], None),
        ([{"port": "postgres", "protocol": "TCP"}], None),
        ([{"port": 9187}], None),
        (None, "to every port"),
        ([{"protocol": "TCP"}], "to every port of TCP"),
        ([{"port": 5000, "endPort": 6000}], "to TCP 5000-6000"),
        ([{"port": 5432}, {"port": 22}], "to TCP 22"),
        ([{"port": 5432}, {"port": 5432, "protocol": "UDP"}], "to UDP 5432"),
    ],
)
def test_a_rule_admits_to_the_port_alone(ports: list[dict[str, Any]] | None, text: str | None) -> None:
    """By number or name; a rule for other ports is not about this one."""
    net = network(policy("bais-postgres", {"from": [named("bais-api")], "ports": ports}))

    found = peers.needless_ports(one(net, "bais-postgres"), 5432, net)

    assert [one.endswith(text) for one in found] == [True] if text else found == []


def test_needed_components_must_get_through() -> None:
    """Egress and ingress both count, for each pod."""
    denied = network(policy("bais-api", egress=True))

    assert peers.unreachable_for({"api"}, [one(denied, "bais-postgres")], 5432, denied) == [
        "Pod/bais/bais-api-0 -> Pod/bais/bais-postgres-0"
    ]
    assert peers.unreachable_for({"api"}, [one(network(), "bais-postgres")], 5432, network()) == []


KUBE_DNS = {
    "namespaceSelector": {"matchLabels": {METADATA_NAME: "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}


@pytest.mark.parametrize(
    ("rule", "denied"),
    [
        ({"to": [KUBE_DNS], "ports": DNS}, ""),
        ({"to": [KUBE_DNS | {"namespaceSelector": {}}], "ports": DNS}, ""),
        ({"to": [KUBE_DNS], "ports": DNS[:1]}, "TCP"),
        ({"to": [KUBE_DNS], "ports": DNS[1:]}, "UDP"),
        ({"to": [{"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": DNS}, "UDP or TCP"),
        (None, "UDP or TCP"),
    ],
)
def test_dns_is_asked_by_both_protocols(rule: dict[str, Any] | None, denied: str) -> None:
    """Of the DNS pods in kube-system; the policy that denies it is named, and the pods."""
    net = network(policy("bais-api", rule, egress=True))

    found = peers.without_dns([one(net, "bais-api")], net)

    by = "NetworkPolicy/bais/p allows no" if rule else "no policy allows"
    assert found == ([f"{by} {denied} 53 of kube-dns to Pod/bais/bais-api-0"] if denied else [])


def test_dns_is_allowed_for_other_pods_alone() -> None:
    """The policy that allows it, and does not select the pod, is named."""
    deny = policy("bais-api", egress=True) | {"metadata": {"name": "deny", "namespace": "bais"}}
    net = network(deny, policy("bais-redis", {"to": [KUBE_DNS], "ports": DNS}, egress=True))

    found = peers.without_dns([one(net, "bais-api")], net)

    assert found == ["NetworkPolicy/bais/p allows no UDP or TCP 53 of kube-dns to Pod/bais/bais-api-0"]


OTEL = {
    "namespaceSelector": {"matchLabels": {METADATA_NAME: "tracing"}},
    "podSelector": {"matchLabels": {peers.NAME: "otel-collector"}},
}
IN_SYSTEM = {"namespaceSelector": {"matchLabels": {METADATA_NAME: "kube-system"}}}


@pytest.mark.parametrize(
    ("rule", "of_api", "of_store"),
    [
        ({"to": [KUBE_DNS], "ports": DNS}, None, None),
        ({"to": [IN_SYSTEM], "ports": DNS}, None, None),
        ({"to": [named("bais-postgres")], "ports": TO_DATABASE}, None, "bais-postgres"),
        ({"to": [{"ipBlock": PUBLIC}], "ports": HTTPS}, None, "0.0.0.0/0"),
        ({"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 8443}]}, None, "192.0.2.0/24"),
        ({"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": TO_DATABASE}, None, "10.1.2.3/32"),
        ({"to": [OTEL], "ports": [{"port": 4317}]}, None, "otel-collector"),
        ({"to": [OTEL]}, "otel-collector", "otel-collector"),
        ({"to": [IN_SYSTEM]}, "kube-system", "kube-system"),
        ({"to": [IN_SYSTEM], "ports": [*DNS, {"port": 443}]}, "kube-system", "kube-system"),
        ({"to": [{"ipBlock": PUBLIC}]}, "ports other than 443", "0.0.0.0/0"),
        (
            {"to": [{"ipBlock": PUBLIC}], "ports": [{"port": 443, "endPort": 444}]},
            "other than 443",
            "0.0.0.0/0",
        ),
        ({"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": HTTPS}, "metadata", "169.254"),
        ({"to": [{"ipBlock": {"cidr": "fd00:ec2::254/128"}}], "ports": HTTPS}, "metadata", "fd00"),
        ({"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": DNS}, None, None),
        ({"to": [{"ipBlock": {"cidr": "fd00::10/128"}}], "ports": DNS}, None, None),
        ({"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}]}, "metadata", "169.254"),
        ({"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": HTTPS}, "metadata", "169.254"),
        ({"to": [{"ipBlock": {"cidr": "169.254.0.0/16"}}], "ports": DNS}, "metadata", "169.254"),
        ({"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": DNS}, "metadata", "169.254"),
        ({"to": [{"ipBlock": {"cidr": "172.16.0.0/12"}}], "ports": HTTPS}, "private range", "172.16"),
        ({"to": [{"podSelector": {}}], "ports": HTTPS}, "every pod", "every pod"),
        ({"to": [{"namespaceSelector": {}}], "ports": HTTPS}, "every namespace", "every namespace"),
        ({"to": [named("bais-backup")], "ports": HTTPS}, "bais-backup", "bais-backup"),
        ({}, "everybody", "everybody"),
        ({"ports": DNS}, "everybody", "everybody"),
    ],
    ids=str,
)
def test_egress_goes_where_it_is_needed(
    rule: dict[str, Any], of_api: str | None, of_store: str | None
) -> None:
    """The API may reach its stores, DNS, named pods and public addresses by HTTPS; a store only DNS."""
    api = network(policy("bais-api", rule, egress=True))
    store = network(policy("bais-redis", rule, egress=True))
    needed = peers.Peers(names=NAMES, components={"database", "cache"})

    by_api = peers.unneeded_destinations(one(api, "bais-api"), api, needed, outside=True)
    nothing = peers.Peers(names=NAMES)
    by_store = peers.unneeded_destinations(one(store, "bais-redis"), store, nothing, outside=False)

    assert [of_api in text for text in by_api] == [True] if of_api else by_api == []
    assert [of_store in text for text in by_store] == [True] if of_store else by_store == []


def test_impostors_have_a_components_labels() -> None:
    """By name or component; a component's own objects and other workloads are none."""
    bare = pod("bais-api", ownerReferences=[])
    spy = pod("spy", labels=labels("spy", "api"))
    job = {
        "kind": "Job",
        "metadata": {"name": "bais-backup-drill", "namespace": "bais"},
        "spec": {"template": {"metadata": {"labels": labels("bais-backup")}, "spec": {}}},
    }

    found = peers.impostors([pod("bais-api"), pod("other"), job, bare, spy], NAMES)

    assert [str(each) for each in found] == [
        "Pod/bais/bais-api-0: has the labels of bais-api, and no controller owns it",
        "Pod/bais/spy-0: has the labels of bais-api, whose peers admit it",
    ]
