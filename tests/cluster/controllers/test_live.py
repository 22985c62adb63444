"""The process as a whole, against the stand-in for the API server and a runtime that only pretends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bais_gates.sandbox import tls
from bais_gates.sandbox.cluster.controllers.client import Api, ApiError, ApiUnreachableError
from bais_gates.sandbox.cluster.controllers.resources import BY_KIND
from bais_gates.sandbox.processes import free_port
from tests.cluster.controllers.fake_runtime import FakeRuntime

IMAGE, OTHER = "registry.example/bais-api:1", "registry.example/bais-api:2"
Object = dict[str, Any]


@dataclass(frozen=True)
class Live:
    """A running cluster."""

    api: Api
    runtime: FakeRuntime

    def create(self, obj: Object) -> Object:
        """Create an object."""
        path = BY_KIND[obj["kind"]].path(obj["metadata"].get("namespace", ""))
        return self.api.request("POST", path, body=obj)

    def get(self, kind: str, name: str, namespace: str) -> Object | None:
        """Read an object."""
        try:
            return self.api.request("GET", BY_KIND[kind].path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def pods(self, namespace: str) -> list[Object]:
        """Return the pods of a namespace."""
        found: list[Object] = self.api.request("GET", BY_KIND["Pod"].path(namespace))["items"]
        return found

    def delete(self, kind: str, name: str, namespace: str) -> None:
        """Delete an object."""
        self.api.request("DELETE", BY_KIND[kind].path(namespace, name))

    def namespace(self, name: str) -> str:
        """Make a namespace."""
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name


def until(question: Callable[[], Any], within: float = 10.0) -> Any:
    """Ask until the answer is true."""
    deadline = time.monotonic() + within
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.03)
    return answer


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Start the API server, the runtime and the process under test, once."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "logs").mkdir()
    certificates = tls.issue(folder)
    port = free_port()
    user = {"token": "t", "user": "admin", "uid": "1", "groups": ["system:masters"]}
    _write(
        folder / "api.json",
        port=port,
        tls_cert=str(certificates.certificate),
        tls_key=str(certificates.key),
        tokens=[user],
    )
    runtime = FakeRuntime(folder / "runtime.sock", folder / "logs")
    api = Api(f"https://127.0.0.1:{port}", ca_file=str(certificates.ca), token="t")
    _write(
        folder / "node.json",
        api_server=f"https://127.0.0.1:{port}",
        ca_file=str(certificates.ca),
        token="t",
        runtime_socket=str(folder / "runtime.sock"),
        directory=str(folder),
        registry=[IMAGE, OTHER],
    )
    with _process("bais_gates.sandbox.cluster.apiserver", folder / "api.json"):
        until(lambda: _answers(api))
        with _process("bais_gates.sandbox.cluster.node", folder / "node.json") as node:
            assert node.stdout is not None
            assert node.stdout.readline() == b"ready\n"
            yield Live(api, runtime)
            began = time.monotonic()
            node.send_signal(signal.SIGTERM)
            assert node.wait(5) == 0
            assert time.monotonic() - began < 1
    api.close()
    runtime.close()


def _write(path: Path, **content: object) -> None:
    path.write_text(json.dumps(content))


def _answers(api: Api) -> bool:
    try:
        return bool(api.request("GET", "/version"))
    except (ApiError, ApiUnreachableError):
        return False


class _process:  # noqa: N801 - reads as a verb where it is used
    """A Python module that runs while the block does."""

    def __init__(self, module: str, config: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(config)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def deployment(namespace: str, image: str = IMAGE, **spec: Any) -> Object:
    """Make a Deployment of two pods that are ready when they answer."""
    probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}
    container = {"name": "api", "image": image, "ports": [{"containerPort": 80}], "readinessProbe": probe}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
            **spec,
        },
    }


def job(namespace: str, **spec: Any) -> Object:
    """Make a Job that migrates."""
    container = {
        "name": "migrate",
        "image": IMAGE,
        "command": ["alembic", "upgrade", "head"],
        "env": [{"name": "DATABASE_URL", "value": "postgresql://u:p@db.example/x"}],
    }
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate", "namespace": namespace},
        "spec": {"template": template, **spec},
    }


def has(obj: Object | None, kind: str, status: str = "True") -> bool:
    """Whether a condition of the object has the status."""
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return any(one["type"] == kind and one["status"] == status for one in conditions)


def test_a_deployment_is_available_within_a_second(live: Live) -> None:
    """Real processes are started for it, its pods are spread, and deleting a pod ends its process."""
    space = live.namespace("available")
    began = time.monotonic()
    live.create(deployment(space))
    until(
        lambda: (
            ((live.get("Deployment", "web", space) or {}).get("status") or {}).get("availableReplicas") == 2
        )
    )
    assert time.monotonic() - began < 2

    pods = live.pods(space)
    assert len({one["spec"]["nodeName"] for one in pods}) == 2
    assert all(one["metadata"]["annotations"]["sandbox.bais-gates/address"] for one in pods)
    assert len(live.runtime.of(f"{space}/")) == 2

    name = pods[0]["metadata"]["name"]
    live.delete("Pod", name, space)
    until(lambda: not live.runtime.of(f"{space}/{name}/") and live.get("Pod", name, space) is None)
    until(lambda: len(live.runtime.of(f"{space}/")) == 2)


def test_an_image_that_is_not_there_has_its_own_reasons(live: Live) -> None:
    """The pod reports ErrImagePull, then ImagePullBackOff; the rollout ends in ProgressDeadlineExceeded."""
    space = live.namespace("no-image")
    live.create(deployment(space, "registry.example/none:1", replicas=1, progressDeadlineSeconds=1))

    def reason() -> str:
        states = [one for pod in live.pods(space) for one in pod["status"].get("containerStatuses") or ()]
        return str(states[0]["state"]["waiting"]["reason"]) if states else ""

    until(lambda: reason() == "ErrImagePull")
    until(lambda: reason() == "ImagePullBackOff")
    until(lambda: has(live.get("Deployment", "web", space), "Progressing", "False"))


def test_a_missing_secret_is_reported_and_mended(live: Live) -> None:
    """The container waits with CreateContainerConfigError until the Secret is there."""
    space = live.namespace("no-secret")
    wanted = deployment(space, replicas=1)
    containers = wanted["spec"]["template"]["spec"]["containers"]
    containers[0]["envFrom"] = [{"secretRef": {"name": "keys"}}]
    live.create(wanted)

    def waiting() -> Object:
        states = [one for pod in live.pods(space) for one in pod["status"].get("containerStatuses") or ()]
        return (states[0]["state"].get("waiting") or {}) if states else {}

    until(lambda: waiting().get("reason") == "CreateContainerConfigError")
    assert waiting()["message"] == 'secret "keys" not found'
    live.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": space}})
    until(lambda: live.runtime.of(f"{space}/"))


def test_a_job_completes_and_another_fails(live: Live) -> None:
    """The exit status of the process decides, and the failed pod stays to be read."""
    good, bad = live.namespace("good"), live.namespace("bad")
    live.runtime.exit_codes[f"{bad}/"] = 1
    live.create(job(good))
    live.create(job(bad, backoffLimit=0))

    until(lambda: has(live.get("Job", "migrate", good), "Complete"))
    until(lambda: has(live.get("Job", "migrate", bad), "Failed"))
    (failed,) = live.pods(bad)
    assert failed["status"]["phase"] == "Failed"
    assert failed["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 1


def test_a_crashing_container_backs_off(live: Live) -> None:
    """It is started anew once, then held back as CrashLoopBackOff."""
    space = live.namespace("crash")
    live.runtime.crashing.add(f"{space}/")
    live.create(deployment(space, replicas=1))

    def state() -> Object:
        states = [one for pod in live.pods(space) for one in pod["status"].get("containerStatuses") or ()]
        return states[0] if states else {}

    until(lambda: (state().get("state", {}).get("waiting") or {}).get("reason") == "CrashLoopBackOff")
    assert state()["restartCount"] >= 1
    assert state()["lastState"]["terminated"]["exitCode"] == 1


def test_a_namespace_goes_with_all_that_runs_in_it(live: Live) -> None:
    """Workloads, pods and processes are gone when the namespace is."""
    space = live.namespace("going")
    live.create(deployment(space))
    until(lambda: len(live.runtime.of(f"{space}/")) == 2)
    live.delete("Namespace", space, "")

    until(lambda: live.get("Namespace", space, "") is None)
    assert live.runtime.of(f"{space}/") == []


def test_every_namespace_has_its_default_account_and_authority(live: Live) -> None:
    """What pods count on is there a moment after the namespace."""
    space = live.namespace("fresh")

    until(
        lambda: (
            live.get("ServiceAccount", "default", space) and live.get("ConfigMap", "kube-root-ca.crt", space)
        )
    )
