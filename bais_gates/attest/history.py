"""Whether a decision still counts: a newer one has overtaken it, or a deploy on it has failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from bais_gates.attest.problems import Problem
from bais_gates.attest.records import FILE_NAME, files_below, revoked
from bais_gates.errors import GateInputError
from bais_gates.verdict.document import document_digest, load_decision, to_document
from bais_gates.verdict.model import Decision, Origin, Outcome, Verdict
from bais_gates.verdict.outcomes import RAN

DECISION_FILE: Final = "decision.json"
_MOST_FILES = 10_000


def past(decision: Decision, folder: Path) -> Iterator[Problem]:
    """Yield why a decision counts no more, by the decisions and records in a folder and in those below it.

    The folder holds report folders, of one run each, or the records of deploys, or both. A newer decision on
    the same subject and target overtakes if it is of the same scope, or a BLOCK of any scope, and so does one
    that saw an imported gate fail since; a deploy on the decision whose release failed revokes it. A decision
    or record that can't be read is a problem, as it may be the one that counts, and so is a folder without
    any.
    """
    try:
        files = files_below(folder)
    except OSError as error:
        text = f"{error.filename or folder} can't be read ({error.strerror})."
        remedy = "Name the folder in which report folders or records are kept, and check its mode."
        yield Problem(code="HISTORY_UNREADABLE", message=text, remedy=remedy)
        return
    files = [one for one in files if one.name == DECISION_FILE or FILE_NAME.fullmatch(one.name)]
    if not files or len(files) > _MOST_FILES:
        count = f"more than {_MOST_FILES:,}" if files else "no"
        text = f"{folder} holds {count} {DECISION_FILE} and records of deploys."
        remedy = "Name the folder in which report folders are kept, at least this run's, or the records."
        yield Problem(code="HISTORY_UNREADABLE", message=text, remedy=remedy)
        return
    yield from overtaken(decision, [one for one in files if one.name == DECISION_FILE])
    yield from revoked(document_digest(to_document(decision)), files)


def overtaken(decision: Decision, files: Iterable[Path]) -> Iterator[Problem]:
    """Yield which newer decision of these files has overtaken one, or results that it imported."""
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
        yield from _seen_since(other, decision)
    if newer:
        last = max(newer, key=lambda each: each.decided_at)
        yield Problem(
            code="OVERTAKEN",
            message=f"Run {last.run.run_id} of {last.decided_at:%Y-%m-%d %H:%M:%S} UTC is newer, on the same "
            f"subject and target: its {last.scope} is {last.verdict.value}.",
            remedy="Verify that decision instead; if it is BLOCK, mend what it names and run again.",
        )


def _overtakes(other: Decision, decision: Decision) -> bool:
    return (
        (other.decided_at, other.run.run_id) != (decision.decided_at, decision.run.run_id)
        and other.decided_at >= decision.decided_at
        and _about(other) == _about(decision)
        and (other.scope == decision.scope or other.verdict is Verdict.BLOCK)
    )


def _seen_since(other: Decision, decision: Decision) -> Iterator[Problem]:
    """Yield the gates that ``other`` saw not to pass, after the results that the decision imported."""
    failed = {
        each.gate.id
        for each in other.gates
        if each.result.imported_from is None and each.result.outcome in RAN - {Outcome.PASS}
    }
    for judged in decision.gates:
        if judged.gate.id not in failed or judged.result.outcome is not Outcome.PASS:
            continue
        for origin in decision.origins:
            if (
                origin.run_id == judged.result.imported_from
                and other.decided_at > origin.decided_at
                and _about(other) == _about(origin)
            ):
                yield Problem(
                    code="OVERTAKEN",
                    message=f"{judged.gate.id} passed in run {origin.run_id} on {origin.target.name}, and "
                    f"did not in run {other.run.run_id} of {other.decided_at:%Y-%m-%d %H:%M:%S} UTC.",
                    remedy="Mend what that run names, decide its scope anew, then import that decision.",
                )


def _about(one: Decision | Origin) -> tuple[str, str | None]:
    return one.target.name, one.subject.digest if one.subject else None
