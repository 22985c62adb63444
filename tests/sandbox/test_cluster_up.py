"""The cluster of a sandbox: its pods are the sandbox's processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import tempfile
import time
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import yaml

from bais_gates import sandbox
from bais_gates.manifests import render
from bais_gates.sandbox import records
from bais_gates.sandbox.bootstrap import envtest, objects
from bais_gates.sandbox.bootstrap.client import ClusterClient
from bais_gates.sandbox.services import postgres
from bais_gates.sandbox.tls import issue
from tests.sandbox.rollouts import Rollouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox.conftest import Machine

OVERLAY = Path(__file__).parents[2] / "gates" / "staging" / "manifests" / "overlays" / "sandbox"
DATABASE_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"namespace": "bais", "name": "bais-postgres-0"},
}


class Cluster:
    """A sandbox with its cluster, and a client with the administrator's token."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.info = sandbox.start(directory, owner_pid=os.getpid())
        self.progress: list[str] = []
        self.cluster = sandbox.start_cluster(directory, manifests=OVERLAY, progress=self.progress.append)
        users = json.loads(self.cluster.kubeconfig.read_text())["users"]
        self.tokens = {one["name"]: one["user"]["token"] for one in users}
        self.client = ClusterClient(
            self.cluster.url, ca=directory / "ca.pem", token=self.tokens["sandbox-admin"]
        )

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Return the ready pods of an application."""
        found = self.client.list("v1", "Pod", "bais")
        return [
            pod
            for pod in found
            if pod["metadata"]["labels"].get("app.kubernetes.io/name") == name
            and "deletionTimestamp" not in pod["metadata"]
            and any(
                one["type"] == "Ready" and one["status"] == "True"
                for one in pod["status"].get("conditions", ())
            )
        ]

    def delete(self, path: str) -> None:
        """Delete an object."""
        trust = ssl.create_default_context(cafile=self.directory / "ca.pem")
        headers = {"authorization": f"Bearer {self.tokens['sandbox-admin']}"}
        response = httpx.delete(f"{self.cluster.url}{path}", headers=headers, verify=trust, trust_env=False)
        assert response.status_code in {200, 202}, response.text

    @staticmethod
    def eventually(condition: Callable[[], Any], within: float = 20.0) -> Any:
        """Wait until the condition is true, and return its value."""
        deadline = time.monotonic() + within
        while not (found := condition()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a sandbox with its cluster for these tests."""
    parent = Path(tempfile.mkdtemp(prefix="bais-gates-test-"))
    try:
        started = Cluster(parent / "sandbox")
        with started.client:
            yield started
    finally:
        sandbox.stop(parent / "sandbox")
        shutil.rmtree(parent)


def test_every_pod_is_ready_and_a_backup_was_taken(cluster: Cluster) -> None:
    """The platform's pods are ready, with three replicas of the API; the first backup is in its volume."""
    assert [len(cluster.pods(name)) for name in ("bais-api", "bais-postgres", "bais-redis")] == [3, 1, 1]
    described = yaml.safe_load(cluster.info.environment_file.read_text())
    backups = sorted(path.suffix for path in Path(described["backup"]["directory"]).iterdir())
    assert backups == [".age", ".json", ".sha256"]
    assert Path(described["kubernetes"]["kubeconfig"]) == cluster.cluster.kubeconfig
    assert json.loads(Path(described["security"]["audit_record"]).read_text())["rehearsal"] is True
    assert cluster.progress


def test_starting_it_again_finds_it_up(cluster: Cluster) -> None:
    """A second start returns the same cluster at once, and starts nothing."""
    before = sandbox.status(cluster.directory)

    again = sandbox.start_cluster(cluster.directory, manifests=OVERLAY, within=5)

    after = sandbox.status(cluster.directory)
    assert again == cluster.cluster
    assert before is not None
    assert after is not None
    assert after.pids == before.pids


def test_a_reader_may_not_write(cluster: Cluster) -> None:
    """The context of gates may read the platform, and may not change it."""
    with ClusterClient(
        cluster.cluster.url, ca=cluster.directory / "ca.pem", token=cluster.tokens["sandbox"]
    ) as reader:
        assert reader.get(DATABASE_POD)
        with pytest.raises(sandbox.SandboxError, match="403"):
            reader.apply({**DATABASE_POD, "spec": {}})
        with pytest.raises(sandbox.SandboxError, match="403"):
            reader.list("v1", "Secret", "bais")


def test_the_database_has_the_settings_of_the_manifests(cluster: Cluster) -> None:
    """The settings of PostgreSQL are those of the overlay's ConfigMap."""
    (declared,) = (
        one
        for one in render(OVERLAY)
        if (one["kind"], one["metadata"]["name"]) == ("ConfigMap", "bais-postgres")
    )
    lines = [line.partition("=") for line in declared["data"]["postgresql.conf"].splitlines() if "=" in line]
    settings = {name.strip(): value.strip().strip("'") for name, _, value in lines}
    url = yaml.safe_load(cluster.info.environment_file.read_text())["database"]["url"]
    with psycopg.connect(url) as connection:
        shown = {name: str((connection.execute(f"SHOW {name}").fetchone() or [""])[0]) for name in settings}

    assert {name: _normal(value) for name, value in shown.items()} == {
        name: _normal(value) for name, value in settings.items()
    }
    assert settings.items() <= postgres.SETTINGS.items()


def _normal(value: str) -> str:
    return {"60s": "1min"}.get(value, value)


def test_a_deleted_pod_is_a_process_that_ended(cluster: Cluster, machine: Machine) -> None:
    """Deleting the API's first pod ends its process, and another pod replaces it."""
    before = {pod["metadata"]["name"] for pod in cluster.pods("bais-api")}
    info = sandbox.status(cluster.directory)
    assert info is not None
    (process,) = [one for one in machine.processes_of(cluster.directory) if one.pid == info.pids["api"]]
    adopted = next(
        pod
        for pod in cluster.pods("bais-api")
        if pod["metadata"]["annotations"].get("sandbox.bais-gates/log", "").endswith("/logs/api.log")
    )

    cluster.delete(f"/api/v1/namespaces/bais/pods/{adopted['metadata']['name']}")

    assert machine.eventually(lambda: not machine.alive([process]))
    after = cluster.eventually(lambda: (found := cluster.pods("bais-api")) and len(found) == 3 and found)
    assert len({pod["metadata"]["name"] for pod in after} - before) == 1


def test_a_good_release_is_rolled_out_and_back(cluster: Cluster) -> None:
    """Pods of its digest replace the present ones and the other way round, and no request fails meanwhile."""
    with closing(Rollouts(cluster.info, cluster.cluster)) as rollouts, rollouts.requests() as counted:
        rollouts.roll_out(rollouts.image["good"])
        rollouts.until_complete("1.1.0")
        rollouts.back()

    assert set(counted) == {"/health 200", "/api/v1/payments/process 201"}


@pytest.mark.nightly
def test_a_lost_volume_is_an_empty_database(cluster: Cluster) -> None:
    """After its claim and pod were deleted, the database is empty, at the same address."""
    url = json.loads((cluster.directory / "api.json").read_text())["database_url"]
    uid = (cluster.client.get(DATABASE_POD) or {})["metadata"]["uid"]

    cluster.delete("/api/v1/namespaces/bais/persistentvolumeclaims/data-bais-postgres-0")
    cluster.delete("/api/v1/namespaces/bais/pods/bais-postgres-0")

    cluster.eventually(
        lambda: [pod for pod in cluster.pods("bais-postgres") if pod["metadata"]["uid"] != uid]
    )
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found == (0,)


def test_old_protocols_are_refused_and_http_is_redirected(cluster: Cluster) -> None:
    """TLS 1.2 and 1.3 are accepted, older versions are not; http is redirected to https."""
    accepted = []
    for version in (
        ssl.TLSVersion.TLSv1,
        ssl.TLSVersion.TLSv1_1,
        ssl.TLSVersion.TLSv1_2,
        ssl.TLSVersion.TLSv1_3,
    ):
        context = ssl.create_default_context(cafile=cluster.directory / "ca.pem")
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():  # the deprecated versions are under test
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        port = int(cluster.info.api_url.rpartition(":")[2])
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname="localhost"),
            ):
                accepted.append(version)
        except OSError:
            continue
    http_url = yaml.safe_load(cluster.info.environment_file.read_text())["tls"]["http_url"]
    redirect = httpx.get(f"{http_url}/a/b?c=1", trust_env=False)

    assert accepted == [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
    assert redirect.status_code == 308
    assert redirect.headers["location"] == f"{cluster.info.api_url}/a/b?c=1"


def test_nothing_outlives_a_killed_supervisor(cluster: Cluster, machine: Machine) -> None:
    """A kill -9 of the supervisor ends its parts and every pod's process; stop cleans up what it left."""
    segments = machine.orphaned_memory()
    processes = machine.processes_of(cluster.directory)
    info = sandbox.status(cluster.directory)
    assert info is not None

    os.kill(info.pids["supervisor"], signal.SIGKILL)

    assert machine.eventually(lambda: not machine.alive(processes))
    abandoned = sandbox.status(cluster.directory)
    assert abandoned is not None
    assert abandoned.state == "abandoned"
    assert abandoned.parts
    # A pod that another one had replaced may have been ended just before, as pods are.
    replaced = "ended: signal 15 (SIGTERM) at "
    assert {one for one in abandoned.parts.values() if not one.startswith(replaced)} == {"gone"}
    assert machine.eventually(lambda: machine.orphaned_memory() <= segments)
    sandbox.stop(cluster.directory)
    assert machine.alive(machine.processes_of(cluster.directory)) == []
    assert not cluster.directory.exists()


def test_no_sandbox_no_cluster(tmp_path: Path) -> None:
    """Without a running sandbox, its cluster does not start."""
    with pytest.raises(sandbox.SandboxError, match="no sandbox is up"):
        sandbox.start_cluster(tmp_path, manifests=OVERLAY)


def test_a_folder_without_a_real_api_server(tmp_path: Path) -> None:
    """KUBEBUILDER_ASSETS without the programs is an error with a remedy."""
    with pytest.raises(sandbox.SandboxError, match="setup-envtest"):
        envtest.commands(
            tmp_path,
            tmp_path,
            ports=envtest.Ports(api=1, etcd=2, etcd_peer=3),
            certificates=issue(tmp_path),
            accounts=(),
        )


def test_a_real_api_servers_arguments(tmp_path: Path) -> None:
    """The real server listens on loopback, uses RBAC, writes an audit log, and accepts the tokens."""
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).touch()
    home = tmp_path / "home"
    home.mkdir()

    made = envtest.commands(
        tmp_path,
        home,
        ports=envtest.Ports(api=6443, etcd=2379, etcd_peer=2380),
        certificates=issue(tmp_path),
        accounts=(envtest.Account(token="t", user="u", groups=("a", "b")),),
    )

    assert list(made) == ["etcd", "kube-apiserver"]
    assert {"--bind-address=127.0.0.1", "--secure-port=6443", "--authorization-mode=RBAC"} <= set(
        map(str, made["kube-apiserver"])
    )
    assert f"--audit-log-path={home / 'audit.log'}" in made["kube-apiserver"]
    assert (home / "tokens.csv").read_text() == 't,u,u,"a,b"\n'
    assert "PRIVATE KEY" in (home / "service-accounts.key").read_text()


@pytest.mark.parametrize(
    ("obj", "reason"),
    [
        ({"kind": "Deployment", "status": {"readyReplicas": 2, "observedGeneration": 1}}, "2 of 3"),
        ({"kind": "Deployment", "status": {"readyReplicas": 3, "observedGeneration": 1}}, None),
        ({"kind": "Deployment", "status": {"readyReplicas": 3}}, "3 of 3"),
        ({"kind": "Job", "status": {}}, "not complete"),
        ({"kind": "Job", "status": {"conditions": [{"type": "Failed", "status": "True"}]}}, "it failed"),
        ({"kind": "Job", "status": {"conditions": [{"type": "Complete", "status": "True"}]}}, None),
        ({"kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}}, "not bound"),
        ({"kind": "Ingress", "status": {"loadBalancer": {}}}, "no address"),
        ({"kind": "ConfigMap"}, None),
    ],
)
def test_why_an_object_is_not_ready(obj: dict[str, Any], reason: str | None) -> None:
    """An object that is not ready has a reason; a ready one, or a kind without readiness, has none."""
    found = objects.pending_reason({"metadata": {"name": "x", "generation": 1}, **obj}, {"x": 3})

    assert (found is None) if reason is None else (reason in str(found))


def test_the_scan_reports_no_findings(tmp_path: Path) -> None:
    """The SARIF report is ruff's, of the reference API, without findings."""
    scan = records.run_scan(tmp_path / "ruff.sarif")

    report = json.loads((tmp_path / "ruff.sarif").read_text())
    assert report["runs"][0]["tool"]["driver"]["name"] == "ruff"
    assert scan.findings == len(report["runs"][0]["results"]) == 0
