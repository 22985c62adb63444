"""The waiver file: dated exceptions, each for one gate in one environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from bais_gates.errors import AbsentFileError
from bais_gates.people import why_unclear
from bais_gates.verdict.codec import parse_moment
from bais_gates.verdict.files import Document, load_document
from bais_gates.verdict.model import Waiver
from bais_gates.verdict.strict_yaml import KeyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverFile:
    """All waivers of a file, in force or not; ``decide`` judges them."""

    waivers: tuple[Waiver, ...]
    digest: str | None
    """``sha256:...`` of the file's bytes; None where there is no file."""


NO_WAIVERS: Final = WaiverFile(waivers=(), digest=None)


def load_waivers(path: Path | None) -> WaiverFile:
    """Read a waiver file; there are no waivers for None or an absent file.

    Raises GateInputError with file, line and key.
    """
    if path is None:
        return NO_WAIVERS
    try:
        document = load_document(path, "waivers")
    except AbsentFileError:
        return NO_WAIVERS
    entries = cast("list[dict[str, Any]]", document.data["waivers"])
    waivers = tuple(read_waiver(document, ("waivers", index), entry) for index, entry in enumerate(entries))
    return WaiverFile(waivers=waivers, digest=document.digest)


def read_waiver(document: Document, at: KeyPath, entry: dict[str, Any]) -> Waiver:
    """Return the waiver at a place of a file; raise GateInputError for unclear people or a wrong expiry."""
    for key in ("requested_by", "approved_by"):
        if (why := why_unclear(entry[key].strip())) is not None:
            raise document.error((*at, key), why)
    waiver = Waiver(
        gate=entry["gate"],
        reason=entry["reason"].strip(),
        ticket=entry["ticket"].strip(),
        requested_by=entry["requested_by"].strip(),
        approved_by=entry["approved_by"].strip(),
        approved_at=parse_moment(entry["approved_at"]),
        expires=parse_moment(entry["expires"]),
        environment=entry["environment"],
        subject_digest=entry.get("subject_digest"),
    )
    if waiver.expires <= waiver.approved_at:
        raise document.error((*at, "expires"), "must be after approved_at. Correct one of them.")
    return waiver
