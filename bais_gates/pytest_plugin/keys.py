"""What the plugin's modules leave for one another on ``config.stash``, typed."""

from __future__ import annotations

import pytest

from bais_gates.verdict.model import Decision

decision_key = pytest.StashKey[Decision]()
"""The decision of a deciding run, set on the controller before any report is rendered."""
