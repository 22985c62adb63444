"""What should run after a deploy, by its record, and the Deployment as it is: what its gates judge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bais_gates.errors import GateInputError
from bais_gates.rollout.record import NOTHING_APPLIED, Phase, Record, record_on
from bais_gates.rollout.workload import images_of
from bais_gates.staging.reach import COMPONENT
from bais_gates.staging.readiness import condition
from bais_gates.staging.workload import all_pods_of, last_revision, pods_of

if TYPE_CHECKING:
    from bais_gates.probes.kubernetes.cluster import Cluster
    from bais_gates.targets.environment import Environment
    from bais_gates.verdict.model import Subject

Object = dict[str, Any]
_LOG_LINES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """The API's Deployment as it is, and what should run there."""

    deployment: Object
    pods: list[Object]
    """The pods of its newest ReplicaSet that have not ended, those being deleted among them."""
    old_pods: list[Object]
    """Those of its older ReplicaSets."""
    images: dict[str, str]
    """Container -> image that should run, ``NAME@sha256:...``."""
    version: str | None
    """The version that every replica should report; None if nobody knows it."""
    since: datetime
    """When the images were applied; without a record, when the oldest of the pods was created."""
    record: Record | None
    source: str
    """Where all of that is from, for people."""

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.deployment["metadata"]["namespace"])

    @property
    def declared(self) -> dict[str, str]:
        """Container -> image, as the Deployment has it."""
        return images_of(self.deployment)

    def is_since(self, at: str | None) -> bool:
        """Return whether something happened since the deploy; what has no time of its own counts."""
        return at is None or _time(at) >= self.since

    @property
    def alone_since(self) -> datetime:
        """When the rollout was complete, by its controller: until then the release before it served, too."""
        progressing = condition(self.deployment, "Progressing")
        complete = progressing.get("reason") == "NewReplicaSetAvailable"
        at = progressing.get("lastUpdateTime") if complete else None
        return max(self.since, _time(str(at))) if at else self.since

    @property
    def age_s(self) -> float:
        """Seconds that what runs has served alone."""
        return (datetime.now(UTC) - self.alone_since).total_seconds()

    @property
    def differences(self) -> list[str]:
        """The containers that run another image than they should, each with its pod."""
        return [
            f"pod {pod['metadata']['name']}: container {name} runs {running or 'nothing'}"
            for pod in self.pods
            for name, image in sorted(self.images.items())
            if (running := _running(pod, name)) != image.rpartition("@")[2]
        ]

    def schema(self, cluster: Cluster) -> str | None:
        """Return the revision that the last migration left, by its pod's log; None if nobody knows it.

        A migration that had nothing to do logs none, and a rollback deletes the Job of one that failed: then
        it is the one that the record has from before. A release that was rolled back runs on the schema that
        its successor's migration left.
        """
        record = self.record
        pods = cluster.list("v1", "Pod", self.namespace)
        migrations = [pod for pod in pods if _migrated(pod, record.job if record else None)]
        for pod in sorted(migrations, key=_created, reverse=True):
            log = cluster.logs(self.namespace, str(pod["metadata"]["name"]), tail=_LOG_LINES)
            if (revision := last_revision(log)) is not None:
                return revision
        if record is None or (record.job and not migrations and record.phase is Phase.DEPLOYED):
            return None
        return record.before.schema


def read_deployed(cluster: Cluster, environment: Environment, *, subject: Subject | None = None) -> Deployed:
    """Return the Deployment, and what should run by its record or, without one, by ``release`` of the file.

    Raises GateInputError where one is missing, or ``subject`` is another image; ``Stuck`` for a record that
    can't be read; ``ClusterError``.
    """
    part = environment.kubernetes
    deployment = cluster.named("apps/v1", "Deployment", part.names.api, part.namespace)
    if deployment is None:
        raise GateInputError(
            f"There is no Deployment {part.namespace}/{part.names.api} in the cluster of context "
            f"{part.context!r}. Correct kubernetes.namespace or kubernetes.names.api in {environment.path}, "
            "or apply the manifests."
        )
    sets = cluster.list("apps/v1", "ReplicaSet", part.namespace)
    pods = [one for one in cluster.list("v1", "Pod", part.namespace) if not _has_ended(one)]
    newest = pods_of(deployment, pods, sets)
    record = record_on(deployment)
    images, version = _of_record(record) if record else _of_release(environment, deployment)
    source = f"{record.kind} {record.id}, {record.phase}" if record else f"{environment.path.name}: release"
    if subject is not None and str(subject) not in images.values():
        raise GateInputError(
            f"The decision is asked for {subject} (--gate-subject), but {', '.join(sorted(images.values()))} "
            f"should run ({source}). Name that image, or deploy the other one first."
        )
    applied_at = record.applied_at if record else None
    return Deployed(
        deployment=deployment,
        pods=newest,
        old_pods=[pod for pod in all_pods_of(deployment, pods, sets) if pod not in newest],
        images=images,
        version=version,
        since=applied_at or min(map(_created, newest), default=datetime.now(UTC)),
        record=record,
        source=source,
    )


def _of_record(record: Record) -> tuple[dict[str, str], str | None]:
    """Return the images and the version that should run by a record, also of a deploy that is under way."""
    if record.finished:
        return record.running
    back = record.kind == "deploy" and record.phase is Phase.ROLLING_BACK
    before = back or record.phase in NOTHING_APPLIED
    return (record.before.images, record.before.version) if before else (record.images, record.version)


def _of_release(environment: Environment, deployment: Object) -> tuple[dict[str, str], str | None]:
    release = environment.release
    if release.image is None:
        raise environment.missing("release.image")
    name = release.image.partition("@")[0]
    images = images_of(deployment)
    known = [one for one, image in images.items() if image.partition("@")[0] == name]
    if not known:
        raise GateInputError(
            f"{environment.path}: release.image is {release.image}, and no container of the Deployment "
            f"{deployment['metadata']['name']} runs an image of that name; they run "
            f"{', '.join(sorted(images.values()))}. Correct the key, or deploy the release."
        )
    return dict.fromkeys(known, release.image), release.version


def _running(pod: Object, container: str) -> str | None:
    """Return the digest of the image that a container runs, None before it does."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status.get("name") == container:
            return str(status.get("imageID") or "").rpartition("@")[2] or None
    return None


def _has_ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _migrated(pod: Object, job: str | None) -> bool:
    """Return whether a pod is of the Job that migrates, by its name or, without a record, by its label."""
    if job is None:
        return (pod["metadata"].get("labels") or {}).get(COMPONENT) == "migration"
    owners = pod["metadata"].get("ownerReferences") or []
    return any((one.get("kind"), one.get("name")) == ("Job", job) for one in owners)


def _created(pod: Object) -> datetime:
    return _time(str(pod["metadata"]["creationTimestamp"]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
