"""A decision ready for reports: redacted once more, and encodable.

Everything is redacted where it is recorded; this is the last line of defence before anything is written.
Fields that a pipeline compares (ids, digests, run ids, enums, moments) stay unchanged.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import re
from typing import TYPE_CHECKING, Any, cast

from bais_gates import redaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.verdict.model import Decision

    _Walk = Callable[[Any], Any]

_COMPARED = frozenset(
    {"id", "gate", "gate_id", "run_id", "scope", "scopes", "needs", "needs_not_passed", "imported"}
    | {"imported_from", "holds_back", "outcomes", "environment", "environments", "evidence_from"}
    | {"digest", "digests", "subject_digest", "inputs", "gate_ids"}
    | {"environment_digest", "ledger_digest"}
)
_SURROGATE = re.compile("[\ud800-\udfff]")


_last: list[tuple[Decision, Decision, int]] = []
"""The decision that was redacted last, for its next report: with its redacted form, and how many secrets
were registered then."""


def redacted(decision: Decision) -> Decision:
    """Return the decision with every free text redacted, lone surrogates escaped and numbers finite."""
    secrets = redaction.count_registered()
    for known, shown, then in _last:
        if known is decision and then == secrets:
            return shown
    shown = cast("Decision", _walk(decision))
    _last[:] = [(decision, shown, secrets)]
    return shown


def _walk(value: Any) -> Any:
    walk = _WALKS[type(value)]
    return value if walk is None else walk(value)


def _fields_of(kind: type) -> _Walk:
    """Return the walk through the values of one kind, which keeps those in which nothing changes."""
    names = tuple(field.name for field in dataclasses.fields(kind))
    compared = _COMPARED.intersection(names)

    def walk(value: Any) -> Any:
        changed: dict[str, Any] = {}
        for name in names:
            before = getattr(value, name)
            of_field = _WALKS[type(before)] if before else None
            if of_field is None:
                continue
            is_compared = name in compared and not dataclasses.is_dataclass(before)
            after = _encodable(before) if is_compared else of_field(before)
            if after is not before:
                changed[name] = after
        return dataclasses.replace(value, **changed) if changed else value

    return walk


def _text(value: str) -> str:
    text = redaction.redact(_encodable(value))
    return value if text == value else text


def _tuple(value: tuple[Any, ...], walk: _Walk | None = None) -> tuple[Any, ...]:
    items = tuple(map(walk or _walk, value))
    return value if all(map(operator.is_, items, value)) else items


def _json(value: Any) -> Any:
    return _finite(redaction.redact_value(_encodable(value)))


def _encodable(value: Any) -> Any:
    """Escape lone surrogates: UTF-8 can't hold them."""
    if type(value) is str:
        if value.isascii():
            return value
        return _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", value)
    if isinstance(value, tuple):
        return _tuple(value, _encodable)
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


class _Walks(dict[type, "_Walk | None"]):
    def __missing__(self, kind: type) -> _Walk | None:
        self[kind] = walk = _fields_of(kind) if dataclasses.is_dataclass(kind) else None
        return walk


_WALKS = _Walks({str: _text, tuple: _tuple, list: _json, dict: _json, float: _finite})
"""What is done with a value, by its exact type; None for nothing. Enums are ours, not text."""
