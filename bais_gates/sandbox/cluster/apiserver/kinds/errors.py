"""What the functions of this package raise, and the causes of a 422 in the API server's own words.

- ``Invalid``: the object breaks a rule; a 422 whose ``details.causes`` are ``causes``.
- ``BadRequest``: the body can't be read as the kind; a 400.
- ``Unprocessable``: a patch that can't be put onto the object; a 422 without causes.
- ``ApplyConflict``: server-side apply would change fields of other managers; a 409.
- ``Failed``: an applied configuration that doesn't fit the kind's schema, a patch without its merge key; a
  500 without reason, which is what the real API server answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REQUIRED = "FieldValueRequired"
INVALID = "FieldValueInvalid"
NOT_SUPPORTED = "FieldValueNotSupported"
DUPLICATE = "FieldValueDuplicate"
FORBIDDEN = "FieldValueForbidden"
TOO_LONG = "FieldValueTooLong"
TOO_MANY = "FieldValueTooMany"
NOT_FOUND = "FieldValueNotFound"
TYPE_INVALID = "FieldValueTypeInvalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason why an object is invalid, as ``details.causes`` of a Status lists it."""

    reason: str
    message: str
    field: str

    def __str__(self) -> str:
        """Return the cause as the Status message says it."""
        return f"{self.field}: {self.message}"


class KindError(Exception):
    """The root of what this package raises."""


class Invalid(KindError):  # noqa: N818  # the name of the API's own reason
    """An object that breaks the rules of its kind."""

    def __init__(self, causes: Iterable[Cause]) -> None:
        """Keep the causes in the order they were found, each once."""
        self.causes: tuple[Cause, ...] = tuple(dict.fromkeys(causes))
        super().__init__(self.summary)

    @property
    def summary(self) -> str:
        """The causes as the Status message joins them: one bare, several in brackets."""
        messages = [str(cause) for cause in self.causes]
        return messages[0] if len(messages) == 1 else f"[{', '.join(messages)}]"


class BadRequest(KindError):  # noqa: N818  # the name of the API's own reason
    """A body that can't be read as what it should be."""


class Unprocessable(KindError):  # noqa: N818  # what its status code is called
    """A patch that can't be put onto the object."""


class Failed(KindError):  # noqa: N818  # named for what happened
    """A change that the API server fails on without giving a reason."""


class ApplyConflict(KindError):  # noqa: N818  # the name of the API's own reason
    """Fields that other managers own and that an apply without force would change."""

    def __init__(self, conflicts: Sequence[tuple[str, str]]) -> None:
        """``conflicts``: (manager as the message words it, field path), sorted."""
        self.conflicts = tuple(conflicts)
        super().__init__(self.message)

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The causes of the 409, one a field."""
        return tuple(
            Cause(reason="FieldManagerConflict", message=f"conflict with {manager}", field=path)
            for manager, path in self.conflicts
        )

    @property
    def message(self) -> str:
        """The Status message: the fields by manager."""
        by_manager: dict[str, list[str]] = {}
        for manager, path in self.conflicts:
            by_manager.setdefault(manager, []).append(path)
        if len(self.conflicts) == 1:
            manager, path = self.conflicts[0]
            return f"Apply failed with 1 conflict: conflict with {manager}: {path}"
        parts = [
            f"conflicts with {manager}:\n" + "\n".join(f"- {path}" for path in paths)
            for manager, paths in by_manager.items()
        ]
        return f"Apply failed with {len(self.conflicts)} conflicts: " + "\n".join(parts)


def shown(value: Any) -> str:
    """Return a value as the API server prints it inside a cause: JSON, maps in the order of their keys."""
    if isinstance(value, (Mapping, list)):
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def required(field: str, detail: str = "") -> Cause:
    """Return the cause for a value that is missing."""
    return Cause(reason=REQUIRED, message="Required value" + (f": {detail}" if detail else ""), field=field)


def invalid(field: str, value: Any, detail: str = "") -> Cause:
    """Return the cause for a malformed value."""
    message = f"Invalid value: {shown(value)}" + (f": {detail}" if detail else "")
    return Cause(reason=INVALID, message=message, field=field)


def not_supported(field: str, value: Any, values: Iterable[str]) -> Cause:
    """Return the cause for a value outside an enumeration."""
    choices = ", ".join(json.dumps(choice) for choice in values)
    return Cause(
        reason=NOT_SUPPORTED,
        message=f"Unsupported value: {shown(value)}: supported values: {choices}",
        field=field,
    )


def duplicate(field: str, value: Any) -> Cause:
    """Return the cause for a value that must be unique and isn't."""
    return Cause(reason=DUPLICATE, message=f"Duplicate value: {shown(value)}", field=field)


def forbidden(field: str, detail: str) -> Cause:
    """Return the cause for a value that isn't permitted here."""
    return Cause(reason=FORBIDDEN, message=f"Forbidden: {detail}", field=field)


def too_long(field: str, limit: int) -> Cause:
    """Return the cause for a text of more than ``limit`` bytes."""
    return Cause(reason=TOO_LONG, message=f"Too long: may not be more than {limit} bytes", field=field)


def not_found(field: str, value: Any) -> Cause:
    """Return the cause for a reference that leads nowhere."""
    return Cause(reason=NOT_FOUND, message=f"Not found: {shown(value)}", field=field)
