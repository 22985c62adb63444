"""Check the files of monitoring that are shipped: loadable, and without what a person would not want."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from bais_gates import Evidence
from bais_gates.monitoring import RuleFile, Settings, check, load_shipped, show

SHIPPED: Final = Path(__file__).parent
ALERTS_MIN: Final = 50
GROUPS: Final = ("application", "database", "cache", "infrastructure", "business", "security")
LABELS: Final = ("severity", "priority", "component", "team")
"""What routes and people read of every alert."""


@pytest.mark.gate("monitoring.rules_valid")
def test_rules_valid(evidence: Evidence) -> None:
    """The files can be loaded, use metrics that exist, and lead every alert to its receivers."""
    checked = check([SHIPPED], Settings(required_labels=LABELS), today=datetime.now(UTC).date())
    rules = load_shipped(SHIPPED).rules

    evidence.attach("findings", show(checked.findings, "text") or "none", "text/plain")
    found = [f"{Path(one.place.path).name}:{one.place.line}: {one.message}" for one in checked.findings]
    evidence.check("findings about the shipped files", found, "==", [], n=checked.files, n_min=len(GROUPS))
    evidence.check("alerts", checked.alerts, ">=", ALERTS_MIN, n=checked.alerts)
    empty = [name for name in GROUPS if not has_alerts(rules, name)]
    evidence.check("groups without an alert", empty, "==", [], n=len(GROUPS))


def has_alerts(files: tuple[RuleFile, ...], name: str) -> bool:
    """Return whether the shipped file of that name has an alert."""
    return any(rule.is_alert for file in files if Path(file.path).stem == name for rule in file.rules)
