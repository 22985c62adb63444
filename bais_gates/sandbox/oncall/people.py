"""What the stand-ins start with: people of the suite's rotation, pages of runbooks and contacts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from pathlib import Path

_SERVICE: Final = "bais-api"
_RUNBOOK_URL: Final = re.compile(r"""runbook_url: *["']?https?://([^\s"',}]+)""")


def people_and_service(rotation: Path) -> tuple[list[tuple[str, str]], str]:
    """Return name and e-mail address of the people in a rotation file, and the name of its first service.

    Nobody, and the API's own, where the file is absent or can't be read: its gates report that.
    """
    try:
        content: Any = yaml.safe_load(rotation.read_bytes())
        people = [(str(one["name"]), str(one["email"])) for one in content["people"]]
        return people, str(content["services"][0]["name"])
    except (OSError, yaml.YAMLError, TypeError, KeyError, IndexError, UnicodeDecodeError):
        return [], _SERVICE


def pages(rotation: Path, rules: Path) -> list[str]:
    """Return host and path of the pages that there are: of the contacts, and of alerts with a runbook."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(rules.glob("*.yaml"))]
    runbooks = {path.stem for path in (rotation.parent / "runbooks").glob("*.md")}
    linked = {address for text in texts for address in _RUNBOOK_URL.findall(text)}
    found = [address for address in linked if address.rstrip("/").rpartition("/")[2] in runbooks]
    try:
        content: Any = yaml.safe_load(rotation.read_bytes())
        found += [str(one["url"]).partition("://")[2] for one in content["emergency_contacts"]]
    except (OSError, yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError):
        pass  # the gates report it
    return sorted(found)
