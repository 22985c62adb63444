"""A copy to try a migration on: the newest backup in a scratch database, and what runs on it for a while.

The migration and the image that runs now get copies of their own Job and pod template, in the platform's
namespace: a deployer may create no namespace, and they need its ConfigMaps, certificates and accounts. No
label of theirs is the platform's, so that no Service, budget or network policy of the platform selects them.

The previous image has a cache of its own in its pod. Rows of the copy have the ids of live ones: in the
live cache it would find, change and leave entries about those.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from bais_gates.errors import GateInputError
from bais_gates.probes.backup import BackupError, list_backups
from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.probes.postgres import Database
from bais_gates.probes.restore import (
    drop_scratch_database,
    list_scratch_databases,
    require_other_server,
    restore,
    schema_revision,
    scratch_database,
)
from bais_gates.rollout import copies
from bais_gates.rollout.errors import RefusalCode, Refused
from bais_gates.rollout.lock import Lock
from bais_gates.rollout.migration import migrate
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.provision import wait_until_ready
from bais_gates.staging.reach import address_of
from bais_gates.staging.server import Clock, request
from bais_gates.staging.workload import is_ready
from bais_gates.targets.parts import TestTenant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bais_gates.rollout.workload import Workload
    from bais_gates.targets.environment import Environment

Object = dict[str, Any]
_KEY: Final = "rollout.scratch_url"
_STEP: Final = "schema"
_KINDS: Final = (("apps/v1", "Deployment"), ("batch/v1", "Job"))
_GONE_S: Final = 60.0
_FORWARD_S: Final = 20.0
_LOG_LINES: Final = 1000
_FORWARDING: Final = re.compile(r"127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """A restored database on the scratch server, and the objects that use it."""

    workload: Workload
    environment: Environment
    progress: Callable[[str], None]
    url: str
    """Of the scratch server; the copy's is :attr:`database_url`."""
    database: str
    name: str = field(default_factory=lambda: secrets.token_hex(3))

    # -- the database --

    @property
    def database_url(self) -> str:
        """The URL of the copy, the same for this machine and for the pods."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{self.database}"))

    def restore(self) -> None:
        """Restore the newest backup into the empty database. Raises ``BackupError``."""
        part = self.environment.backup
        if part.identity is None:
            raise self.environment.missing("backup.identity")
        backups = list_backups(part.directory)
        if not backups:
            raise BackupError(f"the backup folder {part.directory} has no backup")
        newest = backups[-1]
        seconds = restore(newest, part.identity, self.database_url, within_s=part.restore_within_s)
        taken = f"{newest.taken_at:%Y-%m-%d %H:%M} UTC"
        self.progress(f"{_STEP}: the backup of {taken} is restored to a scratch database ({seconds:.1f} s)")

    def revision(self) -> str | None:
        """Return the migration of the copy's schema. Raises ``DatabaseError``."""
        with Database(self.database_url) as database:
            return schema_revision(database)

    # -- what uses it --

    def _labels(self) -> dict[str, str]:
        return copies.labels_of(self.workload.name)

    def share(self) -> None:
        """Create the Secret by which pods find the copy, once nothing but the copy can be reached by them."""
        policies = self._list("networking.k8s.io/v1", "NetworkPolicy")
        if not any(copies.isolates(one, self._labels()) for one in policies):
            raise Refused(
                RefusalCode.SCHEMA,
                f"No NetworkPolicy of the namespace {self.workload.namespace} restricts the egress of pods "
                f"with the labels {self._labels()}. They run on a copy of live data, whose webhooks and "
                "payments they would process again. Apply a policy that denies egress by default, and one "
                "that lets these pods reach the scratch server.",
            )
        values = {copies.DATABASE: self.database_url, copies.CACHE: copies.OWN_CACHE}
        data = {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}
        self._create({"apiVersion": "v1", "kind": "Secret", "data": data}, self._secret)

    def migrate(self, job: Object) -> str:
        """Run a copy of the migration's Job and return its log. Raises ``StageError`` if it fails."""
        created = self._create(copies.job_of(job, self._labels(), self._secret), self._name)
        migrate(self.workload.server, created, progress=self.progress)
        read = partial(self.workload.server.logs, self.workload.namespace, tail=_LOG_LINES)
        logs = [
            request("Reading the migration's log", partial(read, pod, str(container["name"])))
            for pod in self._pods()
            for container in job["spec"]["template"]["spec"]["containers"]
        ]
        return "\n".join(logs)

    @contextmanager
    def previous(self) -> Iterator[Environment]:
        """Run the image that runs now on the copy; yield the environment that describes this instead.

        Raises ``StageError`` if it does not become ready.
        """
        live = self.workload.read()
        deployment = copies.deployment_of(live, self._labels(), self._secret, self._cache())
        created = self._create(deployment, self._name)
        clock = Clock.lasting(self.workload.deadline_s(live))
        server = self.workload.server
        wait_until_ready(server, [created], step=_STEP, clock=clock, progress=self.progress, replicas={})
        pod = next((one for one in self._list("v1", "Pod", self._selector) if is_ready(one)), None)
        if pod is None:
            raise StageError(StageCode.NOT_READY, f"No pod of {self._name} is ready any more", step=_STEP)
        with self._address(pod, *copies.served_by(live)) as url:
            yield self._environment(url)

    def _environment(self, url: str) -> Environment:
        """Return the environment of the copy; what else the file describes is live, and is left out."""
        parts = {key: one for key, one in self.environment.parts.items() if key not in {"cache", "metrics"}}
        api = self.environment.api
        parts["api"] = replace(api, url=url, server_name=urlsplit(api.url).hostname)
        if "database" in parts:
            parts["database"] = replace(parts["database"], url=self.database_url)
        # Nobody's money moves on a copy: a payment may be taken there without production's test tenant.
        parts.setdefault("test_tenant", TestTenant(email="", password=""))
        return replace(self.environment, parts=parts)

    def _cache(self) -> Object:
        """Return the container of the live cache."""
        name, key = self.environment.kubernetes.names.cache, "kubernetes.names.cache"
        for kind in ("StatefulSet", "Deployment"):
            call = partial(self.workload.server.named, "apps/v1", kind, name, self.workload.namespace)
            live = request(f"Reading {kind} {name}", call, step=_STEP)
            if live is not None:
                container: Object = live["spec"]["template"]["spec"]["containers"][0]
                return container
        raise GateInputError(
            f"{self.environment.path}: {key} is {name}, and {self.workload.namespace} has no StatefulSet or "
            "Deployment of that name, whose image is to be the previous release's own cache. Correct it."
        )

    @contextmanager
    def _address(self, pod: Object, scheme: str, port: str) -> Iterator[str]:
        """Yield the URL of a pod: a sandbox's states its address, any other's is forwarded by kubectl."""
        if address := address_of(pod):
            yield f"{scheme}://{address}"
            return
        access = self.environment.kubernetes.deploy_access(self.environment.path)
        command = ["kubectl", f"--kubeconfig={access.kubeconfig}", f"--context={access.context}"]
        command += [f"--namespace={self.workload.namespace}", "port-forward", "--address=127.0.0.1"]
        command += [f"pod/{pod['metadata']['name']}", f":{port}"]
        with forwarded(command) as local:
            yield f"{scheme}://127.0.0.1:{local}"

    # -- objects --

    @property
    def _name(self) -> str:
        return f"{self.workload.name}-proof-{self.name}"

    @property
    def _secret(self) -> str:
        """The Secret's name, always the same: a deployer may then delete it without listing Secrets."""
        return f"{self.workload.name}-proof"

    @property
    def _selector(self) -> str:
        return f"{copies.LABEL}={self.workload.name}"

    def _create(self, obj: Object, name: str) -> Object:
        metadata = {"name": name, "namespace": self.workload.namespace, "labels": self._labels()}
        call = partial(self.workload.server.create, {**obj, "metadata": metadata})
        created = request(f"Creating {obj['kind']} {name}", call, step=_STEP)
        return {**created, "apiVersion": obj["apiVersion"], "kind": obj["kind"]}

    def _list(self, api_version: str, kind: str, labels: str | None = None) -> list[Object]:
        call = partial(self.workload.server.list, api_version, kind, self.workload.namespace, labels=labels)
        return request(f"Listing every {kind} of {self.workload.namespace}", call, step=_STEP)

    def _pods(self) -> list[str]:
        return [str(one["metadata"]["name"]) for one in self._list("v1", "Pod", self._selector)]

    def remove(self) -> None:
        """Delete the objects of this and earlier proofs, and wait until their pods are gone."""
        found = [("v1", "Secret", self._secret)]
        for api_version, kind in _KINDS:
            names = (one["metadata"]["name"] for one in self._list(api_version, kind, self._selector))
            found += [(api_version, kind, str(name)) for name in names]
        for key in found:
            delete = partial(self.workload.server.delete, *key, self.workload.namespace)
            request(f"Deleting {key[1]} {key[2]}", delete, step=_STEP)
        clock = Clock.lasting(_GONE_S)
        while (left := self._pods()) and clock.remaining_s > 0:
            clock.sleep(0.2)
        if left:
            self.progress(f"{_STEP}: still ending: {', '.join(left)}")


@contextmanager
def open_scratch(
    workload: Workload, environment: Environment, progress: Callable[[str], None]
) -> Iterator[Scratch]:
    """Restore the newest backup to a scratch database; leave nothing of it, nor of a command that was killed.

    One at a time for a Deployment, by a Lease of its own. Raises GateInputError for keys that are missing,
    ``BackupError`` if it can't be restored, ``Refused``, ``StageError``.
    """
    url = environment.rollout.scratch_url if environment.describes("rollout") else None
    if url is None:
        raise GateInputError(
            f"{environment.path}: {_KEY} is missing: a PostgreSQL server of its own, where the migration is "
            "tried on the newest backup before a deploy. Describe it in this file."
        )
    if environment.kubernetes.read_only and environment.describes("database"):
        require_other_server(url, environment.database.url, key=_KEY)
    identity = f"{workload.server.uid()}/{workload.namespace}/{workload.name}"
    prefix = f"bais_gates_proof_{hashlib.sha256(identity.encode()).hexdigest()[:12]}_"
    with Lock(workload.server, workload.namespace, f"{workload.name}-proof"):
        scratch = Scratch(workload=workload, environment=environment, progress=progress, url=url, database="")
        scratch.remove()
        for name in list_scratch_databases(url, prefix=prefix):
            drop_scratch_database(url, name)
        with scratch_database(url, prefix=prefix):
            (database,) = list_scratch_databases(url, prefix=prefix)
            try:
                yield replace(scratch, database=database)
            finally:
                _remove(scratch)


def _remove(scratch: Scratch) -> None:
    """Remove what a proof created; say so if that fails, as the next one does it again."""
    try:
        scratch.remove()
    except (StageError, ClusterError) as error:
        scratch.progress(f"{_STEP}: the copy's objects are left, and removed by the next deploy ({error})")


@contextmanager
def forwarded(command: list[str]) -> Iterator[int]:
    """Run kubectl port-forward and yield the local port; raise GateInputError if there is none."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError:
        raise GateInputError(
            "kubectl is not installed, and the previous release is reached by its port-forward. Install it."
        ) from None
    with process:
        alarm = threading.Timer(_FORWARD_S, process.kill)
        alarm.start()
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            alarm.cancel()
            if (match := _FORWARDING.search(line)) is None:
                raise GateInputError(
                    f"kubectl port-forward did not begin: {line.strip() or 'no output'}. The context of "
                    "`bais-gates deploy` needs the right to create pods/portforward."
                )
            yield int(match[1])
        finally:
            alarm.cancel()
            process.kill()
