"""Copies of a Job and of a Deployment's pods that use another database and cache, and get no traffic."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from bais_gates.errors import GateInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

Object = dict[str, Any]
LABEL: Final = "bais-gates/proof"
DATABASE, CACHE = "DATABASE_URL", "REDIS_URL"
"""The environment variables by which the platform's containers find their database and cache."""
OWN_CACHE: Final = "redis://127.0.0.1:6379/0"
_CACHE_ARGUMENTS: Final = ("--bind", "127.0.0.1", "--port", "6379", "--save", "", "--maxmemory", "64mb")
_CACHE_SIZE: Final = {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"}


def labels_of(workload: str) -> dict[str, str]:
    """Return the labels of all copies for a Deployment: none that the platform selects by."""
    return {"app.kubernetes.io/name": "bais-gates-proof", LABEL: workload}


def isolates(policy: Object, labels: dict[str, str]) -> bool:
    """Return whether a NetworkPolicy restricts the egress of pods with these labels."""
    spec = policy.get("spec") or {}
    selector = spec.get("podSelector") or {}
    selected = (selector.get("matchLabels") or {}).items() <= labels.items()
    return "Egress" in (spec.get("policyTypes") or ()) and selected and not selector.get("matchExpressions")


def job_of(job: Object, labels: dict[str, str], secret: str) -> Object:
    """Return a copy of the migration's Job, with its database by a Secret; raise GateInputError."""
    spec = copy.deepcopy(job["spec"])
    spec.pop("ttlSecondsAfterFinished", None)  # its log is still to be read
    template = spec["template"]
    template["metadata"] = {"labels": labels}
    _redirect(template["spec"], f"the Job {job['metadata']['name']}", secret, (DATABASE,))
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": spec}


def deployment_of(live: Object, labels: dict[str, str], secret: str, cache: Object) -> Object:
    """Return one pod of a Deployment with another database, and a cache of its own; raise GateInputError."""
    spec = copy.deepcopy(live["spec"]["template"]["spec"])
    for key in ("affinity", "topologySpreadConstraints"):  # they are about the platform's own pods
        spec.pop(key, None)
    spec["terminationGracePeriodSeconds"] = 1
    for container in spec["containers"]:
        container.pop("lifecycle", None)
    _redirect(spec, f"the Deployment {live['metadata']['name']}", secret, (DATABASE, CACHE))
    spec["containers"].insert(0, _cache_of(cache))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {
            "replicas": 1,
            "progressDeadlineSeconds": live["spec"].get("progressDeadlineSeconds") or 600,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _cache_of(live: Object) -> Object:
    """Return the container of an empty cache with the live one's image: only its own pod reaches it."""
    command = [one for one in (live.get("command") or [])[:1] if str(one).endswith("-server")]
    container = {
        "name": "proof-cache",
        "image": live["image"],
        "args": list(_CACHE_ARGUMENTS),
        "ports": [{"containerPort": 6379}],
        "resources": {"requests": _CACHE_SIZE, "limits": _CACHE_SIZE},
        "securityContext": live.get("securityContext") or {},
    }
    return container | ({"command": command} if command else {})


def served_by(live: Object) -> tuple[str, str]:
    """Return scheme and port of a Deployment's API, by the readiness probe; raise GateInputError."""
    for container in live["spec"]["template"]["spec"]["containers"]:
        if probe := (container.get("readinessProbe") or {}).get("httpGet"):
            return str(probe.get("scheme") or "HTTP").lower(), str(probe["port"])
    raise GateInputError(
        f"no container of the Deployment {live['metadata']['name']} has a readinessProbe.httpGet, which says "
        "where a copy of it is to be tested. Give the container that serves the API one."
    )


def _redirect(spec: Object, owner: str, secret: str, names: Iterable[str]) -> None:
    """Take the variables ``names`` from ``secret`` in each container that has them.

    Raises GateInputError for one that none has: it would use the live database or cache.
    """
    found = set()
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        own = {one["name"] for one in container.get("env") or ()} & set(names)
        kept = [one for one in container.get("env") or () if one["name"] not in own]
        refs = [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}}
            for name in sorted(own)
        ]
        if refs:
            container["env"] = [*kept, *refs]
        found |= own
    for name in names:
        if name not in found:
            raise GateInputError(
                f"no container of {owner} names {name} in its env, so that a copy of it can't be given "
                "another one. Name it there (valueFrom.secretKeyRef), not by envFrom."
            )
