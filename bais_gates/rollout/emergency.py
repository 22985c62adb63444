"""A deploy without a decision: who answers for it, and the decision that is owed afterwards.

What is owed goes from record to record, until a verified DEPLOY decision for that image is given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.people import names_nobody, same_person, why_unclear
from bais_gates.redaction import redact
from bais_gates.rollout.decision import decision_in_record
from bais_gates.rollout.record import Phase

if TYPE_CHECKING:
    from bais_gates.rollout.record import Record
    from bais_gates.verdict.model import Decision, Subject


def read_emergency(approved_by: str | None, reason: str | None, *, by: str) -> dict[str, str]:
    """Return who approved and why, as the record has it; ``by`` is who deploys: user@host.

    Raises GateInputError where one is missing, names nobody, or approves his own deploy.
    """
    person, why = (approved_by or "").strip(), (reason or "").strip()
    if not why or names_nobody(why):
        raise GateInputError("--emergency needs a --reason TEXT: it is recorded, and told to everybody.")
    if not person or names_nobody(person):
        raise GateInputError("--emergency needs --approved-by PERSON: somebody else than who deploys.")
    if (unclear := why_unclear(person)) is not None:
        raise GateInputError(f"--approved-by {unclear}")
    if same_person(person, by):
        raise GateInputError(
            f"--approved-by names who deploys ({by}): an emergency is approved by another person."
        )
    return {"approved_by": person, "reason": redact(why)}


def owed_after(last: Record | None) -> tuple[dict[str, str], ...]:
    """Return the emergencies that have no decision yet after a record; one that was rolled back owes none."""
    if last is None:
        return ()
    runs = last.phase in {Phase.DEPLOYED, Phase.ROLLBACK_FAILED}
    return tuple(one for one in last.owed if runs or one["deploy"] != last.id)


def loud(emergency: dict[str, str], *, frozen: bool) -> str:
    """Return what is said before the deploy of an emergency."""
    freeze = ", in a freeze" if frozen else ""
    who, why = emergency["approved_by"], emergency["reason"]
    return f"EMERGENCY: deploying without a decision{freeze}, approved by {who}: {why}"


def with_emergency(record: Record, emergency: dict[str, str]) -> Record:
    """Return the record of a deploy as that of an emergency, which owes a decision."""
    at = f"{record.id[:4]}-{record.id[4:6]}-{record.id[6:8]}"
    own = {"deploy": record.id, "at": at, "image": next(iter(record.images.values()))}
    return replace(record, emergency=emergency, owed=(*record.owed, own))


def settled(last: Record | None, subject: Subject, decision: Decision) -> Record | None:
    """Return the record in which the decision about an image is no longer owed; None if it was not.

    The decision is verified. What was given is one more step of the record.
    """
    late = [one for one in owed_after(last) if one["image"] == str(subject)]
    if last is None or not late:
        return None
    given = decision_in_record(decision)
    names = ", ".join(one["deploy"] for one in late)
    note = f"the decision owed for the emergency {names} was given: {given['digest']}, run {given['run_id']}"
    rest = tuple(one for one in last.owed if one not in late)
    return replace(last, owed=rest).then(last.phase, note)


def reminders(last: Record | None) -> tuple[str, ...]:
    """Return a sentence for each emergency that has no decision yet."""
    return tuple(
        f"EMERGENCY: the deploy {one['deploy']} of {one['at']} ({one['image']}) has no decision yet"
        for one in owed_after(last)
    )


def commands(environment: str, image: str, version: str | None) -> tuple[str, str]:
    """Return the commands that run the gates afterwards, and give the decision."""
    shown = f" --version {version}" if version else ""
    return (
        f"bais-gates run golive --env {environment} --subject {image}",
        f"bais-gates deploy --env {environment} --subject {image}{shown}",
    )
