"""The plan of provisioning: its steps, the order of the manifests, and which manifests are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from bais_gates.staging.errors import StageCode, StageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bais_gates.staging.readiness import Object


class Step(StrEnum):
    """The steps of provisioning, in order."""

    NAMESPACE = "namespace"
    CONFIGURATION = "configuration"
    DATABASE = "database"
    CACHE = "cache"
    MIGRATIONS = "migrations"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedStep:
    """A step whose objects were applied and became ready."""

    step: str
    seconds: float
    objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The objects to provision, their namespace, and its owner."""

    namespace: str
    owner: str
    """The environment's name: the value of the label ``bais-gates/owner``."""
    objects: list[Object] = field(repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    run: str = ""
    """The id of the run that provisions, for the namespace's annotation."""
    keep: bool = False
    """Whether the namespace is annotated as one to keep."""


_COMPONENTS: Final = {
    "database": Step.DATABASE,
    "cache": Step.CACHE,
    "migration": Step.MIGRATIONS,
}
# The order within a step: an object follows those that it refers to (after Helm's InstallOrder).
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
"""Kinds outside namespaces: shared with others, so created only if absent."""
_PLACEHOLDER: Final = re.compile(r"@sha256:0{64}$")
_DIGEST: Final = re.compile(r"@sha256:[0-9a-f]{64}$")


def step_of(obj: Object) -> Step:
    """Return the step in which an object is applied: by its kind, else by its component label."""
    by_kind = _KINDS.get(str(obj.get("kind")))
    if by_kind is not None:
        return by_kind
    labels = (obj.get("metadata") or {}).get("labels") or {}
    return _COMPONENTS.get(str(labels.get("app.kubernetes.io/component")), Step.APPLICATION)


def in_order(objects: Iterable[Object]) -> dict[Step, list[Object]]:
    """Return the objects by step, ordered by kind and then as given; ``kind: List`` is unpacked."""
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
    """Return an object's kind and name: ``Deployment bais-api``."""
    return f"{obj.get('kind')} {(obj.get('metadata') or {}).get('name')}"


def check(objects: list[Object], namespace: str) -> None:
    """Raise ``StageError`` for manifests that must not be applied; the message holds no Secret's value.

    Every object is in ``namespace``, every image is pinned by a real digest, and no Secret is among the
    manifests.
    """
    problems = [
        *(f"{describe(one)} is in the namespace {other}" for one, other in _outside(objects, namespace)),
        *sorted(
            {
                f"the image {image} {_image_problem(image)}"
                for image in images(objects)
                if _image_problem(image)
            }
        ),
        *(
            f"{describe(one)} is written out in the manifests"
            for one in objects
            if one.get("kind") == "Secret"
        ),
    ]
    if not problems:
        return
    remedy = ""
    if any("digest" in problem for problem in problems):
        remedy = (
            ". Set the release's digest (--image NAME@sha256:..., staging.images in the environment file, or "
            "`kustomize edit set image`)"
        )
    raise StageError(
        StageCode.MANIFESTS,
        f"The manifests for {namespace} can't be applied: {'; '.join(problems[:6])}{remedy}",
        step=Step.NAMESPACE,
    )


def _outside(objects: list[Object], namespace: str) -> Iterator[tuple[Object, str]]:
    for obj in objects:
        metadata = obj.get("metadata") or {}
        if obj.get("kind") == "Namespace":
            actual = metadata.get("name")
        elif obj.get("kind") in CLUSTER_SCOPED:
            continue
        else:
            actual = metadata.get("namespace") or "default"
        if actual != namespace:
            yield obj, str(actual)


def _image_problem(image: str) -> str:
    if _PLACEHOLDER.search(image):
        return "has the placeholder digest of zeros"
    return "" if _DIGEST.search(image) else "is not pinned by digest"


def pod_templates(objects: Iterable[Object]) -> Iterator[tuple[Object, dict[str, Any]]]:
    """Yield each workload with its pod spec."""
    for obj in objects:
        spec = obj.get("spec") or {}
        if obj.get("kind") == "CronJob":
            spec = ((spec.get("jobTemplate") or {}).get("spec")) or {}
        template = spec if obj.get("kind") == "Pod" else (spec.get("template") or {}).get("spec")
        if isinstance(template, dict) and "containers" in template:
            yield obj, template


def containers(pod_spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all containers of a pod spec, init containers first."""
    return [*(pod_spec.get("initContainers") or []), *(pod_spec.get("containers") or [])]


def images(objects: Iterable[Object]) -> set[str]:
    """Return every image in the workloads' containers."""
    return {str(one.get("image")) for _, spec in pod_templates(objects) for one in containers(spec)}


def secrets_needed(objects: list[Object]) -> dict[str, str]:
    """Return the Secrets that must exist, each with the first workload that refers to it.

    Optional ones are left out, and so are those that cert-manager issues for a Certificate.
    """
    issued = {
        (one.get("spec") or {}).get("secretName") for one in objects if one.get("kind") == "Certificate"
    }
    needed: dict[str, str] = {}
    for workload, spec in pod_templates(objects):
        for name in _secret_names(spec):
            if name and name not in issued:
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


def min_replicas(objects: Iterable[Object]) -> dict[str, int]:
    """Return minReplicas of its autoscaler for each Deployment that has one."""
    return {
        str(target.get("name")): int(spec.get("minReplicas") or 1)
        for obj in objects
        if obj.get("kind") == "HorizontalPodAutoscaler"
        for spec in [obj.get("spec") or {}]
        for target in [spec.get("scaleTargetRef") or {}]
        if target.get("kind") == "Deployment"
    }
