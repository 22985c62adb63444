"""The supervisor as container runtime: requests through its socket start and end processes."""

from __future__ import annotations

import json
import signal
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pyrage  # type: ignore[import-untyped]  # it has no type annotations
import pytest
import redis

from bais_gates.sandbox.cluster.node.runtime_client import (
    RuntimeClient,
    RuntimeGoneError,
    RuntimeRefusedError,
)
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.processes import Part, spawn
from bais_gates.sandbox.runtime import Container, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bais_gates import sandbox

MAIN_DATABASE = "bais/bais-postgres-0/postgres"


class Containers:
    """The runtime of the running sandbox, with the client of the node agent."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.client = RuntimeClient(directory / "runtime.sock")
        self.made: list[str] = []

    def run(self, name: str, kind: str, **config: object) -> None:
        """Start a container, which is stopped after the test."""
        self.made.append(name)
        self.client.run(name, kind, config)

    def now(self, name: str) -> dict[str, Any]:
        """Return the current state of a container."""
        return next(one for one in self.client.list() if one["id"] == name)

    def until(self, name: str, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait for the condition to hold."""
        deadline = time.monotonic() + 20
        while not condition(found := self.now(name)):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def ended(self, name: str) -> dict[str, Any]:
        """Wait until the container has ended."""
        return self.until(name, lambda one: one["state"] == "exited")

    def up(self, name: str) -> dict[str, Any]:
        """Wait until the container accepts requests."""
        found = self.until(name, lambda one: one["up"] or one["state"] == "exited")
        assert found["up"], found
        return found


@pytest.fixture
def containers(running: sandbox.SandboxInfo) -> Iterator[Containers]:
    """Yield the runtime of the sandbox that these tests share; remove the test's containers afterwards."""
    runtime = Containers(running.directory)
    yield runtime
    for name in runtime.made:
        runtime.client.stop(name, grace_s=2)
        runtime.ended(name)
        runtime.client.remove(name)
    runtime.client.close()


def test_the_platforms_parts_are_there(containers: Containers, running: sandbox.SandboxInfo) -> None:
    """The three containers that the sandbox started itself are listed, running and reachable."""
    listed = {one["id"]: one for one in containers.client.list()}

    assert {one["kind"] for one in listed.values()} == {"postgres", "redis", "api"}
    assert listed[MAIN_DATABASE]["pid"] == running.pids["postgres"]
    assert listed["bais/bais-redis-0/redis"]["pid"] == running.pids["redis"]
    api = next(one for one in listed.values() if one["kind"] == "api")
    assert api["group_port"] == int(running.api_url.rpartition(":")[2])
    assert api["port"] not in {0, api["group_port"]}


def test_replicas_share_a_port_and_have_one_of_their_own(
    containers: Containers, running: sandbox.SandboxInfo
) -> None:
    """Connections to the shared port reach every replica; one of them may stop."""
    containers.run("bais/bais-api-second/api", "api", group="bais/bais-api")
    trust = ssl.create_default_context(cafile=running.directory / "ca.pem")
    second = containers.now("bais/bais-api-second/api")

    def answers() -> bool:
        try:
            address = f"https://127.0.0.1:{second['port']}/ready"
            return httpx.get(address, verify=trust, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    containers.until("bais/bais-api-second/api", lambda _: answers())
    for _ in range(30):
        assert httpx.get(f"{running.api_url}/health", verify=trust, trust_env=False).status_code == 200

    for one in containers.client.list():
        if one["kind"] == "api":
            shown = httpx.get(f"https://127.0.0.1:{one['port']}/metrics", verify=trust, trust_env=False).text
            counted = [line for line in shown.splitlines() if '_count{method="GET",route="/health"' in line]
            assert counted
            assert float(counted[0].split()[-1]) > 0
    log = (running.directory / "logs" / "bais.bais-api-second" / "api.log").read_text(encoding="utf-8")
    assert '"route":"/health"' in log
    containers.client.stop("bais/bais-api-second/api", grace_s=5)
    assert containers.ended("bais/bais-api-second/api")["exit_code"] in {0, -signal.SIGTERM}
    assert httpx.get(f"{running.api_url}/health", verify=trust, trust_env=False).status_code == 200


def test_a_database_a_migration_and_a_cache_of_another_namespace(containers: Containers) -> None:
    """A staged database has the configured settings, roles and passwords, and is migrated."""
    containers.run(
        "staged/database-0/postgres",
        "postgres",
        volume="staged.data-database-0",
        settings={"max_connections": "23", "listen_addresses": "*", "ssl_cert_file": "/tls/tls.crt"},
        roles={
            "app": {"name": "owner", "password": "pw-of-owner"},
            "gates": {"name": "ro", "password": "pw"},
        },
    )
    port = containers.up("staged/database-0/postgres")["port"]
    url = f"postgresql://owner:pw-of-owner@127.0.0.1:{port}/bais?sslmode=verify-full&sslrootcert="
    containers.run("staged/migrate-x/migrate", "migrate", database_url=f"{url}/ca/ca.crt")
    containers.run(
        "staged/cache-0/redis",
        "redis",
        configuration="port 6379\naclfile /etc/redis/users.acl\nmaxmemory 12mb\n",
        users="user default off\nuser app on >pw-of-app ~* +@all\n",
    )

    migrated = containers.ended("staged/migrate-x/migrate")
    assert migrated["exit_code"] == 0
    assert "Running upgrade 0001 -> 0002" in (containers.directory / migrated["log"]).read_text()
    with psycopg.connect(f"{url}{containers.directory}/ca.pem") as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("23",)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)
    cache = containers.up("staged/cache-0/redis")
    client = redis.Redis(port=cache["port"], username="app", password="pw-of-app")
    assert client.config_get("maxmemory") == {"maxmemory": str(12 * 1024 * 1024)}
    client.close()


def test_a_cache_is_up_whatever_its_users_may_do(containers: Containers) -> None:
    """A default user without password or rights is up as well; a new start has its own configuration."""
    name, closed = "staged/cache-1/redis", "user default off\nuser app on >pw ~* +@all\n"
    containers.run(name, "redis", configuration="maxmemory 12mb\n", users="user default on nopass -@all\n")
    opened = containers.up(name)
    with pytest.raises(redis.exceptions.NoPermissionError), redis.Redis(port=opened["port"]) as client:
        client.ping()
    containers.client.stop(name, grace_s=2)
    containers.ended(name)
    containers.client.remove(name)

    containers.client.run(name, "redis", {"configuration": "maxmemory 13mb\n", "users": closed})
    again = containers.up(name)

    assert again["port"] == opened["port"]
    with redis.Redis(port=again["port"], username="app", password="pw") as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(13 * 1024 * 1024)}


def test_a_start_that_fails_leaves_no_process(tmp_path: Path) -> None:
    """A container that reports an error has ended, whatever its program is doing."""
    started: list[Part] = []

    class Slow:
        """A program that is never ready."""

        stop_signals, part, port, log = ((signal.SIGTERM, 1.0),), None, 0, tmp_path / "log"

        def bring_up(self) -> Iterator[None]:
            """Start a process and give up."""
            self.part = spawn("slow", ["sleep", "60"], log=self.log, directory=tmp_path)
            started.append(self.part)
            yield
            raise SandboxError("it was not ready")

    def make(name: str, kind: str, *_given: object) -> Container:
        return Container(id=name, kind=kind, program=Slow(), name=name, log=Slow.log)

    runtime = Runtime(make, lambda _volume: None, {})
    runtime.handle({"op": "run", "id": "a/b/c", "kind": "redis"})
    runtime.tick()

    (container,) = runtime.containers
    assert (container.running, container.error) == (False, "it was not ready")
    assert started[0].process.wait(timeout=5) == -signal.SIGKILL  # type: ignore[union-attr] # it was spawned


def test_the_main_database_is_lost_and_comes_back_empty(containers: Containers) -> None:
    """After stop, wipe and run the database is empty, at the same address with the same password."""
    url = json.loads((containers.directory / "api.json").read_text())["database_url"]
    before = containers.now(MAIN_DATABASE)
    with pytest.raises(RuntimeRefusedError, match="in use"):
        containers.client.wipe(before["volume"])

    containers.client.stop(MAIN_DATABASE, grace_s=5)
    containers.ended(MAIN_DATABASE)
    containers.client.wipe(before["volume"])
    containers.client.run(MAIN_DATABASE, "postgres", {})

    after = containers.up(MAIN_DATABASE)
    assert after["port"] == before["port"]
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)
    containers.run("bais/migrate-again/migrate", "migrate", database_url=url)
    assert containers.ended("bais/migrate-again/migrate")["exit_code"] == 0


def test_a_backup_is_encrypted_and_has_metadata(containers: Containers, tmp_path: Path) -> None:
    """A backup decrypts to pg_dump's custom format, with a checksum, the schema revision and row counts."""
    identity = pyrage.x25519.Identity.generate()
    url = json.loads((containers.directory / "api.json").read_text())["database_url"]
    config = {"database_url": url, "recipient": str(identity.to_public()), "directory": str(tmp_path)}
    containers.run("bais/backup-x/backup", "backup", **config)

    assert containers.ended("bais/backup-x/backup")["exit_code"] == 0
    (about,) = tmp_path.glob("*.json")
    metadata = json.loads(about.read_text())
    dump = about.with_suffix(".dump.age")
    assert pyrage.decrypt(dump.read_bytes(), [identity]).startswith(b"PGDMP")
    assert (tmp_path / f"{dump.name}.sha256").read_text() == f"{metadata['sha256']}  {dump.name}\n"
    assert metadata["schema_revision"] == "0002"
    assert metadata["tables"]["public.alembic_version"] == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"recipient": "age1nonsense"}, "not an age public key"),
        ({"database_url": "postgresql://nobody:pw@127.0.0.1:1/bais"}, "can't be read"),
    ],
)
def test_a_failed_backup_logs_the_reason(
    containers: Containers, tmp_path: Path, config: dict[str, str], message: str
) -> None:
    """A backup without a usable key or database ends with exit status 1, a reason, and no file."""
    usable = {
        "database_url": json.loads((containers.directory / "api.json").read_text())["database_url"],
        "recipient": str(pyrage.x25519.Identity.generate().to_public()),
        "directory": str(tmp_path),
    }
    containers.run("bais/backup-y/backup", "backup", **(usable | config))

    ended = containers.ended("bais/backup-y/backup")

    assert ended["exit_code"] == 1
    assert message in (containers.directory / ended["log"]).read_text().splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"op": "dance"}, "unknown op"),
        ({"op": "run", "id": "ns/pod/c", "kind": "virtual-machine", "config": {}}, "unknown kind"),
        ({"op": "run", "id": "../etc/passwd", "kind": "redis", "config": {}}, "an id is"),
        ({"op": "run", "id": MAIN_DATABASE, "kind": "postgres"}, "running already"),
        ({"op": "remove", "id": MAIN_DATABASE}, "stop it first"),
        ({"op": "wipe", "volume": "../../etc"}, "a volume is"),
        ({"op": "wipe"}, "KeyError"),
    ],
)
def test_what_can_not_be_done_is_refused(
    containers: Containers, request_: dict[str, object], message: str
) -> None:
    """An invalid request is refused with one line, and nothing happens."""
    with pytest.raises(RuntimeRefusedError, match=message):
        containers.client.ask(request_)


def test_without_a_sandbox(tmp_path: Path) -> None:
    """Without a sandbox the client raises an error."""
    with pytest.raises(RuntimeGoneError, match="does not answer"):
        RuntimeClient(tmp_path / "runtime.sock").list()
