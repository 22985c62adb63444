"""The Deployment that is rolled out: what it has now, what would change, the change, and what went wrong.

Only the images are applied, server-side, as a field manager of our own: replicas stay the autoscaler's, and a
field that somebody else owns is a conflict that names them.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import yaml

from bais_gates.probes.kubernetes.access import ClusterError, ClusterRefused
from bais_gates.probes.kubernetes.cluster import FIELD_MANAGER
from bais_gates.rollout.errors import RefusalCode, Refused
from bais_gates.rollout.record import ANNOTATION, Record
from bais_gates.staging.applying import refers_to
from bais_gates.staging.diagnosis import event_lines, last_lines, read_context
from bais_gates.staging.provision import wait_until_ready
from bais_gates.staging.server import request
from bais_gates.staging.workload import all_pods_of, controlled_by, is_ready, running_digests

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.staging.server import Clock
    from bais_gates.verdict.model import Subject

Object = dict[str, Any]
MANAGER: Final = "bais-gates-deploy"
_OWN: Final = frozenset({MANAGER, FIELD_MANAGER})
"""Field managers whose fields are taken over without asking: they are this tool's."""
_CONFLICT: Final = 409
_PODS: Final = 5
"""Pods whose logs are saved: the rollback waits for it."""
_SPARE_S: Final = 60.0
"""Added to the Deployment's own deadline, so that its controller can report first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One Deployment of a cluster."""

    server: ClusterWriter
    namespace: str
    name: str

    @property
    def key(self) -> Object:
        """What identifies it, as an object."""
        metadata = {"name": self.name, "namespace": self.namespace}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}

    def read(self) -> Object:
        """Return the Deployment; raise ``Refused`` if it does not exist, ``StageError``."""
        call = partial(self.server.named, "apps/v1", "Deployment", self.name, self.namespace)
        live = request(f"Reading Deployment {self.namespace}/{self.name}", call, step="read")
        if live is None:
            raise Refused(
                RefusalCode.NOT_RUNNING,
                f"There is no Deployment {self.namespace}/{self.name} at {self.server.address}. The first "
                "release is applied with its manifests (kubectl apply -k); later ones are deployed.",
            )
        return live

    def with_image(self, live: Object, subject: Subject) -> dict[str, str]:
        """Return the images to run: ``subject`` in each container that runs an image of its name."""
        names = {name for name, image in images_of(live).items() if _name(image) == subject.name}
        if not names:
            known = ", ".join(sorted({_name(image) for image in images_of(live).values()}))
            raise Refused(
                RefusalCode.IMAGE_UNKNOWN,
                f"No container of the Deployment {self.namespace}/{self.name} runs an image {subject.name}; "
                f"they run {known}. Correct --subject.",
            )
        return dict.fromkeys(sorted(names), str(subject))

    # -- the change --

    def diff(self, live: Object, images: dict[str, str], *, take_over: str | None = None) -> str:
        """Return what a dry run on the server would change, as a diff; empty if nothing.

        Raises ``Refused`` that names the owner of a field, if it is another manager than ours and
        ``take_over``.
        """
        patch = self._patch(images)
        try:
            would = self.server.apply(patch, force=False, manager=MANAGER, dry_run=True)
        except ClusterRefused as error:
            if error.status != _CONFLICT:
                raise
            owners = _OWN | ({take_over} if take_over else set())
            foreign = [one for one in error.causes if not any(f'"{name}"' in one for name in owners)]
            if foreign or not error.causes:
                raise Refused(
                    RefusalCode.FOREIGN_FIELD,
                    f"The image of the Deployment {self.namespace}/{self.name} is another field manager's: "
                    f"{'; '.join(foreign) or error.message}. Deploy with that tool, or take the field over "
                    "by --take-over MANAGER.",
                ) from None
            would = self.server.apply(patch, force=True, manager=MANAGER, dry_run=True)
        now, then = (yaml.safe_dump(one["spec"], sort_keys=True).splitlines() for one in (live, would))
        return "\n".join(difflib.unified_diff(now, then, "now", "then", lineterm="", n=2))

    def apply(self, images: dict[str, str]) -> None:
        """Apply the images; raise ``StageError``. :meth:`diff` has judged before whose field they are."""
        call = partial(self.server.apply, self._patch(images), force=True, manager=MANAGER)
        request(f"Applying Deployment {self.namespace}/{self.name}", call, step="rollout")

    def _patch(self, images: dict[str, str]) -> Object:
        containers = [{"name": name, "image": image} for name, image in sorted(images.items())]
        return {**self.key, "spec": {"template": {"spec": {"containers": containers}}}}

    def annotate(self, record: Record) -> None:
        """Write the record on the Deployment; raise ``StageError``."""
        patch = {"metadata": {"annotations": {ANNOTATION: record.text()}}}
        call = partial(self.server.patch, "apps/v1", "Deployment", self.name, patch, self.namespace)
        request(f"Recording on Deployment {self.namespace}/{self.name}", call, step="record")

    # -- what runs --

    def wait(self, clock: Clock, progress: Callable[[str], None]) -> None:
        """Wait until it is rolled out by kubectl's rule; raise ``StageError`` that says how it hangs."""
        wait_until_ready(self.server, [self.key], step="rollout", clock=clock, progress=progress, replicas={})

    def deadline_s(self, live: Object) -> float:
        """Return the seconds that a rollout may take: more than the Deployment's own deadline."""
        spec = live["spec"]
        return (
            float(spec.get("progressDeadlineSeconds") or 600)
            + int(spec.get("minReadySeconds") or 0)
            + _SPARE_S
        )

    def pods(self, live: Object) -> list[Object]:
        """Return its pods that are not being deleted. Raises ``ClusterError``."""
        sets = self.server.list("apps/v1", "ReplicaSet", self.namespace)
        owned = all_pods_of(live, self.server.list("v1", "Pod", self.namespace), sets)
        return [pod for pod in owned if not pod["metadata"].get("deletionTimestamp")]

    def earlier_images(self, live: Object) -> set[str]:
        """Return the images of its ReplicaSets, which Kubernetes keeps as its history."""
        sets = self.server.list("apps/v1", "ReplicaSet", self.namespace)
        owned = controlled_by(sets, str(live["metadata"].get("uid")))
        return {image for one in owned for image in images_of(one).values()}

    def configuration(self, live: Object) -> dict[str, str]:
        """Return a hash of the version of each ConfigMap and Secret that the pods use.

        Not of the content, which people could guess; ``not readable`` where listing is forbidden.
        """
        spec, found = live["spec"]["template"]["spec"], {}
        for kind in ("ConfigMap", "Secret"):
            try:
                objects = self.server.list("v1", kind, self.namespace)
            except ClusterRefused:  # a deployer need not read Secrets
                found[f"{kind}/*"] = "not readable"
                continue
            for one in objects:
                name = str(one["metadata"]["name"])
                if refers_to(spec, (kind, name)):
                    metadata = one["metadata"]
                    found[f"{kind}/{name}"] = _hash(metadata.get("uid"), metadata.get("resourceVersion"))
        return found

    def findings(self, live: Object, images: dict[str, str]) -> list[str]:
        """Return what of the running pods differs from ``images``: not ready, too few, another digest."""
        wanted = sorted({image.rpartition("@")[2] for image in (images_of(live) | images).values()})
        pods = self.pods(live)
        replicas = replicas_of(live)
        ready = [pod for pod in pods if is_ready(pod)]
        problems = [f"{len(ready)} of {replicas} replicas are ready"] if len(ready) < replicas else []
        others = [
            f"pod {pod['metadata']['name']} runs {', '.join(running_digests([pod])) or 'nothing'}"
            for pod in pods
            if running_digests([pod]) != wanted
        ]
        return [*problems, *others]

    def evidence(self) -> Object:
        """Return the events, and status and last lines of each pod that is not ready, or of all."""
        try:
            live = self.read()
            context = read_context(self.server, live)
            pods = self.pods(live)
            chosen = [pod for pod in pods if not is_ready(pod)] or pods
        except (ClusterError, Refused) as error:
            return {"unreadable": str(error)}
        logs = {
            str(pod["metadata"]["name"]): {
                "status": pod.get("status"),
                "log": {
                    str(one["name"]): last_lines(self.server, pod, str(one["name"]))
                    for one in pod["spec"]["containers"]
                },
            }
            for pod in chosen[:_PODS]
        }
        return {"events": event_lines(context.events), "pods": logs}


def images_of(workload: Object) -> dict[str, str]:
    """Return container -> image of a workload's pod template."""
    spec = workload["spec"]["template"]["spec"]
    return {str(one["name"]): str(one["image"]) for one in spec["containers"]}


def replicas_of(workload: Object) -> int:
    """Return the wanted number of replicas (1 without a number)."""
    replicas = workload["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def changed_since(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return the ConfigMaps and Secrets that were changed, added or removed since they were recorded."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _hash(*parts: Any) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _name(image: str) -> str:
    """Return an image's name without tag and digest."""
    head, slash, last = image.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
