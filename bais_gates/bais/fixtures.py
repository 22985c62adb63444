"""The fixtures that speak to the API of BAIS; the suite's conftest.py imports them by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

import pytest

from bais_gates.bais.api import Api, Business, open_api, register_business
from bais_gates.errors import GateInputError

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.bais.load import LoadRun
    from bais_gates.targets.provision import RunContext
    from bais_gates.targets.target import Target, Unique

    class GateRun(RunContext, Protocol):
        """What the fixtures here ask of the plugin's ``gate_run``."""

        @property
        def reports(self) -> Path:
            """Where the reports go."""

        @property
        def load_duration_s(self) -> float | None:
            """How long a load run is judged; None for the default."""


_LOAD: Final = "load"
"""The record of the load run in the run directory, and its folder among the reports."""

__all__ = ["api", "done_load_run", "load_run", "new_business"]


@pytest.fixture(scope="session")
def api(target: Target) -> Iterator[Api]:
    """Open an anonymous client of the target's API."""
    client = open_api(target)
    yield client
    client.http.close()


@pytest.fixture(scope="session")
def new_business(api: Api, unique: Unique) -> Callable[[], Business]:
    """Return a function that makes a business of its own: registered and signed in through the API."""
    return lambda: register_business(api, unique)


@pytest.fixture(scope="session")
def load_run(target: Target, gate_run: GateRun, api: Api, progress: Callable[[str], None]) -> LoadRun:
    """Load the target as `capacity` promises, once a run of gates; see `--gate-load-duration`."""
    from bais_gates.bais import load  # noqa: PLC0415 - loaded by runs with load gates
    from bais_gates.targets.provision import once  # noqa: PLC0415 - as above
    from bais_gates.targets.target import reach_accounts  # noqa: PLC0415 - as above

    plan = load.plan_for(target.environment, measured_s=gate_run.load_duration_s)
    reports = gate_run.reports / _LOAD

    accounts = reach_accounts(gate_run, target.environment, gates_dir=target.gates_dir, progress=progress)

    def carry_out() -> dict[str, str | None]:
        try:
            load.carry_out(
                target.environment,
                api,
                plan,
                reports,
                gates_dir=target.gates_dir,
                accounts_file=accounts,
                progress=progress,
            )
        except GateInputError as error:
            return {"error": str(error)}
        return {"error": None}

    if (why := once(gate_run.directory, _LOAD, carry_out)["error"]) is not None:
        raise GateInputError(why)
    return load.read_run(reports)


@pytest.fixture
def done_load_run(gate_run: GateRun) -> LoadRun | None:
    """Return the load run that this run of gates has done; None where it has none, or it failed."""
    from bais_gates.targets.provision import recorded  # noqa: PLC0415 - see load_run

    record = recorded(gate_run.directory, _LOAD)
    if record is None or record["error"] is not None:
        return None
    from bais_gates.bais import load  # noqa: PLC0415 - see load_run

    return load.read_run(gate_run.reports / _LOAD)
