"""A reason to refuse a decision: a stable code, what is wrong, what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One reason to refuse a decision. ``code`` is stable."""

    code: str
    message: str
    remedy: str = ""
    changes: tuple[str, ...] = ()
    """What differs between the files that the decision was made from and those here, one clause each."""
