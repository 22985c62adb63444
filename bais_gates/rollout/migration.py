"""The migration of a release: its Job from the manifests, with a name of its own for each deploy.

A failed one is not tried again: what it left half-way is for people to look at.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bais_gates.errors import GateInputError
from bais_gates.manifests import render
from bais_gates.staging.plan import Step, step_of
from bais_gates.staging.provision import wait_until_ready
from bais_gates.staging.server import Clock, key_of, request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.verdict.model import Subject

Object = dict[str, Any]
_SPARE_S: Final = 15.0
_DEFAULT_S: Final = 600


def migration_job(manifests: Path, *, namespace: str, subject: Subject, deploy: str) -> Object | None:
    """Return the Job that migrates the schema for ``subject``; None if the manifests have none.

    Raises GateInputError for manifests that can't be rendered, or have several.
    """
    objects = render(manifests, namespace=namespace, images={subject.name: str(subject)})
    jobs = [one for one in objects if one.get("kind") == "Job" and step_of(one) is Step.MIGRATIONS]
    if not jobs:
        return None
    if len(jobs) > 1:
        names = ", ".join(str(one["metadata"]["name"]) for one in jobs)
        raise GateInputError(f"{manifests}: several Jobs migrate the schema ({names}). Keep one.")
    job = copy.deepcopy(jobs[0])
    job["metadata"]["name"] = f"{job['metadata']['name']}-{deploy}"[:63].rstrip("-")
    job["spec"]["backoffLimit"] = 0
    job["spec"].setdefault("activeDeadlineSeconds", _DEFAULT_S)
    return job


def migrate(server: ClusterWriter, job: Object, *, progress: Callable[[str], None]) -> None:
    """Create the Job unless it exists, and wait until it is complete; raise ``StageError`` if it fails."""
    name = str(job["metadata"]["name"])
    live = request(f"Reading Job {name}", partial(server.named, *key_of(job)), step="migration")
    if live is None:
        request(f"Creating Job {name}", partial(server.create, job), step="migration")
    seconds = float(job["spec"]["activeDeadlineSeconds"]) + _SPARE_S
    wait_until_ready(
        server,
        [job],
        step="migration",
        clock=Clock.lasting(seconds),
        progress=progress,
        replicas={},
    )
