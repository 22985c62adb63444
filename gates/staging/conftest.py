"""The fixture that provisions staging once a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.pytest_plugin.run_directory import GateRun
    from bais_gates.staging.view import StagedPlatform
    from bais_gates.targets.target import Target


@pytest.fixture(scope="session")
def staging(
    gate_run: GateRun, target: Target, cluster_writer: ClusterWriter, tell: Callable[[str], None]
) -> StagedPlatform:
    """Provision staging for the whole run, by whoever asks first; the end of the run takes it away."""
    from bais_gates.staging.view import look_at_staging  # noqa: PLC0415 - loaded by gates of staging

    return look_at_staging(
        gate_run,
        cluster_writer,
        target.environment,
        gates_dir=target.gates_dir,
        gate_deadline_s=min(
            gate_run.policy.deadline_of(gate) for gate in gate_run.catalog.gates if gate.phase == "staging"
        ),
        progress=tell,
    )
