"""An API server that the conformance cases ask: the stand-in, or a real one that the environment names."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import yaml

Object = dict[str, Any]
ROOT = Path(__file__).parents[3]
KUBECONFIG, CONTEXT, ASSETS = "BAIS_GATES_TEST_KUBECONFIG", "BAIS_GATES_TEST_CONTEXT", "KUBEBUILDER_ASSETS"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY_PATCH = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
# What tells how old a server is at least, where its version doesn't: a path that was new then.
_SINCE = {
    21: "/apis/policy/v1",
    23: "/apis/autoscaling/v2",
    27: "/openapi/v3",
    29: "/apis/flowcontrol.apiserver.k8s.io/v1",
}


@dataclass(frozen=True)
class Answer:
    """What came back: the code, the body read as JSON (or its text), the headers."""

    code: int
    body: Any
    headers: httpx.Headers

    @property
    def reason(self) -> str:
        """The reason of a Status."""
        return str(self.body.get("reason", "")) if isinstance(self.body, dict) else ""

    @property
    def message(self) -> str:
        """The message of a Status."""
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else str(self.body)


@dataclass
class Server:
    """A running API server and an administrator's connection to it."""

    http: httpx.Client
    kubeconfig: Path
    context: str
    stand_in: bool
    minor: int = 0
    namespaces: list[str] = field(default_factory=list)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        media: str = "application/json",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Ask; ``body`` is sent as JSON unless it is bytes."""
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = {"content-type": media} if content is not None else {}
        params = {
            key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in query.items()
        }
        answer = self.http.request(
            method, path, content=content, headers=sent | (headers or {}), params=params or None
        )
        try:
            found = answer.json()
        except ValueError:
            found = answer.text
        return Answer(answer.status_code, found, answer.headers)

    def make(self, path: str, body: Object, **query: Any) -> Object:
        """Create an object that the case needs."""
        answer = self.ask("POST", path, body, **query)
        assert answer.code == 201, answer.body
        made: Object = answer.body
        return made

    def patch(self, path: str, patch: object, media: str = MERGE_PATCH, **query: Any) -> Answer:
        """Patch an object."""
        return self.ask("PATCH", path, patch, media=media, **query)

    def apply(self, path: str, obj: Object, manager: str, **query: Any) -> Answer:
        """Apply an object as ``manager``."""
        return self.ask("PATCH", path, obj, media=APPLY_PATCH, fieldManager=manager, **query)

    def watch(self, path: str, **query: Any) -> list[Object]:
        """Return the events of a watch that ends by itself after a second."""
        answer = self.ask("GET", path, **{"watch": True, "timeoutSeconds": 1, **query})
        if isinstance(answer.body, dict):
            assert answer.code == 200, answer.body
            return [answer.body]
        return [json.loads(line) for line in answer.body.splitlines()]

    def needs(self, minor: int, what: str) -> None:
        """Skip the case on a server that is too old for it."""
        if self.minor < minor:
            pytest.skip(f"{what}: since Kubernetes 1.{minor}, and this server is 1.{self.minor}")

    def serves(self, path: str, plural: str) -> None:
        """Skip the case on a server that doesn't have the resource."""
        found = self.ask("GET", path)
        if found.code != 200 or all(each["name"] != plural for each in found.body["resources"]):
            pytest.skip(f"{path} has no {plural} on this server")

    def new_namespace(self, labels: dict[str, str] | None = None) -> str:
        """Make a namespace of the cases' own; it is removed at the end."""
        metadata: Object = {"generateName": "bais-conformance-", "labels": labels or {}}
        name = str(self.make("/api/v1/namespaces", {"metadata": metadata})["metadata"]["name"])
        self.namespaces.append(name)
        return name

    def remove_namespaces(self) -> None:
        """Remove what the cases made; where no controller does, empty and finalize each namespace."""
        for name in self.namespaces:
            self.ask("DELETE", f"/api/v1/namespaces/{name}")
        if not self.stand_in:
            time.sleep(2)  # a namespace controller, if there is one, says within that what it does
        for name in self.namespaces:
            found = self.ask("GET", f"/api/v1/namespaces/{name}")
            if found.code == 404 or found.body["status"].get("conditions"):
                continue
            for kind in ("configmaps", "pods", "services", "secrets", "persistentvolumeclaims"):
                self.ask("DELETE", f"/api/v1/namespaces/{name}/{kind}", {"gracePeriodSeconds": 0})
            for kind in ("deployments", "statefulsets", "replicasets"):
                self.ask("DELETE", f"/apis/apps/v1/namespaces/{name}/{kind}")
            self.ask("PUT", f"/api/v1/namespaces/{name}/finalize", {**found.body, "spec": {"finalizers": []}})


def named() -> list[str]:
    """Return the servers that the cases are run against."""
    found = ["stand-in"]
    if os.environ.get(KUBECONFIG):
        found.append("kubeconfig")
    if os.environ.get(ASSETS):
        found.append("envtest")
    return found


@contextmanager
def running(name: str, folder: Path) -> Iterator[Server]:
    """Start the server (or find the one that runs)."""
    with ExitStack() as stack:
        if name == "kubeconfig":
            kubeconfig, context = Path(os.environ[KUBECONFIG]), os.environ.get(CONTEXT, "")
        else:
            context, starting = "", {"stand-in": _stand_in, "envtest": _envtest}[name]
            kubeconfig = stack.enter_context(starting(folder))
        http = stack.enter_context(_connected(kubeconfig, context))
        server = Server(http=http, kubeconfig=kubeconfig, context=context, stand_in=name == "stand-in")
        _wait(server)
        server.minor = _minor(server)
        try:
            yield server
        finally:
            server.remove_namespaces()


@contextmanager
def _stand_in(folder: Path) -> Iterator[Path]:
    authority, port = trustme.CA(), _free_port()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    user = {"token": "t", "user": "admin", "uid": "1", "groups": ["system:masters"]}
    config: Object = {
        "port": port,
        "tls_cert": str(folder / "certificate.pem"),
        "tls_key": str(folder / "key.pem"),
        "tokens": [user],
        "audit_log": str(folder / "audit.log"),
        "pod_security": "tests.cluster.conformance.pod_security:violations",
    }
    (folder / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "bais_gates.sandbox.cluster.apiserver", str(folder / "config.json")]
    with _processes(folder, {"stand-in": command}):
        yield _kubeconfig(folder, port, folder / "ca.pem")


@contextmanager
def _envtest(folder: Path) -> Iterator[Path]:
    from bais_gates.sandbox import tls  # noqa: PLC0415 - only a real server needs the project's help
    from bais_gates.sandbox.bootstrap import envtest  # noqa: PLC0415 - as above

    certificates = tls.issue(folder)
    ports = envtest.Ports(api=_free_port(), etcd=_free_port(), etcd_peer=_free_port())
    account = envtest.Account(token="t", user="admin", groups=("system:masters",))
    commands = envtest.commands(
        Path(os.environ[ASSETS]), folder, ports=ports, certificates=certificates, accounts=[account]
    )
    with _processes(folder, commands):
        yield _kubeconfig(folder, ports.api, certificates.ca)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _processes(folder: Path, commands: Any) -> Iterator[None]:
    started = []
    try:
        for name, command in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                started.append(subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, cwd=ROOT))
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _kubeconfig(folder: Path, port: int, ca: Path) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(ca)},
            }
        ],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def _connected(kubeconfig: Path, context: str) -> Iterator[httpx.Client]:
    """Connect as the official client would, but with nothing between the case and the bytes."""
    from kubernetes import client, config  # noqa: PLC0415 - heavy; only who runs these cases waits for it

    settings = client.Configuration()
    load: Any = config.load_kube_config
    load(str(kubeconfig), context=context or None, client_configuration=settings)
    trust = ssl.create_default_context(cafile=settings.ssl_ca_cert or None)
    if not settings.verify_ssl:
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    if settings.cert_file:
        trust.load_cert_chain(settings.cert_file, settings.key_file)
    token = settings.api_key.get("BearerToken") or settings.api_key.get("authorization")
    headers = {"authorization": token if " " in token else f"Bearer {token}"} if token else {}
    with httpx.Client(
        base_url=settings.host, verify=trust, headers=headers, timeout=20, trust_env=False
    ) as http:
        yield http


def _wait(server: Server) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if server.http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "the API server does not become ready"
        time.sleep(0.1)


def _minor(server: Server) -> int:
    said = "".join(
        letter for letter in server.ask("GET", "/version").body.get("minor", "") if letter.isdigit()
    )
    if said:
        return int(said)
    known = [minor for minor, path in _SINCE.items() if server.ask("GET", path).code == 200]
    return max(known, default=20)


def container(name: str = "c", **more: Any) -> Object:
    """Return a container that is right."""
    return {"name": name, "image": "registry.example/one:1", **more}


def pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """Return a pod that is right and that nothing runs."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"containers": [container()], "automountServiceAccountToken": False, **spec},
    }


def deployment(name: str, containers: Sequence[Object] = (), **spec: Any) -> Object:
    """Return a Deployment that is right."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": list(containers) or [container()]},
            },
            **spec,
        },
    }


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> Object:
    """Return a ConfigMap."""
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
