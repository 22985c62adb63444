"""A decision sorted the way that a reader needs it: what stands in the way first, what is fine last.

Every report is made from this view, so that they all count and group alike. Pure functions of a ``Decision``.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum

from bais_gates.reports.wording import count
from bais_gates.verdict.model import Check, Decision, JudgedGate, Outcome, Phase, Reason, Verdict

PROVEN = frozenset({Outcome.PASS, Outcome.NOT_APPLICABLE})
"""Outcomes that stand in nobody's way."""


class Standing(StrEnum):
    """Where one gate stands in the decision; every gate has exactly one."""

    BLOCKING = "blocking"
    NOT_RUN = "not run"
    WAIVED = "waived"
    ADVISORY = "advisory"
    NOT_APPLICABLE = "not applicable"
    PASSED = "passed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is different from the previous decision, as gates of this one."""

    new_red: tuple[JudgedGate, ...] = ()
    newly_not_run: tuple[JudgedGate, ...] = ()
    fixed: tuple[JudgedGate, ...] = ()
    still_red: tuple[JudgedGate, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new_red or self.newly_not_run or self.fixed or self.still_red)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PhaseGroup:
    """The gates of one phase, in catalog order."""

    phase: Phase
    gates: tuple[JudgedGate, ...]


def standing(judged: JudgedGate) -> Standing:
    """Tell where a gate stands. A gate that is not proven is never PASSED, whatever its flags say."""
    outcome = judged.result.outcome
    if judged.blocking:
        return Standing.NOT_RUN if outcome is Outcome.NOT_RUN else Standing.BLOCKING
    if outcome not in PROVEN:
        return Standing.WAIVED if judged.waiver is not None else Standing.ADVISORY
    return Standing.PASSED if outcome is Outcome.PASS else Standing.NOT_APPLICABLE


def standing_in(decision: Decision, *wanted: Standing) -> tuple[JudgedGate, ...]:
    """Return the gates of these standings, the most severe first, else in catalog order."""
    found = (judged for judged in decision.gates if standing(judged) in wanted)
    return tuple(sorted(found, key=lambda judged: judged.gate.severity.value))


def by_phase(gates: tuple[JudgedGate, ...]) -> tuple[PhaseGroup, ...]:
    """Group gates by phase, in the order that a go-live has; phases without a gate are left out."""
    groups = (
        PhaseGroup(phase=phase, gates=tuple(judged for judged in gates if judged.gate.phase is phase))
        for phase in Phase
    )
    return tuple(group for group in groups if group.gates)


def decisive_check(judged: JudgedGate) -> Check | None:
    """Pick the check that says most: the first false one, else one without data, else the nearest.

    None when there is no check, or when all of them hold and none of them has a numeric limit.
    """
    checks = judged.result.checks
    for wanted in (False, None):
        for check in checks:
            if check.ok is wanted:
                return check
    nearest = max(checks, key=_used, default=None)
    return nearest if nearest is not None and _used(nearest) else None


def changes(decision: Decision) -> Changes:
    """Compare with the previous decision, gate by gate; empty without one or when it was of another scope."""
    previous = decision.previous
    if previous is None or previous.scope != decision.scope:
        return Changes()
    before = dict(previous.outcomes)
    found: dict[str, list[JudgedGate]] = {"new_red": [], "newly_not_run": [], "fixed": [], "still_red": []}
    for judged in decision.gates:
        then, now = before.get(judged.gate.id), judged.result.outcome
        if now in PROVEN:
            if then is not None and then not in PROVEN:
                found["fixed"].append(judged)
        elif now is Outcome.NOT_RUN and then is not Outcome.NOT_RUN:
            found["newly_not_run"].append(judged)
        elif then is None or then in PROVEN:
            found["new_red"].append(judged)
        else:
            found["still_red"].append(judged)
    return Changes(**{name: tuple(gates) for name, gates in found.items()})


def not_applicable_because(decision: Decision, judged: JudgedGate) -> str:
    """Return why a gate does not apply: what its result says, else what the environment file declares."""
    return judged.result.message or dict(decision.target.not_applicable).get(judged.gate.id, "")


def ordered_reasons(decision: Decision) -> tuple[Reason, ...]:
    """Return the reasons with those about the run itself first, then by the severity of their gate."""
    severity = {judged.gate.id: judged.gate.severity.value for judged in decision.gates}
    return tuple(sorted(decision.reasons, key=lambda reason: severity.get(reason.gate_id or "", "")))


def reasons_beside_gates(decision: Decision) -> tuple[Reason, ...]:
    """Return the reasons that no blocking gate shows: a report of gates alone would lose them."""
    shown = {judged.gate.id for judged in decision.gates if judged.blocking}
    return tuple(reason for reason in decision.reasons if reason.gate_id not in shown)


def held_back(decision: Decision) -> dict[str, tuple[str, ...]]:
    """Return, for each gate that others waited for, the ids of those that did not run because of it."""
    waiting: dict[str, tuple[str, ...]] = {}
    for judged in decision.gates:
        for need in judged.result.needs_not_passed:
            waiting[need] = (*waiting.get(need, ()), judged.gate.id)
    return waiting


def why(decision: Decision) -> str:
    """Say in one sentence why the verdict is what it is."""
    total = len(decision.gates)
    tally = {each: len(standing_in(decision, each)) for each in Standing}
    if decision.verdict is Verdict.DEPLOY:
        extras = [
            f"{tally[each]} {each.value}"
            for each in (Standing.WAIVED, Standing.NOT_APPLICABLE)
            if tally[each]
        ]
        proven = f"{tally[Standing.PASSED]} of {count(total, 'gate')} passed"
        sentence = ", ".join([proven, *extras]) + ", and nothing stands in the way"
        return sentence + (
            f" ({tally[Standing.ADVISORY]} advisory not proven)." if tally[Standing.ADVISORY] else "."
        )
    red, absent = tally[Standing.BLOCKING], tally[Standing.NOT_RUN]
    outside = sum(reason.gate_id is None for reason in decision.reasons)
    of_all = f" of {count(total, 'gate')}"
    parts = []
    if red:
        parts.append(f"{red:,}{of_all} {'is' if red == 1 else 'are'} not proven")
    if absent:
        parts.append(f"{absent:,}{'' if red else of_all} did not run")
    said = [" and ".join(parts)] if parts else []
    if outside or not said:
        said.append(f"{count(outside or len(decision.reasons), 'reason')} outside the gates")
    return f"{'; '.join(said)}."


def rehearsal_note(decision: Decision) -> str | None:
    """Say why this decision never deploys, or None when it is about a real environment."""
    target = decision.target
    if not target.rehearsal:
        return None
    if not target.environment_digest:
        return "The environment file was not read, so nothing is known of a target."
    return f"What was judged is {target.name}, on this machine. This decision never deploys anything."


def _used(check: Check) -> float:
    """Tell how much of its limit a numeric check uses up, 0 when that can't be said."""
    observed, limit = check.observed, check.limit
    if isinstance(observed, bool) or isinstance(limit, bool):
        return 0.0
    if (
        not isinstance(observed, int | float)
        or not isinstance(limit, int | float)
        or not observed
        or not limit
    ):
        return 0.0
    if check.op.value in {"<=", "<"}:
        return observed / limit
    return limit / observed if check.op.value in {">=", ">"} else 0.0
