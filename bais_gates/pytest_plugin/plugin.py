"""pytest hooks and options of bais-gates."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and ini keys."""
    parser.addini("gate_catalog", "path of the catalog of gates", default=None)
