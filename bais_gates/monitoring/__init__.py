"""Check the monitoring of a platform: rules, routes and dashboards; here the names that gates use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.monitoring import live
    from bais_gates.monitoring.context import Settings
    from bais_gates.monitoring.dashboards import Dashboard, Panel
    from bais_gates.monitoring.findings import show
    from bais_gates.monitoring.live import Delivery, LoadedRoutes, Shipped, load_shipped
    from bais_gates.monitoring.project import Checked, check
    from bais_gates.monitoring.rulefiles import RuleFile
    from bais_gates.monitoring.ruletests.runner import RuleTestResult, run_rule_tests
else:
    __getattr__ = lazy_exports(
        __name__, "context", "dashboards", "findings", "live", "project", "rulefiles", "ruletests.runner"
    )

__all__ = [
    "Checked",
    "Dashboard",
    "Delivery",
    "LoadedRoutes",
    "Panel",
    "RuleFile",
    "RuleTestResult",
    "Settings",
    "Shipped",
    "check",
    "live",
    "load_shipped",
    "run_rule_tests",
    "show",
]
