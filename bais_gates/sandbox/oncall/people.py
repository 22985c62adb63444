"""The people of the suite's rotation, who are the users of the stand-in for PagerDuty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from pathlib import Path

_SERVICE: Final = "bais-api"


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
