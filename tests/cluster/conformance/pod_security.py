"""One rule of the Pod Security Standards, for a stand-in that runs without the project's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Violation:
    """A field that the level forbids, in the words of the real admission."""

    message: str


def violations(obj: Mapping[str, Any], level: str, *, version: str) -> list[Violation]:
    """Return what ``restricted`` says of containers that may gain privileges; other levels forbid nothing."""
    del version
    spec = obj["spec"].get("template", obj)["spec"]
    bad = [
        f'"{container["name"]}"'
        for container in spec["containers"]
        if (container.get("securityContext") or {}).get("allowPrivilegeEscalation") is not False
    ]
    if level != "restricted" or not bad:
        return []
    detail = f"container {', '.join(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return [Violation(f"allowPrivilegeEscalation != false ({detail})")]
