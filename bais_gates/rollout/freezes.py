"""Freeze windows (``gates/rollout/freezes.yaml``): when nothing is deployed, why, and who may override it.

A local time that the clocks skip or repeat counts as the longer freeze: the earlier start, the later end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.people import why_unclear
from bais_gates.rollout.errors import RefusalCode, Refused
from bais_gates.verdict.files import Document, load_document
from bais_gates.verdict.strict_yaml import KeyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """One window, from ``start`` until before ``end`` (UTC)."""

    start: datetime
    end: datetime
    reason: str
    environments: tuple[str, ...]
    """The environments that it applies to; empty for all."""
    may_override: tuple[str, ...]

    def applies(self, environment: str, now: datetime) -> bool:
        """Return whether it freezes an environment now."""
        return self.start <= now < self.end and (not self.environments or environment in self.environments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Who lets a deploy through a freeze, and why."""

    by: str
    reason: str


def load_freezes(path: Path) -> tuple[Freeze, ...]:
    """Read a file of freezes; none for an absent file. Raises GateInputError with file, line and key."""
    try:
        document = load_document(path, "freezes")
    except AbsentFileError:
        return ()
    entries = cast("list[dict[str, Any]]", document.data["freezes"])
    return tuple(_read(document, ("freezes", index), entry) for index, entry in enumerate(entries))


def _read(document: Document, at: KeyPath, entry: dict[str, Any]) -> Freeze:
    try:
        zone = ZoneInfo(entry["zone"])
    except (OSError, ValueError, KeyError):  # no name of a file, or not found
        raise document.error((*at, "zone"), "unknown time zone. Write one such as Europe/Berlin.") from None
    for index, name in enumerate(entry["may_override"]):
        if (why := why_unclear(name.strip())) is not None:
            raise document.error((*at, "may_override", index), why)
    instants = {key: _instants(document, (*at, key), entry[key], zone) for key in ("start", "end")}
    freeze = Freeze(
        start=min(instants["start"]),
        end=max(instants["end"]),
        reason=entry["reason"].strip(),
        environments=tuple(entry.get("environments", ())),
        may_override=tuple(name.strip() for name in entry["may_override"]),
    )
    if freeze.end <= freeze.start:
        raise document.error((*at, "end"), "must be after start. Correct one of them.")
    return freeze


def _instants(document: Document, at: KeyPath, text: str, zone: ZoneInfo) -> list[datetime]:
    """Return the instants that a local time can mean: two where the clocks change."""
    try:
        local = datetime.fromisoformat(text)
        return [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    except (ValueError, OverflowError):
        raise document.error(at, "no such day or time. Write one such as 2026-12-24T18:00.") from None


def require_no_freeze(
    path: Path, environment: str, *, override: Override | None = None, now: datetime | None = None
) -> None:
    """Raise ``Refused`` in a freeze, unless somebody who may overrides it; GateInputError for a bad file."""
    now = now or datetime.now(UTC)
    for freeze in load_freezes(path):
        if not freeze.applies(environment, now):
            continue
        if override is not None and override.by in freeze.may_override:
            continue
        may = ", ".join(freeze.may_override)
        remedy = f"--override-freeze-by with a --reason is for {may}" if may else "Nobody may override it"
        raise Refused(
            RefusalCode.FROZEN,
            f"{environment} is frozen until {freeze.end:%Y-%m-%d %H:%M} UTC: {freeze.reason} {remedy} "
            f"({path}). A rollback is possible.",
        )


def overridden(path: Path, environment: str, emergency: dict[str, str]) -> Override | None:
    """Return the override of a freeze by an emergency; None outside of a freeze. Raises GateInputError."""
    try:
        require_no_freeze(path, environment)
    except Refused:
        return Override(by=emergency["approved_by"], reason=emergency["reason"])
    return None


def read_override(by: str | None, reason: str | None) -> Override | None:
    """Return the override of the two options; raise GateInputError for a person without a reason."""
    if by is None:
        return None
    if not by.strip() or not (reason or "").strip():
        raise GateInputError("--override-freeze-by needs a person, and a --reason: both are recorded.")
    return Override(by=by.strip(), reason=str(reason).strip())
