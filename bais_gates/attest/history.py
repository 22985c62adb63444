"""Whether a newer decision has overtaken one: a DEPLOY that is still valid, after a run that says BLOCK."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bais_gates.attest.problems import Problem
from bais_gates.errors import GateInputError
from bais_gates.verdict.document import load_decision
from bais_gates.verdict.model import Decision, Verdict

DECISION_FILE: Final = "decision.json"
_MOST_FILES = 10_000


def overtaken(decision: Decision, folder: Path) -> Iterator[Problem]:
    """Yield why a decision counts no more, by the decisions in a folder and in those below it.

    The folder holds report folders, of one run each. A newer decision on the same subject and target
    overtakes if it is of the same scope, or a BLOCK of any scope. A decision that can't be read is a problem,
    as it may be the newer one, and so is a folder without any.
    """
    try:
        files = sorted(folder.rglob(DECISION_FILE)) if folder.is_dir() else []
    except OSError:
        files = []
    if not files or len(files) > _MOST_FILES:
        text = f"{folder} holds {'no' if not files else f'more than {_MOST_FILES:,}'} {DECISION_FILE}."
        remedy = "Name the folder in which report folders are kept, at least this run's."
        yield Problem(code="HISTORY_UNREADABLE", message=text, remedy=remedy)
        return
    newer = []
    for file in files:
        try:
            other = load_decision(file)
        except GateInputError as error:
            remedy = "Restore the file, or remove it if its run is known to be older."
            yield Problem(code="HISTORY_UNREADABLE", message=str(error), remedy=remedy)
            continue
        if _overtakes(other, decision):
            newer.append(other)
    if newer:
        last = max(newer, key=lambda each: each.decided_at)
        yield Problem(
            code="OVERTAKEN",
            message=f"Run {last.run.run_id} of {last.decided_at:%Y-%m-%d %H:%M:%S} UTC is newer, on the same "
            f"subject and target: its {last.scope} is {last.verdict.value}.",
            remedy="Verify that decision instead; if it is BLOCK, mend what it names and run again.",
        )


def _overtakes(other: Decision, decision: Decision) -> bool:
    about = (other.target.name, other.subject and other.subject.digest)
    return (
        (other.decided_at, other.run.run_id) != (decision.decided_at, decision.run.run_id)
        and other.decided_at >= decision.decided_at
        and about == (decision.target.name, decision.subject and decision.subject.digest)
        and (other.scope == decision.scope or other.verdict is Verdict.BLOCK)
    )
