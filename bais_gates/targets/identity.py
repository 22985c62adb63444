"""What was judged: the environment file, and what the target says of itself.

The process that first reaches a part of the target (its API, its cluster) writes what that says into the run
directory; the decision is made from it, and at the end of the run the target is asked again
(:mod:`bais_gates.targets.constancy`).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from bais_gates.redaction import redact
from bais_gates.verdict.model import TargetIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bais_gates.probes.http import HttpClient
    from bais_gates.probes.kubernetes.cluster import Cluster, Object
    from bais_gates.targets.environment import Environment
    from bais_gates.targets.parts_platform import KubernetesPart

FILE: Final = "target_identity.json"
API: Final = "api"
CLUSTER: Final = "cluster"
PARTS: Final = (API, CLUSTER)
"""The parts of a target that say who they are, in the order in which reports show it."""
REACH_S: Final = 5.0
"""Seconds in which a target must give its first answer, whatever it is."""
_FACT_CAP: Final = 400

Facts = list[tuple[str, str]]
"""What a target says of itself: ``("api.version", "1.0.0")``."""


def identity_of(environment: Environment, facts: Iterable[tuple[str, str]] = ()) -> TargetIdentity:
    """Make the identity that an environment file alone gives, plus ``facts`` the target told."""
    told = [("api.url", environment.api.url)] if environment.describes("api") else []
    return TargetIdentity(
        name=environment.name,
        rehearsal=environment.rehearsal,
        environment_digest=environment.digest,
        facts=tuple((key, redact(value)[:_FACT_CAP]) for key, value in [*told, *facts]),
        not_applicable=environment.not_applicable,
    )


def ask(http: HttpClient) -> Facts:
    """Ask the target what it is: version, environment, TLS certificate. Raises Unreachable for no answer."""
    health = http.request("GET", "/health", deadline_s=REACH_S, with_certificate=True)
    told = [(f"api.{key}", health.field(key)) for key in ("version", "environment")]
    facts = [(key, value) for key, value in told if isinstance(value, str)]
    wanted = (("tls.serial", "serialNumber"), ("tls.not_after", "notAfter"))
    known = health.certificate
    return facts + [(fact, str(known[key])) for fact, key in wanted if key in known]


def ask_cluster(cluster: Cluster, part: KubernetesPart) -> Facts:
    """Ask the cluster what it is, and which image the API's pods really run. Raises ClusterError."""
    facts = [("cluster.uid", cluster.uid()), ("cluster.version", cluster.version())]
    label = f"app.kubernetes.io/name={part.names.api}"
    images = running_images(cluster.list("v1", "Pod", part.namespace, labels=label))
    return [*facts, ("release.image", ", ".join(images))] if images else facts


def running_images(pods: Iterable[Object]) -> list[str]:
    """Return the digests that the containers of ``pods`` run, as their status says; sorted, each once.

    What a pod's spec asks for may be a tag, or not have been pulled yet; ``imageID`` is what was started.
    """
    found = set()
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp"):
            continue
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            image = str(container.get("imageID") or "")
            found.add(image.rpartition("@")[2] if "@" in image else image)
    return sorted(found - {""})


def write(identity: TargetIdentity, directory: Path) -> None:
    """Write ``identity`` into the run directory, atomically."""
    _write(directory / FILE, asdict(identity))


def note(part: str, facts: Facts, directory: Path) -> None:
    """Write what one of the :data:`PARTS` of the target says of itself into the run directory."""
    _write(_facts_file(part, directory), [(key, redact(value)[:_FACT_CAP]) for key, value in facts])


def noted(part: str, directory: Path) -> Facts | None:
    """Read what a part of the target said when it was first reached; None when it never was."""
    try:
        data = json.loads(_facts_file(part, directory).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return [(key, value) for key, value in data]


def read(directory: Path) -> TargetIdentity | None:
    """Read the identity that this run wrote; None when no process has reached the target."""
    try:
        data = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    known = TargetIdentity(
        name=data["name"],
        rehearsal=data["rehearsal"],
        environment_digest=data["environment_digest"],
        facts=tuple((key, value) for key, value in data["facts"]),
        not_applicable=tuple((key, value) for key, value in data["not_applicable"]),
    )
    told = [fact for part in PARTS for fact in noted(part, directory) or ()]
    return replace(known, facts=(*known.facts, *told))


def _facts_file(part: str, directory: Path) -> Path:
    return directory / f"target_facts_{part}.json"


def _write(path: Path, value: Any) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    temporary.replace(path)
