"""From a pod's spec to a process's settings, and from a process back to the pod's status."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bais_gates.sandbox.cluster.controllers.endpoints import SERVICE_ADDRESS
from bais_gates.sandbox.cluster.controllers.world import World
from bais_gates.sandbox.cluster.node import (
    addresses,
    images,
    inputs,
    probes,
    records,
    statuses,
    translate,
)
from bais_gates.sandbox.cluster.node.__main__ import ConfigError, load
from tests.cluster.controllers.objects_of import NOW, condition_of, pod, stored

SECRETS = {"POSTGRES_PASSWORD": "s1", "DB_USER": "bais_app", "DB_PASSWORD": "s2", "GATES_PASSWORD": "s3"}


def data(kind: str, name: str, values: dict[str, str]) -> dict[str, Any]:
    """Make a ConfigMap or Secret."""
    if kind == "Secret":
        values = {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}
    return stored(
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "data": values}
    )


def service(name: str, **selector: str) -> dict[str, Any]:
    """Make a Service."""
    metadata = {"name": name, "namespace": "shop"}
    return stored(
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector}}
    )


def behind(address: str, **labels: str) -> dict[str, Any]:
    """Make a pod whose process is reached at ``address``."""
    made = pod("bais-postgres-0")
    made["metadata"] |= {"labels": labels, "annotations": {SERVICE_ADDRESS: address}}
    return made


@pytest.mark.parametrize(
    ("container", "kind"),
    [
        ({"image": "registry.example/bais-api@sha256:" + "a" * 64}, "api"),
        ({"image": "registry.example/bais-api:1", "command": ["alembic", "upgrade", "head"]}, "migrate"),
        ({"image": "registry.example/bais-api:1", "command": ["bais-backup"]}, "backup"),
        ({"image": "registry.example/bais-api:1", "command": ["sh", "-c", "true"]}, None),
        ({"image": "docker.io/library/postgres:17", "args": ["-c", "config_file=x"]}, "postgres"),
        ({"image": "valkey/valkey:8", "command": ["valkey-server", "/etc/redis/redis.conf"]}, "redis"),
        ({"image": "nginx"}, None),
    ],
)
def test_what_a_container_runs_as(container: dict[str, Any], kind: str | None) -> None:
    """Image and command say which process a container is; others the sandbox can't run."""
    assert images.kind_of(container) == kind


@pytest.mark.parametrize(
    ("reference", "known"),
    [
        ("postgres:17", True),
        ("docker.io/library/postgres:17", True),
        ("postgres:16", False),
        ("x.example/a:1", True),
    ],
)
def test_which_images_there_are(reference: str, known: bool) -> None:
    """The registry's list decides; Docker Hub's short names are understood."""
    assert images.is_known(reference, ["docker.io/library/postgres:17", "x.example/a:1"]) is known


@pytest.mark.parametrize(
    ("reference", "valid"), [("a/b:1", True), ("UPPER/Case", False), ("a b", False), ("", False)]
)
def test_which_references_are_none(reference: str, valid: bool) -> None:
    """What can't be a reference is another fault than an image that is not there."""
    assert images.is_valid(reference) is valid


def test_the_environment_comes_from_all_its_sources() -> None:
    """envFrom, literal values and references, the later before the earlier."""
    container = {
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"prefix": "P_", "secretRef": {"name": "keys"}}],
        "env": [
            {"name": "A", "value": "own"},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "K"}}},
            {"name": "E", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "x", "optional": True}}},
        ],
    }
    world = World([data("ConfigMap", "settings", {"A": "1", "Z": "z"}), data("Secret", "keys", {"K": "v"})])

    assert inputs.environment(world, pod(), container) == {
        "A": "own",
        "Z": "z",
        "P_K": "v",
        "C": "v",
    }


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ({"secretKeyRef": {"name": "no", "key": "K"}}, 'secret "no" not found'),
        ({"secretKeyRef": {"name": "keys", "key": "no"}}, "couldn't find key no in Secret shop/keys"),
        ({"configMapKeyRef": {"name": "no", "key": "K"}}, 'configmap "no" not found'),
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "the sandbox has no fieldRef for A"),
    ],
)
def test_what_is_missing_is_named(variable: dict[str, Any], message: str) -> None:
    """The message is the kubelet's, as it stands in CreateContainerConfigError."""
    container = {"env": [{"name": "A", "valueFrom": variable}]}

    with pytest.raises(inputs.MissingError, match=message):
        inputs.environment(World([data("Secret", "keys", {"K": "v"})]), pod(), container)


def test_a_volume_without_its_secret_can_not_be_mounted() -> None:
    """FailedMount names volume and Secret."""
    made = pod(volumes=[{"name": "tls", "secret": {"secretName": "cert"}}])
    container = {"volumeMounts": [{"name": "tls", "mountPath": "/tls"}]}

    with pytest.raises(inputs.UnmountableError, match='volume "tls" : secret "cert" not found'):
        inputs.files(World(), made, container)


def test_projected_volumes_and_items_become_files() -> None:
    """Sources are merged; items choose and rename."""
    items = [{"key": "a", "path": "sub/b"}]
    volume = {
        "name": "v",
        "projected": {
            "sources": [{"configMap": {"name": "c", "items": items}}, {"secret": {"name": "s"}}],
        },
    }
    made = pod(volumes=[volume])
    world = World([data("ConfigMap", "c", {"a": "1", "x": "2"}), data("Secret", "s", {"k": "3"})])

    found = inputs.files(world, made, {"volumeMounts": [{"name": "v", "mountPath": "/etc/v"}]})

    assert found.texts == {"/etc/v/sub/b": "1", "/etc/v/k": "3"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("postgresql://u:p@bais-postgres:5432/bais?x=1", "postgresql://u:p@127.0.0.1:7777/bais?x=1"),
        ("redis://bais-postgres.shop.svc.cluster.local/0", "redis://127.0.0.1:7777/0"),
        ("https://bais-postgres-0.bais-postgres.shop.svc:5432", "https://127.0.0.1:7777"),
        ("postgresql://u:p@elsewhere.example:5432/bais", "postgresql://u:p@elsewhere.example:5432/bais"),
        ("bais-postgres", "bais-postgres"),
    ],
)
def test_service_names_become_addresses(written: str, expected: str) -> None:
    """A Service's name in a URL, however long, is where its process is; other hosts stay."""
    world = World([service("bais-postgres", app="pg"), behind("127.0.0.1:7777", app="pg")])

    assert addresses.resolve(world, "shop", written) == expected


def test_a_service_without_a_process_is_waited_for() -> None:
    """The Service is named, so that the pod can say what it waits for."""
    with pytest.raises(addresses.NotYetError, match="shop/bais-postgres"):
        addresses.resolve(World([service("bais-postgres", app="pg")]), "shop", "postgresql://bais-postgres/x")


def test_postgres_is_configured_as_by_the_official_image() -> None:
    """Database, roles and settings, whatever way they are given."""
    conf = (
        "# c\nmax_connections = 200\nssl = on # yes\ntimezone 'GMT' # '\nmax_connections=100\n"
        "x = 'it''s # 1'\n"
    )
    config = translate.postgres(
        {"POSTGRES_DB": "bais", "POSTGRES_USER": "postgres", **SECRETS},
        inputs.Files(texts={"/etc/postgresql/postgresql.conf": conf}, claims={}),
        volume="shop.data",
    )

    assert config == {
        "volume": "shop.data",
        "user": "postgres",
        "password": "s1",
        "database": "bais",
        "settings": {"max_connections": "100", "ssl": "on", "timezone": "GMT", "x": "it's # 1"},
        "roles": {
            "app": {"name": "bais_app", "password": "s2"},
            "gates": {"name": "gates_ro", "password": "s3"},
        },
        "tls": True,
    }


def test_postgres_without_a_password_is_not_started() -> None:
    """The official image refuses it too."""
    with pytest.raises(inputs.MissingError, match="POSTGRES_PASSWORD"):
        translate.postgres({}, inputs.Files(texts={}, claims={}), volume="v")


def test_redis_gets_its_configuration_and_users() -> None:
    """Lines that name other files are left out: the runtime has its own."""
    texts = {
        "/etc/redis/redis.conf": "port 1\naclfile /x\nmaxmemory 64mb\n",
        "/etc/redis/users.acl": "user a",
    }

    assert translate.redis(inputs.Files(texts=texts, claims={})) == {
        "configuration": "port 1\nmaxmemory 64mb\n",
        "users": "user a",
    }


def test_the_api_gets_its_settings() -> None:
    """Variables become settings, numbers become numbers, others are left out."""
    values = {"DATABASE_URL": "d", "ENVIRONMENT": "staging", "RATE_LIMIT_PER_TOKEN": "100", "OTHER": "x"}

    assert translate.api(values) == {
        "database_url": "d",
        "environment": "staging",
        "rate_limit": {"per_token": 100},
    }
    with pytest.raises(inputs.MissingError, match="DATABASE_POOL"):
        translate.api({"DATABASE_POOL": "many"})


def observed(state: str = "running", **more: Any) -> dict[str, Any]:
    """Make a container as the runtime lists it."""
    return {"id": "shop/web-0/main", "kind": "api", "pid": 7, "state": state, "up": True, "port": 1, **more}


def record(policy: str = "Always", **given: Any) -> records.Record:
    """Make the record of a pod whose one container has been started."""
    made = pod(containers=[{"name": "main", "image": "i", **given}], restartPolicy=policy)
    made.pop("status")
    found = records.new_record(made)
    found.containers[0].launched, found.containers[0].waiting = True, None
    return found


def test_a_running_pod_without_probes_is_ready() -> None:
    """Phase, conditions and the container's state say so."""
    status = statuses.pod_status(record(), {"shop/web-0/main": observed()}, NOW)

    assert status["phase"] == "Running"
    assert condition_of({"status": status}, "Ready") == ("True", "")
    assert status["containerStatuses"][0]["ready"] is True


def test_a_pod_is_not_ready_before_its_probe_says_so() -> None:
    """The condition names the container."""
    made = record(readinessProbe={"tcpSocket": {"port": 1}})
    status = statuses.pod_status(made, {"shop/web-0/main": observed()}, NOW)
    assert condition_of({"status": status}, "Ready") == ("False", "ContainersNotReady")

    made.containers[0].readiness.ok = True
    status = statuses.pod_status(made, {"shop/web-0/main": observed()}, NOW)
    assert condition_of({"status": status}, "Ready") == ("True", "")


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("Always", 1, "Running"),
    ],
)
def test_the_phase_of_a_pod_that_ended(policy: str, code: int, phase: str) -> None:
    """Exit code and restart policy decide."""
    made = record(policy)
    made.containers[0].ended = {"exitCode": code}

    assert statuses.pod_status(made, {}, NOW)["phase"] == phase


@pytest.mark.parametrize(
    ("code", "reason", "number"), [(0, "Completed", 0), (3, "Error", 3), (-9, "Error", 137)]
)
def test_how_a_container_ended(code: int, reason: str, number: int) -> None:
    """A signal is 128 and its number, as a shell counts; the last log lines come along if asked for."""
    spec = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    found = records.terminated(observed("exited", exit_code=code), spec, tail="no such table")

    assert (found["exitCode"], found["reason"]) == (number, reason)
    assert found.get("message") == ("no such table" if code else None)


@pytest.mark.parametrize(
    ("program", "answer", "well"),
    [
        ("pg_isready", b"R\0\0\0\x08", True),
        ("pg_isready", b"E\0\0\0\x20SFATAL\0C57P03\0\0", False),
        ("pg_isready", b"E\0\0\0\x20SFATAL\0C28000\0\0", True),
        ("curl", b"", False),
    ],
)
def test_a_probe_asks_as_pg_isready_does(program: str, answer: bytes, well: bool) -> None:
    """A server that answers is well, one that is starting is not, and unknown commands fail."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=_answer, args=(server, answer), daemon=True).start()
        port = server.getsockname()[1]
        probe = {"exec": {"command": [f"/usr/bin/{program}"]}, "timeoutSeconds": 2}
        if well:
            probes.ask(probe, "127.0.0.1", port)
        else:
            with pytest.raises(probes.UnhealthyError):
                probes.ask(probe, "127.0.0.1", port)


def _answer(server: socket.socket, answer: bytes) -> None:
    try:
        connection, _ = server.accept()
    except OSError:
        return
    with connection:
        connection.recv(64)
        connection.sendall(b"N")
        connection.recv(256)
        connection.sendall(answer)


def test_a_closed_port_is_unhealthy() -> None:
    """Nobody there is a failed probe, not a fault of the agent."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]

    with pytest.raises(probes.UnhealthyError, match="refused"):
        probes.ask({"tcpSocket": {"port": 1}}, "127.0.0.1", port)


@pytest.mark.parametrize("content", ["{", "[]", '{"api_server": "x"}'])
def test_a_wrong_configuration_is_reported(tmp_path: Path, content: str) -> None:
    """File and key are named."""
    path = tmp_path / "node.json"
    path.write_text(content)

    with pytest.raises(ConfigError, match=r"node\.json"):
        load(path)


def test_loopback_is_the_pods_other_containers() -> None:
    """By the port that they declare, once there is a process; other ports are left as they are."""
    world = World([])
    own = {6379: "127.0.0.1:40001", 5432: None}

    assert addresses.resolve(world, "shop", "redis://127.0.0.1:6379/0", own) == "redis://127.0.0.1:40001/0"
    assert addresses.resolve(world, "shop", "redis://localhost:6380/0", own) == "redis://localhost:6380/0"
    with pytest.raises(addresses.NotYetError, match="localhost:5432"):
        addresses.resolve(world, "shop", "postgresql://u:p@localhost:5432/x", own)
