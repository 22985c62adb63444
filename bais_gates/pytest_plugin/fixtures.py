"""The fixtures that a gate asks for: ``evidence`` and ``gate_run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.pytest_plugin.binding import binding_key
from bais_gates.pytest_plugin.evidence import Evidence, evidence_key
from bais_gates.pytest_plugin.execution import needs_key
from bais_gates.pytest_plugin.phase_results import PhaseResult
from bais_gates.pytest_plugin.phase_results import phase_results as results_of
from bais_gates.pytest_plugin.run_directory import GateRun
from bais_gates.pytest_plugin.run_state import state_key
from bais_gates.verdict.model import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.verdict.model import JsonValue


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Record checks and attachments: ``evidence.check("p95", 180.0, "<=", 200, unit="ms", n=500)``."""
    item: pytest.Item = request.node
    known = item.stash.get(evidence_key, None)
    if known is not None:  # a later attempt at the same test: what was recorded stays
        return known
    binding = item.stash.get(binding_key, None)
    ledger = request.config.stash[state_key].ledger
    who: dict[str, JsonValue] = {
        "nodeid": item.nodeid,
        "gate": binding.gate_id if binding else None,
        "case": binding.case if binding else None,
    }

    def journal(kind: str, record: dict[str, JsonValue]) -> None:
        if ledger is not None:
            ledger.append(kind, who | {kind: record})

    item.stash[evidence_key] = Evidence(case=binding.case if binding else None, journal=journal)
    return item.stash[evidence_key]


@pytest.fixture(scope="session")
def gate_run(pytestconfig: pytest.Config) -> GateRun:
    """Say which run this is: what the target is provisioned from."""
    return pytestconfig.stash[state_key].gate_run()


@pytest.fixture(scope="session")
def phase_results(pytestconfig: pytest.Config) -> Callable[[str], tuple[PhaseResult, ...]]:
    """Give the results of a phase's gates, in this run or imported: ``phase_results("acceptance")``."""
    state, needs = pytestconfig.stash[state_key], pytestconfig.stash[needs_key]
    return lambda phase: results_of(state, needs, Phase(phase))
