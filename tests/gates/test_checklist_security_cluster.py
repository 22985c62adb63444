"""Test on the manifests' objects that each fault fails the gates of network security and compliance."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

import pytest

from bais_gates.probes.kubernetes.cluster import ClusterUnreachable
from bais_gates.pytest_plugin.evidence import Evidence
from bais_gates.targets.parts import ApiPart
from tests.gates.fake_platform import NAMESPACE, FakeCluster, platform
from tests.gates.platform_bench import CLUSTER, environment, false_checks

network_gate = importlib.import_module("gates.checklist.test_network_security")
compliance = importlib.import_module("gates.checklist.test_compliance_verified")
Break = Callable[[FakeCluster], None]
ENVIRONMENT = environment(kubernetes=CLUSTER, api=ApiPart(url="https://127.0.0.1:8443"))


def network_checks(cluster: FakeCluster) -> list[str]:
    """Run the gate of network security."""
    return false_checks(lambda e: network_gate.test_network_security(cluster, ENVIRONMENT, e))


def edit(kind: str, name: str, change: Callable[[dict[str, Any]], object]) -> Break:
    """Make a fault: one object changed."""
    return lambda cluster: cast("None", change(cluster.one(kind, name)))


def drop(kind: str, name: str) -> Break:
    """Make a fault: one object removed."""
    return lambda cluster: cluster.objects.remove(cluster.one(kind, name))


def add(api_version: str, kind: str, **fields: Any) -> Break:
    """Make a fault: one object added."""
    metadata = {"name": "extra", "namespace": NAMESPACE, **fields.pop("metadata", {})}
    return lambda cluster: cluster.objects.append(
        {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}
    )


def test_the_manifests_pass_the_network_gate() -> None:
    """Every check holds."""
    assert network_checks(platform()) == []


CONTAINER = {"containers": [{"name": "c"}]}
ROUTE_TO_CACHE = {"rules": [{"backendRefs": [{"name": "bais-redis"}]}]}
DANGLING = "network policies and peers that match nothing"


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        pytest.param(
            drop("NetworkPolicy", "default-deny"),
            {"default deny policy (Ingress)", "pods that are not isolated"},
            id="default deny gone",
        ),
        pytest.param(
            drop("ServiceAccount", "bais-redis"),
            {"missing ServiceAccounts and dangling ServiceMonitors"},
            id="account gone",
        ),
        pytest.param(
            edit(
                "ServiceMonitor", "bais-api", lambda o: o["spec"].update(selector={"matchLabels": {"a": "b"}})
            ),
            {"missing ServiceAccounts and dangling ServiceMonitors"},
            id="monitor of nothing",
        ),
        pytest.param(
            edit("NetworkPolicy", "bais-postgres", lambda o: o["spec"].update(ingress=[{}])),
            {"pods that are not isolated"},
            id="database open to everyone",
        ),
        pytest.param(
            edit(
                "NetworkPolicy",
                "bais-redis",
                lambda o: o["spec"]["ingress"][0].update(**{"from": [{"podSelector": {}}]}),
            ),
            {"unneeded peers that may reach the cache"},
            id="cache open to the namespace",
        ),
        pytest.param(
            edit(
                "NetworkPolicy",
                "bais-postgres",
                lambda o: o["spec"]["ingress"][0]["from"].append({"ipBlock": {"cidr": "10.0.0.0/8"}}),
            ),
            {"IP blocks that may reach the database"},
            id="database open to addresses",
        ),
        pytest.param(
            edit(
                "NetworkPolicy",
                "bais-postgres",
                lambda o: o["spec"]["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0].update(
                    values=["bais-api2"]
                ),
            ),
            {"denied connections that are needed by the database", DANGLING},
            id="a label mistyped",
        ),
        pytest.param(
            edit("NetworkPolicy", "bais-redis", lambda o: o["spec"]["ingress"][0].pop("ports")),
            {"unneeded ports that peers may reach at the cache"},
            id="every port of the cache",
        ),
        pytest.param(
            edit("NetworkPolicy", "bais-api", lambda o: o["spec"]["ingress"][0]["from"].pop(0)),
            {"denied connections that are needed by the API"},
            id="ingress controller denied",
        ),
        pytest.param(drop("NetworkPolicy", "allow-dns"), {"pods without DNS egress"}, id="no DNS"),
        pytest.param(
            edit(
                "NetworkPolicy",
                "bais-api",
                lambda o: o["spec"]["egress"][2]["to"][0]["ipBlock"].pop("except"),
            ),
            {"unneeded destinations of the API", "pods that are not isolated"},
            id="the API reaches metadata",
        ),
        pytest.param(
            edit("Pod", "bais-api-0", lambda o: o["metadata"].pop("ownerReferences")),
            {"workloads and pods with another component's labels"},
            id="impostor",
        ),
        pytest.param(
            edit("Ingress", "bais-api", lambda o: o["spec"]["rules"][0].update(host="evil.example")),
            {"exposed hosts, paths and backends other than the API's"},
            id="another host",
        ),
        pytest.param(
            edit("Ingress", "bais-api", lambda o: o["spec"]["tls"][0].update(secretName="other")),
            {"Ingress Secrets without a Certificate"},
            id="another Secret",
        ),
        pytest.param(drop("IngressClass", "nginx"), {"Ingresses without a known class"}, id="no class"),
        pytest.param(
            add(
                "networking.k8s.io/v1",
                "Ingress",
                metadata={"namespace": "monitoring"},
                spec={"rules": [{"host": "localhost"}]},
            ),
            {"Ingresses of other namespaces that lead to the API"},
            id="the host claimed elsewhere",
        ),
        pytest.param(
            add("gateway.networking.k8s.io/v1alpha2", "TCPRoute", spec=ROUTE_TO_CACHE),
            {"routes that expose anything but the API"},
            id="route to the cache",
        ),
        pytest.param(
            add("v1", "Service", spec={"ports": [{"port": 443}]}),
            {"Services that lead to others' pods"},
            id="no selector",
        ),
        pytest.param(
            add(
                "discovery.k8s.io/v1",
                "EndpointSlice",
                metadata={"labels": {"kubernetes.io/service-name": "bais-postgres"}},
                endpoints=[{"addresses": ["203.0.113.9"]}],
            ),
            {"endpoints of Services that are not their pods"},
            id="endpoint elsewhere",
        ),
        pytest.param(drop("Namespace", "monitoring"), {DANGLING}, id="a peer's namespace gone"),
        pytest.param(
            edit("Service", "bais-api", lambda o: o["spec"].update(type="LoadBalancer")),
            {"unexpected exposed Services"},
            id="load balancer",
        ),
        pytest.param(
            edit("Pod", "bais-api-0", lambda o: o["spec"].update(hostNetwork=True)),
            {"pods with host ports or the host network"},
            id="host network",
        ),
        pytest.param(
            edit("Ingress", "bais-api", lambda o: o["spec"].pop("tls")),
            {"Ingress hosts without TLS"},
            id="no TLS",
        ),
        pytest.param(
            edit(
                "Ingress",
                "bais-api",
                lambda o: o["metadata"]["annotations"].update(
                    {"nginx.ingress.kubernetes.io/server-snippet": "x"}
                ),
            ),
            {"snippet annotations", "unsafe annotations"},
            id="snippet",
        ),
        pytest.param(
            drop("Service", "bais-api"), {"dangling Services and Ingress backends"}, id="no Service"
        ),
        pytest.param(drop("Pod", "bais-postgres-0"), set(), id="templates stand for pods"),
    ],
)
def test_each_fault_fails_the_network_gate(fault: Break, found: set[str]) -> None:
    """FAIL, by the fault's own check."""
    cluster = platform()
    fault(cluster)

    assert found <= set(network_checks(cluster))
    assert bool(network_checks(cluster)) is bool(found)


def test_an_unreachable_cluster_is_an_error() -> None:
    """ERROR, as it neither passes nor fails."""
    cluster = platform()
    cluster.error = ClusterUnreachable("no answer")

    with pytest.raises(ClusterUnreachable):
        network_gate.test_network_security(cluster, ENVIRONMENT, Evidence())
    with pytest.raises(ClusterUnreachable):
        compliance.test_compliance_verified(cluster, None, ENVIRONMENT, Evidence())


def test_an_empty_namespace_fails() -> None:
    """Without a pod there is nothing to isolate."""
    cluster = platform()
    cluster.objects = [o for o in cluster.objects if o["kind"] == "Namespace"]

    assert network_checks(cluster) == ["running pods"]


def compliance_checks(cluster: FakeCluster) -> list[str]:
    """Run the parts of the compliance gate that check objects."""
    objects = [o for o in cluster.objects if o["kind"] != "NetworkPolicy"]
    network = [o for o in cluster.objects if o["kind"] in {"Namespace", "Pod", "NetworkPolicy"}]

    def judge(evidence: Evidence) -> None:
        compliance.check_pods(objects, network, CLUSTER, evidence)
        compliance.check_namespace(network, NAMESPACE, "v1.36.0", evidence)
        compliance.check_permissions(objects, CLUSTER, evidence)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compliance, "Cluster", lambda _access: cluster)
            compliance.check_secrets(objects, CLUSTER, evidence)
        unsafe = compliance.unencrypted_claims(objects)
        compliance.check_none(evidence, "encryption at rest", unsafe, "PCI DSS 3.5")

    return false_checks(judge)


def test_the_manifests_pass_the_compliance_gate() -> None:
    """Every check of objects holds."""
    assert compliance_checks(platform()) == []


def test_secrets_that_may_not_be_listed_are_no_pass() -> None:
    """Without the right to list Secrets, the check has no data and names the right."""
    cluster = platform()
    cluster.forbidden = frozenset({"secrets"})

    assert compliance_checks(cluster) == ["secrets management: Secrets looked through"]


def container(obj: dict[str, Any]) -> dict[str, Any]:
    """Return the first container of a pod."""
    found: dict[str, Any] = obj["spec"]["containers"][0]
    return found


ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
ACCOUNT = {"kind": "ServiceAccount", "name": "bais-api", "namespace": NAMESPACE}


@pytest.mark.parametrize(
    ("fault", "control"),
    [
        (
            edit("Pod", "bais-api-0", lambda o: container(o)["securityContext"].update(privileged=True)),
            "non-root",
        ),
        (edit("Pod", "bais-redis-0", lambda o: o["spec"]["securityContext"].update(runAsUser=0)), "non-root"),
        (edit("Namespace", "bais", lambda o: o["metadata"].update(labels={})), "non-root"),
        (
            edit(
                "CronJob",
                "bais-backup",
                lambda o: o["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0].pop(
                    "resources"
                ),
            ),
            "limits",
        ),
        (edit("Pod", "bais-api-0", lambda o: container(o)["resources"].pop("limits")), "limits"),
        (drop("NetworkPolicy", "default-deny"), "network policies"),
        (
            edit(
                "Pod",
                "bais-api-0",
                lambda o: container(o)["env"].append({"name": "SECRET_KEY", "value": "abc"}),
            ),
            "secrets management",
        ),
        (edit("ConfigMap", "bais-api", lambda o: o["data"].update(DB_PASSWORD="abc")), "secrets management"),
        (edit("Pod", "bais-api-0", lambda o: o["spec"].update(automountServiceAccountToken=True)), "RBAC"),
        (
            add("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", roleRef=ROLE, subjects=[ACCOUNT]),
            "RBAC",
        ),
        (
            edit("Role", "bais-gates-reader", lambda o: o["rules"][0]["resources"].append("secrets")),
            "RBAC",
        ),
        (
            edit("ServiceAccount", "bais-api", lambda o: o.update(automountServiceAccountToken=True)),
            "RBAC",
        ),
        (
            add("v1", "Secret", type="kubernetes.io/service-account-token", data={}),
            "secrets management",
        ),
        (edit("Secret", "bais-api", lambda o: o["data"].update(DB_PASSWORD="")), "secrets management"),
        (edit("StorageClass", "bais-encrypted", lambda o: o.update(parameters={})), "encryption at rest"),
        (
            edit("PersistentVolumeClaim", "bais-backups", lambda o: o.update(status={"phase": "Pending"})),
            "encryption at rest",
        ),
    ],
    ids=[
        "privileged",
        "root",
        "namespace label",
        "backup without resources",
        "no limits",
        "no default deny",
        "secret in env",
        "secret in ConfigMap",
        "token mounted",
        "cluster-admin",
        "reads Secrets",
        "account mounts tokens",
        "long-lived token",
        "empty password",
        "unencrypted class",
        "claim unbound",
    ],
)
def test_each_fault_fails_the_compliance_gate(fault: Break, control: str) -> None:
    """FAIL, by checks of the fault's own control only."""
    cluster = platform()
    fault(cluster)
    found = {name.partition(":")[0] for name in compliance_checks(cluster)}

    assert found == {control}
