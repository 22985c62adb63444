"""A cluster in memory, as far as staging uses one: objects are ready at once unless a test changes that."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

from bais_gates.probes.kubernetes.access import ClusterRefused

Object = dict[str, Any]
Objects = list[Object]
Key = tuple[str, str | None, str]
CLUSTER_SCOPED = {"Namespace", "StorageClass", "ClusterRole", "ClusterRoleBinding", "PersistentVolume"}


def refused(status: int, reason: str, message: str, **more: Any) -> ClusterRefused:
    """Return a refusal as the probe raises it."""
    fields = {"verb": "patch", "resource": "things", **more}
    return ClusterRefused(message, status=status, reason=reason, message=message, **fields)


class FakeServer:
    """Keeps objects by kind, namespace and name, and records every write."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.written: list[str] = []
        self.refusals: dict[tuple[str, str], ClusterRefused] = {}
        """(verb, kind) -> the refusal to raise; ``*`` for every verb."""
        self.make_ready: dict[str, Callable[[Object], None]] = {
            "Deployment": _deployment,
            "StatefulSet": _stateful_set,
            "Job": _job,
            "Certificate": _issued,
            "Ingress": _addressed,
        }
        self.log_text = ""
        self.event_list: Objects = []
        self.reads_until_gone = 1
        self._terminating: dict[Key, int] = {}
        self._versions = itertools.count(1)

    # -- reading --

    def version(self) -> str:
        """Return the version of the sandbox's API server."""
        return "v1.36.0"

    def named(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Return one object."""
        del api_version
        self._check_allowed("get", kind)
        key = self._key(kind, namespace, name)
        if key in self._terminating:
            self._terminating[key] -= 1
            if self._terminating[key] <= 0:
                self._remove(key)
        return copy.deepcopy(self.objects.get(key))

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str | None = None
    ) -> Objects:
        """Return the objects of a kind."""
        del api_version
        self._check_allowed("list", kind)
        found = [
            one
            for (its_kind, its_namespace, _), one in self.objects.items()
            if its_kind == kind and namespace in {None, its_namespace} and _selected(one, labels)
        ]
        return copy.deepcopy(found)

    def events(self, namespace: str) -> Objects:
        """Return the test's events."""
        del namespace
        return copy.deepcopy(self.event_list)

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        tail: int = 20,
        previous: bool = False,
    ) -> str:
        """Return the test's log."""
        del namespace, pod, container, tail, previous
        return self.log_text

    # -- writing --

    def create(self, obj: Object) -> Object:
        """Create an object."""
        key = self._key_of(obj)
        self._check_allowed("create", obj["kind"])
        if key in self.objects:
            raise refused(409, "AlreadyExists", f"{key[2]} already exists")
        return self._put(key, obj, "create")

    def apply(self, obj: Object, *, force: bool = False) -> Object:
        """Apply an object: here, replace the old one."""
        del force
        self._check_allowed("patch", obj["kind"])
        return self._put(self._key_of(obj), obj, "apply")

    def patch(
        self, api_version: str, kind: str, name: str, patch: Object, namespace: str | None = None
    ) -> Object:
        """Merge a patch two levels deep."""
        del api_version
        self._check_allowed("patch", kind)
        live = self.objects[self._key(kind, namespace, name)]
        for part, values in patch.items():
            live.setdefault(part, {}).update(values)
        self.written.append(f"patch {kind} {name}")
        return copy.deepcopy(live)

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
    ) -> bool:
        """Delete an object; a namespace is gone after some reads."""
        del api_version
        self._check_allowed("delete", kind)
        key = self._key(kind, namespace, name)
        live = self.objects.get(key)
        if live is None:
            return False
        if uid is not None and live["metadata"]["uid"] != uid:
            raise refused(409, "Conflict", "the uid in the precondition is another one's")
        self.written.append(f"delete {kind} {name}")
        if self.reads_until_gone and kind == "Namespace":
            live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            live.setdefault("status", {})["phase"] = "Terminating"
            self._terminating[key] = self.reads_until_gone
        else:
            self._remove(key)
        return True

    # -- for tests --

    def has(self, kind: str, name: str) -> bool:
        """Return whether an object of that kind and name exists in any namespace."""
        return any(key[0] == kind and key[2] == name for key in self.objects)

    def one(self, kind: str, name: str) -> Object:
        """Return the object of that kind and name, in any namespace."""
        return next(obj for key, obj in self.objects.items() if key[0] == kind and key[2] == name)

    def add(self, obj: Object) -> Object:
        """Add an object of another owner."""
        made = self._put(self._key_of(obj), obj, "")
        self.written.pop()
        return made

    def _put(self, key: Key, obj: Object, verb: str) -> Object:
        old = self.objects.get(key)
        new = copy.deepcopy(obj)
        metadata = new["metadata"]
        same = old is not None and all(old.get(part) == new.get(part) for part in ("spec", "data"))
        metadata["uid"] = old["metadata"]["uid"] if old else f"uid-{next(self._versions)}"
        metadata["generation"] = (old["metadata"]["generation"] + (not same)) if old else 1
        metadata["resourceVersion"] = (
            old["metadata"]["resourceVersion"] if old and same else str(next(self._versions))
        )
        new["status"] = copy.deepcopy(old.get("status", {})) if old else {}
        self.objects[key] = new
        if new["kind"] in self.make_ready:
            self.make_ready[new["kind"]](new)
        self.written.append(f"{verb} {new['kind']} {metadata['name']}")
        return copy.deepcopy(new)

    def _remove(self, key: Key) -> None:
        self.objects.pop(key, None)
        self._terminating.pop(key, None)
        if key[0] != "Namespace":
            return
        for other in [one for one in self.objects if one[1] == key[2]]:
            del self.objects[other]
        for volume in self.list("v1", "PersistentVolume"):
            spec = volume["spec"]
            if spec["claimRef"]["namespace"] == key[2] and spec["persistentVolumeReclaimPolicy"] == "Delete":
                del self.objects[self._key_of(volume)]

    def _check_allowed(self, verb: str, kind: str) -> None:
        refusal = self.refusals.get((verb, kind)) or self.refusals.get(("*", kind))
        if refusal is not None:
            raise refusal

    def _key_of(self, obj: Object) -> Key:
        return self._key(obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"])

    @staticmethod
    def _key(kind: str, namespace: str | None, name: str) -> Key:
        return kind, None if kind in CLUSTER_SCOPED else namespace, name


def _selected(obj: Object, labels: str | None) -> bool:
    own = obj["metadata"].get("labels") or {}
    for part in (labels or "").split(",") if labels else ():
        key, equals, value = part.partition("=")
        if key not in own or (equals and own[key] != value):
            return False
    return True


def _observe(obj: Object) -> Object:
    status: Object = obj["status"]
    status["observedGeneration"] = obj["metadata"]["generation"]
    return status


def _deployment(obj: Object) -> None:
    wanted = obj["spec"].get("replicas", 3)
    _observe(obj).update(replicas=wanted, updatedReplicas=wanted, availableReplicas=wanted)


def _stateful_set(obj: Object) -> None:
    wanted = obj["spec"].get("replicas", 1)
    _observe(obj).update(replicas=wanted, readyReplicas=wanted, updatedReplicas=wanted)


def _job(obj: Object) -> None:
    obj["status"] = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}


def _issued(obj: Object) -> None:
    obj["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}


def _addressed(obj: Object) -> None:
    point = {"ip": "127.0.0.1", "ports": [{"port": 8443, "protocol": "TCP"}]}
    obj["status"] = {"loadBalancer": {"ingress": [point]}}
