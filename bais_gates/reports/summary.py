"""The decision as Markdown, for the summary page of a CI job: the verdict and its reasons first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bais_gates.reports import view, wording
from bais_gates.reports.text import cap, one_line
from bais_gates.verdict.model import JudgedGate, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bais_gates.verdict.model import Decision

DEFAULT_LIMIT = 256 * 1024
"""Bytes of one summary."""
JOB_LIMIT = 1_000_000
"""Bytes that a job's summary may have in all; GitHub drops it whole above 1 MiB."""
SMALLEST = 2_000
"""Bytes below which a summary is not worth writing."""
_CUT = "\n\nCut here; signoff.html and decision.json are complete.\n"
_CELL_LIMIT = 500
_ROWS_LIMIT = 200
_PUNCTUATION = re.compile(r"[!-&(-+./:-@\[-`{-~]")


def render(decision: Decision, *, limit: int = DEFAULT_LIMIT) -> str:
    """Return the summary, at most ``limit`` bytes of UTF-8, most important first, after an empty line."""
    kept: list[str] = []
    room = limit - len(_CUT) - 1
    for block in _blocks(decision):
        text = block + "\n\n"
        room -= len(text.encode())
        if room < 0:
            return "\n" + "".join(kept).rstrip("\n") + _CUT
        kept.append(text)
    return "\n" + "".join(kept).rstrip("\n") + "\n"


def plain(text: str, limit: int = _CELL_LIMIT) -> str:
    """Return text that neither Markdown nor HTML interprets: punctuation becomes character references.

    References, unlike backslashes, also hold inside HTML blocks, and can't begin any structure.
    """
    return _PUNCTUATION.sub(lambda found: f"&#{ord(found.group())};", cap(one_line(text), limit))


def _blocks(decision: Decision) -> Iterator[str]:
    yield f"## {decision.verdict.value}: {plain(decision.scope)} on {plain(decision.target.name)}"
    yield plain(view.why(decision))
    if note := view.rehearsal_note(decision):
        yield f"**Rehearsal:** {plain(note)}"
    yield from _reasons(decision)
    yield from _changes(decision)
    for title, standings in (
        ("Blocking", (view.Standing.BLOCKING,)),
        ("Did not run", (view.Standing.NOT_RUN,)),
        ("Waived", (view.Standing.WAIVED,)),
        ("Advisory, not passed", (view.Standing.ADVISORY,)),
    ):
        yield from _gates(title, view.standing_in(decision, *standings))
    yield from _passed(decision)
    yield _identity(decision)


def _reasons(decision: Decision) -> Iterator[str]:
    if not decision.reasons:
        return
    yield f"### {wording.count(len(decision.reasons), 'reason')} to block"
    rows = []
    for reason in view.ordered_reasons(decision)[:_ROWS_LIMIT]:
        about = f" <code>{plain(reason.gate_id)}</code>" if reason.gate_id else ""
        remedy = f"<br>What to do: {plain(reason.remedy)}" if reason.remedy else ""
        held = f"<br>Holds back {plain(wording.held_back(reason))}" if reason.holds_back else ""
        rows.append(f"- **{plain(reason.code.value)}**{about} {_lines(reason.message)}{remedy}{held}")
    yield "\n".join([*rows, *_left_out(len(decision.reasons), "- ")])


def _changes(decision: Decision) -> Iterator[str]:
    changed = view.changes(decision)
    if not changed or decision.previous is None:
        return
    yield f"### Since run {plain(decision.previous.run_id)} ({decision.previous.verdict.value})"
    yield "\n".join(f"- {kind.capitalize()}: {_ids(gates)}" for kind, gates in changed.items())


def _gates(title: str, gates: Sequence[JudgedGate]) -> Iterator[str]:
    if not gates:
        return
    yield f"### {title} ({len(gates)})"
    rows = ["| gate | severity | outcome | observed |", "| --- | --- | --- | --- |"]
    for judged in gates[:_ROWS_LIMIT]:
        cells = (
            f"<code>{plain(judged.gate.id)}</code>",
            judged.gate.severity.value,
            plain(judged.result.outcome.value),
            _observed(judged),
        )
        rows.append(f"| {' | '.join(cells)} |")
    yield "\n".join([*rows, *(f"| {row} | | | |" for row in _left_out(len(gates), ""))])


def _observed(judged: JudgedGate) -> str:
    checks = [check for check in judged.result.checks if not check.ok]
    lines = [plain(wording.check_text(check)) for check in checks[:5]]
    if len(checks) > 5:
        lines.append(f"and {len(checks) - 5:,} more")
    if not lines:
        lines = [_lines(judged.result.message) or wording.OUTCOME_WORDS[judged.result.outcome]]
    if (waiver := judged.waiver) is not None:
        lines.append(plain(f"{waiver.ticket}, {waiver.approved_by}, until {wording.moment(waiver.expires)}"))
    return "<br>".join(lines)


def _passed(decision: Decision) -> Iterator[str]:
    lines = []
    for group in view.by_phase(decision.gates):
        passed = [judged for judged in group.gates if view.standing(judged) is view.Standing.PASSED]
        not_applicable = [
            judged for judged in group.gates if view.standing(judged) is view.Standing.NOT_APPLICABLE
        ]
        if passed:
            lines.append(f"- {group.phase.value}: {len(passed)} of {len(group.gates)}: {_ids(passed)}")
        if not_applicable:
            lines.append(f"- {group.phase.value}, not applicable: {_ids(not_applicable)}")
    if lines:
        number = sum(judged.result.outcome is Outcome.PASS for judged in decision.gates)
        yield "\n".join([f"<details><summary>{number} passed</summary>", "", *lines, "", "</details>"])


def _identity(decision: Decision) -> str:
    facts = [
        ("run", decision.run.run_id),
        ("subject", view.image(decision)),
        *(("results of", each) for each in view.imports(decision)),
        *(
            (f"{judged.gate.id} not applicable until", wording.moment(exemption.expires))
            for judged, exemption in view.exempted(decision)
        ),
        ("decided", wording.moment(decision.decided_at)),
        ("valid until", wording.moment(decision.valid_until)),
        ("exit status", str(decision.exit_status.value)),
    ]
    return "<br>".join(f"{name}: <code>{plain(fact)}</code>" for name, fact in facts)


def _lines(text: str) -> str:
    return "<br>".join(plain(line) for line in wording.paragraphs(text))


def _ids(gates: Sequence[JudgedGate]) -> str:
    named = ", ".join(f"<code>{plain(judged.gate.id)}</code>" for judged in gates[:_ROWS_LIMIT])
    return ", ".join([named, *_left_out(len(gates), "")])


def _left_out(total: int, lead: str) -> list[str]:
    return [f"{lead}and {total - _ROWS_LIMIT:,} more"] if total > _ROWS_LIMIT else []
