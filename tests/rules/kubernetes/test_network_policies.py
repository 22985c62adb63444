"""Connections that network policies allow, pods that they isolate, selectors that match nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bais_gates.rules.kubernetes.network_policies import (
    Network,
    allows,
    dangling_findings,
    default_deny,
    directions,
    isolated_directions,
    isolation_findings,
)
from bais_gates.rules.kubernetes.objects import Workload, selects

Labels = dict[str, str]
LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


def pod(name: str, namespace: str = "n", address: str | None = None, **labels: str) -> dict[str, Any]:
    """Return a running pod; its container declares port 5432 as postgres."""
    ports = [{"name": "postgres", "containerPort": 5432}]
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {"app": name}},
        "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {"phase": "Running", "podIP": address},
    }


def policy(name: str = "p", selector: Any = None, namespace: str = "n", **spec: Any) -> dict[str, Any]:
    """Return a network policy."""
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": selector or {}} | spec,
    }


def app(name: str) -> dict[str, Any]:
    """Return a selector of the pods of one app."""
    return {"matchLabels": {"app": name}}


DENY = policy("deny", policyTypes=["Ingress", "Egress"])
API_OUT = policy("out", app("api"), policyTypes=["Egress"], egress=[{"to": [{"podSelector": app("db")}]}])


def db_in(*peers: dict[str, Any], **rule: Any) -> dict[str, Any]:
    """Return the policy that allows ingress from peers to the database."""
    return policy("in", app("db"), policyTypes=["Ingress"], ingress=[{"from": list(peers)} | rule])


def net(*objects: dict[str, Any], complete: bool = False) -> Network:
    """Return the network of a pod of the api, one of the database, and further objects."""
    return Network.of(
        [pod("api", address="10.0.0.1"), pod("db", address="10.0.0.2"), *objects], complete=complete
    )


def between(network: Network, port: int = 5432, protocol: str = "TCP") -> bool:
    """Return whether the api reaches the database."""
    by_name = {w.name: w for w in network.workloads}
    return allows(by_name["api"], by_name["db"], port, network, protocol=protocol)


API_PEER = {"podSelector": app("api")}
NOT_SYSTEM = {
    "matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}
    ]
}
LOW, HIGH = {"ipBlock": {"cidr": "0.0.0.0/2"}}, {"ipBlock": {"cidr": "128.0.0.0/2"}}
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"]
PUBLIC = {"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE}}


def db_out(*peers: dict[str, Any]) -> dict[str, Any]:
    """Return a policy that lets the database reach peers."""
    return policy("db-out", app("db"), policyTypes=["Egress"], egress=[{"to": list(peers)}])


NODE_DNS = policy(
    "dns",
    policyTypes=["Egress"],
    egress=[{"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": [{"port": 53, "protocol": "UDP"}]}],
)


@pytest.mark.parametrize(
    ("objects", "through"),
    [
        pytest.param([], True, id="no policy at all"),
        pytest.param([DENY], False, id="all denied"),
        pytest.param([DENY, db_in(API_PEER)], False, id="ingress allowed, not egress"),
        pytest.param([DENY, API_OUT], False, id="egress allowed, not ingress"),
        pytest.param([DENY, API_OUT, db_in(API_PEER)], True, id="egress and ingress allowed"),
        pytest.param([DENY, API_OUT, db_in({"podSelector": app("web")})], False, id="another app allowed"),
        pytest.param([DENY, API_OUT, db_in({"podSelector": {}})], True, id="the whole namespace allowed"),
        pytest.param([DENY, API_OUT, db_in()], True, id="a rule without peers allows every peer"),
        pytest.param([DENY, API_OUT, db_in(API_PEER, ports=[{"port": 5432}])], True, id="by number"),
        pytest.param([DENY, API_OUT, db_in(API_PEER, ports=[{"port": "postgres"}])], True, id="by name"),
        pytest.param([DENY, API_OUT, db_in(API_PEER, ports=[{"port": "http"}])], False, id="by another name"),
        pytest.param([DENY, API_OUT, db_in(API_PEER, ports=[{"port": 80}])], False, id="another port"),
        pytest.param(
            [DENY, API_OUT, db_in(API_PEER, ports=[{"port": 5000, "endPort": 6000}])], True, id="range"
        ),
        pytest.param(
            [DENY, API_OUT, db_in(API_PEER, ports=[{"port": 5432, "protocol": "UDP"}])], False, id="udp"
        ),
        pytest.param(
            [DENY, API_OUT, db_in(API_PEER, ports=[{"protocol": "TCP"}])], True, id="any port of tcp"
        ),
        pytest.param([DENY, API_OUT, db_in({"ipBlock": {"cidr": "10.0.0.0/8"}})], True, id="block"),
        pytest.param(
            [DENY, API_OUT, db_in({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.1/32"]}})],
            False,
            id="block with an exception",
        ),
        pytest.param([DENY, API_OUT, db_in({"ipBlock": {"cidr": "::/0"}})], False, id="block of IPv6"),
        pytest.param([DENY, API_OUT, db_in({"namespaceSelector": {}})], True, id="every namespace"),
        pytest.param(
            [
                DENY,
                API_OUT,
                db_in({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "n"}}}),
            ],
            True,
            id="namespace by its name's label",
        ),
        pytest.param(
            [DENY, API_OUT, db_in({"namespaceSelector": {"matchLabels": {"team": "x"}}, "podSelector": {}})],
            False,
            id="namespace of another team",
        ),
        pytest.param(
            [policy("other", namespace="m", policyTypes=["Ingress"])], True, id="another namespace's"
        ),
    ],
)
def test_both_ends_must_allow_a_connection(objects: list[dict[str, Any]], through: bool) -> None:
    """A policy of each isolated end must allow the peer and the port."""
    assert between(net(*objects)) is through


@pytest.mark.parametrize(
    ("expression", "labels", "matches"),
    [
        ({"key": "a", "operator": "In", "values": ["x"]}, {"a": "x"}, True),
        ({"key": "a", "operator": "In", "values": ["x"]}, {}, False),
        ({"key": "a", "operator": "NotIn", "values": ["x"]}, {"a": "x"}, False),
        ({"key": "a", "operator": "NotIn", "values": ["x"]}, {}, True),
        ({"key": "a", "operator": "Exists"}, {"a": ""}, True),
        ({"key": "a", "operator": "Exists"}, {}, False),
        ({"key": "a", "operator": "DoesNotExist"}, {"a": ""}, False),
        ({"key": "a", "operator": "DoesNotExist"}, {}, True),
    ],
)
def test_selector_expressions(expression: dict[str, Any], labels: Labels, matches: bool) -> None:
    """Each operator selects as the API defines it, also with an absent key."""
    assert selects({"matchExpressions": [expression]}, labels) is matches


def test_an_unknown_operator_is_an_error() -> None:
    """It is neither a match nor a mismatch."""
    with pytest.raises(ValueError, match="operator"):
        selects({"matchExpressions": [{"key": "a", "operator": "Like"}]}, {})


@settings(max_examples=100, deadline=None)
@given(LABELS, LABELS)
def test_match_labels(wanted: Labels, labels: Labels) -> None:
    """Labels match a selector exactly if they contain all of its pairs."""
    assert selects({"matchLabels": wanted}, labels) is (wanted.items() <= labels.items())


@settings(max_examples=100, deadline=None)
@given(
    LABELS, st.lists(LABELS, max_size=3), st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
)
def test_policies_without_rules_only_isolate(
    labels: Labels, selectors: list[Labels], types: list[str]
) -> None:
    """Policies without rules isolate the pods that they select, and allow nothing."""
    policies = [policy(f"p{i}", {"matchLabels": s}, policyTypes=types) for i, s in enumerate(selectors)]
    one = Workload(kind="Pod", namespace="n", name="one", labels=labels, spec={})
    two = Workload(kind="Pod", namespace="m", name="two", labels={}, spec={})
    network = Network(policies=policies, workloads=[one, two], namespaces={})
    isolated = isolated_directions(one, policies)

    assert allows(two, one, 1, network) is ("Ingress" not in isolated)
    assert allows(one, two, 1, network) is ("Egress" not in isolated)


@pytest.mark.parametrize(
    ("spec", "types"),
    [({}, {"Ingress"}), ({"egress": [{}]}, {"Ingress", "Egress"}), ({"policyTypes": ["Egress"]}, {"Egress"})],
)
def test_a_policy_without_types_has_the_default_types(spec: dict[str, Any], types: set[str]) -> None:
    """The default is Ingress, and Egress if the policy has egress rules."""
    assert directions(policy(**spec)) == types


def rules(findings: list[Any]) -> list[str]:
    """Return the rules of findings."""
    return [finding.rule for finding in findings]


@pytest.mark.parametrize(
    ("objects", "found"),
    [
        ([], ["non-isolated-pod"] * 2),
        ([DENY], []),
        ([policy(policyTypes=["Ingress"])], ["half-isolated-pod"] * 2),
        ([policy(selector=app("db"), policyTypes=["Ingress", "Egress"])], ["non-isolated-pod"]),
        ([DENY, db_in()], ["open-network-policy"]),
        ([DENY, db_in({"ipBlock": {"cidr": "0.0.0.0/0"}})], ["open-network-policy"]),
        ([DENY, db_in({"namespaceSelector": {}})], ["open-network-policy"]),
        ([DENY, db_in({"namespaceSelector": NOT_SYSTEM})], ["open-network-policy"]),
        ([DENY, db_in({"namespaceSelector": {}, "podSelector": app("api")})], []),
        ([DENY, db_in(LOW, HIGH)], ["open-network-policy"]),
        ([DENY, db_in(LOW), db_in(HIGH)], ["open-network-policy"]),
        ([DENY, db_in({"ipBlock": {"cidr": "192.0.2.0/24"}})], []),
        ([DENY, db_out(LOW, HIGH)], ["open-network-policy"]),
        ([DENY, db_out(PUBLIC)], []),
        ([DENY, db_out(PUBLIC), NODE_DNS], []),
        ([DENY, db_in(API_PEER), API_OUT], []),
    ],
)
def test_pods_that_are_not_isolated(objects: list[dict[str, Any]], found: list[str]) -> None:
    """A pod that no policy isolates, or for which a rule allows every peer, is a finding."""
    assert rules(isolation_findings(net(*objects), "n")) == found


@pytest.mark.parametrize(
    ("objects", "found"),
    [
        ([DENY, API_OUT, db_in(API_PEER)], []),
        ([policy(selector=app("gone"))], ["dangling-network-policy"]),
        ([db_in({"podSelector": app("gone")})], ["dangling-network-policy-peer"]),
        ([db_in({})], ["dangling-network-policy-peer"]),
        ([db_in({"namespaceSelector": {"matchLabels": {"x": "y"}}})], ["dangling-network-policy-peer"]),
        ([db_in({"namespaceSelector": {}, "podSelector": app("gone")})], ["dangling-network-policy-peer"]),
        ([db_in({"namespaceSelector": {}, "podSelector": app("api")})], []),
    ],
)
def test_selectors_that_match_nothing(objects: list[dict[str, Any]], found: list[str]) -> None:
    """A policy, a peer and, if all namespaces are listed, a namespace that matches nothing is a finding."""
    assert rules(dangling_findings(net(*objects, complete=True))) == found


def test_a_namespace_that_is_not_listed_is_no_finding() -> None:
    """Unless all namespaces are listed, a peer in another one may exist."""
    peer = {"namespaceSelector": {"matchLabels": {"x": "y"}}}

    assert dangling_findings(net(db_in(peer))) == []


def test_default_deny_selects_every_pod() -> None:
    """Only a policy that selects all pods isolates future pods, too."""
    one = policy(selector=app("db"), policyTypes=["Egress"])
    assert default_deny("n", [DENY], "Egress") == "present"
    assert default_deny("m", [DENY], "Egress") == "missing"
    assert default_deny("n", [db_in(API_PEER)], "Egress") == "missing"
    assert default_deny("n", [policy(policyTypes=["Ingress"])], "Egress") == (
        "missing: NetworkPolicy/n/p denies Ingress of every pod"
    )
    assert default_deny("n", [one], "Egress") == (
        "missing: NetworkPolicy/n/p denies Egress of pods with app=db"
    )
