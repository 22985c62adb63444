"""A cluster that answers from a list of objects: the platform's manifests and what they create."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bais_gates.manifests import render
from bais_gates.rules.kubernetes.objects import dig, labels_of, namespace_of

OVERLAY = Path(__file__).parents[2] / "gates" / "staging" / "manifests" / "overlays" / "sandbox"
NAMESPACE = "bais"
_CONTROLLERS = ("Deployment", "StatefulSet", "CronJob", "Job")


@dataclass(slots=True)
class FakeCluster:
    """Answers list, named and logs as a cluster would, from a list that tests change."""

    objects: list[dict[str, Any]]
    log: str = ""
    error: Exception | None = None
    asked: list[str] = field(default_factory=list)
    forbidden: frozenset[str] = frozenset()
    access = SimpleNamespace(context="c")

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the objects of a kind, of one namespace or of all."""
        self.asked.append(f"list {kind}")
        if self.error is not None:
            raise self.error
        wanted = dict(pair.split("=") for pair in labels.split(",")) if labels else {}
        return [
            obj
            for obj in self.objects
            if (obj["apiVersion"], obj["kind"]) == (api_version, kind)
            and namespace in {None, namespace_of(obj)}
            and wanted.items() <= labels_of(obj).items()
        ]

    def named(
        self, api_version: str, kind: str, name: str, namespace: str | None = None
    ) -> dict[str, Any] | None:
        """Return one object, or None."""
        return next(
            (o for o in self.list(api_version, kind, namespace) if o["metadata"]["name"] == name), None
        )

    def logs(self, namespace: str, pod: str, container: str | None = None, *, tail: int = 20) -> str:
        """Return the log, the same for each pod."""
        self.asked.append(f"logs {namespace}/{pod}/{container}/{tail}")
        return self.log

    def may(self, _verb: str, resource: str, _namespace: str | None = None) -> bool:
        """Return whether a test allows a resource."""
        return resource not in self.forbidden

    def __enter__(self) -> FakeCluster:
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave it open."""

    def one(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object, for a test to change."""
        return next(o for o in self.objects if (o["kind"], o["metadata"]["name"]) == (kind, name))


def platform() -> FakeCluster:
    """Render the sandbox's manifests and add what a cluster adds: pods, volumes, namespaces."""
    objects = copy.deepcopy(render(OVERLAY))
    for obj in [o for o in objects if o["kind"] in _CONTROLLERS]:
        objects.append(_pod_of(obj))
    for name in ("kube-system", "ingress-nginx", "monitoring"):
        labels = {"kubernetes.io/metadata.name": name}
        objects.append(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        )
    controller = {"controller": "k8s.io/ingress-nginx"}
    objects.append(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": "nginx"},
            "spec": controller,
        }
    )
    for claim in [o for o in objects if o["kind"] == "PersistentVolumeClaim"]:
        volume = f"pv-{claim['metadata']['name']}"
        claim["spec"]["volumeName"], claim["status"] = volume, {"phase": "Bound"}
        spec = {"storageClassName": claim["spec"]["storageClassName"]}
        objects.append(
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": spec}
        )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bais-api", "namespace": NAMESPACE}}
    objects.append(secret | {"type": "Opaque", "data": {"DB_PASSWORD": "N2hRMi14S2w5LXpXcTA="}})
    return FakeCluster(objects)


def _pod_of(owner: dict[str, Any]) -> dict[str, Any]:
    path = ("spec", "jobTemplate", "spec", "template") if owner["kind"] == "CronJob" else ("spec", "template")
    template = copy.deepcopy(dig(owner, *path))
    metadata = {
        "name": f"{owner['metadata']['name']}-0",
        "namespace": NAMESPACE,
        "ownerReferences": [{"kind": owner["kind"], "name": owner["metadata"]["name"], "controller": True}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | {"labels": template["metadata"]["labels"]},
        "spec": template["spec"],
        "status": {"phase": "Running", "podIP": "10.244.0.9"},
    }
