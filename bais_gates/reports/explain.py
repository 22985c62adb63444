"""``bais-gates explain``: why the verdict is what it is, gate by gate, and what to do next."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.reports import view, wording
from bais_gates.reports.terminal import Paper, outcome_colour
from bais_gates.reports.text import ascii_only, cap, visible
from bais_gates.verdict.model import Outcome, Verdict

if TYPE_CHECKING:
    from bais_gates.verdict.model import Check, Decision, JudgedGate

_MESSAGE_LIMIT = 4_000
_LOG_LINES = 40
_CHECKS_LIMIT = 100
_LINE_LIMIT = 400


def explain(decision: Decision, gate: str | None, *, width: int, colour: bool) -> str:
    """Say why, for the whole decision or for one gate, as lines of a terminal that end in a newline.

    Raises ``GateInputError`` when the decision has no such gate.
    """
    paper = Paper(colour=colour, width=width)
    if gate is not None:
        _one(decision, _find(decision, gate), paper)
    else:
        _all(decision, paper)
    return paper.text()


def _find(decision: Decision, gate_id: str) -> JudgedGate:
    by_id = {judged.gate.id: judged for judged in decision.gates}
    found = by_id.get(gate_id)
    if found is not None:
        return found
    ending = [known for known in by_id if known.partition(".")[2] == gate_id]
    if len(ending) == 1:
        return by_id[ending[0]]
    near = difflib.get_close_matches(gate_id, by_id, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Leave the gate out to see all of them."
    raise GateInputError(f"This decision (scope {decision.scope}) has no gate {gate_id!r}. {hint}")


def _all(decision: Decision, paper: Paper) -> None:
    colour = "green" if decision.verdict is Verdict.DEPLOY else "red"
    paper.line(f"{decision.verdict.value}: {decision.scope} on {decision.target.name}", "bold", colour)
    paper.line(view.why(decision))
    if note := view.rehearsal_note(decision):
        paper.line(f"Rehearsal: {note}", "yellow")
    beside = view.reasons_beside_gates(decision)
    if beside:
        paper.line()
        paper.line("Reasons outside the gates", "bold")
        for reason in beside:
            about = f"{reason.gate_id}: " if reason.gate_id else ""
            paper.item(f"  {reason.code.value}", about + cap(reason.message, _MESSAGE_LIMIT), "red")
            if reason.remedy:
                paper.item("    What to do:", reason.remedy)
    for each in (view.Standing.BLOCKING, view.Standing.NOT_RUN, view.Standing.WAIVED, view.Standing.ADVISORY):
        for judged in view.standing_in(decision, each):
            paper.line()
            _gate(decision, judged, paper)
    passed = view.standing_in(decision, view.Standing.PASSED)
    if passed:
        paper.line()
        paper.item(f"Passed ({len(passed)}):", ", ".join(judged.gate.id for judged in passed))
    for judged in view.standing_in(decision, view.Standing.NOT_APPLICABLE):
        paper.item(
            f"Not applicable: {judged.gate.id}:",
            cap(view.not_applicable_because(decision, judged), _MESSAGE_LIMIT),
        )
    paper.line()
    _next(decision, paper)


def _one(decision: Decision, judged: JudgedGate, paper: Paper) -> None:
    _gate(decision, judged, paper)
    result = judged.result
    if result.attachments:
        named = ", ".join(f"{each.name} ({each.content_type})" for each in result.attachments)
        paper.item("  Attachments, in decision.json:", named)
    if result.log:
        paper.line()
        paper.line("Log", "bold")
        lines = visible(result.log).splitlines()
        if len(lines) > _LOG_LINES:
            paper.row(f"  [... {len(lines) - _LOG_LINES} lines before these are in decision.json]")
        for line in lines[-_LOG_LINES:]:
            text = cap(line, _LINE_LIMIT)
            paper.row("  " + (text if paper.colour else ascii_only(text)))


def _gate(decision: Decision, judged: JudgedGate, paper: Paper) -> None:
    """Explain one gate: what it proves, what was seen, what to do."""
    gate, result = judged.gate, judged.result
    head = f"{result.outcome.value} {gate.id} ({gate.severity.value}, {view.standing(judged).value})"
    paper.line(head, "bold", outcome_colour(judged))
    paper.item("  Proves:", cap(result.summary or gate.requirement or gate.title, _MESSAGE_LIMIT))
    if result.message:
        paper.item("  Seen:", cap(result.message, _MESSAGE_LIMIT))
    elif result.outcome is not Outcome.PASS:
        paper.item("  Seen:", wording.OUTCOME_WORDS[result.outcome])
    for check in result.checks[:_CHECKS_LIMIT]:
        said = f"{wording.check_name(check)}: {wording.comparison(check)}"
        paper.item(f"    {wording.check_word(check)}", said, _check_colour(check))
    if len(result.checks) > _CHECKS_LIMIT:
        paper.item("   ", f"{len(result.checks) - _CHECKS_LIMIT} more checks are in decision.json")
    if result.needs_not_passed:
        paper.item("  Waits for:", ", ".join(result.needs_not_passed))
    if held := view.held_back(decision).get(gate.id):
        paper.item("  Holds back:", ", ".join(held))
    if (waiver := judged.waiver) is not None:
        until = wording.moment(waiver.expires)
        paper.item("  Waiver:", f"{waiver.ticket}, approved by {waiver.approved_by}, until {until}")
    if gate.remedy and view.standing(judged) not in {view.Standing.PASSED, view.Standing.NOT_APPLICABLE}:
        paper.item("  What to do:", cap(gate.remedy, _MESSAGE_LIMIT))


def _check_colour(check: Check) -> str:
    return {True: "green", False: "red", None: "yellow"}[check.ok]


def _next(decision: Decision, paper: Paper) -> None:
    """Say what to do next, in the order in which it helps."""
    paper.line("What to do next", "bold")
    for number, step in enumerate(next_steps(decision), start=1):
        paper.item(f"  {number}.", step)


def next_steps(decision: Decision) -> list[str]:
    """Return the next steps: what spoils the run, then the gates that hold others back, then the rest."""
    if decision.verdict is Verdict.DEPLOY:
        if decision.target.rehearsal:
            return ["Run the same scope against the environment that the release goes to: --gate-env NAME."]
        until = wording.moment(decision.valid_until)
        return [f"Let the pipeline run bais-gates verify on decision.json; it counts until {until}."]
    steps = []
    if view.reasons_beside_gates(decision):
        steps.append("Settle the reasons outside the gates first: until then no result of this run counts.")
    waiting = {need for judged in decision.gates for need in judged.result.needs_not_passed}
    red = view.standing_in(decision, view.Standing.BLOCKING)
    roots = [judged.gate.id for judged in red if judged.gate.id in waiting]
    if roots:
        steps.append(f"Repair {', '.join(roots)}: other gates wait for it.")
    rest = [judged.gate.id for judged in red if judged.gate.id not in waiting]
    if rest:
        steps.append(f"Repair {', '.join(rest)}.")
    own = [
        judged.gate.id
        for judged in view.standing_in(decision, view.Standing.NOT_RUN)
        if not judged.result.needs_not_passed
    ]
    if own:
        steps.append(f"Find out why {', '.join(own)} did not run.")
    steps.append(f"Run again: bais-gates run {decision.scope}, with the same options.")
    return steps
