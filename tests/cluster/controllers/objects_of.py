"""Objects to reconcile, as an API server would have stored them, and a small world that obeys plans."""

from __future__ import annotations

import copy
import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.controllers.objects import Object, uid_of
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Event, Plan, SetStatus, Update, World

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
_NUMBERS = itertools.count(1)


def stored(obj: Object, *, at: datetime = NOW) -> Object:
    """Complete an object with what the API server gives it."""
    made = copy.deepcopy(obj)
    metadata = made["metadata"]
    number = next(_NUMBERS)
    if "name" not in metadata:
        metadata["name"] = f"{metadata['generateName']}{number:05d}"
    metadata.setdefault("uid", f"uid-{number}")
    metadata.setdefault("creationTimestamp", at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    metadata.setdefault("generation", 1)
    return made


def workload(kind: str, api_version: str = "apps/v1", **spec: Any) -> Object:
    """Make a stored workload called ``web`` with one container."""
    name = spec.pop("name", "web")
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "registry.example/web:1"}]},
    }
    content = {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return stored(
        {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": "shop"},
            "spec": content,
        }
    )


def pod(name: str = "web-0", *, owner: Object | None = None, ready: bool = True, **spec: Any) -> Object:
    """Make a stored pod that runs on node n1."""
    metadata: Object = {"name": name, "namespace": "shop", "labels": {"app": "web"}}
    if owner is not None:
        metadata["ownerReferences"] = [
            {"kind": owner["kind"], "name": "x", "uid": uid_of(owner), "controller": True}
        ]
    return run(
        stored(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "spec": {"containers": [{"name": "main", "image": "i"}], **spec},
            }
        ),
        ready=ready,
    )


def named(
    kind: str, name: str = "web", api_version: str = "v1", namespace: str = "shop", **content: Any
) -> dict[str, Any]:
    """Make a stored object."""
    metadata: dict[str, Any] = {"name": name, **content.pop("metadata", {})}
    if namespace:
        metadata["namespace"] = namespace
    return stored({"apiVersion": api_version, "kind": kind, "metadata": metadata, **content})


def run(made: Object, *, ready: bool = True, phase: str = "Running", since: datetime = NOW) -> Object:
    """Have a pod run (or end): its status is what a node agent would write."""
    made = copy.deepcopy(made)
    made["spec"].setdefault("nodeName", "n1")
    made["status"] = {
        "phase": phase,
        "podIP": f"10.0.0.{next(_NUMBERS) % 250 + 2}",
        "conditions": [
            {
                "type": "Ready",
                "status": "True" if ready and phase == "Running" else "False",
                "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ],
    }
    return made


def going(obj: Object) -> Object:
    """Mark an object for deletion."""
    made = copy.deepcopy(obj)
    made["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    return made


class Cluster:
    """A world in which plans are carried out at once, with a clock that only ``later`` moves."""

    def __init__(self, *objects: Object) -> None:
        self.world = World(objects)
        self.now = NOW
        self.events: list[Event] = []

    def put(self, obj: Object) -> None:
        """Replace an object."""
        self.world.put(obj)

    def later(self, seconds: float) -> None:
        """Move the clock."""
        self.now += timedelta(seconds=seconds)

    def do(self, plan: Plan) -> Plan:
        """Carry out a plan."""
        for action in plan.actions:
            match action:
                case Create(obj=obj):
                    self.world.put(stored(obj, at=self.now))
                case Update(obj=obj) | SetStatus(obj=obj):
                    self.world.put(obj)
                case Delete(obj=obj):
                    self.world.drop(obj)
                case Event():
                    self.events.append(action)
        return plan

    def reconcile(
        self, function: Callable[[World, Object, datetime], Plan], kind: str, name: str = "web"
    ) -> Plan:
        """Ask a controller about one object, and carry out its plan."""
        return self.do(function(self.world, self.get(kind, name), self.now))

    def get(self, kind: str, name: str = "web", namespace: str = "shop") -> Object:
        """Return an object that is there."""
        found = self.world.get(kind, namespace, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def pods(self) -> list[Object]:
        """Return all pods."""
        return self.world.of_kind("Pod")

    def run_pods(self, *, ready: bool = True, phase: str = "Running") -> None:
        """Be the nodes: have all pods that have no status yet run."""
        for one in self.pods():
            if "status" not in one:
                self.world.put(run(one, ready=ready, phase=phase, since=self.now))


def condition_of(obj: Object, kind: str) -> tuple[str, str]:
    """Return status and reason of a condition."""
    found = next(one for one in obj["status"]["conditions"] if one["type"] == kind)
    return found["status"], found.get("reason", "")
