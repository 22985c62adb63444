"""Which decisions count no more, because a release that was deployed on them failed.

The records in the folder say so on the machine that deployed, and the record on the Deployment everywhere: it
takes over what the records before it knew, until those decisions expire by themselves.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bais_gates.attest.records import files_below, parse_deploy, revocation, revoked
from bais_gates.rollout.decision import decision_in_record
from bais_gates.rollout.emergency import owed_after
from bais_gates.rollout.errors import RefusalCode, Refused
from bais_gates.rollout.record import ANNOTATION

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.rollout.record import Record
    from bais_gates.verdict.model import Decision

_REASON: Final = 200
"""Characters of a reason that go from record to record; the whole text is in the record of that deploy."""


def carried(last: Record | None) -> dict[str, Any]:
    """Return what a new record takes over from the last one."""
    return {"owed": owed_after(last), "revoked": revoked_by(last)}


def revoked_by(last: Record | None, now: datetime | None = None) -> tuple[dict[str, str], ...]:
    """Return the decisions that are revoked by a record and those before it, and would still be valid."""
    if last is None:
        return ()
    found = list(last.revoked)
    deploy = parse_deploy(last.text().encode(), ANNOTATION)
    if deploy.failed_at and deploy.decision:
        end = last.decision.get("valid_until", "9999")  # of an earlier version's record: kept for good
        at, reason = deploy.failed_at, deploy.why[:_REASON]
        found.append({"digest": deploy.decision, "until": end, "deploy": last.id, "at": at, "reason": reason})
    moment = f"{now or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return tuple(one for one in found if one["until"] > moment)


def require_not_revoked(decision: Decision, last: Record | None, folder: Path) -> None:
    """Raise ``Refused`` if a deploy on this decision failed, by the last record or those of a folder.

    So does a record in the folder that can't be read: it may be the one.
    """
    digest = decision_in_record(decision)["digest"]
    problems = [
        revocation(one["deploy"], one["at"], one["reason"])
        for one in revoked_by(last)
        if one["digest"] == digest
    ]
    try:
        problems = problems or list(revoked(digest, files_below(folder) if folder.exists() else []))
    except OSError as error:
        raise Refused(
            RefusalCode.REVOKED,
            f"{error.filename or folder} can't be read ({error.strerror}): whether the decision is revoked "
            "is not known. Correct its owner or mode.",
        ) from None
    if problems:
        reasons = " ".join(f"{one.message} {one.remedy}" for one in problems)
        raise Refused(RefusalCode.REVOKED, f"Run {decision.run.run_id} does not allow this deploy. {reasons}")
