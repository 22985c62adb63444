"""A target: an environment and the clients it yields, opened once a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bais_gates.probes.contract import Contract
from bais_gates.probes.http import HttpClient
from bais_gates.targets import identity
from bais_gates.targets.api import Api
from bais_gates.targets.provision import RunContext, environment_for

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
        part = self.environment.need_api()
        contract = Contract.load(self.gates_dir / "contract" / "bais-api.openapi.yaml")
        http = HttpClient(part.url, ca_file=str(part.ca_file) if part.ca_file else None)
        return Api(http=http, contract=contract)


def open_target(
    run: RunContext, *, gates_dir: Path, progress: Callable[[str], None] = lambda _text: None
) -> Target:
    """Read the run's environment file, start what it provisions, and note who answered in the run directory.

    Raises GateInputError for a bad file, ProvisionError when the sandbox did not start.
    """
    environment = environment_for(run, gates_dir=gates_dir, progress=progress)
    target = Target(environment=environment, gates_dir=gates_dir)
    facts: list[tuple[str, str]] = []
    if environment.api is not None:
        part = environment.api
        with HttpClient(part.url, ca_file=str(part.ca_file) if part.ca_file else None) as http:
            facts = identity.ask(http)
    if facts or identity.read(run.directory) is None:
        identity.write(identity.identity_of(environment, facts), run.directory)
    return target
