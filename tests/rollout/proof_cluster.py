"""A platform in memory on which a migration is proven: its Jobs, Deployment and policies."""

from __future__ import annotations

import copy
from typing import Any

from tests.rollout.fake_cluster import NAMESPACE, OLD, FakeCluster

Object = dict[str, Any]


def from_secret(*names: str) -> list[Object]:
    """Return the environment of a container that takes values from the platform's Secret."""
    return [{"name": one, "valueFrom": {"secretKeyRef": {"name": "bais-api", "key": one}}} for one in names]


JOB: Object = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "bais-migrate-1", "namespace": NAMESPACE, "labels": {"part-of": "bais"}},
    "spec": {
        "activeDeadlineSeconds": 60,
        "template": {
            "metadata": {"labels": {"app.kubernetes.io/name": "bais-migrate"}},
            "spec": {"containers": [{"name": "migrate", "env": from_secret("DATABASE_URL")}]},
        },
    },
}
API: Object = {
    "name": "api",
    "image": OLD,
    "env": from_secret("DATABASE_URL", "REDIS_URL", "SECRET_KEY"),
    "readinessProbe": {"httpGet": {"path": "/ready", "port": "https", "scheme": "HTTPS"}},
    "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
}
CACHE: Object = {"name": "redis", "image": "valkey:8", "command": ["valkey-server", "/etc/redis.conf"]}
DENY: Object = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


class ProofCluster(FakeCluster):
    """The platform, whose Jobs and Deployments have a pod that ends with them."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: list[Object] = []
        template = self.one("Deployment", "bais-api")["spec"]["template"]["spec"]
        template["containers"] = [copy.deepcopy(API)]
        for kind, name, spec in (
            ("StatefulSet", "bais-redis", {"template": {"spec": {"containers": [CACHE]}}}),
            ("NetworkPolicy", "default-deny", DENY),
        ):
            metadata = {"name": name, "namespace": NAMESPACE}
            self.add({"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec})

    def create(self, obj: Object) -> Object:
        """Create an object, and the pod of one that has a template."""
        made = super().create(obj)
        if obj["kind"] == "Secret":
            self.secrets.append(obj)
        if "template" in obj.get("spec", {}):
            metadata = {**obj["spec"]["template"]["metadata"], "name": f"{obj['metadata']['name']}-0"}
            metadata |= {
                "namespace": NAMESPACE,
                "annotations": {"sandbox.bais-gates/address": "127.0.0.1:1234"},
            }
            pod = self.add({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}})
            status = {"conditions": [{"type": "Ready", "status": "True"}]}
            self.objects[self._key_of(pod)]["status"] = status
        return made

    def delete(self, *arguments: Any, **more: Any) -> bool:
        """Delete an object and its pod."""
        self.objects.pop(("Pod", NAMESPACE, f"{arguments[2]}-0"), None)
        return super().delete(*arguments, **more)
