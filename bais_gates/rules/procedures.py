"""Check that an incident procedure in Markdown has an owner, contacts, a recent review and every step.

Source: NIST SP 800-61 (phases, contacts); PCI DSS 12.10.1 and 12.10.2 (reviewed at least once a year).
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from bais_gates.strict import parse_yaml

STEPS: Final = ("Detect", "Contain", "Eradicate", "Recover", "Notify")
"""Source: the phases of NIST SP 800-61, and notification."""
MAX_REVIEW_DAYS: Final = 365
"""Source: PCI DSS 12.10.2, at least once a year."""
_PLACEHOLDER: Final = re.compile(r"tbd|tba|todo|n/?a|none|nobody|unknown|x+|\W+|<.*>", re.IGNORECASE)
_MIN_WORDS: Final = 10


def procedure_faults(text: str, today: date) -> list[str]:
    """Return the faults of a procedure in Markdown: front matter, review date and sections."""
    match = re.match(r"---\n(.*?)\n---\n(.*)\Z", text.replace("\r\n", "\n"), re.DOTALL)
    if match is None:
        return ["no front matter with owner, contacts and reviewed"]
    return _front_faults(match[1], today) + _section_faults(match[2])


def _front_faults(front: str, today: date) -> list[str]:
    try:
        fields = parse_yaml(front)
    except ValueError as e:
        return [f"its front matter is {e}"]
    if not isinstance(fields, dict):
        return ["its front matter is not a mapping"]
    faults = [f"no {key}" for key in ("owner", "contacts") if not _named(fields.get(key))]
    reviewed = fields.get("reviewed")
    if type(reviewed) is not date:
        faults.append("reviewed is not a date")
    elif not 0 <= (today - reviewed).days <= MAX_REVIEW_DAYS:
        faults.append(f"reviewed on {reviewed}: not within the last {MAX_REVIEW_DAYS} days")
    return faults


def _named(value: object) -> bool:
    """Return whether a value, or each of a list, names somebody: a text that is no placeholder."""
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(
        isinstance(one, str) and re.search(r"\w", one) and not _PLACEHOLDER.fullmatch(one.strip())
        for one in values
    )


def _section_faults(body: str) -> list[str]:
    parts = re.split(r"^#{1,6} +(.+?)\s*$", body, flags=re.MULTILINE)
    sections = {title.casefold(): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}
    return [
        f"section {step} is absent or too short"
        for step in STEPS
        if len(sections.get(step.casefold(), "").split()) < _MIN_WORDS
    ]
