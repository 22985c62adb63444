"""The facts that the staging gates check: isolation, images, settings and addresses."""

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
def test_default_deny_directions(policies: list[dict[str, Any]], denied: list[str]) -> None:
    """Only a policy for all pods without a rule for a direction denies it."""
    assert isolation.default_deny_directions(policies) == denied


def test_open_policies() -> None:
    """A rule without a peer, with all namespaces or all addresses is open to everybody."""
    policies = [
        _policy("nobody", podSelector=ALL, policyTypes=["Ingress"]),
        _policy("no-peer", podSelector=API, policyTypes=["Ingress"], ingress=[{}]),
        _policy("everywhere", podSelector=API, ingress=[{"from": [{"namespaceSelector": {}}]}]),
        _policy("any-address", podSelector=API, ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]),
        _policy("its-own", podSelector=API, ingress=[{"from": [{"podSelector": {}}]}]),
        _policy("out", podSelector=API, policyTypes=["Egress"], egress=[{}]),
    ]

    assert isolation.open_policies(policies) == [
        "any-address (Ingress)",
        "everywhere (Ingress)",
        "no-peer (Ingress)",
        "out (Egress)",
    ]


def test_pod_security_levels_are_the_namespaces_labels() -> None:
    """A mode without a label is left out."""
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


def test_shared_values_names_keys_alone() -> None:
    """A value of production under any key is reported by its own key; names and certificates may be equal."""
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


def test_foreign_subjects_exposed_services_and_unowned_objects() -> None:
    """Foreign accounts, externally exposed Services and objects without the owner's label are reported."""
    binding = {
        "metadata": {"name": "b"},
        "subjects": [
            {"kind": "ServiceAccount", "namespace": "ci", "name": "deployer"},
            {"kind": "ServiceAccount", "namespace": "bais-staging", "name": "own"},
            {"kind": "User", "name": "bais-gates"},
            {"kind": "User", "name": "system:serviceaccount:bais:bais-api"},
            {"kind": "Group", "name": "system:serviceaccounts:bais"},
            {"kind": "Group", "name": "system:serviceaccounts:bais-staging"},
        ],
    }
    services: list[dict[str, Any]] = [
        {"metadata": {"name": "a"}, "spec": {"type": "ClusterIP"}},
        {"metadata": {"name": "b"}, "spec": {"type": "NodePort"}},
        {"metadata": {"name": "c"}, "spec": {"externalIPs": ["10.0.0.1"]}},
        {"metadata": {"name": "d"}, "spec": {"type": "ExternalName", "externalName": "db.bais.svc"}},
    ]
    objects = [
        {"kind": "Secret", "metadata": {"name": "ours", "labels": {"o": "sandbox"}}},
        {"kind": "Secret", "metadata": {"name": "theirs"}},
    ]

    assert isolation.foreign_subjects([binding], "bais-staging") == [
        "b: Group system:serviceaccounts:bais",
        "b: ServiceAccount bais/bais-api",
        "b: ServiceAccount ci/deployer",
    ]
    assert isolation.exposed_services(services) == [
        "b (NodePort)",
        "c (external IP 10.0.0.1)",
        "d (ExternalName of db.bais.svc)",
    ]
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
def test_running_digests(image_id: str, digest: str) -> None:
    """The kubelet's imageID counts; one without a digest is reported as unknown, not left out."""
    running = pod(containerStatuses=[{"name": "api", "imageID": image_id}])

    assert workload.running_digests([running]) == [digest]


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
        ("ssl=on", {"ssl": "on"}),
        ("ssl on", {"ssl": "on"}),
        ("SSL = 'on'", {"ssl": "on"}),
        ("ssl = off\nssl = on  # twice", {"ssl": "on"}),
        ("", {}),
    ],
)
def test_postgres_settings(text: str, settings: dict[str, str]) -> None:
    """Settings are read as PostgreSQL reads them; paths and addresses of the server are left out."""
    assert workload.postgres_settings(text) == settings


def test_redis_settings() -> None:
    """Directives are read without comments and quotes."""
    text = 'maxmemory 64mb\n# maxmemory 1gb\nsave ""\n\nMaxmemory-Policy allkeys-lru\n'

    assert workload.redis_settings(text) == {
        "maxmemory": "64mb",
        "save": "",
        "maxmemory-policy": "allkeys-lru",
    }


def test_last_revision() -> None:
    """The revision of the last upgrade counts; a log without an upgrade has none."""
    lines = ("Running upgrade  -> 0001, First schema", "Running upgrade 0001 -> 0002, More")
    log = "\n".join(f"INFO [alembic.runtime.migration] {one}" for one in lines)

    assert workload.last_revision(log) == "0002"
    assert workload.last_revision("INFO  [alembic.runtime.migration] Context impl PostgresqlImpl.\n") is None


def test_restarts() -> None:
    """Restarts of all containers are summed."""
    pods = [pod(name, containerStatuses=[{"restartCount": 2}, {}]) for name in ("a", "b")]

    assert workload.restarts(pods) == 4


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ("ssl = on\n", True),
        ("ssl = 'yes'\n", True),
        ("ssl = off\n", False),
        ("# ssl = on\n", False),
        ("ssl_cert_file = '/x'\n", False),
        ("port 0\ntls-port 6379\n", True),
        ("port 6379\n# tls-port 6379\n", False),
    ],
)
def test_has_tls(configuration: str, expected: bool) -> None:
    """TLS is on by ``ssl`` in a postgresql.conf or ``tls-port`` in a redis.conf, not by a comment."""
    assert workload.has_tls(configuration) is expected


@pytest.mark.parametrize(
    ("points", "url"),
    [
        ([{"ip": "127.0.0.1", "ports": [{"port": 8443}]}], "https://127.0.0.1:8443"),
        ([{"ip": "203.0.113.9"}], "https://api.staging.bais.example"),
        ([{"hostname": "lb.example"}], "https://api.staging.bais.example"),
    ],
)
def test_url_of_an_ingress(points: list[dict[str, Any]], url: str) -> None:
    """It is the load balancer's address if that has a port, else the host name of the rule."""
    ingress = {
        "metadata": {"name": "bais-api"},
        "spec": {"rules": [{"host": "api.staging.bais.example"}]},
        "status": {"loadBalancer": {"ingress": points}},
    }

    assert api_url(ingress) == url


def test_an_ingress_without_an_address_is_not_reachable() -> None:
    """An Ingress without an address has no URL, not even by its host name."""
    with pytest.raises(NotReachable):
        api_url({"metadata": {"name": "bais-api"}, "spec": {"rules": [{"host": "h"}]}})
