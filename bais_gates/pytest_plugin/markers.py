"""The markers of the plugin, for ``--markers`` and ``--strict-markers``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.verdict.model import GOLIVE, Phase, Severity

if TYPE_CHECKING:
    import pytest

_SEVERITIES = {
    Severity.P1: "critical",
    Severity.P2: "high",
    Severity.P3: "medium",
    Severity.P4: "low: advisory, never blocks",
}


def register_markers(config: pytest.Config) -> None:
    """Document ``gate`` and the marks that the catalog puts on the tests of gates."""
    lines = [
        "gate(id): this test proves that gate of the catalog; its phase, severity and scopes become marks",
        f"{GOLIVE}: what must hold before production is touched; -m {GOLIVE} asks for that decision",
        *(
            f"{phase.value}: the gates of the phase {phase.value}; -m {phase.value} asks for that decision"
            for phase in Phase
        ),
        *(
            f"{severity.value}: the gates of severity {severity.value}, {text}"
            for severity, text in _SEVERITIES.items()
        ),
    ]
    for line in lines:
        config.addinivalue_line("markers", line)
