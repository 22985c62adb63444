"""Redaction of what pytest itself prints and hands on: tracebacks and captured output of a test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from bais_gates.redaction import redact

_MAX_DEPTH = 12


def scrub(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Redact a report's traceback and captured sections, in place."""
    report.longrepr = _scrubbed(report.longrepr, redact, 0)  # type: ignore[assignment] # of the type it had
    report.sections[:] = [(name, redact(text)) for name, text in report.sections]
    properties = getattr(report, "user_properties", None)
    if isinstance(properties, list):
        properties[:] = [
            (name, redact(value) if isinstance(value, str) else value) for name, value in properties
        ]


def _scrubbed(value: object, clean: Callable[[str], str], depth: int) -> object:
    """Return ``value`` with its texts cleaned: pytest's representations of errors are changed in place."""
    if depth > _MAX_DEPTH or value is None:
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list | tuple):
        parts = [_scrubbed(part, clean, depth + 1) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    if type(value).__module__.startswith("_pytest."):
        names = (
            [field.name for field in dataclasses.fields(value)]
            if dataclasses.is_dataclass(value)
            else list(getattr(value, "__dict__", ()))
        )
        for name in names:
            part = getattr(value, name, None)
            if isinstance(part, str | list | tuple) or type(part).__module__.startswith("_pytest."):
                object.__setattr__(value, name, _scrubbed(part, clean, depth + 1))
    return value
