"""In which order the manifests are applied, and what is wrong with them: pure functions over objects."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from bais_gates.staging.errors import StageCode, StageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bais_gates.staging.readiness import Object


class Step(StrEnum):
    """The steps of provisioning, in their order."""

    NAMESPACE = "namespace"
    CONFIGURATION = "configuration"
    DATABASE = "database"
    CACHE = "cache"
    MIGRATIONS = "migrations"
    APPLICATION = "application"


_COMPONENTS: Final = {
    "database": Step.DATABASE,
    "cache": Step.CACHE,
    "migration": Step.MIGRATIONS,
}
# Within a step in this order, as a thing comes after what it names (Helm's InstallOrder, shortened).
_KINDS: Final[dict[str, Step | None]] = {
    "Namespace": Step.NAMESPACE,
    "ResourceQuota": Step.NAMESPACE,
    "LimitRange": Step.NAMESPACE,
    "NetworkPolicy": Step.NAMESPACE,
    "PriorityClass": Step.NAMESPACE,
    "StorageClass": Step.NAMESPACE,
    "ClusterRole": Step.CONFIGURATION,
    "ClusterRoleBinding": Step.CONFIGURATION,
    "ServiceAccount": Step.CONFIGURATION,
    "Role": Step.CONFIGURATION,
    "RoleBinding": Step.CONFIGURATION,
    "Secret": Step.CONFIGURATION,
    "ConfigMap": Step.CONFIGURATION,
    "Issuer": Step.CONFIGURATION,
    "Certificate": Step.CONFIGURATION,
    "PersistentVolumeClaim": None,
    "Service": None,
    "StatefulSet": None,
    "DaemonSet": None,
    "Deployment": None,
    "Job": None,
    "CronJob": None,
    "PodDisruptionBudget": None,
    "HorizontalPodAutoscaler": None,
    "Ingress": None,
}
_RANK: Final = {kind: rank for rank, kind in enumerate(_KINDS)}
CLUSTER_SCOPED: Final = frozenset(
    {
        "Namespace",
        "StorageClass",
        "PriorityClass",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterIssuer",
        "CustomResourceDefinition",
        "IngressClass",
    }
)
"""Kinds that belong to no namespace: shared with others, so made only where they are absent."""
_NO_DIGEST: Final = re.compile(r"@sha256:0{64}$")
_DIGEST: Final = re.compile(r"@sha256:[0-9a-f]{64}$")


def step_of(obj: Object) -> Step:
    """Return the step an object is applied in: by its kind, else by its component label."""
    by_kind = _KINDS.get(str(obj.get("kind")))
    if by_kind is not None:
        return by_kind
    labels = (obj.get("metadata") or {}).get("labels") or {}
    return _COMPONENTS.get(str(labels.get("app.kubernetes.io/component")), Step.APPLICATION)


def in_order(objects: Iterable[Object]) -> dict[Step, list[Object]]:
    """Sort objects into all steps, within one by kind and then as they came; ``kind: List`` is unpacked."""
    steps: dict[Step, list[Object]] = {step: [] for step in Step}
    for obj in sorted(_unpacked(objects), key=lambda one: _RANK.get(str(one.get("kind")), len(_RANK))):
        steps[step_of(obj)].append(obj)
    return steps


def _unpacked(objects: Iterable[Object]) -> Iterator[Object]:
    for obj in objects:
        if obj.get("kind") == "List":
            yield from obj.get("items") or []
        else:
            yield obj


def describe(obj: Object) -> str:
    """Return how an object is named for people: ``Deployment bais-api``."""
    return f"{obj.get('kind')} {(obj.get('metadata') or {}).get('name')}"


def check(objects: list[Object], namespace: str) -> None:
    """Raise ``StageError`` for manifests that must not be applied: what they say, never a value of theirs.

    Nothing outside ``namespace`` is touched, every image is pinned by a real digest, and no Secret is written
    out among the manifests.
    """
    problems = [
        *(f"{describe(one)} is in the namespace {where}" for one, where in _elsewhere(objects, namespace)),
        *sorted(
            {
                f"the image {image} {_image_problem(image)}"
                for image in images(objects)
                if _image_problem(image)
            }
        ),
        *(
            f"{describe(one)} holds its values in the manifest"
            for one in objects
            if one.get("kind") == "Secret"
        ),
    ]
    if not problems:
        return
    remedy = ""
    if any("digest" in problem for problem in problems):
        remedy = (
            ". Put the release's digest there (--image NAME@sha256:..., staging.images in the environment "
            "file, or `kustomize edit set image`)"
        )
    raise StageError(
        StageCode.MANIFESTS,
        f"The manifests for {namespace} can't be applied: {'; '.join(problems[:6])}{remedy}",
        step=Step.NAMESPACE,
    )


def _elsewhere(objects: list[Object], namespace: str) -> Iterator[tuple[Object, str]]:
    for obj in objects:
        metadata = obj.get("metadata") or {}
        if obj.get("kind") == "Namespace":
            where = metadata.get("name")
        elif obj.get("kind") in CLUSTER_SCOPED:
            continue
        else:
            where = metadata.get("namespace") or "default"
        if where != namespace:
            yield obj, str(where)


def _image_problem(image: str) -> str:
    if _NO_DIGEST.search(image):
        return "has the placeholder digest of zeros"
    return "" if _DIGEST.search(image) else "is not pinned by digest"


def pod_templates(objects: Iterable[Object]) -> Iterator[tuple[Object, dict[str, Any]]]:
    """Return each workload with its pod spec."""
    for obj in objects:
        spec = obj.get("spec") or {}
        if obj.get("kind") == "CronJob":
            spec = ((spec.get("jobTemplate") or {}).get("spec")) or {}
        template = spec if obj.get("kind") == "Pod" else (spec.get("template") or {}).get("spec")
        if isinstance(template, dict) and "containers" in template:
            yield obj, template


def containers(pod_spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all containers of a pod spec, the initial ones first."""
    return [*(pod_spec.get("initContainers") or []), *(pod_spec.get("containers") or [])]


def images(objects: Iterable[Object]) -> set[str]:
    """Return every image that the workloads name."""
    return {str(one.get("image")) for _, spec in pod_templates(objects) for one in containers(spec)}


def secrets_needed(objects: list[Object]) -> dict[str, str]:
    """Return the Secrets that must be there, each with the workload that names it first.

    Optional ones are left out, and so is what a cert-manager Certificate makes.
    """
    made = {(one.get("spec") or {}).get("secretName") for one in objects if one.get("kind") == "Certificate"}
    needed: dict[str, str] = {}
    for workload, spec in pod_templates(objects):
        for name in _secret_names(spec):
            if name and name not in made:
                needed.setdefault(name, describe(workload))
    return needed


def _secret_names(spec: dict[str, Any]) -> Iterator[str]:
    for one in spec.get("imagePullSecrets") or []:
        yield str(one.get("name", ""))
    for volume in spec.get("volumes") or []:
        sources = [
            (volume.get("secret") or {}, "secretName"),
            *(
                ((source.get("secret") or {}), "name")
                for source in (volume.get("projected") or {}).get("sources") or []
            ),
        ]
        yield from (str(source.get(key, "")) for source, key in sources if not source.get("optional"))
    for container in containers(spec):
        references = [
            *((one.get("secretRef") or {}) for one in container.get("envFrom") or []),
            *(((one.get("valueFrom") or {}).get("secretKeyRef") or {}) for one in container.get("env") or []),
        ]
        yield from (str(one.get("name", "")) for one in references if not one.get("optional"))


def least_replicas(objects: Iterable[Object]) -> dict[str, int]:
    """Return for each Deployment that an autoscaler scales the least replicas that it keeps."""
    return {
        str(target.get("name")): int(spec.get("minReplicas") or 1)
        for obj in objects
        if obj.get("kind") == "HorizontalPodAutoscaler"
        for spec in [obj.get("spec") or {}]
        for target in [spec.get("scaleTargetRef") or {}]
        if target.get("kind") == "Deployment"
    }
