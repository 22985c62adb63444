"""The end of a deciding run: the decision is made before other plugins close, and stands after them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.keys import decision_key
from bais_gates.pytest_plugin.opening import Opening, no_ledger, unwritable
from bais_gates.pytest_plugin.reconciliation import LedgerView, reconcile, view
from bais_gates.pytest_plugin.refused import refusals
from bais_gates.pytest_plugin.results import gate_results
from bais_gates.pytest_plugin.runs import run_value
from bais_gates.pytest_plugin.same_target import same_target
from bais_gates.pytest_plugin.watch import in_words
from bais_gates.redaction import redact
from bais_gates.reports import terminal, write_all
from bais_gates.targets import identity
from bais_gates.verdict.decide import decide
from bais_gates.verdict.model import (
    Code,
    Decision,
    ExitStatus,
    GateResult,
    Outcome,
    Reason,
    TargetIdentity,
)

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.ledger import LedgerContent
    from bais_gates.pytest_plugin.recorder import Recorder


class Closing:
    """Makes, writes and shows the decision, and sets the exit status."""

    def __init__(self, opening: Opening, recorder: Recorder, config: pytest.Config) -> None:
        self._opening = opening
        self._recorder = recorder
        self._config = config
        self._lock = threading.Lock()
        self.decision: Decision | None = None

    def pytest_report_header(self) -> str:
        """Say what is decided about, before the tests."""
        opening = self._opening
        count = len(opening.state.catalog().for_scope(opening.scope))
        return (
            f"bais-gates: {opening.scope} on {opening.target.name}, {count} gates, "
            f"report in {opening.state.settings.out}"
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Generator[None, Any, Any]:
        """Redact the warnings that pytest is about to list."""
        for warning in terminalreporter.stats.get("warnings", ()):
            warning.message = redact(str(warning.message))
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, Any, Any]:
        """Decide and write before the others close; whatever they do, the exit status is the decision's."""
        self._close(session, exitstatus)
        try:
            return (yield)
        except OSError as error:
            self._say(f"A plugin could not write what it wanted: {in_words(error)}. The decision stands.")
        except BaseException as error:  # noqa: BLE001 - pytest.exit(returncode=0) would overwrite the status
            self._worsen(f"A plugin broke while the run was closed: {in_words(error)}.")
        finally:
            session.exitstatus = self.status
            self._show()

    @property
    def status(self) -> int:
        """The exit status of the run."""
        return int(self.decision.exit_status) if self.decision is not None else int(ExitStatus.BROKEN)

    def at_deadline(self) -> None:
        """Write the BLOCK of a run that has used up its time; called from another thread."""
        with self._lock:
            self._opening.block(self._config, list(self._recorder.integrity), ended=True)

    def _close(self, session: pytest.Session, exitstatus: int) -> None:
        try:
            decision = self._decide(session, exitstatus)
        except BaseException as error:  # noqa: BLE001 - no decision must ever be left to a broken one
            decision = self._opening.block(self._config, [_broken(in_words(error))], ended=True)
        self._keep(decision)

    def _keep(self, decision: Decision) -> None:
        with self._lock:
            try:
                problems = write_all(decision, self._opening.state.settings.out)
            except OSError as error:
                reason = unwritable(self._opening.state.settings.out, error)
                decision = self._opening.block(self._config, [reason, *decision.reasons], ended=True)
                problems = ()
            self.decision = self._config.stash[decision_key] = decision
        for problem in problems:
            self._say(f"{problem.report} could not be written: {problem.message}. The decision stands.")

    def _decide(self, session: pytest.Session, exitstatus: int) -> Decision:
        opening, recorder, state = self._opening, self._recorder, self._opening.state
        content = self._ledger()
        ledger = view(content)
        results, reasons = self._results(ledger)
        reasons += recorder.whole_run_reasons(session, exitstatus)
        reasons += refusals(self._config, self._config.option)
        reasons += self._unbound()
        if recorder.aborted is None:
            reasons += same_target(state)
        if state.ledger is not None and state.ledger.problem is not None:
            reasons.append(no_ledger(state.ledger.problem))
        return decide(
            catalog=state.catalog(),
            policy=state.policy(),
            waivers=opening.waivers,
            scope=opening.scope,
            results=results,
            run=run_value(self._config, state, ended=True, ledger_digest=content.digest),
            target=self._target(results),
            subject=state.settings.subject,
            integrity=reasons,
            previous=opening.previous,
            imported={result.imported_from for result in results if result.imported_from is not None},
            now=datetime.now(UTC),
        )

    def _ledger(self) -> LedgerContent:
        ledger = self._opening.state.ledger
        if ledger is None:
            raise RuntimeError("a run that decides has a ledger")
        ledger.append("run_finished", {"run_id": self._opening.state.settings.run_id})
        content = ledger.read()
        ledger.close()
        return content

    def _results(self, ledger: LedgerView) -> tuple[list[GateResult], list[Reason]]:
        recorder = self._recorder
        pairs = [(nodeid, result) for nodeid, seen in recorder.seen.items() for result in seen.results]
        kept, reasons = reconcile(pairs, ledger)
        for seen in recorder.seen.values():
            seen.results.clear()
        for nodeid, result in kept:
            recorder.seen[nodeid].results.append(result)
        gates = self._opening.state.catalog().for_scope(self._opening.scope)
        results = gate_results(gates, recorder, self._config, ledger.checks)
        here = {recorder.collected.bound[nodeid][0] for nodeid in recorder.collected.selected}
        imported = {
            gate_id: result
            for gate_id, result in self._opening.imported.results.items()
            if gate_id not in here  # a gate that is run again counts as it is now
        }
        return [imported.get(result.gate_id, result) for result in results], reasons

    def _unbound(self) -> list[Reason]:
        """Tell gates without a test, where the whole project was collected and one should have been there."""
        recorder, config = self._recorder, self._config
        partial = (
            config.args_source is pytest.Config.ArgsSource.ARGS
            or config.getoption("ignore", None)
            or config.getoption("ignore_glob", None)
            or recorder.collection_failed
            or recorder.skipped_files
            or recorder.aborted
            or not recorder.collection_finished
        )
        if partial:
            return []
        bound = {gate_id for gate_id, _ in recorder.collected.bound.values()}
        bound.update(self._opening.imported.results)
        return [
            Reason(
                code=Code.GATE_UNBOUND,
                gate_id=gate.id,
                message=f"No test is bound to {gate.id}.",
                remedy=f'Mark the test that proves it with @pytest.mark.gate("{gate.id}").',
            )
            for gate in self._opening.state.catalog().for_scope(self._opening.scope)
            if gate.id not in bound
        ]

    def _target(self, results: list[GateResult]) -> TargetIdentity:
        """Return who was judged, with the gates that did not apply because they would have written."""
        state = self._opening.state
        target = (identity.read(state.directory.path) if state.directory else None) or self._opening.target
        declared = dict(target.not_applicable)
        for result in results:
            gate = state.catalog().by_id.get(result.gate_id)
            if result.outcome is Outcome.NOT_APPLICABLE and gate is not None and gate.mutates:
                declared.setdefault(result.gate_id, result.message)
        return replace(target, not_applicable=tuple(declared.items()))

    def _worsen(self, why: str) -> None:
        """Turn the decision into a BLOCK, as something broke after it was made."""
        reason = _broken(why)
        last = self.decision
        blocked = self._opening.block(self._config, [reason, *(last.reasons if last else ())], ended=True)
        if last is not None:
            blocked = replace(blocked, gates=last.gates, target=last.target, run=last.run)
        self._keep(blocked)

    def _show(self) -> None:
        if self.decision is not None:
            show(self._config, self.decision)

    def _say(self, text: str) -> None:
        write(self._config, f"bais-gates: {redact(text)}\n")


def show(config: pytest.Config, decision: Decision) -> None:
    """Print a decision as the last thing on the terminal."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    writer = config.get_terminal_writer() if reporter is not None else None
    colour, width = (writer.hasmarkup, writer.fullwidth) if writer is not None else (False, 80)
    write(config, "\n" + terminal.render(decision, colour=colour, width=width))


def write(config: pytest.Config, text: str) -> None:
    """Write to the terminal, also where pytest's own reporter is switched off."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.ensure_newline()
        reporter.write(text, flush=True)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()


def _broken(why: str) -> Reason:
    return Reason(
        code=Code.INTERNAL_ERROR,
        message=f"Internal error in bais-gates: {why}",
        remedy="Run again; if it stays, report it with the output of this run.",
    )
