"""``bais-gates explain``: the reasons for the verdict, gate by gate, and what to do next."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.reports import view, wording
from bais_gates.reports.terminal import Paper, add_reason, outcome_colour
from bais_gates.reports.text import ascii_only, cap, visible
from bais_gates.verdict.model import Outcome, Verdict

if TYPE_CHECKING:
    from bais_gates.verdict.model import Check, Decision, JudgedGate

_MESSAGE_LIMIT = 4_000
_LOG_LINES = 40
_CHECKS_LIMIT = 100
_LINE_LIMIT = 400
_ITEMS_LIMIT = 50


def explain(decision: Decision, gate: str | None, *, width: int, colour: bool) -> str:
    """Return the explanation of the whole decision or of one gate, for a terminal of ``width`` columns.

    The text ends in a newline. Raises ``GateInputError`` when the decision has no such gate.
    """
    paper = Paper(colour=colour, width=width)
    if gate is not None:
        _explain_gate(decision, _find(decision, gate), paper)
    else:
        _explain_all(decision, paper)
    return paper.text()


def _find(decision: Decision, gate_id: str) -> JudgedGate:
    by_id = {judged.gate.id: judged for judged in decision.gates}
    if gate_id in by_id:
        return by_id[gate_id]
    ending = [known for known in by_id if known.partition(".")[2] == gate_id]
    if len(ending) == 1:
        return by_id[ending[0]]
    near = difflib.get_close_matches(gate_id, by_id, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Leave out --gate to see all of them."
    raise GateInputError(f"This decision (scope {decision.scope}) has no gate {gate_id!r}. {hint}")


def _explain_all(decision: Decision, paper: Paper) -> None:
    colour = "green" if decision.verdict is Verdict.DEPLOY else "red"
    paper.line(f"{decision.verdict.value}: {decision.scope} on {decision.target.name}", "bold", colour)
    paper.line(view.why(decision))
    for each in view.imports(decision):
        paper.line(f"With results of {each}", "yellow")
    if note := view.rehearsal_note(decision):
        paper.line(f"Rehearsal: {note}", "yellow")
    beside = view.reasons_beside_gates(decision)
    if beside:
        paper.line()
        paper.line("Other reasons", "bold")
        for reason in beside:
            add_reason(reason, paper)
    caused = view.caused(decision)
    for each in (view.Standing.BLOCKING, view.Standing.NOT_RUN, view.Standing.WAIVED, view.Standing.ADVISORY):
        for judged in view.standing_in(decision, each):
            if judged.gate.id not in caused:
                paper.line()
                _add_gate(decision, judged, paper)
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
    _add_next_steps(decision, paper)


def _explain_gate(decision: Decision, judged: JudgedGate, paper: Paper) -> None:
    _add_gate(decision, judged, paper, every_check=True)
    result = judged.result
    if result.attachments:
        named = ", ".join(f"{each.name} ({each.content_type})" for each in result.attachments)
        paper.item("  Attachments, in decision.json:", named)
    if result.log:
        paper.line()
        paper.line("Log", "bold")
        lines = visible(result.log).splitlines()
        if len(lines) > _LOG_LINES:
            paper.row(f"  [... {len(lines) - _LOG_LINES} earlier lines in decision.json]")
        for line in lines[-_LOG_LINES:]:
            text = cap(line, _LINE_LIMIT)
            paper.row("  " + (text if paper.colour else ascii_only(text)))


def _add_gate(decision: Decision, judged: JudgedGate, paper: Paper, *, every_check: bool = False) -> None:
    """Add one gate: its requirement, its result, what to do."""
    gate, result = judged.gate, judged.result
    head = f"{result.outcome.value} {gate.id} ({gate.severity.value}, {view.standing(judged).value})"
    paper.line(head, "bold", outcome_colour(judged))
    paper.item("  Requirement:", cap(result.summary or gate.requirement or gate.title, _MESSAGE_LIMIT))
    message = view.message_beside_checks(judged)
    if message or (not result.message and result.outcome is not Outcome.PASS):
        paper.bullets("  Result:", message or wording.OUTCOME_WORDS[result.outcome])
    checks = [check for check in wording.most_telling_first(result.checks) if every_check or not check.ok]
    for check in checks[:_CHECKS_LIMIT]:
        _add_check(check, paper)
    if len(checks) > _CHECKS_LIMIT:
        paper.item("   ", f"{len(checks) - _CHECKS_LIMIT} more checks in decision.json")
    if passed := len(result.checks) - len(checks):
        paper.item(
            "   ", f"{wording.count(passed, 'check')} ok; bais-gates explain --gate {gate.id} lists all"
        )
    if result.needs_not_passed:
        paper.item("  Needs, not passed:", ", ".join(result.needs_not_passed))
    if held_back := view.held_back(decision).get(gate.id):
        paper.item("  Not run because of it:", ", ".join(held_back))
    if (waiver := judged.waiver) is not None:
        until = wording.moment(waiver.expires)
        paper.item("  Waiver:", f"{waiver.ticket}, approved by {waiver.approved_by}, until {until}")
    remedy = view.remedy(judged)
    if remedy and view.standing(judged) not in {view.Standing.PASSED, view.Standing.NOT_APPLICABLE}:
        paper.item("  What to do:", cap(remedy, _MESSAGE_LIMIT))


def _add_check(check: Check, paper: Paper) -> None:
    colour = {True: "green", False: "red", None: "yellow"}[check.ok]
    lead = f"    {wording.check_word(check)}:"
    items = wording.list_items(check)
    if len(items) < 2:
        paper.item(lead, wording.check_text(check), colour)
        return
    paper.item(lead, f"{wording.check_name(check)}: {wording.headline(check)}", colour)
    for item in items[:_ITEMS_LIMIT]:
        paper.item("      -", item, colour)
    if len(items) > _ITEMS_LIMIT:
        paper.item("      -", f"{len(items) - _ITEMS_LIMIT:,} more in decision.json", colour)


def _add_next_steps(decision: Decision, paper: Paper) -> None:
    paper.line("What to do next", "bold")
    for number, step in enumerate(next_steps(decision), start=1):
        paper.item(f"  {number}.", step)


def next_steps(decision: Decision) -> list[str]:
    """Return the next steps: reasons about the run, then gates that others need, then the other gates."""
    if decision.verdict is Verdict.DEPLOY:
        if decision.target.rehearsal:
            return [
                f"Run the scope on the environment to release to: bais-gates run {decision.scope} --env NAME."
            ]
        until = wording.moment(decision.valid_until)
        return [
            f"Run bais-gates verify on decision.json in the pipeline; the decision is valid until {until}."
        ]
    steps = []
    if view.reasons_beside_gates(decision):
        steps.append("Resolve the other reasons first: until then no result of this run counts.")
    caused = view.caused(decision)
    needed = {need for judged in decision.gates for need in judged.result.needs_not_passed}
    failing = [
        judged
        for judged in view.standing_in(decision, view.Standing.BLOCKING)
        if judged.gate.id not in caused
    ]
    roots = [judged.gate.id for judged in failing if judged.gate.id in needed]
    if roots:
        steps.append(f"Fix {', '.join(roots)}: other gates need it.")
    rest = [judged.gate.id for judged in failing if judged.gate.id not in needed]
    if rest:
        steps.append(f"Fix {', '.join(rest)}.")
    own = [
        judged.gate.id
        for judged in view.standing_in(decision, view.Standing.NOT_RUN)
        if not judged.result.needs_not_passed and judged.gate.id not in caused
    ]
    if own:
        steps.append(f"Find out why {', '.join(own)} did not run.")
    steps.append(f"Run again: bais-gates run {decision.scope}, with the same options.")
    return steps
