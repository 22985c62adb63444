"""Start the cluster of a running sandbox: its API server, the platform's manifests, and a first backup."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates import manifests as kustomize
from bais_gates.errors import GateInputError
from bais_gates.sandbox import lifecycle, records
from bais_gates.sandbox.bootstrap import objects
from bais_gates.sandbox.bootstrap.client import ClusterClient
from bais_gates.sandbox.bootstrap.control_plane import ADMIN, READER
from bais_gates.sandbox.cluster.node.runtime_client import (
    RuntimeClient,
    RuntimeGoneError,
    RuntimeRefusedError,
)
from bais_gates.sandbox.configuration import VERSION
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import read_json, write_json
from bais_gates.sandbox.processes import log_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTEXT, ADMIN_CONTEXT = "sandbox", "sandbox-admin"
_POLL_S = 0.1
_MAX_WARNINGS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterInfo:
    """A running cluster: ``context`` may read, ``admin_context`` may write; ``kind`` is standin or real."""

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
    """Start the cluster of the sandbox in ``directory`` unless it runs; return once all objects are ready.

    ``manifests`` is the folder of the overlay to apply. With KUBEBUILDER_ASSETS in the environment the API
    server is that folder's. Several processes may call this at once. Raises ``SandboxError``; if an object is
    not ready ``within`` seconds, with the reasons and the cluster's warnings.
    """
    directory, deadline = directory.absolute(), time.monotonic() + within
    info = lifecycle.status(directory)
    if info is None or info.state != "ready":
        raise SandboxError(f"no sandbox is up in {directory}: start one before its cluster")
    home = directory / "cluster"
    home.mkdir(mode=0o700, exist_ok=True)
    with locked(home / "lock", deadline, what="cluster"):
        assets = os.environ.get("KUBEBUILDER_ASSETS") or None
        reply = ask_supervisor(directory, op="cluster", assets=assets)
        cluster = ClusterInfo(
            kubeconfig=home / "kubeconfig",
            context=CONTEXT,
            admin_context=ADMIN_CONTEXT,
            url=reply["url"],
            kind=reply["kind"],
        )
        if read_json(home / "ready.json") == {"url": reply["url"]} and not reply["fresh"]:
            return cluster
        tokens = reply["tokens"]
        write_json(
            cluster.kubeconfig,
            objects.kubeconfig(
                reply["url"],
                ca=directory / "ca.pem",
                users={CONTEXT: tokens[READER], ADMIN_CONTEXT: tokens[ADMIN]},
            ),
        )
        started_at = time.monotonic()
        with ClusterClient(reply["url"], ca=directory / "ca.pem", token=tokens[ADMIN]) as client:
            progress(
                "starting the cluster's API server"
                + (" (KUBEBUILDER_ASSETS)" if reply["kind"] == "real" else "")
            )
            _await_server(client, directory, deadline)
            ask_supervisor(directory, op="node-agent")
            progress("applying the platform's manifests")
            applied = _apply(client, manifests, reply)
            progress("waiting for the platform's pods")
            _await_ready(client, applied, deadline, progress)
        elapsed = time.monotonic() - started_at
        records.write_all(directory, image=reply["image"], version=VERSION)
        write_json(home / "ready.json", {"url": reply["url"]})
        progress(f"the cluster is ready after {elapsed:.1f} s")
    return cluster


@contextmanager
def locked(path: Path, deadline: float, *, what: str) -> Iterator[None]:
    """Hold a file lock, so that one process starts a part of the sandbox and the others wait for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SandboxError(f"another process is still preparing the sandbox's {what}") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def ask_supervisor(directory: Path, **request: object) -> dict[str, Any]:
    """Return the response of the supervisor to a request. Raises ``SandboxError``."""
    runtime = RuntimeClient(directory / "runtime.sock", timeout_s=30)
    try:
        return runtime.ask(request)
    except (RuntimeGoneError, RuntimeRefusedError) as error:
        raise SandboxError(f"the sandbox's {request['op']} could not be started: {error}") from error
    finally:
        runtime.close()


def _await_server(client: ClusterClient, directory: Path, deadline: float) -> None:
    while not client.is_ready():
        if ended := _ended(directory):
            logs = "; ".join(f"{name}: {tail or 'empty'}" for name, tail in ended.items())
            raise SandboxError(
                f"the sandbox's cluster ended while it was starting. The end of its logs: {logs}"
            )
        if time.monotonic() > deadline:
            raise SandboxError(
                f"the sandbox's API server was not ready in time: see its log in {directory / 'logs'}"
            )
        time.sleep(_POLL_S / 2)


def _ended(directory: Path) -> dict[str, str]:
    info = lifecycle.status(directory)
    parts = info.parts if info is not None else {}
    names = ("etcd", "kube-apiserver", "node-agent")
    return {
        name: log_tail(directory / "logs" / f"{name}.log")
        for name in names
        if parts.get(name, "running") != "running"
    }


def _apply(client: ClusterClient, overlay: Path, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """Apply all objects, and return those of the platform."""
    try:
        rendered = kustomize.render(overlay, images=reply["images"])
    except GateInputError as error:
        raise SandboxError(str(error)) from error
    for definition in objects.definitions():
        client.apply(definition)
    namespaces = [one for one in rendered if one["kind"] == "Namespace"]
    for one in [*namespaces, *objects.prerequisites()]:
        client.apply(one, within=10)
        if one["kind"] == "ClusterIssuer":
            client.set_status(one, objects.ISSUER_STATUS)
    rest = [one for one in rendered if one["kind"] != "Namespace"]
    applied = [client.apply(one, within=10) for one in [*objects.secrets(reply["secrets"]), *rest]]
    backups = [one for one in applied if one["kind"] == "CronJob"]
    return applied + [client.create(objects.first_backup(one)) for one in backups]


def _await_ready(
    client: ClusterClient,
    applied: list[dict[str, Any]],
    deadline: float,
    progress: Callable[[str], None],
) -> None:
    minimum = {
        one["spec"]["scaleTargetRef"]["name"]: int(one["spec"].get("minReplicas") or 1)
        for one in applied
        if one["kind"] == "HorizontalPodAutoscaler"
    }
    waiting = [one for one in applied if objects.pending_reason(one, minimum) is not None]
    while waiting:
        pending = []
        for one in waiting:
            reason = objects.pending_reason(client.get(one) or one, minimum)
            if reason is None:
                progress(f"ready: {one['kind']} {one['metadata']['name']}")
            else:
                pending.append((one, reason))
        waiting = [one for one, _ in pending]
        if time.monotonic() > deadline or any(reason.startswith(objects.FAILED) for _, reason in pending):
            reasons = [f"{one['kind']} {one['metadata']['name']}: {reason}" for one, reason in pending]
            details = "; ".join([*reasons, *_warnings(client)])
            raise SandboxError(f"the sandbox's cluster is not ready: {details}")
        if waiting:
            time.sleep(_POLL_S)


def _warnings(client: ClusterClient) -> list[str]:
    """Return the latest warning events of the platform."""
    events = client.list("v1", "Event", objects.NAMESPACE)
    warnings = [one for one in events if one.get("type") == "Warning"]
    warnings.sort(key=lambda one: str(one.get("lastTimestamp") or one["metadata"].get("creationTimestamp")))
    return [
        f"{one['involvedObject'].get('kind')} {one['involvedObject'].get('name')}: {one.get('message')}"
        for one in warnings[-_MAX_WARNINGS:]
    ]
