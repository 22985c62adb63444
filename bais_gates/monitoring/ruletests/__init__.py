"""Test rules in promtool's file format, evaluated by a real Prometheus, and count which alerts are tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.monitoring.ruletests.evaluation import Assertion
    from bais_gates.monitoring.ruletests.runner import RuleTestResult, run_rule_tests
else:
    __getattr__ = lazy_exports(__name__, "runner", "evaluation")

__all__ = ["Assertion", "RuleTestResult", "run_rule_tests"]
