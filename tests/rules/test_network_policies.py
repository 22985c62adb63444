"""What network policies let through, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bais_gates.rules.network_policies import (
    Network,
    admitted_blocks,
    dangling,
    directions,
    has_default_deny,
    isolation,
    isolation_findings,
    reached_by,
    reaches,
    strangers,
)
from bais_gates.rules.objects import Workload, selects

Labels = dict[str, str]
LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


def pod(name: str, namespace: str = "n", address: str | None = None, **labels: str) -> dict[str, Any]:
    """Write a running pod; its container opens port 5432 as postgres."""
    ports = [{"name": "postgres", "containerPort": 5432}]
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {"app": name}},
        "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {"phase": "Running", "podIP": address},
    }


def policy(name: str = "p", selector: Any = None, namespace: str = "n", **spec: Any) -> dict[str, Any]:
    """Write a network policy."""
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": selector or {}} | spec,
    }


def app(name: str) -> dict[str, Any]:
    """Write a selector of the pods of one app."""
    return {"matchLabels": {"app": name}}


DENY = policy("deny", policyTypes=["Ingress", "Egress"])
API_OUT = policy("out", app("api"), policyTypes=["Egress"], egress=[{"to": [{"podSelector": app("db")}]}])


def db_in(*peers: dict[str, Any], **rule: Any) -> dict[str, Any]:
    """Write the policy that lets peers into the database."""
    return policy("in", app("db"), policyTypes=["Ingress"], ingress=[{"from": list(peers)} | rule])


def net(*objects: dict[str, Any], complete: bool = False) -> Network:
    """Sort objects, with a pod of the api and one of the database, into a network."""
    return Network.of(
        [pod("api", address="10.0.0.1"), pod("db", address="10.0.0.2"), *objects], complete=complete
    )


def between(network: Network, port: int = 5432, protocol: str = "TCP") -> bool:
    """Ask whether the api reaches the database."""
    by_name = {w.name: w for w in network.workloads}
    return reaches(by_name["api"], by_name["db"], port, network, protocol=protocol)


API_PEER = {"podSelector": app("api")}


@pytest.mark.parametrize(
    ("objects", "through"),
    [
        pytest.param([], True, id="no policy at all"),
        pytest.param([DENY], False, id="all denied"),
        pytest.param([DENY, db_in(API_PEER)], False, id="let in, not out"),
        pytest.param([DENY, API_OUT], False, id="let out, not in"),
        pytest.param([DENY, API_OUT, db_in(API_PEER)], True, id="let out and in"),
        pytest.param([DENY, API_OUT, db_in({"podSelector": app("web")})], False, id="another app let in"),
        pytest.param([DENY, API_OUT, db_in({"podSelector": {}})], True, id="the whole namespace let in"),
        pytest.param([DENY, API_OUT, db_in()], True, id="a rule without peers lets everyone in"),
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
def test_a_connection_needs_the_leave_of_both_ends(objects: list[dict[str, Any]], through: bool) -> None:
    """What gets through is what some policy of each isolated end allows, peer and port together."""
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
def test_selectors_know_expressions(expression: dict[str, Any], labels: Labels, matches: bool) -> None:
    """Each operator selects as the API defines it, an absent key too."""
    assert selects({"matchExpressions": [expression]}, labels) is matches


def test_an_unknown_operator_is_no_match_and_no_miss() -> None:
    """A selector that can't be read is an error."""
    with pytest.raises(ValueError, match="operator"):
        selects({"matchExpressions": [{"key": "a", "operator": "Like"}]}, {})


@settings(max_examples=100, deadline=None)
@given(LABELS, LABELS)
def test_matching_labels_is_being_part_of_them(wanted: Labels, labels: Labels) -> None:
    """Labels match a selector exactly when they hold all of its pairs."""
    assert selects({"matchLabels": wanted}, labels) is (wanted.items() <= labels.items())


@settings(max_examples=100, deadline=None)
@given(
    LABELS, st.lists(LABELS, max_size=3), st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
)
def test_an_empty_policy_only_closes(labels: Labels, selectors: list[Labels], types: list[str]) -> None:
    """Policies without rules isolate whom they select, and let nothing through."""
    policies = [policy(f"p{i}", {"matchLabels": s}, policyTypes=types) for i, s in enumerate(selectors)]
    one = Workload(kind="Pod", namespace="n", name="one", labels=labels, spec={})
    two = Workload(kind="Pod", namespace="m", name="two", labels={}, spec={})
    network = Network(policies=policies, workloads=[one, two], namespaces={})
    closed = isolation(one, policies)

    assert reaches(two, one, 1, network) is ("Ingress" not in closed)
    assert reaches(one, two, 1, network) is ("Egress" not in closed)


@pytest.mark.parametrize(
    ("spec", "about"),
    [({}, {"Ingress"}), ({"egress": [{}]}, {"Ingress", "Egress"}), ({"policyTypes": ["Egress"]}, {"Egress"})],
)
def test_a_policy_without_types_has_the_apis_default(spec: dict[str, Any], about: set[str]) -> None:
    """Without policyTypes a policy is about what comes in, and about what goes out if it has such rules."""
    assert directions(policy(**spec)) == about


def rules(findings: list[Any]) -> list[str]:
    """Name the rules of findings."""
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
        ([DENY, db_in(API_PEER), API_OUT], []),
    ],
)
def test_open_pods_are_named(objects: list[dict[str, Any]], found: list[str]) -> None:
    """A pod that no policy closes, or that a rule opens to everyone, is named."""
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
def test_what_matches_nothing_is_named(objects: list[dict[str, Any]], found: list[str]) -> None:
    """A policy or a peer that selects nobody is a mistake; with every namespace known, a namespace too."""
    assert rules(dangling(net(*objects, complete=True))) == found


def test_a_foreign_namespace_is_not_judged_unseen() -> None:
    """Without all namespaces at hand, a peer in another one may well exist."""
    peer = {"namespaceSelector": {"matchLabels": {"x": "y"}}}

    assert dangling(net(db_in(peer))) == []


def test_who_reaches_a_store_is_found_across_namespaces() -> None:
    """Everyone whose connection gets through is named, the store's own kin and ended pods are not."""
    ended = pod("ended") | {"status": {"phase": "Succeeded"}}
    network = net(pod("spy", "m"), ended, db_in(API_PEER))
    store = next(w for w in network.workloads if w.name == "db")

    assert [w.name for w in reached_by(store, 5432, network)] == ["api"]
    assert [w.name for w in reached_by(store, 5432, net(pod("spy", "m"), ended))] == ["api", "spy"]
    assert not any(reaches(stranger, store, 5432, network) for stranger in strangers("n"))
    assert admitted_blocks(store, [db_in({"ipBlock": {"cidr": "10.0.0.0/8"}})]) == ["10.0.0.0/8"]


def test_default_deny_is_of_every_pod() -> None:
    """Only a policy that selects all pods closes tomorrow's too."""
    assert has_default_deny("n", [DENY], "Egress")
    assert not has_default_deny("n", [policy(policyTypes=["Ingress"])], "Egress")
    assert not has_default_deny("n", [policy(selector=app("db"), policyTypes=["Egress"])], "Egress")
    assert not has_default_deny("m", [DENY], "Egress")
