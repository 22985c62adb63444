"""What is told of a deploy that ended or got stuck, and whether somebody must look now."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bais_gates.redaction import redact
from bais_gates.rollout.errors import RolloutStatus
from bais_gates.rollout.record import Phase

if TYPE_CHECKING:
    from bais_gates.rollout.record import Record

_WHY: Final = 300
"""Characters of the reason of a rollback: its last lines may be a pod's log."""
_ADDRESS: Final = re.compile(r"<[^\s<>]+@[^\s<>]+>|@[^\s<>@]+\.[^\s<>@]+")
"""What makes a text an e-mail address: the record has it, a channel need not."""
_FAILED: Final = frozenset({Phase.ROLLING_BACK, Phase.ROLLBACK_FAILED})
_WORDS: Final = {
    RolloutStatus.DEPLOYED: "deployed and verified",
    RolloutStatus.ROLLED_BACK: "rolled back, and the rollback is verified",
    RolloutStatus.ROLLBACK_FAILED: "THE ROLLBACK FAILED: what runs is not verified",
    RolloutStatus.STUCK: "STUCK: it goes neither on nor back by itself",
}
_PAUSED: Final = "PAUSED: the release runs, and can't be judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One message; nothing in it is a secret."""

    key: str
    """Names the deploy: pages of one key are one incident."""
    what: str
    """Status and phase: what is told once of a deploy."""
    summary: str
    source: str
    at: str
    pages: bool
    """Whether somebody must look now."""
    details: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return it as the text of a message."""
        return "\n".join([self.summary, *(f"• {name}: {value}" for name, value in self.details.items())])


def announce(record: Record, status: RolloutStatus) -> Announcement:
    """Return what to tell of a deploy or rollback that has this status now.

    Somebody must look if a rollback failed, or can't go on.
    """
    paused = status is RolloutStatus.STUCK and record.phase is Phase.WATCHING
    in_rollback = status is RolloutStatus.STUCK and record.phase is Phase.ROLLING_BACK
    labels = "".join(
        label
        for label, applies in (("REHEARSAL: ", record.rehearsal), ("EMERGENCY: ", record.emergency))
        if applies
    )
    images = ", ".join(sorted(set(record.images.values())))
    about = f"{record.kind} of {images} to {record.environment}"
    details = {
        "id": record.id,
        "phase": record.phase.value,
        "version": record.version or "",
        "before": ", ".join(sorted(set(record.before.images.values()))),
        "by": record.by,
        "reason": record.reason,
        "decision": record.decision.get("run_id", ""),
        "approved by": record.emergency.get("approved_by", ""),
        "because": next((one.note for one in record.steps if one.phase in _FAILED), "")[:_WHY],
    }
    for name in ("reason", "approved by", "because"):
        details[name] = _ADDRESS.sub("", details[name]).strip()
    return Announcement(
        key=f"bais-gates/{record.environment}/{record.id}",
        what=f"{status.name} in {record.phase}",
        summary=redact(f"{labels}{about}: {_PAUSED if paused else _WORDS[status]}"),
        source=f"bais-gates {record.environment}",
        at=record.steps[-1].at,
        pages=in_rollback or status is RolloutStatus.ROLLBACK_FAILED,
        details={name: redact(value) for name, value in details.items() if value},
    )
