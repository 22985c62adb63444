"""The run as one process knows it: its settings, the files it judges by, and what its processes share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from bais_gates.errors import GateInputError
from bais_gates.pytest_plugin.deadlines import moment
from bais_gates.pytest_plugin.run_directory import GateRun, RunDirectory
from bais_gates.verdict.catalog import Catalog, load_catalog
from bais_gates.verdict.model import Gate, Outcome, Phase
from bais_gates.verdict.outcomes import PROVEN
from bais_gates.verdict.policy import BUILT_IN, Policy, load_policy

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.pytest_plugin.ledger import Ledger
    from bais_gates.pytest_plugin.options import Settings
    from bais_gates.targets.environment import Environment

state_key: pytest.StashKey[RunState] = pytest.StashKey()
"""What this process knows of the run; absent where the plugin is inert."""


@dataclass(slots=True)
class RunState:
    """The run as this process (the only one, the controller, or an xdist worker) sees it."""

    settings: Settings
    worker: str | None = None
    """The xdist worker that this process is; None for the controller and without xdist."""
    run_id: str = ""
    owner_pid: int = field(default_factory=os.getpid)
    started_at: datetime = field(default_factory=moment)
    place: str | None = None
    """Where the run directory is to be made; None for anywhere."""
    directory: RunDirectory | None = None
    ledger: Ledger | None = None
    """Only in a deciding run."""
    imported: Mapping[str, tuple[Outcome, str]] = field(default_factory=dict)
    """Gates of the decisions that this run imports: the outcome, and the run that it was seen in."""
    proven_elsewhere: frozenset[str] = frozenset()
    """Those of them that passed on another target: they are not run here."""
    _catalog: Catalog | None = None
    _policy: Policy | None = None
    _environment: Environment | None = None

    def catalog(self) -> Catalog:
        """Return the catalog, read once. Raises GateInputError."""
        if self._catalog is None:
            self._catalog = load_catalog(self.settings.catalog)
        return self._catalog

    def policy(self) -> Policy:
        """Return the policy, read once; the built-in one when there is no file beside the catalog."""
        if self._policy is None:
            path = self.settings.policy
            usable = os.path.lexists(path) or self.settings.policy_named
            self._policy = load_policy(path) if usable else BUILT_IN
        return self._policy

    def environment(self) -> Environment:
        """Return the environment file, read once. Raises GateInputError."""
        if self._environment is None:
            from bais_gates.targets.environment import load_environment  # noqa: PLC0415 - not for a collection

            self._environment = load_environment(self.settings.environment, gates_dir=self.gates_dir)
        return self._environment

    @property
    def gates_dir(self) -> Path:
        """The folder of the catalog, with ``environments/`` in it."""
        return self.settings.catalog.parent

    @property
    def imported_passes(self) -> frozenset[str]:
        """Gates that are proven by the decisions that this run imports."""
        return frozenset(gate_id for gate_id, (outcome, _) in self.imported.items() if outcome in PROVEN)

    def shared(self) -> RunDirectory:
        """Return the run directory, made when this process is the first to need it."""
        if self.directory is None:
            self.directory = RunDirectory.create(self.place)
        return self.directory

    def gate_run(self) -> GateRun:
        """Return what a target's fixtures may know. Raises GateInputError for an unusable file."""
        return GateRun(
            run_id=self.run_id or self.settings.run_id,
            directory=self.shared().path,
            owner_pid=self.owner_pid,
            environment=self.settings.environment,
            faults=self.settings.faults,
            catalog=self.catalog(),
            policy=self.policy(),
            reports=self.settings.out,
            load_duration_s=self.settings.load_duration_s,
            subject=self.settings.subject,
        )

    def load_seconds(self, gate: Gate | None = None) -> float:
        """Return what a load run that was asked to be long adds to the deadline of a gate, or of the run."""
        is_load = gate is None or gate.phase is Phase.LOAD
        return self.settings.load_duration_s or 0.0 if is_load else 0.0

    def why_no_catalog(self) -> str | None:
        """Return why the catalog cannot be used; None when it can."""
        try:
            self.catalog()
        except GateInputError as error:
            return str(error)
        return None
