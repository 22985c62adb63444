"""A target: its environment, reached once a run, and test data that says which run made it."""

from __future__ import annotations

import contextlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bais_gates.probes.http import HttpClient, Unreachable
from bais_gates.targets import clusters, identity
from bais_gates.targets.provision import RunContext, environment_for, once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bais_gates.targets.environment import Environment

_MARK_LENGTH: Final = 8
_NOT_A_MARK: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is judged: its environment, and the folder of the gates that judge it."""

    environment: Environment
    gates_dir: Path


class TargetUnreachable(Exception):  # noqa: N818 - it names what was found out about the target
    """Nothing at the target's address gives an HTTP answer; told to every gate of the run at once."""


def open_target(
    run: RunContext, *, gates_dir: Path, progress: Callable[[str], None] = lambda _text: None
) -> Target:
    """Read the run's environment file, start what it provisions, and see once a run who answers there.

    Raises GateInputError for a bad file, ProvisionError when the sandbox did not start, TargetUnreachable
    when nothing answers: at once, in every process, without trying again.
    """
    environment = environment_for(run, gates_dir=gates_dir, progress=progress)
    reached = once(run.directory, "target", lambda: _reach(run.directory, environment))
    if reached["error"] is not None:
        raise TargetUnreachable(reached["error"])
    if environment.describes("kubernetes") and not environment.rehearsal:
        # A decision that can deploy must know its cluster, whether its gates ask that or not. Gates that do
        # are told why it could not be asked; the others go on, and the decision says it at its end.
        with contextlib.suppress(clusters.ClusterUnusable):
            clusters.reach(run, environment, gates_dir=gates_dir)
    return Target(environment=environment, gates_dir=gates_dir)


def _reach(directory: Path, environment: Environment) -> dict[str, str | None]:
    """Note in the run directory what the target says of itself; any HTTP answer counts as reached."""
    identity.write(identity.identity_of(environment), directory)
    if not environment.describes("api"):
        return {"error": None}
    part = environment.api
    try:
        with HttpClient(part.url, ca_file=part.ca_file) as http:
            facts = identity.ask(http)
    except Unreachable as e:
        return {
            "error": f"The target can not be reached. {e}. Is the service up, does api.url in "
            f"{environment.path} point at it from this machine, and is api.ca_file its certificate's CA?"
        }
    identity.note(identity.API, facts, directory)
    return {"error": None}


class Unique:
    """Makes test data that no other run, worker or gate makes: it holds the run's mark and a random part."""

    def __init__(self, run_id: str) -> None:
        self.mark = _NOT_A_MARK.sub("", run_id.lower())[-_MARK_LENGTH:] or "run"

    def word(self, prefix: str = "gate") -> str:
        """Return a lower-case word: ``gate-<run>-<12 random hex digits>``."""
        return f"{prefix}-{self.mark}-{secrets.token_hex(6)}"

    def email(self, prefix: str = "gate") -> str:
        """Return an address in a domain that is reserved for examples: nobody gets mail."""
        return f"{self.word(prefix)}@example.com"

    def password(self) -> str:
        """Return a password of 28 characters with both cases, a digit and a symbol."""
        return f"Gg7!{secrets.token_hex(12)}"

    def key(self) -> str:
        """Return an Idempotency-Key."""
        return self.word("key")
