"""What the plugin's modules leave for one another on ``config.stash`` and ``item.stash``, typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.binding import Binding
    from bais_gates.pytest_plugin.evidence import Evidence
    from bais_gates.pytest_plugin.needs import Needs
    from bais_gates.pytest_plugin.state import RunState
    from bais_gates.pytest_plugin.watch import Watch
    from bais_gates.verdict.model import Decision

decision_key: pytest.StashKey[Decision] = pytest.StashKey()
"""The decision of a deciding run, set on the controller before any report is rendered."""

state_key: pytest.StashKey[RunState] = pytest.StashKey()
"""What this process knows of the run; absent where the plugin is inert."""

binding_key: pytest.StashKey[Binding] = pytest.StashKey()
"""On an item: the gate (and case) that the test is bound to."""

evidence_key: pytest.StashKey[Evidence] = pytest.StashKey()
"""On an item: what its test has recorded."""

watch_key: pytest.StashKey[Watch] = pytest.StashKey()
"""On an item that is bound to a gate: what is seen of its test."""

needs_key: pytest.StashKey[Needs] = pytest.StashKey()
"""On the config: what this process knows of how the run's gates went."""

reseated_key: pytest.StashKey[list[object]] = pytest.StashKey()
"""Parts that are registered again once all conftests are loaded, to be inside or around theirs."""
