"""The cluster's objects that are not in the manifests: what an operator prepares beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Object = dict[str, Any]
NAMESPACE = "bais"
FAILED = "it failed"
"""The prefix of a reason that does not change by waiting."""
_PART_OF = {"app.kubernetes.io/part-of": NAMESPACE}
OTHER_NAMESPACES = ("ingress-nginx", "monitoring")
"""The namespaces that the network policies admit: of the ingress controller and of Prometheus."""
ISSUER_STATUS: Object = {
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "IsReady",
            "message": "The sandbox's controllers sign its certificates.",
        }
    ]
}
"""The status of an issuer that is ready."""


def definitions() -> list[Object]:
    """Return the custom resource definitions of cert-manager and the Prometheus operator in use."""
    crds: list[Object] = json.loads(Path(__file__).with_name("crds.json").read_text(encoding="utf-8"))
    return crds


def prerequisites() -> list[Object]:
    """Return the namespaces, ingress class and issuers that the manifests depend on."""
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
    """Return the Secrets that the manifests refer to."""
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
    """Return the Job that ``kubectl create job --from=cronjob/...`` creates."""
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
    """Return a kubeconfig with a context for each user; ``users`` maps the name to the token."""
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


def pending_reason(obj: Object, minimum_replicas: Mapping[str, int]) -> str | None:
    """Return why an object is not ready; None if it is, or if its kind has no readiness.

    ``minimum_replicas`` maps the name of a Deployment to the minimum of its autoscaler.
    """
    status, kind = obj.get("status") or {}, obj["kind"]
    if kind in {"Deployment", "StatefulSet"}:
        return _pending_replicas(obj, status, minimum_replicas.get(obj["metadata"]["name"], 1))
    conditions = {one["type"]: one for one in status.get("conditions") or () if one["status"] == "True"}
    if kind == "Job" and "Failed" in conditions:
        return f"{FAILED}: {conditions['Failed'].get('message', 'no reason given')}"
    readiness = {
        "Job": ("Complete" in conditions, "it is not complete"),
        "PersistentVolumeClaim": (status.get("phase") == "Bound", "it is not bound"),
        "Certificate": ("Ready" in conditions, "it is not issued"),
        "Ingress": ((status.get("loadBalancer") or {}).get("ingress"), "it has no address"),
        "CronJob": (status.get("lastSuccessfulTime"), "no Job of it has succeeded"),
    }
    ready, reason = readiness.get(kind, (True, ""))
    return None if ready else reason


def _pending_replicas(obj: Object, status: Object, minimum: int) -> str | None:
    wanted = max(int((obj.get("spec") or {}).get("replicas", 1)), minimum)
    ready = int(status.get("readyReplicas") or 0)
    observed = int(status.get("observedGeneration") or 0) >= int(obj["metadata"].get("generation") or 1)
    return None if observed and ready >= wanted else f"{ready} of {wanted} replicas are ready"
