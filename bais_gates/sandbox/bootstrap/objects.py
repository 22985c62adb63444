"""The objects in the sandbox's cluster beside the manifests: what an operator would have prepared."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Object = dict[str, Any]
NAMESPACE = "bais"
FAILED = "it failed"
"""How what an object lacks begins when waiting is of no use."""
_PART_OF = {"app.kubernetes.io/part-of": NAMESPACE}
OTHER_NAMESPACES = ("ingress-nginx", "monitoring")
"""What the network policies let in: where the ingress controller and Prometheus would be."""
ISSUER_STATUS: Object = {
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "IsReady",
            "message": "The sandbox's own controllers sign what it asks for.",
        }
    ]
}
"""What an issuer says of itself that can sign."""


@cache
def _definitions() -> str:
    return (Path(__file__).parent / "crds.json").read_text(encoding="utf-8")


def definitions() -> list[Object]:
    """Give what the platform uses of the definitions of cert-manager and the Prometheus operator."""
    found: list[Object] = json.loads(_definitions())
    return found


def surroundings() -> list[Object]:
    """Give the namespaces, ingress class and issuers that the platform's manifests take for granted."""
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in OTHER_NAMESPACES
    ]
    ingress_class = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": "nginx"},
        "spec": {"controller": "k8s.io/ingress-nginx"},
    }
    issuers = [
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "ClusterIssuer",
            "metadata": {"name": name},
            "spec": {"selfSigned": {}},
        }
        for name in ("letsencrypt", "bais-internal-ca")
    ]
    return [*namespaces, ingress_class, *issuers]


def secrets(values: Mapping[str, Mapping[str, str]]) -> list[Object]:
    """Give the Secrets that the manifests refer to."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": _PART_OF},
            "type": "Opaque",
            "stringData": dict(content),
        }
        for name, content in values.items()
    ]


def first_backup(cron_job: Object) -> Object:
    """Make the Job that ``kubectl create job --from=cronjob/...`` makes."""
    metadata, template = cron_job["metadata"], cron_job["spec"]["jobTemplate"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{metadata['name']}-first",
            "namespace": metadata["namespace"],
            "labels": template.get("metadata", {}).get("labels", {}),
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [
                {
                    "apiVersion": cron_job["apiVersion"],
                    "kind": "CronJob",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": template["spec"],
    }


def kubeconfig(url: str, *, ca: Path, users: Mapping[str, str]) -> Object:
    """Give a kubeconfig with a context for each user: ``users`` has the tokens by the context's name."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": "sandbox", "cluster": {"server": url, "certificate-authority": str(ca)}}],
        "users": [{"name": name, "user": {"token": token}} for name, token in users.items()],
        "contexts": [
            {"name": name, "context": {"cluster": "sandbox", "user": name, "namespace": NAMESPACE}}
            for name in users
        ],
        "current-context": next(iter(users)),
    }


def missing(obj: Object, minimum_replicas: Mapping[str, int]) -> str | None:
    """Say in a few words what an object lacks to be ready; None if nothing, or if its kind has no readiness.

    ``minimum_replicas`` is what the autoscalers demand, by the Deployment's name.
    """
    status, kind = obj.get("status") or {}, obj["kind"]
    if kind in {"Deployment", "StatefulSet"}:
        return _missing_replicas(obj, status, minimum_replicas.get(obj["metadata"]["name"], 1))
    conditions = {one["type"]: one for one in status.get("conditions") or () if one["status"] == "True"}
    if kind == "Job" and "Failed" in conditions:
        return f"{FAILED}: {conditions['Failed'].get('message', 'no reason given')}"
    is_there = {
        "Job": ("Complete" in conditions, "it is not complete"),
        "PersistentVolumeClaim": (status.get("phase") == "Bound", "it is not bound"),
        "Certificate": ("Ready" in conditions, "it is not issued"),
        "Ingress": ((status.get("loadBalancer") or {}).get("ingress"), "it has no address"),
        "CronJob": (status.get("lastSuccessfulTime"), "no Job of it has succeeded"),
    }
    ready, lack = is_there.get(kind, (True, ""))
    return None if ready else lack


def _missing_replicas(obj: Object, status: Object, minimum: int) -> str | None:
    wanted = max(int((obj.get("spec") or {}).get("replicas", 1)), minimum)
    ready = int(status.get("readyReplicas") or 0)
    seen = int(status.get("observedGeneration") or 0) >= int(obj["metadata"].get("generation") or 1)
    return None if seen and ready >= wanted else f"{ready} of {wanted} replicas are ready"
