"""Start the cluster of a running sandbox: its API server, the platform's manifests in it, and one backup."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates import manifests as manifests_of
from bais_gates.errors import GateInputError
from bais_gates.sandbox import lifecycle, records
from bais_gates.sandbox.bootstrap import objects as cluster_objects
from bais_gates.sandbox.bootstrap.client import ClusterClient
from bais_gates.sandbox.bootstrap.control_plane import ADMIN, READER
from bais_gates.sandbox.configuration import VERSION
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import read_json, write_json
from bais_gates.sandbox.processes import log_tail
from bais_gates.sandbox.runtime_client import RuntimeClient, RuntimeGoneError, RuntimeRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTEXT, ADMIN_CONTEXT = "sandbox", "sandbox-admin"
_LOOK_EVERY_S = 0.1
_EVENTS_TOLD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterInfo:
    """A cluster that is up: ``context`` reads, ``admin_context`` writes; ``kind`` is standin or real."""

    kubeconfig: Path
    context: str
    admin_context: str
    url: str
    kind: str


def start_cluster(
    directory: Path,
    *,
    manifests: Path,
    progress: Callable[[str], None] = lambda _text: None,
    within: float = 90.0,
) -> ClusterInfo:
    """Start the cluster of the sandbox in ``directory``, or find it up; return once all in it is ready.

    ``manifests`` is the folder of the overlay that is applied. With KUBEBUILDER_ASSETS in the environment the
    API server is that folder's. Several processes may call this at once. Raises ``SandboxError``, also when
    something is not ready ``within`` seconds, with what the cluster says about it.
    """
    directory, deadline = directory.absolute(), time.monotonic() + within
    info = lifecycle.status(directory)
    if info is None or info.state != "ready":
        raise SandboxError(f"no sandbox is up in {directory}: its cluster can't be started")
    home = directory / "cluster"
    home.mkdir(mode=0o700, exist_ok=True)
    with _alone(home / "lock", deadline):
        assets = os.environ.get("KUBEBUILDER_ASSETS") or None
        told = _ask_supervisor(directory, op="cluster", assets=assets)
        cluster = ClusterInfo(
            kubeconfig=home / "kubeconfig",
            context=CONTEXT,
            admin_context=ADMIN_CONTEXT,
            url=told["url"],
            kind=told["kind"],
        )
        if read_json(home / "ready.json") == {"url": told["url"]} and not told["fresh"]:
            return cluster
        tokens = told["tokens"]
        write_json(
            cluster.kubeconfig,
            cluster_objects.kubeconfig(
                told["url"],
                ca=directory / "ca.pem",
                users={CONTEXT: tokens[READER], ADMIN_CONTEXT: tokens[ADMIN]},
            ),
        )
        began = time.monotonic()
        with ClusterClient(told["url"], ca=directory / "ca.pem", token=tokens[ADMIN]) as client:
            progress(
                "starting the cluster's API server" + (" (a real one)" if told["kind"] == "real" else "")
            )
            _await_server(client, directory, deadline)
            _ask_supervisor(directory, op="node-agent")
            progress("applying the platform's manifests")
            wanted = _apply(client, manifests, told)
            progress("waiting for the platform's pods")
            _await_ready(client, wanted, deadline, progress)
        took = time.monotonic() - began
        records.write_all(directory, image=told["image"], version=VERSION)
        write_json(home / "ready.json", {"url": told["url"]})
        progress(f"the cluster is ready after {took:.1f} s")
    return cluster


@contextmanager
def _alone(path: Path, deadline: float) -> Iterator[None]:
    """Hold a file lock, so that one process starts the cluster and the others find it up."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SandboxError("another process is still starting the sandbox's cluster") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _ask_supervisor(directory: Path, **request: str | None) -> dict[str, Any]:
    runtime = RuntimeClient(directory / "runtime.sock", timeout_s=30)
    try:
        return runtime.ask(request)
    except (RuntimeGoneError, RuntimeRefusedError) as error:
        raise SandboxError(f"the sandbox's cluster could not be started: {error}") from error
    finally:
        runtime.close()


def _await_server(client: ClusterClient, directory: Path, deadline: float) -> None:
    while not client.is_ready():
        if ended := _ended(directory):
            said = "; ".join(f"{name} said: {text or 'nothing'}" for name, text in ended.items())
            raise SandboxError(f"the sandbox's cluster ended while it was being started: {said}")
        if time.monotonic() > deadline:
            raise SandboxError(
                "the sandbox's API server was not ready in time; its logs lie in the sandbox's folder"
            )
        time.sleep(_LOOK_EVERY_S / 2)


def _ended(directory: Path) -> dict[str, str]:
    info = lifecycle.status(directory)
    parts = info.parts if info is not None else {}
    names = ("etcd", "kube-apiserver", "node-agent")
    return {
        name: log_tail(directory / "logs" / f"{name}.log")
        for name in names
        if parts.get(name, "running") != "running"
    }


def _apply(client: ClusterClient, overlay: Path, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Apply everything, and give the objects of which some can be waited for."""
    try:
        rendered = manifests_of.render(overlay, images=told["images"])
    except GateInputError as error:
        raise SandboxError(str(error)) from error
    for definition in cluster_objects.definitions():
        client.apply(definition)
    namespaces = [one for one in rendered if one["kind"] == "Namespace"]
    for one in [*namespaces, *cluster_objects.surroundings()]:
        client.apply(one, within=10)
        if one["kind"] == "ClusterIssuer":
            client.set_status(one, cluster_objects.ISSUER_STATUS)
    rest = [one for one in rendered if one["kind"] != "Namespace"]
    applied = [client.apply(one, within=10) for one in [*cluster_objects.secrets(told["secrets"]), *rest]]
    backups = [one for one in applied if one["kind"] == "CronJob"]
    return applied + [client.create(cluster_objects.first_backup(one)) for one in backups]


def _await_ready(
    client: ClusterClient,
    wanted: list[dict[str, Any]],
    deadline: float,
    progress: Callable[[str], None],
) -> None:
    minimum = {
        one["spec"]["scaleTargetRef"]["name"]: int(one["spec"].get("minReplicas") or 1)
        for one in wanted
        if one["kind"] == "HorizontalPodAutoscaler"
    }
    waiting = [one for one in wanted if cluster_objects.missing(one, minimum) is not None]
    while waiting:
        lacking = []
        for one in waiting:
            what = cluster_objects.missing(client.get(one) or one, minimum)
            if what is None:
                progress(f"ready: {one['kind']} {one['metadata']['name']}")
            else:
                lacking.append((one, what))
        waiting = [one for one, _ in lacking]
        failed = [f"{one['kind']} {one['metadata']['name']}: {what}" for one, what in lacking]
        if time.monotonic() > deadline or any(what.startswith(cluster_objects.FAILED) for _, what in lacking):
            said = "; ".join([*failed, *_warnings(client)])
            raise SandboxError(f"the sandbox's cluster is not ready: {said}")
        if waiting:
            time.sleep(_LOOK_EVERY_S)


def _warnings(client: ClusterClient) -> list[str]:
    """Give the last that the cluster warned of."""
    events = client.list("v1", "Event", cluster_objects.NAMESPACE)
    told = [one for one in events if one.get("type") == "Warning"]
    told.sort(key=lambda one: str(one.get("lastTimestamp") or one["metadata"].get("creationTimestamp")))
    return [
        f"{one['involvedObject'].get('kind')} {one['involvedObject'].get('name')}: {one.get('message')}"
        for one in told[-_EVENTS_TOLD:]
    ]
