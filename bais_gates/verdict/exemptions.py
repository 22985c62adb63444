"""Exemptions of gates: waivers, and declarations of not applicable in the environment file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, groupby
from typing import Protocol

from bais_gates.people import same_person
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
from bais_gates.verdict.outcomes import PROVEN, WAIVABLE
from bais_gates.verdict.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemptions:
    """The waivers and declarations of a decision and their effect.

    A waiver covers an outcome of a gate that ran and has evidence (``WAIVABLE``), never NOT_RUN or SKIPPED,
    as a waived gate still runs, and never a P1 gate. Every waiver of the file must be valid, also one for
    another environment: for a known gate that is not P1, not expired, not in the future, approved by someone
    other than its requester, no longer than the policy allows from its approval, and the only one for its
    gate, environment and image. A waiver in force for a gate of the scope that did not need it is unused; one
    for another environment, another image or a gate outside the scope is not. A dated declaration of
    NOT_APPLICABLE is held to the same, but for its length; a P1 gate has no other. Every violation blocks.
    """

    catalog: Catalog
    policy: Policy
    waivers: tuple[Waiver, ...]
    target: TargetIdentity
    subject: Subject | None
    now: datetime

    def expiries(self, gates: Iterable[JudgedGate]) -> list[datetime]:
        """Return when what the outcomes rest on expires: applied waivers and dated declarations."""
        dated = {exemption.gate: exemption.expires for exemption in self.target.exemptions}
        gates = list(gates)
        return [judged.waiver.expires for judged in gates if judged.waiver is not None] + [
            dated[judged.gate.id]
            for judged in gates
            if judged.result.outcome is Outcome.NOT_APPLICABLE and judged.gate.id in dated
        ]

    def waiver_for(self, gate: Gate, result: GateResult) -> Waiver | None:
        """Return the waiver that covers a result that is not a PASS, None if there is none."""
        if gate.severity is Severity.P1 or result.outcome not in WAIVABLE:
            return None
        covering = [waiver for waiver in self.waivers if waiver.gate == gate.id and self._is_active(waiver)]
        return min(covering, key=waiver_order, default=None)

    def _is_active(self, waiver: Waiver) -> bool:
        return waiver.is_active(self.now, environment=self.target.name, subject=self.subject)

    def reasons(self) -> list[Reason]:
        """Return the violations by the waivers and declarations themselves."""
        reasons = [
            reason
            for exception, what in [
                *((waiver, "a waiver") for waiver in self.waivers),
                *((exemption, "a declaration of not applicable") for exemption in self.target.exemptions),
            ]
            for reason in self._violations(exception, what)
        ]
        reasons += self._undated()
        reasons += [
            _reason(
                Code.WAIVER_DUPLICATE,
                one,
                "has two waivers for the same environment.",
                "Keep one of the two.",
            )
            for _, same in groupby(sorted(self.waivers, key=waiver_order), key=_place)
            for one, other in combinations(same, 2)
            if one.subject_digest == other.subject_digest
            or None in {one.subject_digest, other.subject_digest}
        ]
        reasons += [
            Reason(
                code=Code.ENVIRONMENT_INVALID,
                gate_id=gate_id,
                message=f"{gate_id} is declared not applicable, but is not in the catalog.",
                remedy="Correct the id under not_applicable, or remove it.",
            )
            for gate_id, _ in self.target.not_applicable
            if gate_id not in self.catalog.by_id
        ]
        return reasons

    def _undated(self) -> Iterable[Reason]:
        """Yield a reason for each P1 gate that is declared not applicable for good, by nobody."""
        dated = {exemption.gate for exemption in self.target.exemptions}
        for gate_id, _ in self.target.not_applicable:
            gate = self.catalog.by_id.get(gate_id)
            if gate is not None and gate.severity is Severity.P1 and gate_id not in dated:
                yield Reason(
                    code=Code.NOT_APPLICABLE_UNDATED,
                    gate_id=gate_id,
                    message=f"{gate_id} is P1, and declared not applicable without a date and an approval.",
                    remedy="Write reason, ticket, requested_by, approved_by, approved_at and expires under "
                    "not_applicable; or list the gate's environments in the catalog.",
                )

    def _violations(self, waiver: Waiver, what: str) -> Iterable[Reason]:
        gate = self.catalog.by_id.get(waiver.gate)
        remove = f"Remove {what.replace('a ', 'the ', 1)}"
        if waiver in self.target.exemptions:
            yield from self._too_long(waiver, what, self.policy.not_applicable_max_days)
        elif gate is None:
            remedy = "Correct the waiver's gate id, or remove the waiver."
            yield _reason(
                Code.WAIVER_UNKNOWN_GATE, waiver, "has a waiver, but is not in the catalog.", remedy
            )
        elif gate.severity is Severity.P1:
            yield _reason(
                Code.WAIVER_P1, waiver, "has a waiver, but a P1 gate cannot be waived.", "Remove the waiver."
            )
        else:
            days = self.policy.waiver_max_days.get(gate.severity, 0)
            yield from self._too_long(waiver, what, days, f" for {gate.severity}")
        if self.now >= waiver.expires:
            text = f"has {what} that expired at {waiver.expires:%Y-%m-%d %H:%M} UTC."
            yield _reason(Code.WAIVER_EXPIRED, waiver, text, f"{remove}, or have a new one approved.")
        if self.now < waiver.approved_at:
            text = f"has {what} that is not valid before {waiver.approved_at:%Y-%m-%d %H:%M} UTC."
            yield _reason(Code.WAIVER_NOT_YET_VALID, waiver, text, "Wait until then, or correct approved_at.")
        if same_person(waiver.requested_by, waiver.approved_by):
            text = f"has {what} approved by the person who requested it."
            yield _reason(
                Code.WAIVER_SELF_APPROVED,
                waiver,
                text,
                "Have another person approve it; write both as NAME <address>.",
            )

    @staticmethod
    def _too_long(waiver: Waiver, what: str, days: int, whose: str = "") -> Iterable[Reason]:
        if waiver.expires - waiver.approved_at > timedelta(days=days):
            text = f"has {what} for more than the {days} days that the policy allows{whose}."
            yield _reason(Code.WAIVER_TOO_LONG, waiver, text, "Set an earlier expires.")

    def unused(self, gates: Iterable[JudgedGate]) -> list[Reason]:
        """Return a reason for each waiver in force for a gate of the scope that did not need it."""
        by_id = {judged.gate.id: judged for judged in gates}
        reasons = []
        for waiver in self.waivers:
            judged = by_id.get(waiver.gate)
            if judged is None or not self._is_active(waiver):
                continue
            if judged.result.outcome in PROVEN:
                text = f"has a waiver, but its outcome is {judged.result.outcome} without it."
                reasons.append(_reason(Code.WAIVER_UNUSED, waiver, text, "Remove the waiver."))
            elif judged.gate.severity not in self.policy.blocking:
                text = f"has a waiver, but {judged.gate.severity} does not block anyway."
                reasons.append(_reason(Code.WAIVER_UNUSED, waiver, text, "Remove the waiver."))
        return reasons


class Declarations(Protocol):
    """What a target and an environment file both say of the gates that do not apply."""

    @property
    def name(self) -> str:
        """The environment's name."""

    @property
    def not_applicable(self) -> tuple[tuple[str, str], ...]:
        """Pairs of gate id and reason."""

    @property
    def without_tenant(self) -> bool:
        """Whether it is production and names no test tenant."""

    @property
    def allow(self) -> tuple[str, ...]:
        """What gates may send to people's receivers."""


def not_applicable(gate: Gate, target: Declarations) -> str | None:
    """Return why a gate does not apply to a target, by catalog or environment file; None if it does."""
    if gate.environments and target.name not in gate.environments:
        return f"it belongs to {', '.join(gate.environments)} (environments in the catalog)"
    declared = dict(target.not_applicable).get(gate.id, "")
    if declared.strip():
        return declared
    if gate.mutates and target.without_tenant:
        return "it writes, and the environment file of production names no test tenant"
    if gate.sends is not None and gate.sends not in target.allow:
        what = gate.sends.replace("_", " ")
        return f"it sends a {what}, and the environment file has no `allow: [{gate.sends}]`"
    return None


def _reason(code: Code, waiver: Waiver, text: str, remedy: str) -> Reason:
    return Reason(
        code=code, gate_id=waiver.gate, message=f"{waiver.gate} {text} ({waiver.ticket})", remedy=remedy
    )


def waiver_order(waiver: Waiver) -> tuple[str, str, str, datetime, datetime, str]:
    """Return the sort key of a waiver: fields that redaction keeps, so that a read decision sorts alike."""
    digest = waiver.subject_digest or ""
    return waiver.gate, waiver.environment, digest, waiver.approved_at, waiver.expires, repr(waiver)


def _place(waiver: Waiver) -> tuple[str, str]:
    return waiver.gate, waiver.environment
