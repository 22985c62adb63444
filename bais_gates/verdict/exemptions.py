"""What may excuse a gate: waivers, and what the environment file declares not applicable."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, groupby

from bais_gates.verdict.catalog import Catalog
from bais_gates.verdict.model import (
    Code,
    Gate,
    GateResult,
    JudgedGate,
    Outcome,
    Reason,
    Severity,
    Subject,
    TargetIdentity,
    Waiver,
)
from bais_gates.verdict.outcomes import WAIVABLE
from bais_gates.verdict.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemptions:
    """The waivers of a decision, and what they do there.

    The rules: a waiver covers an outcome of a gate that ran and said what it saw (``WAIVABLE``), never
    NOT_RUN or SKIPPED, as a waived gate still runs, and never a gate of P1. Every waiver of the file must be
    right, also one for another environment: for a known gate that is not P1, not expired, not of the future,
    approved by another person than asked for it, no longer than the policy allows from its approval, and the
    only one for its gate, environment and image. One that counts here, for a gate of the decided scope that
    did not need it, is unused; one for another environment, another image or a gate outside the scope is not.
    Whatever breaks a rule blocks.
    """

    catalog: Catalog
    policy: Policy
    waivers: tuple[Waiver, ...]
    target: TargetIdentity
    subject: Subject | None
    now: datetime

    def declares_not_applicable(self, gate: Gate) -> bool:
        """Tell whether the environment file says, with a reason, that a gate does not apply here."""
        return any(gate_id == gate.id and reason.strip() for gate_id, reason in self.target.not_applicable)

    def waiver_for(self, gate: Gate, result: GateResult) -> Waiver | None:
        """Find the waiver that covers a result that is not a PASS."""
        if gate.severity is Severity.P1 or result.outcome not in WAIVABLE:
            return None
        covering = [waiver for waiver in self.waivers if waiver.gate == gate.id and self._counts(waiver)]
        return min(covering, key=waiver_order, default=None)

    def _counts(self, waiver: Waiver) -> bool:
        return waiver.is_active(self.now, environment=self.target.name, subject=self.subject)

    def reasons(self) -> list[Reason]:
        """List everything that is wrong with the waivers and declarations themselves."""
        found = [reason for waiver in self.waivers for reason in self._wrong(waiver)]
        found += [
            _reason(
                Code.WAIVER_DUPLICATE,
                one,
                "is waived twice for the same environment.",
                "Keep one of the two.",
            )
            for _, same in groupby(sorted(self.waivers, key=waiver_order), key=_place)
            for one, other in combinations(same, 2)
            if one.subject_digest == other.subject_digest
            or None in {one.subject_digest, other.subject_digest}
        ]
        found += [
            Reason(
                code=Code.ENVIRONMENT_INVALID,
                gate_id=gate_id,
                message=f"{gate_id} is declared not applicable, but the catalog has no such gate.",
                remedy="Correct the id under not_applicable, or remove it.",
            )
            for gate_id, _ in self.target.not_applicable
            if gate_id not in self.catalog.by_id
        ]
        return found

    def _wrong(self, waiver: Waiver) -> Iterable[Reason]:
        gate = self.catalog.by_id.get(waiver.gate)
        if gate is None:
            remedy = "Correct the waiver's gate id, or remove the waiver."
            yield _reason(Code.WAIVER_UNKNOWN_GATE, waiver, "is waived, but not in the catalog.", remedy)
        elif gate.severity is Severity.P1:
            yield _reason(Code.WAIVER_P1, waiver, "is P1, and P1 can't be waived.", "Remove the waiver.")
        else:
            yield from self._too_long(waiver, gate)
        if self.now >= waiver.expires:
            text = f"has a waiver that expired at {waiver.expires:%Y-%m-%d %H:%M} UTC."
            yield _reason(Code.WAIVER_EXPIRED, waiver, text, "Remove it, or have a new one approved.")
        if self.now < waiver.approved_at:
            text = f"has a waiver that only begins at {waiver.approved_at:%Y-%m-%d %H:%M} UTC."
            yield _reason(Code.WAIVER_NOT_YET_VALID, waiver, text, "Wait, or correct approved_at.")
        if _person(waiver.requested_by) == _person(waiver.approved_by):
            text = "has a waiver approved by the one who asked for it."
            yield _reason(Code.WAIVER_SELF_APPROVED, waiver, text, "Let another person approve it.")

    def _too_long(self, waiver: Waiver, gate: Gate) -> Iterable[Reason]:
        days = self.policy.waiver_max_days.get(gate.severity, 0)
        if waiver.expires - waiver.approved_at > timedelta(days=days):
            text = f"is waived for longer than the {days} days that the policy allows for {gate.severity}."
            yield _reason(Code.WAIVER_TOO_LONG, waiver, text, "Let it expire earlier.")

    def unused(self, gates: Iterable[JudgedGate]) -> list[Reason]:
        """List the waivers that count here, for gates of the decided scope that did not need them."""
        by_id = {judged.gate.id: judged for judged in gates}
        found = []
        for waiver in self.waivers:
            judged = by_id.get(waiver.gate)
            if judged is None or not self._counts(waiver):
                continue
            if judged.result.outcome in {Outcome.PASS, Outcome.NOT_APPLICABLE}:
                text = f"is waived, but was {judged.result.outcome} without it."
                found.append(_reason(Code.WAIVER_UNUSED, waiver, text, "Remove the waiver."))
            elif judged.gate.severity not in self.policy.blocking:
                text = f"is waived, but {judged.gate.severity} does not block anyway."
                found.append(_reason(Code.WAIVER_UNUSED, waiver, text, "Remove the waiver."))
        return found


def _reason(code: Code, waiver: Waiver, text: str, remedy: str) -> Reason:
    return Reason(
        code=code, gate_id=waiver.gate, message=f"{waiver.gate} {text} ({waiver.ticket})", remedy=remedy
    )


def waiver_order(waiver: Waiver) -> tuple[str, str, str, datetime, datetime, str]:
    """Order waivers by what redaction leaves alone, so that a written decision is ordered as it was made."""
    digest = waiver.subject_digest or ""
    return waiver.gate, waiver.environment, digest, waiver.approved_at, waiver.expires, repr(waiver)


def _place(waiver: Waiver) -> tuple[str, str]:
    return waiver.gate, waiver.environment


def _person(name: str) -> str:
    """Write a name so that two spellings of one person are the same."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
