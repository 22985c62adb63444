"""A decision in the order that a reader needs: what blocks first, what passed last.

Every report is made from this view, so that they all count and group alike. Pure functions of a ``Decision``.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from enum import StrEnum

from bais_gates.reports.wording import check_text, count, moment, most_telling_first
from bais_gates.verdict.decide import remedy_of
from bais_gates.verdict.model import Check, Decision, JudgedGate, Outcome, Phase, Reason, Verdict, Waiver
from bais_gates.verdict.outcomes import PROVEN
from bais_gates.verdict.signatures import Signature
from bais_gates.verdict.target import local_parts

CHANGE_KINDS = ("new failures", "newly not run", "fixed", "still failing")
"""How a gate can differ from the previous decision, the gravest first."""


class Standing(StrEnum):
    """A gate's place in the decision; every gate has exactly one."""

    BLOCKING = "blocking"
    NOT_RUN = "not run"
    WAIVED = "waived"
    ADVISORY = "advisory"
    NOT_APPLICABLE = "not applicable"
    PASSED = "passed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PhaseGroup:
    """The gates of one phase, in catalog order."""

    phase: Phase
    gates: tuple[JudgedGate, ...]


def signer(signature: Signature) -> str:
    """Return whose signature it is, in words."""
    if signature.owner:
        return signature.owner
    return "the owner is not listed" if signature.name else "a key that is not listed in keys.yaml"


def standing(judged: JudgedGate) -> Standing:
    """Return a gate's standing. A gate that did not pass is never PASSED, whatever its flags are."""
    outcome = judged.result.outcome
    if judged.blocking:
        return Standing.NOT_RUN if outcome is Outcome.NOT_RUN else Standing.BLOCKING
    if outcome not in PROVEN:
        return Standing.WAIVED if judged.waiver is not None else Standing.ADVISORY
    return Standing.PASSED if outcome is Outcome.PASS else Standing.NOT_APPLICABLE


def standing_in(decision: Decision, *wanted: Standing) -> tuple[JudgedGate, ...]:
    """Return the gates of these standings, the most severe first, else in catalog order."""
    matching = (judged for judged in decision.gates if standing(judged) in wanted)
    return tuple(sorted(matching, key=lambda judged: judged.gate.severity.value))


def by_standing(decision: Decision) -> dict[Standing, tuple[JudgedGate, ...]]:
    """Return the gates of every standing, each group as ``standing_in`` returns it."""
    groups: dict[Standing, list[JudgedGate]] = {each: [] for each in Standing}
    for judged in sorted(decision.gates, key=lambda judged: judged.gate.severity.value):
        groups[standing(judged)].append(judged)
    return {each: tuple(group) for each, group in groups.items()}


def by_phase(gates: tuple[JudgedGate, ...]) -> tuple[PhaseGroup, ...]:
    """Group gates by phase, in the order of a go-live, without empty phases."""
    groups = (
        PhaseGroup(phase=phase, gates=tuple(judged for judged in gates if judged.gate.phase is phase))
        for phase in Phase
    )
    return tuple(group for group in groups if group.gates)


def decisive_check(judged: JudgedGate) -> Check | None:
    """Return the check that decided: a false one, else one without data, else the nearest to its limit.

    None when there is no check, or when all of them hold and none of them has a numeric limit.
    """
    checks = judged.result.checks
    first = next(iter(most_telling_first(checks)), None)
    if first is not None and first.ok is not True:
        return first
    nearest = max(checks, key=_limit_share, default=None)
    return nearest if nearest is not None and _limit_share(nearest) else None


def message_beside_checks(judged: JudgedGate) -> str:
    """Return the result's message without the lines that its checks repeat."""
    repeated = {check_text(check) for check in judged.result.checks if check.ok is not True}
    return "\n".join(line for line in judged.result.message.splitlines() if line not in repeated)


def changes(decision: Decision) -> dict[str, tuple[JudgedGate, ...]]:
    """Return the gates that differ from the previous decision, by kind of change, without empty kinds.

    Empty without a previous decision or when its scope was another.
    """
    previous = decision.previous
    if previous is None or previous.scope != decision.scope:
        return {}
    before = dict(previous.outcomes)
    changed: dict[str, list[JudgedGate]] = {kind: [] for kind in CHANGE_KINDS}
    for judged in decision.gates:
        then, now = before.get(judged.gate.id), judged.result.outcome
        if now in PROVEN:
            if then is not None and then not in PROVEN:
                changed["fixed"].append(judged)
        elif now is Outcome.NOT_RUN and then is not Outcome.NOT_RUN:
            changed["newly not run"].append(judged)
        elif then is None or then in PROVEN:
            changed["new failures"].append(judged)
        else:
            changed["still failing"].append(judged)
    return {kind: tuple(gates) for kind, gates in changed.items() if gates}


def not_applicable_because(decision: Decision, judged: JudgedGate) -> str:
    """Return why a gate does not apply, and until when if it is declared with a date."""
    why = judged.result.message or dict(decision.target.not_applicable).get(judged.gate.id, "")
    dated = (exemption for exemption in decision.target.exemptions if exemption.gate == judged.gate.id)
    return why + "".join(f" ({one.ticket}, {one.approved_by}, until {moment(one.expires)})" for one in dated)


def exempted(decision: Decision) -> tuple[tuple[JudgedGate, Waiver], ...]:
    """Return the gates that do not apply by a dated declaration, each with it."""
    dated = {exemption.gate: exemption for exemption in decision.target.exemptions}
    gates = standing_in(decision, Standing.NOT_APPLICABLE)
    return tuple((judged, dated[judged.gate.id]) for judged in gates if judged.gate.id in dated)


def imports(decision: Decision) -> tuple[str, ...]:
    """Return, for each earlier decision whose results count, its run, target and age."""
    return tuple(
        f"run {origin.run_id} on {origin.target.name}"
        + (f" ({url})" if (url := dict(origin.target.facts).get("api.url")) else "")
        + f", decided {moment(origin.decided_at)}"
        for origin in decision.origins
    )


def image(decision: Decision) -> str:
    """Return the image that a decision is about, or that there is none, and whether the policy says so."""
    if decision.subject is not None:
        return str(decision.subject)
    return "none" if decision.subject_required else "none (subject: not_required in the policy)"


def ordered_reasons(decision: Decision) -> tuple[Reason, ...]:
    """Return the reasons with those about the run itself first, then by the severity of their gate.

    Of causes those come first that hold back most gates.
    """
    severity = {judged.gate.id: judged.gate.severity.value for judged in decision.gates}

    def place(reason: Reason) -> tuple[str, int]:
        return severity.get(reason.gate_id or "", ""), -len(reason.holds_back)

    return tuple(sorted(decision.reasons, key=place))


def remedy(judged: JudgedGate) -> str:
    """Return what to do about a gate that did not pass: the catalog's remedy only for what the gate found."""
    return remedy_of(judged.gate, judged.result)


def caused(decision: Decision) -> frozenset[str]:
    """Return the gates for which a cause that they share with others is all there is to say."""
    own = {reason.gate_id for reason in decision.reasons}
    held = {gate_id for reason in decision.reasons for gate_id in reason.holds_back}
    return frozenset(held - own)


def reasons_beside_gates(decision: Decision) -> tuple[Reason, ...]:
    """Return the reasons that no blocking gate shows: a report of gates alone would omit them."""
    shown = {judged.gate.id for judged in decision.gates if judged.blocking}
    return tuple(reason for reason in ordered_reasons(decision) if reason.gate_id not in shown)


def held_back(decision: Decision) -> dict[str, tuple[str, ...]]:
    """Return, for each gate that others need, the ids of those that did not run because of it."""
    dependents: dict[str, tuple[str, ...]] = {}
    for judged in decision.gates:
        for need in judged.result.needs_not_passed:
            dependents[need] = (*dependents.get(need, ()), judged.gate.id)
    return dependents


def why(decision: Decision) -> str:
    """Return one sentence with the numbers behind the verdict."""
    total = count(len(decision.gates), "gate")
    if decision.verdict is Verdict.DEPLOY:
        tally = Counter(map(standing, decision.gates))
        parts = [f"{tally[Standing.PASSED]} of {total} passed"]
        parts += [
            f"{tally[each]} {each.value}"
            for each in (Standing.WAIVED, Standing.NOT_APPLICABLE, Standing.ADVISORY)
            if tally[each]
        ]
        return f"{', '.join(parts)}."
    blocking = standing_in(decision, Standing.BLOCKING, Standing.NOT_RUN)
    outcomes = Counter(judged.result.outcome.value for judged in blocking)
    parts = []
    if blocking:
        listed = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
        verb = "blocks" if len(blocking) == 1 else "block"
        parts.append(f"{len(blocking):,} of {total} {verb} ({listed})")
    others = reasons_beside_gates(decision) or (() if parts else decision.reasons)
    if others:
        codes = ", ".join(dict.fromkeys(reason.code.value for reason in others))
        parts.append(f"{count(len(others), 'other reason' if parts else 'reason')} ({codes})")
    return f"{' and '.join(parts)}."


def rehearsal_note(decision: Decision) -> str | None:
    """Return why this decision never deploys, or None when it is about a real environment."""
    target = decision.target
    if not target.rehearsal:
        return None
    if not target.environment_digest:
        return "The environment file could not be read, so the target is unknown."
    local = local_parts(target)
    what = f" ({', '.join(local)})" if local and not target.provisioned else ""
    return f"{target.name}{what} is on this machine; this decision never deploys anything."


def _limit_share(check: Check) -> float:
    """Return the share of its limit that a numeric check uses up, 0 for other checks."""
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
