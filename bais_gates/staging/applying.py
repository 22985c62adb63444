"""Apply objects one by one: own ones with force, shared ones only if absent; Jobs are replaced."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.holding import annotation
from bais_gates.staging.namespace import owner_of, with_owner
from bais_gates.staging.plan import CLUSTER_SCOPED, describe, pod_templates
from bais_gates.staging.readiness import State, judge
from bais_gates.staging.server import key_of, qualified_name, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bais_gates.staging.readiness import Object
    from bais_gates.staging.server import Clock, Server

DIGEST: Final = "bais-gates/digest"
"""Annotation of a Job: the digest of its manifest."""
CONFIGURATION: Final = "bais-gates/configuration"
"""Annotation of a pod template: the digest of the Secrets and ConfigMaps that the pods started with."""
STAGED_FOR: Final = "bais-gates/namespace"
"""Label of an object outside namespaces: the staged namespace that it belongs to."""
_POLL_S: Final = 0.2


def digest_of(obj: Object) -> str:
    """Return 32 hex digits that depend on everything in the object."""
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def with_annotation(obj: Object, name: str, value: str) -> Object:
    """Return the object with one more annotation."""
    metadata = obj.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), name: value}
    return {**obj, "metadata": {**metadata, "annotations": annotations}}


def with_configuration(workload: Object, versions: Mapping[tuple[str, str], str]) -> Object:
    """Return a workload whose pods are replaced when a ConfigMap or Secret that they use has changed.

    ``versions`` maps kind and name of each ConfigMap and Secret to its resourceVersion.
    """
    if workload.get("kind") not in {"Deployment", "StatefulSet"}:
        return workload
    spec: dict[str, Any] = next(iter(pod_templates([workload])), (None, {}))[1]
    used = sorted(key for key in versions if refers_to(spec, key))
    if not used:
        return workload
    digest = digest_of({f"{kind}/{name}": versions[kind, name] for kind, name in used})
    template = with_annotation(workload["spec"]["template"], CONFIGURATION, digest)
    return {**workload, "spec": {**workload["spec"], "template": template}}


_REFERENCES: Final = {
    "ConfigMap": ("configMap", "configMapRef", "configMapKeyRef"),
    "Secret": ("secret", "secretRef", "secretKeyRef"),
}


def refers_to(value: Any, key: tuple[str, str]) -> bool:
    """Return whether anything below ``value`` refers to this ConfigMap or Secret (kind and name)."""
    kind, name = key
    if isinstance(value, list):
        return any(refers_to(one, key) for one in value)
    if not isinstance(value, dict):
        return False
    for field, inner in value.items():
        named = isinstance(inner, dict) and name in {inner.get("name"), inner.get("secretName")}
        if (field in _REFERENCES[kind] and named) or refers_to(inner, key):
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

    def apply_all(self, objects: Iterable[Object], *, step: str) -> list[Object]:
        """Apply the objects in order; return the live ones, without shared ones that existed before."""
        return [live for one in objects if (live := self.apply(one, step=step)) is not None]

    def apply(self, obj: Object, *, step: str) -> Object | None:
        """Apply one object; return None for a shared one that existed before and is left unchanged.

        Raises ``StageError`` with the server's reason.
        """
        if obj["kind"] in CLUSTER_SCOPED:
            return self._apply_shared(obj, step)
        obj = with_owner(with_configuration(obj, self.versions), self._owner)
        if obj["kind"] == "Job":
            obj = self._replace_job(obj, step)
        live = request(
            f"Applying {qualified_name(obj)}", lambda: self._server.apply(obj, force=True), step=step
        )
        if obj["kind"] in _REFERENCES:
            version = str(live["metadata"].get("resourceVersion"))
            self.versions[obj["kind"], obj["metadata"]["name"]] = version
        return live

    def _apply_shared(self, obj: Object, step: str) -> Object | None:
        """Apply an object outside namespaces unless one of another owner exists, which is used then."""
        live = request(f"Reading {describe(obj)}", lambda: self._server.named(*key_of(obj)), step=step)
        labels = (live or {}).get("metadata", {}).get("labels") or {}
        if live is not None and (owner_of(live) != self._owner or labels.get(STAGED_FOR) != self._namespace):
            self._progress(f"{step}: {describe(obj)} exists already and is used unchanged")
            return None
        obj = with_owner(obj, self._owner)
        obj["metadata"]["labels"][STAGED_FOR] = self._namespace
        return request(f"Applying {describe(obj)}", lambda: self._server.apply(obj, force=True), step=step)

    def _replace_job(self, job: Object, step: str) -> Object:
        """Delete a failed or different Job of that name, as a Job's template can't be changed."""
        job = with_annotation(job, DIGEST, digest_of(job))
        name = qualified_name(job)

        def read() -> Object | None:
            return request(f"Reading {name}", lambda: self._server.named(*key_of(job)), step=step)

        live = read()
        if live is None:
            return job
        changed = annotation(live, DIGEST) != annotation(job, DIGEST)
        terminating = bool(live["metadata"].get("deletionTimestamp"))
        if not (changed or terminating or judge({**live, "kind": "Job"}).state is State.FAILED):
            return job
        self._progress(f"{step}: replacing {describe(job)} of an earlier run")
        uid = str(live["metadata"]["uid"])
        request(f"Deleting {name}", lambda: self._server.delete(*key_of(job), uid=uid), step=step)
        while (current := read()) is not None and current["metadata"].get("uid") == uid:
            if self._clock.remaining_s <= 0:
                message = f"{name} of an earlier run was deleted and still exists"
                raise StageError(StageCode.NOT_READY, message, step=step)
            self._clock.sleep(_POLL_S)
        return job
