"""A decision ready for reports: redacted once more, and encodable.

Everything is redacted where it is recorded; this is the last line of defence before anything is written.
Fields that a pipeline compares (ids, digests, run ids, enums, moments) stay unchanged.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import TYPE_CHECKING, Any, cast

from bais_gates import redaction

if TYPE_CHECKING:
    from bais_gates.verdict.model import Decision

_COMPARED = frozenset(
    {"id", "gate", "gate_id", "run_id", "scope", "scopes", "needs", "needs_not_passed", "imported"}
    | {"imported_from", "outcomes", "environment", "digest", "digests", "subject_digest"}
    | {"environment_digest", "ledger_digest"}
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def redacted(decision: Decision) -> Decision:
    """Return the decision with every free text redacted, lone surrogates escaped and numbers finite."""
    return cast("Decision", _walk_fields(decision))


def _walk_fields(value: Any) -> Any:
    changed: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(value)):
        before = getattr(value, name)
        after = (
            _encodable(before)
            if name in _COMPARED and not dataclasses.is_dataclass(before)
            else _walk(before)
        )
        if after is not before:
            changed[name] = after
    return dataclasses.replace(value, **changed) if changed else value


def _walk(value: Any) -> Any:
    if type(value) is str:  # not an enum: those are ours
        text = redaction.redact(_encodable(value)) if value else value
        return value if text == value else text
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _walk_fields(value)
    if isinstance(value, tuple):
        items = tuple(_walk(item) for item in value)
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, list | dict):
        return _finite(redaction.redact_value(_encodable(value)))
    return _finite(value)


def _encodable(value: Any) -> Any:
    """Escape lone surrogates: UTF-8 can't hold them."""
    if type(value) is str:
        return _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", value)
    if isinstance(value, tuple):
        return tuple(_encodable(item) for item in value)
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _finite(value: Any) -> Any:
    """Return NaN and the infinities, which JSON lacks, as their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value
