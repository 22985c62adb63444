"""Verification of a written decision: its content against the files and the run that it must be about.

The exit status of a run can be lost or forged on its way; the file is DEPLOY only if all of its content
agrees. Without a signature this detects damage, mix-ups, edits and omissions, but not a forger who writes a
whole new file: keep the file where only the run can write it, or have the policy require signatures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bais_gates.attest.changes import AGAIN, SANDBOX, Files, changed_files, read_files
from bais_gates.attest.history import past
from bais_gates.attest.keys import PublicKey
from bais_gates.attest.problems import Problem
from bais_gates.attest.signatures import examine, trust
from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.verdict.catalog import Catalog
from bais_gates.verdict.criteria import without_text
from bais_gates.verdict.decide import decide
from bais_gates.verdict.document import load_with_digest
from bais_gates.verdict.model import GOLIVE, Decision, JudgedGate, Severity, Subject, Verdict
from bais_gates.verdict.policy import ALWAYS_BLOCKING, Policy
from bais_gates.verdict.signatures import Signature
from bais_gates.verdict.target import local_parts, on_loopback
from bais_gates.verdict.waivers import WaiverFile

FUTURE_TOLERANCE: Final = timedelta(minutes=5)
"""How far the clock of the machine that decided may be ahead of ours."""

_ANY_LENGTH = 36500  # days
_ANY_VALIDITY_S = 2_592_000.0  # the longest that a policy file may say
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """Whether a decision allows a deployment, and every problem if not."""

    ok: bool
    problems: tuple[Problem, ...]
    decision: Decision | None
    """The decision if the file could be read, accepted or refused."""
    signatures: tuple[Signature, ...] = ()
    """Those that are in order."""


def verify(
    path: Path,
    *,
    scope: str = GOLIVE,
    env: str = "production",
    run_id: str | None = None,
    subject: Subject | None = None,
    catalog: Path | None = None,
    max_age: timedelta | None = None,
    now: datetime | None = None,
    keys: Sequence[PublicKey] = (),
    threshold: int | None = None,
    history: Path | None = None,
) -> VerifyReport:
    """Return whether the decision in ``path`` allows a deployment, with every problem if not.

    It must be a DEPLOY of this ``scope`` and environment name, no rehearsal (unless ``env`` is ``sandbox``),
    of this run and subject where they are given, in time, and consistent: judged again from its own results
    it must be the same. With ``catalog`` it must have been decided by that catalog, by ``policy.yaml``
    and ``waivers.yaml`` beside it, and about ``environments/<env>.yaml`` beside it where that exists. A
    ``ledger.jsonl`` beside the decision must be the one that it names. As many people as the policy requires
    for ``env`` must have signed it, and ``threshold`` (1) by ``keys`` where they are given; no decision below
    ``history`` may have overtaken it, and no record of a deploy there revoke it. Never raises for a file's
    content.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    try:
        decision, digest = load_with_digest(path)
    except AbsentFileError as error:
        remedy = "Run `bais-gates run SCOPE`, which writes it."
        return _refusal(Problem(code="DECISION_ABSENT", message=str(error), remedy=remedy))
    except GateInputError as error:
        return _refusal(Problem(code="DECISION_UNPARSABLE", message=str(error)))
    files = read_files(catalog, env)
    gates = None if catalog is None else catalog.parent
    trusted = trust(env=env, policy=files.policy, gates=gates, given=keys, threshold=threshold)
    unsigned, signatures = examine(path, decision, digest, trusted, now)
    problems = [
        *trusted.problems,
        *unsigned,
        *_verdict(decision),
        *_identity(decision, scope=scope, env=env, run_id=run_id, subject=subject),
        *files.problems,
        *changed_files(decision, files),
        *_consistency(decision, files),
        *_ledger(decision, path),
        *_times(decision, now, max_age),
        *(past(decision, history) if history is not None else ()),
    ]
    return VerifyReport(ok=not problems, problems=tuple(problems), decision=decision, signatures=signatures)


def _refusal(problem: Problem) -> VerifyReport:
    return VerifyReport(ok=False, problems=(problem,), decision=None)


def _verdict(decision: Decision) -> list[Problem]:
    if decision.verdict is Verdict.DEPLOY:
        return []
    codes = list(dict.fromkeys(reason.code.value for reason in decision.reasons))
    message = f"The decision is {decision.verdict}: {', '.join(codes)}."
    remedy = "Run `bais-gates explain` for the remedy of each."
    return [Problem(code="DECISION_BLOCK", message=message, remedy=remedy)]


def _identity(
    decision: Decision, *, scope: str, env: str, run_id: str | None, subject: Subject | None
) -> list[Problem]:
    problems = []
    if decision.scope != scope:
        text = f"The decision's scope is {decision.scope}, not {scope}."
        problems.append(Problem(code="SCOPE_OTHER", message=text, remedy=f"Run `bais-gates run {scope}`."))
    if decision.target.name != env:
        text = f"The decision's environment is {decision.target.name}, not {env}."
        problems.append(
            Problem(code="ENVIRONMENT_OTHER", message=text, remedy=f"Run the gates with `--env {env}`.")
        )
    target = decision.target
    if (target.rehearsal or target.provisioned or on_loopback(target)) and env != SANDBOX:
        local = ", ".join(local_parts(target))
        text = (
            f"The decision is a rehearsal: its target is the sandbox or on loopback ({local or 'api.url'})."
        )
        problems.append(
            Problem(
                code="REHEARSAL",
                message=text,
                remedy="Run the gates with the environment to deploy to.",
            )
        )
    if run_id is not None and decision.run.run_id != run_id:
        text = f"The decision's run is {decision.run.run_id}, not {run_id}."
        problems.append(
            Problem(code="RUN_ID_OTHER", message=text, remedy="Pass the file that this run wrote.")
        )
    if subject is not None and decision.subject != subject:
        text = f"The decision's subject is {decision.subject or 'no image'}, not {subject}."
        remedy = f"Run the gates with `--subject {subject}`."
        problems.append(Problem(code="SUBJECT_OTHER", message=text, remedy=remedy))
    return problems


def _consistency(decision: Decision, files: Files) -> list[Problem]:
    """Judge a DEPLOY again, from its own results, and compare everything that follows from them."""
    if decision.verdict is not Verdict.DEPLOY:
        return []
    catalog = files.catalog
    if catalog is None or catalog.digest != decision.digests.catalog:
        catalog = _catalog_of(decision)
    if catalog is None:
        return [_inconsistent("a gate is listed twice")]
    policy = files.policy
    if policy is not None and policy.digest != decision.digests.policy:
        policy = None  # another one is a reason of its own, and no contradiction
    try:
        again = decide(
            catalog=catalog,
            policy=policy or _least_policy(decision),
            waivers=WaiverFile(waivers=decision.waivers, digest=decision.digests.waivers),
            scope=decision.scope,
            results=[judged.result for judged in decision.gates],
            run=decision.run,
            target=decision.target,
            subject=decision.subject,
            previous=decision.previous,
            origins=decision.origins,
            now=decision.decided_at,
        )
    except OverflowError:  # a moment at either end of the calendar
        return [_inconsistent("one of its dates is not from our time")]
    again = replace(
        again, inputs=decision.inputs, digests=decision.digests, gates=tuple(map(_without_prose, again.gates))
    )
    if policy is None:  # then nothing says how long it may be valid, only that it may be no longer
        again = replace(again, valid_until=min(again.valid_until, decision.valid_until))
    if without_text(again.criteria) == without_text(decision.criteria):
        again = replace(again, criteria=decision.criteria)
    decision = replace(decision, gates=tuple(map(_without_prose, decision.gates)))
    return [] if again == decision else [_inconsistent(_difference(decision, again))]


def _without_prose(judged: JudgedGate) -> JudgedGate:
    """Return a gate without the catalog's prose, which redaction may have changed in the file."""
    return replace(judged, gate=replace(judged.gate, title="", requirement="", remedy=""))


def _inconsistent(what: str) -> Problem:
    message = f"The decision contradicts itself: {what}."
    return Problem(
        code="INCONSISTENT", message=message, remedy=f"It was edited or written by another version. {AGAIN}"
    )


def _difference(decision: Decision, again: Decision) -> str:
    """Return the first difference between a decision and the same decision judged again."""
    if again.verdict is not decision.verdict:
        return f"judged again it is BLOCK ({again.reasons[0].code}: {again.reasons[0].message})"
    for name in (
        "exit_status",
        "reasons",
        "valid_until",
        "waivers",
        "imported",
        "origins",
        "subject_required",
        "criteria",
    ):
        if getattr(again, name) != getattr(decision, name):
            return f"judged again its {name} differs"
    known = {judged.gate.id: judged for judged in again.gates}
    changed = [judged for judged in decision.gates if known.get(judged.gate.id) != judged]
    return f"judged again {_first(changed)} differs"


def _first(changed: list[JudgedGate]) -> str:
    return changed[0].gate.id if changed else "the list of gates"


def _catalog_of(decision: Decision) -> Catalog | None:
    """Return a catalog of the gates that the decision lists; None if one is listed twice."""
    try:
        return Catalog(
            gates=tuple(judged.gate for judged in decision.gates),
            digest=decision.digests.catalog or "",
            path=Path(),
            contract=decision.digests.contract,
            criteria=decision.criteria,
        )
    except ValueError:
        return None


def _least_policy(decision: Decision) -> Policy:
    """Return the policy with the least demands that the rules of the verdict allow, for want of a file."""
    return Policy(
        blocking=ALWAYS_BLOCKING,
        gate_deadline_s=0.0,
        run_deadline_s=0.0,
        validity_s=_ANY_VALIDITY_S,
        waiver_max_days=dict.fromkeys(Severity, _ANY_LENGTH),
        not_applicable_max_days=_ANY_LENGTH,
        subject_required=decision.subject_required,
        digest=None,
    )


def _ledger(decision: Decision, path: Path) -> list[Problem]:
    ledger = path.parent / "ledger.jsonl"
    named = decision.run.ledger_digest
    if named is None or not ledger.exists():
        return []
    hashed = hashlib.sha256()
    if ledger.is_file():  # what else is there may never end
        try:
            with ledger.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    hashed.update(chunk)
        except OSError as error:
            text = f"{ledger} can't be read ({error.strerror})."
            return [Problem(code="LEDGER_OTHER", message=text, remedy="Check its owner and mode.")]
    if f"sha256:{hashed.hexdigest()}" == named:
        return []
    text = f"{ledger} is not the ledger of this decision's run."
    return [Problem(code="LEDGER_OTHER", message=text, remedy=f"Keep the files of one run together. {AGAIN}")]


def _oldest(decision: Decision) -> datetime:
    """Return when the oldest of what a decision rests on was decided."""
    return min([decision.decided_at, *(origin.decided_at for origin in decision.origins)])


def _times(decision: Decision, now: datetime, max_age: timedelta | None) -> list[Problem]:
    problems = []
    if now >= decision.valid_until:
        text = f"The decision expired at {decision.valid_until:%Y-%m-%d %H:%M:%S} UTC."
        problems.append(Problem(code="STALE", message=text, remedy=AGAIN))
    elif max_age is not None and now - (oldest := _oldest(decision)) > max_age:
        what = "decision" if oldest == decision.decided_at else "oldest result that the decision imported"
        text = f"The {what} is from {oldest:%Y-%m-%d %H:%M:%S} UTC, which is too old."
        problems.append(Problem(code="STALE", message=text, remedy=AGAIN))
    if decision.decided_at > now + FUTURE_TOLERANCE:
        text = f"The decision is dated in the future: {decision.decided_at:%Y-%m-%d %H:%M:%S} UTC."
        problems.append(
            Problem(
                code="FROM_THE_FUTURE",
                message=text,
                remedy="Correct the machines' clocks.",
            )
        )
    problems += [
        Problem(
            code="WAIVER_EXPIRED",
            message=f"The waiver {judged.waiver.ticket} of {judged.gate.id} has expired.",
            remedy="Have a new one approved or fix the gate, then run the gates again.",
        )
        for judged in decision.gates
        if judged.waiver is not None and now >= judged.waiver.expires
    ]
    return problems
