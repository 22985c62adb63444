"""The sign-off page: one HTML file that a release engineer reads, prints and signs, without JavaScript.

Jinja2 renders it with autoescape, and every text that a template prints goes through ``text.visible`` first.
Its content security policy allows its own style sheet, by hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from typing import TYPE_CHECKING

from bais_gates.reports import criteria, view, wording
from bais_gates.reports.templating import environment, template_text
from bais_gates.verdict.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bais_gates.verdict.model import Decision, JudgedGate, Waiver
    from bais_gates.verdict.signatures import Signature

REASONS_OPEN = 20
"""Reasons that are listed openly; the rest is folded."""


def render(decision: Decision, signatures: Sequence[Signature] = ()) -> str:
    """Return the page, as a pure function of the decision and of the signatures that were verified."""
    style = template_text("signoff.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    reasons = view.ordered_reasons(decision)
    groups = view.by_standing(decision)
    page = environment().get_template("signoff.html")
    return page.render(
        decision=decision,
        style=style,
        style_hash=f"sha256-{digest}",
        blocked=decision.verdict is Verdict.BLOCK,
        why=view.why(decision),
        rehearsal=view.rehearsal_note(decision),
        tally=[(each, len(group)) for each, group in groups.items() if group],
        reasons_open=reasons[:REASONS_OPEN],
        reasons_folded=reasons[REASONS_OPEN:],
        gate_ids=frozenset(judged.gate.id for judged in decision.gates),
        changes=view.changes(decision),
        criteria=criteria.answers(decision),
        failures=groups[view.Standing.BLOCKING],
        not_run=groups[view.Standing.NOT_RUN],
        waived=groups[view.Standing.WAIVED],
        advisory=groups[view.Standing.ADVISORY],
        not_applicable=[
            (judged, view.not_applicable_because(decision, judged))
            for judged in groups[view.Standing.NOT_APPLICABLE]
        ],
        passes=view.by_phase(groups[view.Standing.PASSED]),
        waivers=_waiver_rows(decision),
        exempted=view.exempted(decision),
        imports=view.imports(decision),
        identity=_identity(decision),
        held_back=view.held_back(decision),
        signed=[(view.signer(each), each) for each in signatures],
    )


def _waiver_rows(decision: Decision) -> list[tuple[Waiver, JudgedGate | None, bool]]:
    """Return each waiver of the file with its gate and whether it is applied to that gate now."""
    gates = {judged.gate.id: judged for judged in decision.gates}
    rows = []
    for waiver in dict.fromkeys([*decision.waivers, *(j.waiver for j in decision.gates if j.waiver)]):
        judged = gates.get(waiver.gate)
        rows.append((waiver, judged, judged is not None and judged.waiver == waiver and not judged.blocking))
    return rows


def _identity(decision: Decision) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what the decision is about, as titled lists; empty values are left out."""
    run, target = decision.run, decision.target
    finished = run.finished_at or decision.decided_at
    sections = [
        (
            "Target",
            [
                ("Scope", decision.scope),
                ("Environment", target.name + (" (rehearsal)" if target.rehearsal else "")),
                *target.facts,
                ("Image", view.image(decision)),
                *((f"{key} resolved to", address) for key, address in target.addresses),
            ],
        ),
        (
            "Run",
            [
                ("Run id", run.run_id),
                ("Command", shlex.join(run.command)),
                ("Started", wording.moment(run.started_at)),
                ("Finished", wording.moment(run.finished_at) if run.finished_at else ""),
                ("Duration", wording.duration((finished - run.started_at).total_seconds())),
                ("Workers", str(run.workers) if run.workers else ""),
                ("Exit status", str(decision.exit_status.value)),
                ("Decided", wording.moment(decision.decided_at)),
                ("Valid until", wording.moment(decision.valid_until)),
                ("Results imported from", "; ".join(view.imports(decision))),
            ],
        ),
        ("Versions", [(name, version) for name, version in run.versions]),
        (
            "Digests",
            [
                ("Catalog", decision.digests.catalog or ""),
                ("Policy", decision.digests.policy or ""),
                ("Waivers", decision.digests.waivers or ""),
                ("Contract", decision.digests.contract or ""),
                ("Environment file", target.environment_digest),
                ("Ledger", run.ledger_digest or ""),
            ],
        ),
    ]
    kept = [(title, [(name, fact) for name, fact in facts if fact]) for title, facts in sections]
    return [(title, facts) for title, facts in kept if facts]
