"""What an xdist controller passes to its workers about the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.ledger import Ledger
from bais_gates.pytest_plugin.run_directory import RunDirectory
from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.run_state import RunState

_KEY = "bais_gates"
_CONTROLLER = "BAIS_GATES_CONTROLLER_PID"


def remember_controller() -> None:
    """Set the variable by which workers of this process know that they are, before they are configured."""
    os.environ[_CONTROLLER] = str(os.getpid())


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process is a worker of a deciding run.

    Before it is configured only its parent shows it. A process that only inherits the variables is
    not one, and writes BLOCK first like any other.
    """
    if hasattr(config, "workerinput"):
        return True
    return "PYTEST_XDIST_WORKER" in os.environ and os.environ.get(_CONTROLLER) == str(os.getppid())


class Controller:
    """Hands the run to each worker as it is set up. Registered only where xdist is."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    @pytest.hookimpl(optionalhook=True)  # pytest-cov knows the hook also where xdist is not loaded
    def pytest_configure_node(self, node: Any) -> None:
        """Pass on what a worker cannot find out by itself; plain values, as they travel by execnet."""
        node.workerinput[_KEY] = {
            "run_id": self._state.settings.run_id,
            "directory": str(self._state.shared().path),
            "owner_pid": self._state.owner_pid,
            "imported": [
                [gate_id, outcome.value, run_id]
                for gate_id, (outcome, run_id) in self._state.imported.items()
            ],
            "proven_elsewhere": sorted(self._state.proven_elsewhere),
            "ledger": str(self._state.ledger.path) if self._state.ledger is not None else None,
        }


def join(config: pytest.Config, state: RunState) -> None:
    """Make ``state`` that of a worker, if this process is one."""
    given = getattr(config, "workerinput", None)
    if not given or _KEY not in given:
        return
    run = given[_KEY]
    state.worker = str(given["workerid"])
    state.run_id = str(run["run_id"])
    state.owner_pid = int(run["owner_pid"])
    state.imported = {gate_id: (Outcome(outcome), run_id) for gate_id, outcome, run_id in run["imported"]}
    state.proven_elsewhere = frozenset(run["proven_elsewhere"])
    state.directory = RunDirectory(Path(run["directory"]))
    if run["ledger"] is not None:
        state.ledger = Ledger.join(Path(run["ledger"]), state.worker)
