"""The reports of a decision: decision.json, sign-off page, CTRF, JUnit XML, CI summary, terminal.

Every report is a pure function of a ``Decision``. ``decision.json`` is the authority and is written first and
atomically; the others are for people and tools, and a failure to write one of them never changes the verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.reports.files import (
        DECISION_FILE,
        ReportProblem,
        read_decision,
        write_all,
        write_decision,
    )
else:
    __getattr__ = lazy_exports(__name__, "files")

__all__ = ["DECISION_FILE", "ReportProblem", "read_decision", "write_all", "write_decision"]
