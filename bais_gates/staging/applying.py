"""Applying objects one by one: ours with force, what is shared only where it is absent, Jobs replaced."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.ownership import annotation, owned, owner_of
from bais_gates.staging.plan import CLUSTER_SCOPED, describe, pod_templates
from bais_gates.staging.readiness import State, judge
from bais_gates.staging.server import address, asked, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bais_gates.staging.readiness import Object
    from bais_gates.staging.server import Server
    from bais_gates.staging.waiting import Clock

DIGEST: Final = "bais-gates/digest"
"""Annotation of a Job: the digest of the manifest it was made from."""
CONFIGURATION: Final = "bais-gates/configuration"
"""Annotation of a pod template: which state of its Secrets and ConfigMaps the pods were started with."""
STAGED_FOR: Final = "bais-gates/namespace"
"""Label of an object outside namespaces: the staged namespace that it was made for, and goes with."""
_POLL_S: Final = 0.2


def digest_of(obj: Object) -> str:
    """Return 32 hex digits that change with anything in the object."""
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def with_annotation(obj: Object, name: str, value: str) -> Object:
    """Return the object with one more annotation."""
    metadata = obj.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), name: value}
    return {**obj, "metadata": {**metadata, "annotations": annotations}}


def with_configuration(workload: Object, versions: Mapping[tuple[str, str], str]) -> Object:
    """Return a workload whose pods are replaced when what they are configured by has changed.

    ``versions`` maps kind and name of each ConfigMap and Secret to its resourceVersion.
    """
    if workload.get("kind") not in {"Deployment", "StatefulSet"}:
        return workload
    spec: dict[str, Any] = next(iter(pod_templates([workload])), (None, {}))[1]
    named = sorted(key for key in versions if _names(spec, key))
    if not named:
        return workload
    state = digest_of({f"{kind}/{name}": versions[kind, name] for kind, name in named})
    template = with_annotation(workload["spec"]["template"], CONFIGURATION, state)
    return {**workload, "spec": {**workload["spec"], "template": template}}


_REFERENCES: Final = {
    "ConfigMap": ("configMap", "configMapRef", "configMapKeyRef"),
    "Secret": ("secret", "secretRef", "secretKeyRef"),
}


def _names(value: Any, wanted: tuple[str, str]) -> bool:
    """Return whether anything below ``value`` refers to that ConfigMap or Secret."""
    kind, name = wanted
    if isinstance(value, list):
        return any(_names(one, wanted) for one in value)
    if not isinstance(value, dict):
        return False
    for key, inner in value.items():
        named = isinstance(inner, dict) and name in {inner.get("name"), inner.get("secretName")}
        if (key in _REFERENCES[kind] and named) or _names(inner, wanted):
            return True
    return False


class Applier:
    """Applies the objects of one namespace for one owner."""

    def __init__(
        self,
        server: Server,
        namespace: str,
        owner: str,
        *,
        clock: Clock,
        progress: Callable[[str], None],
    ) -> None:
        self._server, self._namespace, self._owner = server, namespace, owner
        self._clock, self._progress = clock, progress
        self.versions: dict[tuple[str, str], str] = {}
        """The resourceVersion of each ConfigMap and Secret, by kind and name."""

    def all(self, objects: Iterable[Object], *, step: str) -> list[Object]:
        """Apply the objects in their order; give those that are there because of it."""
        return [live for one in objects if (live := self.one(one, step=step)) is not None]

    def one(self, obj: Object, *, step: str) -> Object | None:
        """Apply one object; None for a shared one that was there already and is left as it is.

        Raises ``StageError`` with the server's reason.
        """
        if obj["kind"] in CLUSTER_SCOPED:
            return self._shared(obj, step)
        obj = owned(with_configuration(obj, self.versions), self._owner)
        if obj["kind"] == "Job":
            obj = self._make_way(obj, step)
        live: Object = asked(f"Applying {place(obj)}", lambda: self._server.apply(obj, force=True), step=step)
        if obj["kind"] in _REFERENCES:
            version = str(live["metadata"].get("resourceVersion"))
            self.versions[obj["kind"], obj["metadata"]["name"]] = version
        return live

    def _shared(self, obj: Object, step: str) -> Object | None:
        """Make an object that belongs to no namespace where it is absent; one of somebody else's is used."""
        live: Object | None = asked(
            f"Reading {describe(obj)}", lambda: self._server.named(*address(obj)), step=step
        )
        labels = (live or {}).get("metadata", {}).get("labels") or {}
        if live is not None and (owner_of(live) != self._owner or labels.get(STAGED_FOR) != self._namespace):
            self._progress(f"{step}: {describe(obj)} is there already and is used as it is")
            return None
        obj = owned(obj, self._owner)
        obj["metadata"]["labels"][STAGED_FOR] = self._namespace
        applied: Object = asked(
            f"Applying {describe(obj)}", lambda: self._server.apply(obj, force=True), step=step
        )
        return applied

    def _make_way(self, job: Object, step: str) -> Object:
        """Remove a Job of that name that failed or is another one: what a Job runs can't be changed."""
        job = with_annotation(job, DIGEST, digest_of(job))
        what = place(job)
        live: Object | None = asked(f"Reading {what}", lambda: self._server.named(*address(job)), step=step)
        if live is None:
            return job
        changed = annotation(live, DIGEST) != annotation(job, DIGEST)
        leaving = bool(live["metadata"].get("deletionTimestamp"))
        if not (changed or leaving or judge({**live, "kind": "Job"}).state is State.FAILED):
            return job
        self._progress(f"{step}: {describe(job)} of an earlier run is replaced")
        uid = str(live["metadata"]["uid"])
        asked(f"Deleting {what}", lambda: self._server.delete(*address(job), uid=uid), step=step)
        while (
            found := asked(f"Reading {what}", lambda: self._server.named(*address(job)), step=step)
        ) is not None:
            if found["metadata"].get("uid") != uid:
                break
            if self._clock.left <= 0:
                raise StageError(StageCode.NOT_READY, f"{what} of an earlier run does not go away", step=step)
            self._clock.sleep(_POLL_S)
        return job
