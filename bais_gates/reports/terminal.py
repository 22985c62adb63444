"""The decision on a terminal: a table by phase, the reasons, and last, in one line, the verdict."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from bais_gates.reports import view, wording
from bais_gates.reports.text import ascii_only, cap, columns, one_line, shorten
from bais_gates.verdict.model import JudgedGate, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bais_gates.verdict.model import Check, Decision, Reason
    from bais_gates.verdict.signatures import Signature

NARROWEST = 40
"""The least width of the layout; narrower terminals wrap by themselves."""
WIDEST = 160
"""Columns beyond which lines are hard to read."""
_REMEDY_LIMIT = 600
_REASONS_LIMIT = 50
_PASSED_LIMIT = 200
"""Passed gates of a phase up to which each has a row; of more nobody reads them here."""

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1"}
_DETAIL_WIDTH = 34
"""Columns that a row keeps free for what decided its gate, before the gate's name is shortened."""
_NAME_WIDTH = 8
"""Columns below which a check's name is left out rather than shortened."""


def render(
    decision: Decision,
    *,
    colour: bool,
    width: int,
    signatures: Sequence[Signature] = (),
    required: int = 0,
) -> str:
    """Return the decision as lines for a terminal of ``width`` columns, ending in a newline.

    ``signatures`` are those that it has, ``required`` is how many the policy asks for.

    Without ``colour`` the text is plain ASCII. Control characters from the target are always written out.
    """
    paper = Paper(colour=colour, width=width)
    for block in (_heading, _table, _changes, _reasons, _waivers):
        block(decision, paper)
    if decision.gates:
        _signatures(decision, paper, signatures, required)
    # Not wrapped: a log is searched for this line.
    paper.row(paper.styled(paper.clean(_verdict_line(decision)), "bold", _verdict_colour(decision)))
    return paper.text()


class Paper:
    """Lines for a terminal, within its width, colours and character set."""

    def __init__(self, *, colour: bool, width: int) -> None:
        self.colour = colour
        self.width = min(max(width, NARROWEST), WIDEST)
        self._lines: list[str] = []

    def clean(self, text: str) -> str:
        """Return the text on one line, in ASCII when the terminal is plain."""
        return one_line(text) if self.colour else ascii_only(one_line(text))

    def styled(self, text: str, *styles: str) -> str:
        """Colour text that is clean already."""
        codes = ";".join(_COLOURS[style] for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.colour and codes else text

    def line(self, text: str = "", *styles: str) -> None:
        """Add one paragraph, wrapped."""
        for row in self.wrapped(text):
            self._lines.append(self.styled(row, *styles))

    def row(self, text: str) -> None:
        """Add a line as it is, laid out and coloured by the caller."""
        self._lines.append(text)

    def item(self, head: str, text: str, *styles: str) -> None:
        """Add a paragraph that hangs behind ``head``."""
        clean_head = self.clean(head)
        room = len(head) - len(head.lstrip())
        indent = " " * (room + 2)
        rows = self.wrapped(f"{clean_head} {text}", first=" " * room, rest=indent)
        for row in rows:
            self._lines.append(self.styled(row, *styles))

    def bullets(self, head: str, text: str, *styles: str) -> None:
        """Add ``head`` with a message behind it, or with each line of the message as a bullet."""
        lines = wording.paragraphs(text)
        if len(lines) <= 1:
            self.item(head, "".join(lines), *styles)
            return
        self.item(head, "", *styles)
        margin = " " * (len(head) - len(head.lstrip()) + 2)
        for each in lines:
            self.item(f"{margin}-", each, *styles)

    def wrapped(self, text: str, *, first: str = "", rest: str = "") -> list[str]:
        """Wrap one paragraph into rows of the paper's width."""
        return textwrap.wrap(
            self.clean(text), self.width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
        ) or [""]

    def text(self) -> str:
        """Return all lines, ending in a newline."""
        return "\n".join(self._lines) + "\n"


def _heading(decision: Decision, paper: Paper) -> None:
    about = f"{decision.scope} on {decision.target.name}"
    if decision.subject is not None or not decision.subject_required:
        about += f" for {view.image(decision)}"
    paper.line(f"bais-gates: {about}", "bold")
    paper.line(f"run {decision.run.run_id}, decided {wording.moment(decision.decided_at)}")
    if decision.gates:  # of a run that ended before its first gate only the cause matters
        for key, fact in decision.target.facts:
            paper.line(f"{key}: {cap(fact, 200)}")
        for each in view.imports(decision):
            paper.line(f"With results of {each}", "yellow")
        if note := view.rehearsal_note(decision):
            paper.line(f"Rehearsal: {note}", "yellow")
    paper.line()


def _table(decision: Decision, paper: Paper) -> None:
    longest = max((columns(paper.clean(_short_id(judged))) for judged in decision.gates), default=0)
    lead_width = max((len(judged.result.outcome.value) for judged in decision.gates), default=0)
    name_width = min(longest, max(paper.width - lead_width - _DETAIL_WIDTH, 16))
    for group in view.by_phase(decision.gates):
        others = [judged for judged in group.gates if view.standing(judged) is not view.Standing.PASSED]
        passed = len(group.gates) - len(others)
        paper.row(paper.styled(f"{group.phase.value}: {passed} of {len(group.gates)} passed", "bold"))
        for judged in group.gates if passed <= _PASSED_LIMIT else others:
            paper.row(_table_row(judged, paper, lead_width, name_width))
        if passed > _PASSED_LIMIT:
            paper.row(f"  {passed:,} passed: signoff.html lists them")
        paper.line()


def _table_row(judged: JudgedGate, paper: Paper, lead_width: int, name_width: int) -> str:
    outcome = judged.result.outcome
    name = shorten(paper.clean(_short_id(judged)), name_width)
    name += " " * (name_width - columns(name))
    lead = f"{outcome.value:<{lead_width}}"
    severity = judged.gate.severity.value
    room = paper.width - (2 + lead_width + 1 + len(severity) + 1 + name_width + 2)
    detail = _detail(judged, paper, room) if room > 8 else ""
    return f"  {paper.styled(lead, outcome_colour(judged))} {severity} {name}  {detail}".rstrip()


def _short_id(judged: JudgedGate) -> str:
    return judged.gate.id.removeprefix(f"{judged.gate.phase.value}.")


def _detail(judged: JudgedGate, paper: Paper, room: int) -> str:
    """Return what decided the gate, within ``room`` columns."""
    result = judged.result
    notes = []
    if judged.waiver is not None:
        notes.append(f"waived until {wording.moment(judged.waiver.expires)} ({judged.waiver.ticket})")
    if judged.advisory:
        notes.append("advisory")
    if result.imported_from:
        notes.append(f"imported from {result.imported_from}")
    check = view.decisive_check(judged)
    if result.outcome is Outcome.PASS:
        notes.append(wording.count(len(result.checks), "check"))
    elif check is None or check.ok:
        notes.append(cap(result.message, 300) or wording.OUTCOME_WORDS[result.outcome])
        check = None
    text = paper.clean("; ".join(notes))
    if check is None:
        return shorten(text, room)
    lead = f"{text}; " if text else ""
    detail = _check_detail(check, paper, room - columns(lead))
    return lead + detail if detail else shorten(text, room)


def _check_detail(check: Check, paper: Paper, room: int) -> str:
    """Return a check in at most ``room`` columns: its name is shortened before its numbers are.

    Empty for a true check where even its shortened name has no room.
    """
    forms = (wording.comparison(check), wording.headline(check), wording.headline(check, short=True))
    texts = [paper.clean(form) for form in forms]
    for text in texts:
        name_room = room - columns(text) - 2
        if name_room >= _NAME_WIDTH:
            return f"{shorten(paper.clean(wording.check_name(check)), name_room)}: {text}"
    if check.ok:
        return ""
    return next((text for text in texts if columns(text) <= room), shorten(texts[-1], max(room, 0)))


def _changes(decision: Decision, paper: Paper) -> None:
    changed = view.changes(decision)
    if not changed or decision.previous is None:
        return
    before = decision.previous
    paper.line(
        f"Since run {before.run_id} ({before.verdict.value}, {wording.moment(before.decided_at)})", "bold"
    )
    for kind, gates in changed.items():
        paper.item(f"  {kind}:", ", ".join(judged.gate.id for judged in gates))
    paper.line()


def _reasons(decision: Decision, paper: Paper) -> None:
    if not decision.reasons:
        return
    paper.line(f"{wording.count(len(decision.reasons), 'reason')} to block", "bold")
    ordered = view.ordered_reasons(decision)
    for reason in ordered[:_REASONS_LIMIT]:
        add_reason(reason, paper)
    if len(ordered) > _REASONS_LIMIT:
        paper.item(" ", f"and {len(ordered) - _REASONS_LIMIT:,} more in decision.json")
    paper.line()


def add_reason(reason: Reason, paper: Paper) -> None:
    """Add one reason to block: what it is, what to do, and the gates that it holds back."""
    about = f" {reason.gate_id}" if reason.gate_id else ""
    paper.bullets(f"  {reason.code.value}{about}:", reason.message, "red")
    if reason.remedy:
        paper.item("    What to do:", cap(reason.remedy, _REMEDY_LIMIT))
    if reason.holds_back:
        paper.item("    Holds back", wording.held_back(reason))


def _waivers(decision: Decision, paper: Paper) -> None:
    waived = [(judged, judged.waiver) for judged in view.standing_in(decision, view.Standing.WAIVED)]
    for what, gates in (
        ("waived", [(judged, waiver) for judged, waiver in waived if waiver is not None]),
        ("declared not applicable until a date", view.exempted(decision)),
    ):
        if not gates:
            continue
        paper.line(f"{wording.count(len(gates), 'gate')} {what}", "bold")
        for judged, waiver in gates:
            until = wording.moment(waiver.expires)
            text = f"{waiver.ticket}, approved by {waiver.approved_by}, until {until}"
            paper.item(f"  {judged.gate.id}: {judged.result.outcome.value},", text, "yellow")
        paper.line()


def _signatures(decision: Decision, paper: Paper, signatures: Sequence[Signature], required: int) -> None:
    for each in signatures:
        when = wording.moment(each.signed_at) if each.signed_at else "at a time that is not recorded"
        paper.item(
            "Signed by", f"{view.signer(each)}, key {each.name} {each.keyid}, {when}".replace("  ", " ")
        )
    missing = required - len(signatures) if decision.verdict is Verdict.DEPLOY else 0
    if missing > 0:
        text = f"{wording.count(missing, 'signature')} more: `bais-gates attest sign DECISION --key FILE`"
        paper.item("The policy requires", text, "yellow")
    if signatures or missing > 0:
        paper.line()


def _verdict_line(decision: Decision) -> str:
    rehearsal = " (rehearsal)" if decision.target.rehearsal else ""
    status = f"Exit status {decision.exit_status.value}."
    return f"{decision.verdict.value}{rehearsal}: {view.why(decision)} {status}"


def _verdict_colour(decision: Decision) -> str:
    return "green" if decision.verdict is Verdict.DEPLOY else "red"


def outcome_colour(judged: JudgedGate) -> str:
    """Return the colour of a gate's outcome; it accompanies the word, never replaces it."""
    if judged.waiver is not None or judged.advisory:
        return "yellow"
    return {Outcome.PASS: "green", Outcome.NOT_APPLICABLE: "cyan"}.get(judged.result.outcome, "red")
