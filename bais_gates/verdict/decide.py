"""The judgement: DEPLOY if every gate of the scope passed, else BLOCK with every reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bais_gates.verdict.catalog import Catalog
from bais_gates.verdict.exemptions import Exemptions, not_applicable, waiver_order
from bais_gates.verdict.imports import Imports
from bais_gates.verdict.inputs import inputs_of
from bais_gates.verdict.model import (
    Code,
    Decision,
    Digests,
    ExitStatus,
    Gate,
    GateResult,
    JudgedGate,
    Origin,
    Outcome,
    Previous,
    Reason,
    Run,
    Subject,
    TargetIdentity,
    Verdict,
    Waiver,
)
from bais_gates.verdict.outcomes import PROVEN, compare_cases, name_some, rederive, worst
from bais_gates.verdict.policy import Policy
from bais_gates.verdict.waivers import WaiverFile

UNKNOWN_TARGET: Final = TargetIdentity(name="unknown", rehearsal=True, environment_digest="")
"""The target of a decision made before the environment file was read."""

CLOCK_TOLERANCE: Final = timedelta(seconds=5)
"""The largest contradiction between moments of one run that is not a CLOCK_JUMPED."""

_GATE_FAILED = (Code.FAILED, Code.ERROR, Code.NO_DATA, Code.VACUOUS, Code.FLAKY, Code.XFAIL, Code.XPASS)
_INCOMPLETE = (
    Code.NOT_RUN,
    Code.NEEDS_NOT_PASSED,
    Code.ONLY_IMPORTED,
    Code.SUBJECT_MISSING,
    Code.SKIPPED,
    Code.CASES_MISSING,
    Code.NOTHING_PROVEN,
    Code.RUN_INCOMPLETE,
    Code.RUN_ABORTED,
    Code.RUN_DEADLINE,
)
STATUS_OF: Final[Mapping[Code, ExitStatus]] = {
    **dict.fromkeys(Code, ExitStatus.INTEGRITY),
    **dict.fromkeys(_GATE_FAILED, ExitStatus.GATE_FAILED),
    **dict.fromkeys(_INCOMPLETE, ExitStatus.INCOMPLETE),
    Code.INTERNAL_ERROR: ExitStatus.BROKEN,
}
"""The exit status of each code."""

_GRAVEST_FIRST = (ExitStatus.BROKEN, ExitStatus.INTEGRITY, ExitStatus.GATE_FAILED, ExitStatus.INCOMPLETE)
_CODES = list(Code)
_CODE_OF: Mapping[Outcome, Code] = {
    Outcome.FAIL: Code.FAILED,
    Outcome.ERROR: Code.ERROR,
    Outcome.NO_DATA: Code.NO_DATA,
    Outcome.VACUOUS: Code.VACUOUS,
    Outcome.FLAKY: Code.FLAKY,
    Outcome.XFAIL: Code.XFAIL,
    Outcome.XPASS: Code.XPASS,
    Outcome.SKIPPED: Code.SKIPPED,
    Outcome.NOT_RUN: Code.NOT_RUN,
}
_MESSAGES: Mapping[Outcome, str] = {
    Outcome.FAIL: "A check was false.",
    Outcome.ERROR: "It could not be checked.",
    Outcome.NO_DATA: "There was too little data.",
    Outcome.VACUOUS: "It passed without a check.",
    Outcome.FLAKY: "It passed, but not on the first attempt.",
    Outcome.XFAIL: "It is marked xfail, and failed.",
    Outcome.XPASS: "It is marked xfail, and passed.",
    Outcome.SKIPPED: "It was skipped.",
    Outcome.NOT_RUN: "It did not run.",
}
_CORRECT_IT = "Correct what it names, and run again."
_REMEDIES: Mapping[Outcome, str] = {
    Outcome.ERROR: _CORRECT_IT,
    Outcome.NO_DATA: "See which samples are missing and why, and run again.",
    Outcome.VACUOUS: "Record at least one check in its test.",
    Outcome.FLAKY: "Find out why the first attempt failed; a gate has only one.",
    Outcome.XFAIL: "Remove the xfail mark; ask for a waiver instead.",
    Outcome.XPASS: "Remove the xfail mark.",
    Outcome.SKIPPED: "Run it, or declare it not applicable in the environment file.",
    Outcome.NOT_RUN: "Run the whole scope, without -k or deselection.",
}
"""What to do about outcomes that are no finding: a gate's own remedy is about a false check."""


def decide(
    *,
    catalog: Catalog,
    policy: Policy,
    waivers: WaiverFile,
    scope: str,
    results: Iterable[GateResult],
    run: Run,
    target: TargetIdentity,
    subject: Subject | None,
    integrity: Iterable[Reason] = (),
    previous: Previous | None = None,
    origins: Iterable[Origin] = (),
    environment: Iterable[tuple[str, str]] = (),
    now: datetime,
) -> Decision:
    """Judge a finished run.

    DEPLOY needs, for every catalog gate of the scope, exactly one result that is PASS (derived again from its
    checks), NOT_APPLICABLE by the catalog or the environment file, waived, or of a severity that does not
    block; at least one PASS among them that was not imported; an image, unless it is a rehearsal or the
    policy says that there is none; and no reason about the run's integrity, passed in or found here. Results
    that were imported need their ``origins``. Results of gates outside the scope are ignored; results of
    gates that are not in the catalog block. The order of results, waivers, origins and reasons makes no
    difference. ``environment`` has the keys of the environment file with their digests. ``now`` and the
    moments of ``run`` are aware. Raises ValueError for a naive ``now``.
    """
    if now.tzinfo is None:
        raise ValueError("now must be an aware datetime")
    results = tuple(results)
    origins = tuple(sorted(set(origins), key=lambda origin: (origin.run_id, origin.decided_at, repr(origin))))
    imported = tuple(sorted({origin.run_id for origin in origins}))
    by_gate: dict[str, list[GateResult]] = defaultdict(list)
    for result in results:
        by_gate[result.gate_id].append(result)
    exemptions = Exemptions(
        catalog=catalog, policy=policy, waivers=waivers.waivers, target=target, subject=subject, now=now
    )
    imports = Imports(
        origins=origins,
        target=target,
        subject=subject,
        contract=catalog.contract,
        validity_s=policy.validity_s,
    )
    reasons = [*integrity, *_run_reasons(run, now), *exemptions.reasons()]
    reasons += _unknown_results(catalog, results, imported)
    gates = []
    for gate in catalog.for_scope(scope):
        judged, why = _judge(gate, by_gate.get(gate.id, []), policy, exemptions)
        gates.append(judged)
        reasons += why
    reasons += exemptions.unused(gates)
    blocked = any(judged.blocking for judged in gates)
    if not blocked and not any(judged.result.outcome is Outcome.PASS for judged in gates):
        reasons.append(_nothing_proven(scope, gates))
    reasons += imports.reasons(gates, now)
    if policy.subject_required and subject is None and not target.rehearsal:
        reasons.append(_no_subject())
    order = {gate.id: index for index, gate in enumerate(catalog.gates)}
    ordered = _in_order(_joined(reasons, order), order)
    limits = [*exemptions.expiries(gates), *imports.expiries()]
    return Decision(
        verdict=Verdict.BLOCK if ordered else Verdict.DEPLOY,
        exit_status=_exit_status(ordered),
        scope=scope,
        reasons=ordered,
        gates=tuple(gates),
        run=run,
        target=target,
        subject=subject,
        digests=Digests(
            catalog=catalog.digest,
            policy=policy.digest,
            waivers=waivers.digest,
            contract=catalog.contract,
        ),
        waivers=tuple(sorted(waivers.waivers, key=waiver_order)),
        decided_at=now.astimezone(UTC),
        valid_until=min([now.astimezone(UTC) + timedelta(seconds=policy.validity_s), *limits]),
        previous=previous,
        imported=imported,
        origins=origins,
        subject_required=policy.subject_required,
        inputs=inputs_of(catalog, policy, environment),
        criteria=catalog.criteria,
    )


def undecided(
    *,
    scope: str,
    run: Run,
    reason: Reason,
    more: Iterable[Reason] = (),
    target: TargetIdentity = UNKNOWN_TARGET,
    subject: Subject | None = None,
    digests: Digests | None = None,
    waivers: Iterable[Waiver] = (),
    previous: Previous | None = None,
    now: datetime | None = None,
) -> Decision:
    """Return the BLOCK of a run without a judgement, which needs no catalog.

    It lists no gates, and is valid until the moment it was made (``now``, or else the run's start).
    """
    moment = (now or run.started_at).astimezone(UTC)
    reasons = _in_order([reason, *more], {})
    return Decision(
        verdict=Verdict.BLOCK,
        exit_status=_exit_status(reasons),
        scope=scope,
        reasons=reasons,
        gates=(),
        run=run,
        target=target,
        subject=subject,
        digests=digests or Digests(catalog=None, policy=None, waivers=None),
        waivers=tuple(waivers),
        decided_at=moment,
        valid_until=moment,
        previous=previous,
    )


def _judge(
    gate: Gate, results: list[GateResult], policy: Policy, exemptions: Exemptions
) -> tuple[JudgedGate, list[Reason]]:
    """Judge one gate: its result, whether it blocks, and why."""
    rederived = [rederive(gate, result) for result in results]
    result = worst(rederived) if rederived else GateResult(gate_id=gate.id, outcome=Outcome.NOT_RUN)
    reasons = _result_reasons(gate, results, exemptions)
    proven = result.outcome in PROVEN
    blocks = gate.severity in policy.blocking
    waiver = None
    if blocks and not proven:
        waiver = exemptions.waiver_for(gate, result)
        missing = tuple(dict.fromkeys(case for each in results for case in compare_cases(gate, each).missing))
        if waiver is None or missing:
            reasons.append(_outcome_reason(gate, result, missing))
    judged = JudgedGate(
        gate=gate,
        result=result,
        waiver=waiver,
        blocking=bool(reasons),
        advisory=not (proven or blocks or reasons),
    )
    return judged, reasons


def _result_reasons(gate: Gate, results: list[GateResult], exemptions: Exemptions) -> list[Reason]:
    """Return the reasons not to trust a gate's results; they block whatever its severity."""
    reasons = []
    if len(results) > 1:
        text = f"{gate.id} has {len(results)} results instead of one."
        remedy = "Bind the gate to one test, and run it once."
        reasons.append(Reason(code=Code.DUPLICATE_RESULT, gate_id=gate.id, message=text, remedy=remedy))
    unexpected = sorted({case for result in results for case in compare_cases(gate, result).unexpected})
    if unexpected:
        text = f"{gate.id} has cases that are not in the catalog or ran twice: {name_some(unexpected)}."
        remedy = "List the test's cases in the catalog."
        reasons.append(Reason(code=Code.CASES_UNEXPECTED, gate_id=gate.id, message=text, remedy=remedy))
    reported = any(result.outcome is Outcome.NOT_APPLICABLE for result in results)
    if reported and not_applicable(gate, exemptions.target) is None:
        text = f"{gate.id} reports NOT_APPLICABLE, but neither catalog nor environment file declares it."
        remedy = "Declare it with a reason under not_applicable in the environment file, or run it."
        reasons.append(
            Reason(code=Code.NOT_APPLICABLE_UNDECLARED, gate_id=gate.id, message=text, remedy=remedy)
        )
    return reasons


def _outcome_reason(gate: Gate, result: GateResult, missing: tuple[str, ...]) -> Reason:
    code = _CODE_OF[result.outcome]
    message = result.message or _MESSAGES[result.outcome]
    remedy = remedy_of(gate, result)
    if missing:
        code = Code.CASES_MISSING
        message = f"Cases without a result: {name_some(missing)}. {result.message}".rstrip()
        remedy = "Run every case that the catalog lists."
    elif result.outcome is Outcome.NOT_RUN and result.needs_not_passed:
        code = Code.NEEDS_NOT_PASSED
        message = result.message or f"Needs that did not pass: {name_some(result.needs_not_passed)}."
    return Reason(code=code, gate_id=gate.id, message=message, remedy=remedy)


def _run_reasons(run: Run, now: datetime) -> list[Reason]:
    if run.finished_at is None:
        text = "The run did not finish."
        return [Reason(code=Code.RUN_INCOMPLETE, message=text, remedy="Run the whole scope again.")]
    latest = now + CLOCK_TOLERANCE
    if not run.started_at - CLOCK_TOLERANCE <= run.finished_at <= latest or run.started_at > latest:
        text = "The run's start, its end and now are out of order: the clock was changed."
        return [Reason(code=Code.CLOCK_JUMPED, message=text, remedy="Correct the clock, and run again.")]
    return []


def _unknown_results(
    catalog: Catalog, results: tuple[GateResult, ...], imported: tuple[str, ...]
) -> list[Reason]:
    reasons = [
        Reason(
            code=Code.GATE_UNKNOWN,
            gate_id=gate_id,
            message=f"There is a result for {gate_id}, which is not in the catalog.",
            remedy="Add the gate to the catalog, or correct the gate mark of its test.",
        )
        for gate_id in sorted({result.gate_id for result in results} - set(catalog.by_id))
    ]
    imports = {
        (result.gate_id, result.imported_from) for result in results if result.imported_from is not None
    }
    reasons += [
        Reason(
            code=Code.TAMPERED,
            gate_id=gate_id,
            message=f"The result of {gate_id} names run {run_id}, which was not imported.",
            remedy="Import that run's decision, or run the gate.",
        )
        for gate_id, run_id in sorted(imports)
        if run_id not in imported
    ]
    return reasons


def _nothing_proven(scope: str, gates: list[JudgedGate]) -> Reason:
    text = (
        f"None of the {len(gates)} gates of {scope} passed." if gates else f"The scope {scope} has no gates."
    )
    return Reason(
        code=Code.NOTHING_PROVEN,
        message=text,
        remedy="Check the scope and the target.",
    )


def _no_subject() -> Reason:
    return Reason(
        code=Code.SUBJECT_MISSING,
        message="The decision names no image, so it could be used for any release.",
        remedy="Name it with --gate-subject NAME@sha256:...; or, for a release without an image, write "
        "`subject: not_required` into policy.yaml.",
    )


def remedy_of(gate: Gate, result: GateResult) -> str:
    """Return what to do about a gate that did not pass: the catalog's remedy for a false check alone."""
    if result.outcome is Outcome.NOT_RUN and result.needs_not_passed:
        needs = name_some(result.needs_not_passed)
        return f"See that {needs} passes: fix it, run it here as well, or import it by --import DECISION."
    if result.outcome is Outcome.NOT_RUN and gate.rolls_up is not None:
        return f"Run `bais-gates run {gate.rolls_up} --out DIR`, then add `--import DIR/decision.json` here."
    return _REMEDIES.get(result.outcome, gate.remedy)


def _joined(reasons: Iterable[Reason], order: Mapping[str, int]) -> list[Reason]:
    """Return reasons that differ in nothing but their gate as one, which lists the gates it holds back."""
    alike: dict[Reason, list[str]] = defaultdict(list)
    for reason in set(reasons):
        alike[replace(reason, gate_id=None)] += [reason.gate_id] if reason.gate_id is not None else []

    def place(gate_id: str) -> tuple[int, str]:
        return order.get(gate_id, len(order)), gate_id

    return [
        replace(reason, holds_back=tuple(sorted(gates, key=place)))
        if len(gates) > 1
        else replace(reason, gate_id=next(iter(gates), None))
        for reason, gates in alike.items()
    ]


def _in_order(reasons: Iterable[Reason], order: Mapping[str, int]) -> tuple[Reason, ...]:
    """Return each reason once, the gravest first, then by code, then in the order of the catalog."""
    return tuple(
        sorted(
            set(reasons),
            key=lambda reason: (
                _GRAVEST_FIRST.index(STATUS_OF[reason.code]),
                _CODES.index(reason.code),
                order.get(reason.gate_id or "", len(order)),
                reason.gate_id or "",
                reason.message,
                reason.remedy,
            ),
        )
    )


def _exit_status(reasons: tuple[Reason, ...]) -> ExitStatus:
    return STATUS_OF[reasons[0].code] if reasons else ExitStatus.DEPLOY
