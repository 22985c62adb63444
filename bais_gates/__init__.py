"""bais-gates: acceptance tests and go-live checks as pytest gates, and one decision: DEPLOY or BLOCK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.errors import GateInputError, RecordRefused
    from bais_gates.pytest_plugin.evidence import Evidence, GateFailure
    from bais_gates.pytest_plugin.fixtures import PhaseResult
    from bais_gates.pytest_plugin.roll_up import check_phase
    from bais_gates.pytest_plugin.run_directory import GateRun
    from bais_gates.targets.environment import Environment, load_environment
    from bais_gates.targets.parts import (
        BackupPart,
        CacheSettings,
        CapacityPart,
        KubernetesPart,
        Limits,
        RateLimit,
        RecoveryPart,
        SecurityPart,
    )
    from bais_gates.targets.target import Target, Unique
else:
    __getattr__ = lazy_exports(
        __name__,
        "errors",
        "pytest_plugin.evidence",
        "pytest_plugin.fixtures",
        "pytest_plugin.roll_up",
        "pytest_plugin.run_directory",
        "targets.environment",
        "targets.parts",
        "targets.target",
    )

__version__ = "0.2.0"

__all__ = [
    "BackupPart",
    "CacheSettings",
    "CapacityPart",
    "Environment",
    "Evidence",
    "GateFailure",
    "GateInputError",
    "GateRun",
    "KubernetesPart",
    "Limits",
    "PhaseResult",
    "RateLimit",
    "RecordRefused",
    "RecoveryPart",
    "SecurityPart",
    "Target",
    "Unique",
    "check_phase",
    "load_environment",
]
