"""Drive a platform at a fixed rate with Locust, and measure it truthfully; here the names that gates use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.load.drive import Aim, LoadError, run_load
    from bais_gates.load.plan import Plan
    from bais_gates.load.report import PAGE, plots, summary, worst_allowed
    from bais_gates.load.result import Request, Result, Window, read_result
else:
    __getattr__ = lazy_exports(__name__, "drive", "plan", "report", "result")

__all__ = [
    "PAGE",
    "Aim",
    "LoadError",
    "Plan",
    "Request",
    "Result",
    "Window",
    "plots",
    "read_result",
    "run_load",
    "summary",
    "worst_allowed",
]
