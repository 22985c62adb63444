"""The beginning of a deciding run: BLOCK on disk before any conftest is loaded, and what forbids a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.pytest_plugin.imports import Imported, read_imports
from bais_gates.pytest_plugin.ledger import LEDGER_FILE, Ledger
from bais_gates.pytest_plugin.refused import refusals
from bais_gates.pytest_plugin.runs import run_value
from bais_gates.redaction import redact
from bais_gates.reports import DECISION_FILE, read_decision, write_all
from bais_gates.targets.identity import identity_of
from bais_gates.verdict.decide import UNKNOWN_TARGET, undecided
from bais_gates.verdict.model import (
    SCOPES,
    Code,
    Decision,
    Digests,
    Outcome,
    Previous,
    Reason,
    TargetIdentity,
    Verdict,
)
from bais_gates.verdict.waivers import NO_WAIVERS, WaiverFile, load_waivers

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from bais_gates.pytest_plugin.state import RunState

HTML_FILE = "report.html"
_STALE = (HTML_FILE, "decision.intoto.json")
"""What an earlier run left and the decision's own reports do not replace."""


@dataclass(slots=True)
class Opening:
    """What is known of a deciding run before its first conftest is loaded."""

    state: RunState
    scope: str
    previous: Previous | None = None
    waivers: WaiverFile = NO_WAIVERS
    target: TargetIdentity = UNKNOWN_TARGET
    imported: Imported = field(default_factory=Imported)
    fatal: list[Reason] = field(default_factory=list)
    """Reasons for which no gate is run at all."""
    decision: Decision | None = None
    """The last one that was written."""

    @property
    def digests(self) -> Digests:
        """Return the digests of the files that could be read."""
        catalog = policy = None
        with contextlib.suppress(GateInputError):
            catalog = self.state.catalog().digest
        with contextlib.suppress(GateInputError):
            policy = self.state.policy().digest
        return Digests(catalog=catalog, policy=policy, waivers=self.waivers.digest)

    def block(self, config: pytest.Config, reasons: Iterable[Reason], *, ended: bool = False) -> Decision:
        """Write a BLOCK that rests on nothing but ``reasons``; that it cannot be written is one more."""
        reasons = tuple(reasons)
        self.decision = self._blocked(config, reasons, ended=ended)
        try:
            write_all(self.decision, self.state.settings.out)
        except OSError as error:
            reason = unwritable(self.state.settings.out, error)
            self.fatal.append(reason)
            self.decision = self._blocked(config, (reason, *reasons), ended=ended)
        return self.decision

    def _blocked(self, config: pytest.Config, reasons: tuple[Reason, ...], *, ended: bool) -> Decision:
        return undecided(
            scope=self.scope,
            run=run_value(config, self.state, ended=ended),
            reason=reasons[0],
            more=reasons[1:],
            target=self.target,
            subject=self.state.settings.subject,
            digests=self.digests,
            waivers=self.waivers.waivers,
            previous=self.previous,
        )


def open_run(config: pytest.Config, state: RunState) -> Opening:
    """Put BLOCK in the place of the last decision and find out whether this run may begin at all."""
    settings = state.settings
    opening = Opening(state, scope=next((scope for scope in settings.scopes if scope in SCOPES), "golive"))
    opening.previous = _previous(settings.out / DECISION_FILE)
    opening.fatal = [
        Reason(code=Code.REFUSED_OPTION, message=problem, remedy="Correct the option.")
        for problem in settings.problems
    ]
    opening.fatal += refusals(config, config.known_args_namespace)
    _read_files(opening)
    _settle_scope(opening)
    _import(opening)
    for name in _STALE:
        with contextlib.suppress(OSError):
            (settings.out / name).unlink()
    opening.block(config, opening.fatal or [_unfinished()])
    if not opening.fatal:
        state.ledger = Ledger.create(settings.out / LEDGER_FILE)
        state.ledger.append("run_started", {"run_id": settings.run_id, "scope": opening.scope})
        if state.ledger.problem is not None:
            opening.fatal.append(no_ledger(state.ledger.problem))
            opening.block(config, opening.fatal)
    return opening


def tell_conftest_error(opening: Opening, config: pytest.Config, error: BaseException) -> None:
    """Say in the BLOCK on disk why the run did not get to its tests; pytest says it to the person."""
    cause = getattr(error, "cause", error)
    where = getattr(error, "path", None)
    text = f"{type(cause).__name__}: {cause}"
    opening.block(
        config,
        [
            Reason(
                code=Code.COLLECTION_ERROR,
                message=redact(f"{where or 'The start of pytest'}: {text}")[:1000],
                remedy="Correct the conftest or the option, and run again.",
            )
        ],
        ended=True,
    )


def unwritable(out: Path, error: OSError) -> Reason:
    """Return the reason for a decision that cannot be written."""
    return Reason(
        code=Code.INTERNAL_ERROR,
        message=f"{out / DECISION_FILE} cannot be written: {error.strerror or error}.",
        remedy="Make room on the disk, or name a folder that can be written to with --gate-out.",
    )


def no_ledger(problem: str) -> Reason:
    """Return the reason for a ledger that cannot be written."""
    return Reason(
        code=Code.INTERNAL_ERROR,
        message=f"The ledger cannot be written: {problem}.",
        remedy="Make room on the disk, or name a folder that can be written to with --gate-out.",
    )


def _unfinished() -> Reason:
    return Reason(
        code=Code.RUN_INCOMPLETE,
        message="The run began, and has not come to its end: it still goes on, or was killed or cancelled.",
        remedy="Wait for it to end, or run the whole scope again.",
    )


def _read_files(opening: Opening) -> None:
    state = opening.state

    def attempt(code: Code, read: Callable[[], object]) -> None:
        try:
            read()
        except GateInputError as error:
            opening.fatal.append(Reason(code=code, message=redact(str(error)), remedy="Correct the file."))

    def waivers() -> None:
        if state.settings.waivers_named and not state.settings.waivers.exists():
            raise GateInputError(f"{state.settings.waivers}: no such file. Create it, or name another one.")
        opening.waivers = load_waivers(state.settings.waivers)

    def environment() -> None:
        opening.target = identity_of(state.environment())

    attempt(Code.CATALOG_INVALID, state.catalog)
    attempt(Code.POLICY_INVALID, state.policy)
    attempt(Code.WAIVERS_INVALID, waivers)
    attempt(Code.ENVIRONMENT_INVALID, environment)


def _import(opening: Opening) -> None:
    """Take over the results of earlier decisions, if this run can be decided at all."""
    settings = opening.state.settings
    if not settings.imports or opening.fatal:
        return
    opening.imported = read_imports(
        settings.imports, target=opening.target, subject=settings.subject, catalog=settings.catalog
    )
    opening.fatal += opening.imported.reasons
    opening.state.imported = opening.imported.outcomes


def _settle_scope(opening: Opening) -> None:
    """Of several scopes that were named, decide about the one that holds all the others' gates."""
    scopes = [scope for scope in opening.state.settings.scopes if scope in SCOPES]
    if len(scopes) < 2 or any(reason.code is Code.CATALOG_INVALID for reason in opening.fatal):
        return
    catalog = opening.state.catalog()
    gates = {scope: {gate.id for gate in catalog.for_scope(scope)} for scope in scopes}
    widest = max(scopes, key=lambda scope: len(gates[scope]))
    opening.scope = widest
    if any(not gates[scope] <= gates[widest] for scope in scopes):
        opening.fatal.append(
            Reason(
                code=Code.REFUSED_OPTION,
                message=f"-m names several scopes, and none holds all of them: {', '.join(scopes)}.",
                remedy="Say which decision is asked for with --gate-scope.",
            )
        )


def _previous(path: Path) -> Previous | None:
    """Return what the last decision said; of a run that decided nothing, what the one before it said."""
    try:
        last = read_decision(path)
    except (GateInputError, OSError):
        return None
    if not last.gates and last.verdict is Verdict.BLOCK and last.previous is not None:
        return last.previous
    outcomes: tuple[tuple[str, Outcome], ...] = tuple(
        (judged.gate.id, judged.result.outcome) for judged in last.gates
    )
    return Previous(
        run_id=last.run.run_id,
        verdict=last.verdict,
        decided_at=last.decided_at,
        scope=last.scope,
        outcomes=outcomes,
    )
