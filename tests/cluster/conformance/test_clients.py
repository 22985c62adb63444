"""The unmodified clients: the official one for Python, and kubectl where it is installed."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conformance.server import Server, config_map, deployment

KUBECTL = shutil.which("kubectl")


# A kubeconfig may say that the certificate isn't to be looked at.
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_the_official_client_reads_writes_and_watches(server: Server, namespace: str, name: str) -> None:
    """Typed calls, a conflict as ApiException, a watch that ends."""
    client: Any = importlib.import_module("kubernetes.client")  # heavy, and partly without types
    config: Any = importlib.import_module("kubernetes.config")
    watch: Any = importlib.import_module("kubernetes.watch")

    with config.new_client_from_config(str(server.kubeconfig), context=server.context or None) as connection:
        core = client.CoreV1Api(connection)
        made = core.create_namespaced_config_map(namespace, config_map(name, {"case": name}, a="1"))
        with pytest.raises(client.ApiException) as refused:
            core.create_namespaced_config_map(namespace, config_map(name))
        assert refused.value.status == 409
        assert json.loads(refused.value.body)["reason"] == "AlreadyExists"
        core.patch_namespaced_config_map(name, namespace, {"data": {"a": "2"}})
        seen = watch.Watch().stream(
            core.list_namespaced_config_map,
            namespace,
            label_selector=f"case={name}",
            resource_version=made.metadata.resource_version,
            timeout_seconds=1,
        )
        assert [(each["type"], each["object"].data) for each in seen] == [("MODIFIED", {"a": "2"})]
        apps = client.AppsV1Api(connection)
        apps.create_namespaced_deployment(namespace, deployment(name, replicas=2))
        scale = apps.read_namespaced_deployment_scale(name, namespace)
        assert scale.spec.replicas == 2
        core.delete_namespaced_config_map(name, namespace)


def _kubectl(
    server: Server, home: Path, *arguments: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    assert KUBECTL is not None
    command = [KUBECTL, "--kubeconfig", str(server.kubeconfig), *arguments]
    if server.context:
        command += ["--context", server.context]
    environment = {**os.environ, "HOME": str(home)}
    return subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_kubectl_applies_shows_and_deletes(server: Server, namespace: str, name: str, tmp_path: Path) -> None:
    """apply, get, diff, scale, label, wait, delete."""
    there = ("-n", namespace)

    def run(*arguments: str, given: str = "") -> str:
        done = _kubectl(server, tmp_path, *arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def text(obj: Any) -> str:
        return json.dumps(obj)

    validate = () if server.minor >= 25 else ("--validate=false",)
    made = run("apply", *there, *validate, "-f", "-", given=text(deployment(name)))
    assert made == f"deployment.apps/{name} created\n"
    again = run("apply", *there, *validate, "-f", "-", given=text(deployment(name)))
    assert again == f"deployment.apps/{name} unchanged\n"
    changed = text(deployment(name, minReadySeconds=4))
    assert run("apply", *there, *validate, "-f", "-", given=changed).endswith("configured\n")
    served = run("apply", *there, *validate, "--server-side", "--force-conflicts", "-f", "-", given=changed)
    assert served.endswith("serverside-applied\n")
    assert name in run("get", "deployments", *there)
    assert run("get", "deploy", name, *there, "-o", "jsonpath={.spec.minReadySeconds}") == "4"
    assert run("scale", "deployment", name, *there, "--replicas=1").endswith("scaled\n")
    assert run("label", "deployment", name, *there, "a=b").endswith("labeled\n")
    assert run("set", "image", f"deployment/{name}", "c=registry.example/one:2", *there).endswith("updated\n")
    assert run("delete", "deployment", name, *there, "--wait=false").startswith("deployment.apps")
    missing = _kubectl(server, tmp_path, "get", "configmap", "nope", *there)
    assert missing.returncode == 1
    assert missing.stderr == 'Error from server (NotFound): configmaps "nope" not found\n'


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_kubectl_makes_objects_by_command(server: Server, namespace: str, name: str, tmp_path: Path) -> None:
    """``create KIND``, ``auth can-i`` and ``auth whoami``, whose bodies are protobuf, and ``--as``."""
    there = ("-n", namespace)

    def run(*arguments: str, status: int = 0) -> str:
        done = _kubectl(server, tmp_path, *arguments)
        assert done.returncode == status, done.stderr
        return done.stdout.strip()

    assert run("create", "configmap", name, *there, "--from-literal=a=b").endswith("created")
    assert run("get", "configmap", name, *there, "-o", "jsonpath={.data.a}") == "b"
    assert run("create", "secret", "generic", name, *there, "--from-literal=a=b").endswith("created")
    assert run("get", "secret", name, *there, "-o", "jsonpath={.data.a}") == "Yg=="
    run("create", "role", name, *there, "--verb=get,list", "--resource=pods")
    assert run("get", "role", name, *there, "-o", "jsonpath={.rules[0].verbs}") == '["get","list"]'
    run("create", "rolebinding", name, *there, f"--role={name}", f"--user={name}")
    assert run("auth", "can-i", "list", "pods", *there, "--as", name) == "yes"
    assert run("auth", "can-i", "delete", "pods", *there, "--as", name, status=1) == "no"
    assert name in run("auth", "whoami", "--as", name)
    assert run("create", "namespace", f"{name}-by-command").endswith("created")
    run("delete", "namespace", f"{name}-by-command", "--wait=false")
