"""The facts that the gates of staging are judged by: isolation, what workloads run, how they are reached."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from bais_gates.staging import isolation, workload
from bais_gates.staging.reach import NotReachable, api_url
from tests.staging.objects import pod


def _policy(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "bais-staging"}, "spec": spec}


ALL: dict[str, Any] = {}
API = {"matchLabels": {"app.kubernetes.io/name": "bais-api"}}


@pytest.mark.parametrize(
    ("policies", "denied"),
    [
        ([_policy(podSelector=ALL, policyTypes=["Ingress", "Egress"])], ["Egress", "Ingress"]),
        ([_policy(podSelector=ALL, policyTypes=["Ingress"])], ["Ingress"]),
        ([_policy(podSelector=ALL)], ["Ingress"]),
        ([_policy(podSelector=ALL, egress=[])], ["Egress", "Ingress"]),
        ([_policy(podSelector=API, policyTypes=["Ingress", "Egress"])], []),
        ([_policy(podSelector={"matchExpressions": [{"key": "a"}]}, policyTypes=["Ingress"])], []),
        ([_policy(podSelector=ALL, policyTypes=["Egress"], egress=[{"to": []}])], []),
        (
            [
                _policy(podSelector=ALL, policyTypes=["Ingress"]),
                _policy(podSelector=ALL, policyTypes=["Egress"]),
            ],
            ["Egress", "Ingress"],
        ),
        ([], []),
    ],
)
def test_what_is_denied_by_default(policies: list[dict[str, Any]], denied: list[str]) -> None:
    """Only a policy of all pods without a rule for a direction closes it."""
    assert isolation.denied_by_default(policies) == denied


def test_who_is_let_in_from_anywhere() -> None:
    """A rule without a peer, with all namespaces or all addresses lets anybody in."""
    policies = [
        _policy("nobody", podSelector=ALL, policyTypes=["Ingress"]),
        _policy("no-peer", podSelector=API, policyTypes=["Ingress"], ingress=[{}]),
        _policy("everywhere", podSelector=API, ingress=[{"from": [{"namespaceSelector": {}}]}]),
        _policy("any-address", podSelector=API, ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]),
        _policy("its-own", podSelector=API, ingress=[{"from": [{"podSelector": {}}]}]),
        _policy("out", podSelector=API, policyTypes=["Egress"], egress=[{}]),
    ]

    assert isolation.let_in_from_anywhere(policies) == ["any-address", "everywhere", "no-peer"]


def test_pod_security_levels_are_the_namespaces_labels() -> None:
    """A mode that is not set is missing, not a level."""
    labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "baseline",
    }

    assert isolation.pod_security({"metadata": {"labels": labels}}) == {
        "enforce": "restricted",
        "warn": "baseline",
    }
    assert isolation.pod_security({"metadata": {}}) == {}


def _secret(name: str, kind: str = "Opaque", **values: str) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"metadata": {"name": name}, "type": kind, "data": data}


def test_shared_secrets_are_named_and_never_shown() -> None:
    """A value that production has, under whatever name, is found; names and certificates may agree."""
    own = [
        _secret("bais-api", SECRET_KEY="the-same-value", SLACK_WEBHOOK_URL="https://hook", OWN="own-value"),
        _secret("bais-api-tls", "kubernetes.io/tls", **{"tls.key": "one-key"}),
    ]
    others = [
        _secret("else", OTHER="the-same-value", SLACK_WEBHOOK_URL="https://hook"),
        _secret("bais-api-tls", "kubernetes.io/tls", **{"tls.key": "one-key"}),
    ]

    assert isolation.shared_values(own, others) == ["bais-api.SECRET_KEY"]
    assert isolation.shared_values(own, []) == []


def test_rights_exposure_and_ownership() -> None:
    """Accounts of other namespaces, Services open to the outside and objects of others are named."""
    binding = {
        "metadata": {"name": "b"},
        "subjects": [
            {"kind": "ServiceAccount", "namespace": "ci", "name": "deployer"},
            {"kind": "ServiceAccount", "namespace": "bais-staging", "name": "own"},
            {"kind": "User", "name": "bais-gates"},
        ],
    }
    services: list[dict[str, Any]] = [
        {"metadata": {"name": "a"}, "spec": {"type": "ClusterIP"}},
        {"metadata": {"name": "b"}, "spec": {"type": "NodePort"}},
        {"metadata": {"name": "c"}, "spec": {"externalIPs": ["10.0.0.1"]}},
    ]
    objects = [
        {"kind": "Secret", "metadata": {"name": "ours", "labels": {"o": "sandbox"}}},
        {"kind": "Secret", "metadata": {"name": "theirs"}},
    ]

    assert isolation.foreign_subjects([binding], "bais-staging") == ["b: ci/deployer"]
    assert isolation.exposed(services) == ["b (NodePort)", "c (None)"]
    assert isolation.unowned(objects, "o", "sandbox") == ["Secret theirs"]


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        ("registry.bais.example/bais-api@sha256:" + "a" * 64, "sha256:" + "a" * 64),
        ("docker-pullable://x@sha256:" + "b" * 64, "sha256:" + "b" * 64),
        ("sha256:" + "c" * 64, "sha256:" + "c" * 64),
        ("", "unknown (api)"),
        ("registry.bais.example/bais-api:latest", "unknown (api)"),
    ],
)
def test_the_digests_that_run(image_id: str, digest: str) -> None:
    """What counts is the kubelet's imageID; one without a digest is said to be unknown, never left out."""
    running = pod(containerStatuses=[{"name": "api", "imageID": image_id}])

    assert workload.digests_running([running]) == [digest]


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("max_connections = 100\n", {"max_connections": "100"}),
        ("max_connections 100 # many\n", {"max_connections": "100"}),
        ("timezone = 'GMT'\n", {"timezone": "GMT"}),
        ("log_line_prefix = 'it''s %m'\n", {"log_line_prefix": "it's %m"}),
        ("# work_mem = 4MB\n\n", {}),
        ("listen_addresses = '*'\nssl_cert_file = '/tls/tls.crt'\nhba_file = '/x'\nport = 1\n", {}),
        ("work_mem = 4MB\nWORK_MEM = 8MB\n", {"work_mem": "8MB"}),
        ("pg_stat_statements.track = all\n", {"pg_stat_statements.track": "all"}),
    ],
)
def test_settings_of_a_postgresql_conf(text: str, settings: dict[str, str]) -> None:
    """Settings are read as PostgreSQL reads them; where the server keeps its files is left out."""
    assert workload.declared_settings(text) == settings


def test_settings_of_a_redis_conf() -> None:
    """Directives, comments and quotes."""
    text = 'maxmemory 64mb\n# maxmemory 1gb\nsave ""\n\nMaxmemory-Policy allkeys-lru\n'

    assert workload.cache_settings(text) == {
        "maxmemory": "64mb",
        "save": "",
        "maxmemory-policy": "allkeys-lru",
    }


def test_the_last_revision_in_alembics_log() -> None:
    """The last upgrade is where the migrations ended; a log without one says nothing."""
    lines = ("Running upgrade  -> 0001, First schema", "Running upgrade 0001 -> 0002, More")
    log = "\n".join(f"INFO [alembic.runtime.migration] {one}" for one in lines)

    assert workload.last_revision(log) == "0002"
    assert workload.last_revision("INFO  [alembic.runtime.migration] Context impl PostgresqlImpl.\n") is None


def test_restarts_and_nodes() -> None:
    """Restarts of all containers are summed, nodes are named once."""
    one, two = (pod(name, containerStatuses=[{"restartCount": 2}, {}]) for name in ("a", "b"))
    one["spec"], two["spec"] = {"nodeName": "n1"}, {"nodeName": "n1"}

    assert workload.restarts([one, two]) == 4
    assert workload.nodes_of([one, two]) == ["n1"]


@pytest.mark.parametrize(
    ("points", "url"),
    [
        ([{"ip": "127.0.0.1", "ports": [{"port": 8443}]}], "https://127.0.0.1:8443"),
        ([{"ip": "203.0.113.9"}], "https://api.staging.bais.example"),
        ([{"hostname": "lb.example"}], "https://api.staging.bais.example"),
    ],
)
def test_the_address_of_an_ingress(points: list[dict[str, Any]], url: str) -> None:
    """A load balancer that names its port is asked there, any other by the host name of the rule."""
    ingress = {
        "metadata": {"name": "bais-api"},
        "spec": {"rules": [{"host": "api.staging.bais.example"}]},
        "status": {"loadBalancer": {"ingress": points}},
    }

    assert api_url(ingress) == url


def test_an_ingress_without_an_address_is_not_reachable() -> None:
    """That is said, not guessed around."""
    with pytest.raises(NotReachable):
        api_url({"metadata": {"name": "bais-api"}, "spec": {"rules": [{"host": "h"}]}})
