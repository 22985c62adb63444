"""What was judged: the environment file, and what the target says of itself.

The process that first reaches the target writes it into the run directory; the decision is made from it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from bais_gates.redaction import redact
from bais_gates.verdict.model import TargetIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bais_gates.probes.http import HttpClient
    from bais_gates.targets.environment import Environment

FILE: Final = "target_identity.json"
REACH_S: Final = 5.0
"""Seconds in which a target must give its first answer, whatever it is."""
_FACT_CAP: Final = 200


def identity_of(environment: Environment, facts: Iterable[tuple[str, str]] = ()) -> TargetIdentity:
    """Make the identity that an environment file alone gives, plus ``facts`` the target told."""
    told = [("api.url", environment.api.url)] if environment.api is not None else []
    return TargetIdentity(
        name=environment.name,
        rehearsal=environment.rehearsal,
        environment_digest=environment.digest,
        facts=tuple((key, redact(value)[:_FACT_CAP]) for key, value in [*told, *facts]),
        not_applicable=environment.not_applicable,
    )


def ask(http: HttpClient) -> list[tuple[str, str]]:
    """Ask the target what it is: version, environment, TLS certificate. Raises Unreachable for no answer."""
    health = http.request("GET", "/health", deadline_s=REACH_S, with_certificate=True)
    told = [(f"api.{key}", health.field(key)) for key in ("version", "environment")]
    facts = [(key, value) for key, value in told if isinstance(value, str)]
    wanted = (("tls.serial", "serialNumber"), ("tls.not_after", "notAfter"))
    known = health.certificate
    return facts + [(fact, str(known[key])) for fact, key in wanted if key in known]


def write(identity: TargetIdentity, directory: Path) -> None:
    """Write ``identity`` into the run directory, atomically."""
    temporary = directory / f"{FILE}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(asdict(identity)), encoding="utf-8")
    temporary.replace(directory / FILE)


def read(directory: Path) -> TargetIdentity | None:
    """Read the identity that this run wrote; None when no process has reached the target."""
    try:
        data = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return TargetIdentity(
        name=data["name"],
        rehearsal=data["rehearsal"],
        environment_digest=data["environment_digest"],
        facts=tuple((key, value) for key, value in data["facts"]),
        not_applicable=tuple((key, value) for key, value in data["not_applicable"]),
    )
