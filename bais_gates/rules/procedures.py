"""Whether an incident procedure is one that can be followed tonight: reviewed, owned, and with every step."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Final

from bais_gates.errors import AbsentFileError, GateInputError

STEPS: Final = ("Detect", "Contain", "Eradicate", "Recover", "Notify")
"""The phases of NIST SP 800-61, and telling those who must be told."""
MAX_REVIEW_DAYS: Final = 365
"""Source: PCI DSS 12.10.2, at least once a year."""
_LEAST_WORDS: Final = 10


def procedure_faults(text: str, today: date) -> list[str]:
    """Return what is wrong with a procedure in Markdown: front matter, review, and its sections."""
    match = re.match(r"---\n(.*?)\n---\n(.*)\Z", text.replace("\r\n", "\n"), re.DOTALL)
    if match is None:
        return ["no front matter with owner, contacts and reviewed"]
    return _front_faults(match[1], today) + _section_faults(match[2])


def _front_faults(front: str, today: date) -> list[str]:
    import yaml  # noqa: PLC0415 - loaded by gates that read procedures

    try:
        stated = yaml.safe_load(front)
    except yaml.YAMLError:
        return ["its front matter is no YAML"]
    if not isinstance(stated, dict):
        return ["its front matter is no mapping"]
    faults = [f"no {key}" for key in ("owner", "contacts") if not stated.get(key)]
    reviewed = stated.get("reviewed")
    if type(reviewed) is not date:
        faults.append("reviewed is no day")
    elif not 0 <= (today - reviewed).days <= MAX_REVIEW_DAYS:
        faults.append(f"reviewed on {reviewed}: not within {MAX_REVIEW_DAYS} days")
    return faults


def _section_faults(body: str) -> list[str]:
    parts = re.split(r"^#{1,6} +(.+?)\s*$", body, flags=re.MULTILINE)
    sections = {title.casefold(): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}
    return [
        f"section {step} is absent or too short"
        for step in STEPS
        if len(sections.get(step.casefold(), "").split()) < _LEAST_WORDS
    ]


def read_procedure(path: Path) -> str:
    """Read a procedure; AbsentFileError or GateInputError with the remedy."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AbsentFileError(f"{path}: no such procedure; correct security.incident_procedures.") from None
    except (OSError, UnicodeDecodeError):
        raise GateInputError(f"{path}: can not be read as text in UTF-8.") from None
