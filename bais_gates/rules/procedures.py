"""Check that an incident procedure in Markdown has an owner, contacts, a recent review and every step.

Source: NIST SP 800-61 (phases, contacts); PCI DSS 12.10.1 and 12.10.2 (reviewed at least once a year).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from bais_gates.people import names_nobody
from bais_gates.strict import parse_yaml

STEPS: Final = {
    "Detect": "detect",
    "Contain": "contain",
    "Eradicate": "eradicat",
    "Recover": "recover",
    "Notify": "notif",
}
"""The sections, each with the stem that its heading has. Source: the phases of NIST SP 800-61."""
MAX_REVIEW_DAYS: Final = 365
"""Source: PCI DSS 12.10.2, at least once a year."""
_MIN_WORDS: Final = 10
_UNFINISHED: Final = re.compile(
    r"\b(?:TODO|TBD|TBA|TBC|FIXME)\b|(?i:\blorem ipsum\b)|<(?:insert|your|to be) [^>]*>"
)


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
    reviewed = _date(fields.get("reviewed"))
    if reviewed is None:
        faults.append("reviewed is not a date")
    elif not 0 <= (today - reviewed).days <= MAX_REVIEW_DAYS:
        faults.append(f"reviewed on {reviewed}: not within the last {MAX_REVIEW_DAYS} days")
    return faults


def _date(value: object) -> date | None:
    """Return the day of a date, a time, or a text of one."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else None


def _named(value: object) -> bool:
    """Return whether a value, or each of a list, names somebody: a text that is no placeholder.

    A mapping (of a name, a telephone number...) is one entry: some of its values must.
    """
    values = value if isinstance(value, list) else [value]
    values = [
        next((v for v in one.values() if _named(v)), "") if isinstance(one, Mapping) else one
        for one in values
    ]
    return bool(values) and all(isinstance(one, str) and not names_nobody(one) for one in values)


def _section_faults(body: str) -> list[str]:
    sections = _sections(re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL))
    faults = []
    for step, stem in STEPS.items():
        texts = [text for title, text in sections if re.search(rf"\b{stem}", title, re.IGNORECASE)]
        text = max(texts, key=len, default="")
        if len(text.split()) < _MIN_WORDS:
            faults.append(f"section {step} is absent or too short")
        elif (unfinished := _UNFINISHED.search(text)) is not None:
            faults.append(f"section {step} is not finished ({unfinished[0]})")
    return faults


def _sections(body: str) -> list[tuple[str, str]]:
    """Return title and text of each section, its subsections included; a fenced # is no heading."""
    headings: list[tuple[int, str, int]] = []
    lines, fenced = body.splitlines(), False
    for number, line in enumerate(lines):
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        if not fenced and (match := re.match(r"(#{1,6}) +(.+?)[ #]*$", line)):
            headings.append((len(match[1]), match[2], number))
    sections = []
    for place, (level, title, number) in enumerate(headings):
        end = next((at for depth, _, at in headings[place + 1 :] if depth <= level), len(lines))
        sections.append((title, "\n".join(lines[number + 1 : end])))
    return sections
