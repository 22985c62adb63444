"""A cluster in memory with one Deployment, whose requests can be cut and whose writes can be deadly."""

from __future__ import annotations

import copy
import os
import pickle
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, cast

from bais_gates.probes.kubernetes.access import ClusterUnreachable
from bais_gates.probes.kubernetes.writer import ClusterWriter
from bais_gates.rollout.record import Record, State
from bais_gates.rollout.workload import Workload, images_of
from tests.staging.fake_server import FakeServer, Object, Objects, refused

NAME = "registry.example/bais-api"
OLD, NEW, BROKEN = (f"{NAME}@sha256:{digit * 64}" for digit in "abc")
NAMESPACE = "bais"
OWNER = "another-manager"


def record_of(**fields: Any) -> Record:
    """Return the record of a deploy of :data:`NEW` over :data:`OLD`, without a phase."""
    usual: dict[str, Any] = {
        "id": "20260302-120000-0a1b2c",
        "kind": "deploy",
        "environment": "test",
        "rehearsal": False,
        "by": "dana",
        "images": {"api": NEW},
        "version": "1.1.0",
        "before": State(images={"api": OLD}, replicas=3),
    }
    return Record(**(usual | fields))


class FakeCluster(FakeServer):
    """Pods are ready at once, unless their image is :data:`BROKEN`."""

    def __init__(self) -> None:
        super().__init__()
        self.address = "https://cluster.example"
        self.now = datetime(2026, 3, 2, 12, tzinfo=UTC)
        self.requests = 0
        self.cut_at: int | None = None
        """The number of the request from which on none gets through."""
        self.dies_after: int | None = None
        """The number of the write after which this process is killed."""
        self.saved: Path | None = None
        """Where every write is saved, as a cluster outlives its clients."""
        self.owner: str | None = None
        """A field manager that owns the image, and is not ours."""
        self.broken_status: Object | None = None
        """The containerStatus of every pod instead of a running one."""
        self.make_ready["Deployment"] = _roll_out
        self.add(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "bais-api", "namespace": NAMESPACE},
                "spec": {
                    "replicas": 2,
                    "template": {"spec": {"containers": [{"name": "api", "image": OLD}]}},
                },
            }
        )

    def workload(self) -> Workload:
        """Return the Deployment as the engine has it."""
        return Workload(server=cast("ClusterWriter", self), namespace=NAMESPACE, name="bais-api")

    @property
    def image(self) -> str:
        """The image that the Deployment has."""
        return images_of(self.one("Deployment", "bais-api"))["api"]

    def load(self, file: Path) -> None:
        """Take over what was saved."""
        self.objects, self.written = pickle.loads(file.read_bytes())

    def pass_time(self, seconds: float) -> None:
        """Let the server's time pass."""
        self.now += timedelta(seconds=seconds)

    # -- requests --

    def uid(self) -> str:
        """Return the cluster's identity."""
        return "0a1b"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ending: object) -> None:
        pass

    def server_time(self) -> datetime:
        """Return the server's time."""
        self._check_allowed("get", "/version")
        return self.now

    def list(self, api_version: str, kind: str, namespace: str | None = None, **more: Any) -> Objects:
        """Return the objects, and the pods that the Deployment would have."""
        found = super().list(api_version, kind, namespace, **more)
        deployment = self.one("Deployment", "bais-api")
        if kind == "ReplicaSet":
            return [_owned("bais-api-1", deployment, "rs-1", spec=copy.deepcopy(deployment["spec"]))]
        if kind == "Pod" and "labels" not in more:
            owner = {"metadata": {"uid": "rs-1"}}
            pods = [_pod(f"bais-api-1-{number}", owner, self.image) for number in range(2)]
            for pod in pods if self.broken_status else ():
                pod["status"]["containerStatuses"] = [self.broken_status]
            return pods
        return found

    def apply(
        self, obj: Object, *, force: bool = False, manager: str = "bais-gates", dry_run: bool = False
    ) -> Object:
        """Merge the images of an applied Deployment; a dry run only returns them."""
        self._check_allowed("patch", obj["kind"])
        if self.owner and not force:
            refusal = refused(409, "Conflict", "Apply failed with 1 conflict")
            refusal.causes = (f'.spec...image: conflict with "{self.owner}"',)
            raise refusal
        live = self.one(obj["kind"], obj["metadata"]["name"])
        new = copy.deepcopy(live)
        (container,) = obj["spec"]["template"]["spec"]["containers"]
        new["spec"]["template"]["spec"]["containers"][0]["image"] = container["image"]
        if dry_run:
            return new
        return self._put(self._key_of(obj), new, f"apply as {manager}")

    def patch(
        self, api_version: str, kind: str, name: str, patch: Object, namespace: str | None = None
    ) -> Object:
        """Merge a patch, unless it names another resourceVersion."""
        del api_version
        self._check_allowed("patch", kind)
        live = self.objects[self._key(kind, namespace, name)]
        metadata = copy.deepcopy(patch.get("metadata", {}))
        version = metadata.pop("resourceVersion", None)
        if version not in {None, live["metadata"]["resourceVersion"]}:
            raise refused(409, "Conflict", "the object has been modified")
        live["metadata"].setdefault("annotations", {}).update(metadata.get("annotations", {}))
        live["spec"].update(patch.get("spec", {}))
        live["metadata"]["resourceVersion"] = str(next(self._versions))
        self._wrote(f"patch {kind} {name}")
        return copy.deepcopy(live)

    def delete(self, *arguments: Any, **more: Any) -> bool:
        """Delete an object."""
        deleted = super().delete(*arguments, **more)
        self._wrote("")
        return deleted

    def _put(self, key: Any, obj: Object, verb: str) -> Object:
        made = super()._put(key, obj, verb)
        self._wrote("")
        return made

    def _wrote(self, what: str) -> None:
        if what:
            self.written.append(what)
        if self.saved is not None:
            self.saved.write_bytes(pickle.dumps((self.objects, self.written)))
        if self.dies_after is not None and len(self.written) >= self.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def _check_allowed(self, verb: str, kind: str) -> None:
        self.requests += 1
        if self.cut_at is not None and self.requests >= self.cut_at:
            raise ClusterUnreachable("the connection was cut")
        super()._check_allowed(verb, kind)


def _roll_out(deployment: Object) -> None:
    broken = images_of(deployment)["api"] == BROKEN
    status: Object = {"observedGeneration": deployment["metadata"]["generation"], "replicas": 2}
    status |= {"updatedReplicas": 2, "availableReplicas": 2}
    if broken:
        late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
        status |= {"updatedReplicas": 1, "conditions": [late]}
    deployment["status"] = status


def _owned(name: str, owner: Object, uid: str, **more: Any) -> Object:
    reference = {"uid": owner["metadata"]["uid"], "controller": True}
    metadata = {"name": name, "namespace": NAMESPACE, "uid": uid, "ownerReferences": [reference]}
    return {"metadata": metadata, **more}


def _pod(name: str, owner: Object, image: str) -> Object:
    ready = str(image != BROKEN)
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": ready}],
        "containerStatuses": [{"name": "api", "imageID": image}],
    }
    spec = {"containers": [{"name": "api", "image": image}]}
    return _owned(name, owner, f"uid-of-{name}", spec=spec, status=status)
