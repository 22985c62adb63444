"""The identity of the target: its environment file, and the facts that it reports about itself.

The process that first reaches a part of the target (its API, its cluster) writes its facts into the run
directory. The decision is made from them, and at the end of the run they are read again and compared
(:mod:`bais_gates.targets.constancy`).
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from bais_gates.redaction import redact
from bais_gates.targets.addresses import without_credentials
from bais_gates.verdict.codec import target_from_json, target_to_json
from bais_gates.verdict.model import TargetIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bais_gates.probes.http import HttpClient
    from bais_gates.probes.kubernetes.cluster import Cluster, Object
    from bais_gates.targets.environment import Environment
    from bais_gates.targets.parts import KubernetesPart

FILE: Final = "target_identity.json"
API: Final = "api"
CLUSTER: Final = "cluster"
PARTS: Final = (API, CLUSTER)
"""The parts of a target that report facts, in the order of the reports."""
REACH_S: Final = 3.0
"""Seconds within which a target must send its first response, whatever it is."""
_MAX_FACT_LENGTH: Final = 400

Facts = list[tuple[str, str]]
"""Pairs of key and value that a target reports: ``("api.version", "1.0.0")``."""


def identity_of(environment: Environment) -> TargetIdentity:
    """Return the identity in an environment file."""
    described = [
        (f"{part}.url", without_credentials(environment.parts[part].url))
        for part in ("api", "database", "cache")
        if environment.describes(part)
    ]
    return TargetIdentity(
        name=environment.name,
        rehearsal=environment.rehearsal,
        provisioned=environment.provision == "sandbox",
        addresses=environment.addresses(),
        environment_digest=environment.digest,
        facts=tuple((key, redact(value)[:_MAX_FACT_LENGTH]) for key, value in described),
        not_applicable=environment.not_applicable,
        exemptions=environment.exemptions,
        without_tenant=environment.without_tenant,
        allow=environment.allow,
    )


def read_api_facts(http: HttpClient) -> Facts:
    """Read version, environment and TLS certificate of the API; raise Unreachable without a response."""
    health = http.request("GET", "/health", deadline_s=REACH_S, with_certificate=True)
    reported = [(f"api.{key}", health.field(key)) for key in ("version", "environment")]
    facts = [(key, value) for key, value in reported if isinstance(value, str)]
    names = (("tls.serial", "serialNumber"), ("tls.not_after", "notAfter"))
    certificate = health.certificate
    return facts + [(fact, str(certificate[key])) for fact, key in names if key in certificate]


def read_cluster_facts(cluster: Cluster, part: KubernetesPart) -> Facts:
    """Read uid and version of the cluster, and the image that the API's pods run. Raises ClusterError."""
    facts = [("cluster.uid", cluster.uid()), ("cluster.version", cluster.version())]
    label = f"app.kubernetes.io/name={part.names.api}"
    images = running_images(cluster.list("v1", "Pod", part.namespace, labels=label))
    return [*facts, ("release.image", ", ".join(images))] if images else facts


def running_images(pods: Iterable[Object]) -> list[str]:
    """Return the digests that the containers of ``pods`` run, by their status; sorted, each once.

    The image in a pod's spec may be a tag, or not have been pulled yet; ``imageID`` is the one that started.
    """
    digests = set()
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp"):
            continue
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            image = str(container.get("imageID") or "")
            digests.add(image.rpartition("@")[2] if "@" in image else image)
    return sorted(digests - {""})


def write(identity: TargetIdentity, directory: Path) -> None:
    """Write ``identity`` into the run directory, atomically."""
    _write(directory / FILE, target_to_json(identity))


def write_facts(part: str, facts: Facts, directory: Path) -> None:
    """Write the facts of one of the :data:`PARTS` of the target into the run directory."""
    _write(_facts_file(part, directory), [(key, redact(value)[:_MAX_FACT_LENGTH]) for key, value in facts])


def read_facts(part: str, directory: Path) -> Facts | None:
    """Read the facts of a part from when it was first reached; None when it never was."""
    try:
        data = json.loads(_facts_file(part, directory).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return [(key, value) for key, value in data]


def read(directory: Path) -> TargetIdentity | None:
    """Return the identity that this run wrote; None when no process has reached the target."""
    try:
        data = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    known = target_from_json(data)
    reported = [fact for part in PARTS for fact in read_facts(part, directory) or ()]
    return replace(known, facts=(*known.facts, *reported))


def _facts_file(part: str, directory: Path) -> Path:
    return directory / f"target_facts_{part}.json"


def _write(path: Path, value: Any) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    temporary.replace(path)
