"""Warnings that are failures in disguise become errors in a deciding run, whatever the project says."""

from __future__ import annotations

import pytest

_NAMES = (
    "PytestUnhandledThreadExceptionWarning",
    "PytestUnraisableExceptionWarning",
    "PytestReturnNotNoneWarning",
    "PytestAssertRewriteWarning",
)


def make_warnings_errors(config: pytest.Config) -> None:
    """Add the filters after the project's own, so that they are asked first."""
    for name in _NAMES:
        if hasattr(pytest, name):
            config.addinivalue_line("filterwarnings", f"error::pytest.{name}")
