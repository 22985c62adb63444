"""A target: an environment and the clients it yields, opened once a process."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bais_gates.bais.api import Api
from bais_gates.bais.contract import Contract
from bais_gates.probes.http import HttpClient, Unreachable
from bais_gates.targets import clusters, identity
from bais_gates.targets.provision import RunContext, environment_for, once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bais_gates.targets.environment import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is judged, reachable. ``api`` is lazily needed: a target may be a database alone."""

    environment: Environment
    gates_dir: Path

    def open_api(self) -> Api:
        """Make the anonymous API client; GateInputError when the environment file has no ``api``."""
        part = self.environment.api
        contract = Contract.load(self.gates_dir / "contract" / "bais-api.openapi.yaml")
        http = HttpClient(part.url, ca_file=str(part.ca_file) if part.ca_file else None)
        return Api(http=http, contract=contract)


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
        with HttpClient(part.url, ca_file=str(part.ca_file) if part.ca_file else None) as http:
            facts = identity.ask(http)
    except Unreachable as e:
        return {
            "error": f"The target can not be reached. {e}. Is the service up, does api.url in "
            f"{environment.path} point at it from this machine, and is api.ca_file its certificate's CA?"
        }
    identity.note(identity.API, facts, directory)
    return {"error": None}
