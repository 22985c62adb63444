"""The end of a deciding run: the decision is made before other plugins finish, and stands after them."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.errors import GateInputError
from bais_gates.pytest_plugin.deadlines import moment
from bais_gates.pytest_plugin.imports import learn_facts
from bais_gates.pytest_plugin.ledger import LedgerView, reconcile, unwritable_ledger
from bais_gates.pytest_plugin.outcome import format_error
from bais_gates.pytest_plugin.preflight import DecidingRun, run_value, unwritable_decision
from bais_gates.pytest_plugin.recorder import gate_results
from bais_gates.pytest_plugin.refusals import refusals
from bais_gates.redaction import redact
from bais_gates.reports import DECISION_FILE, read_decision, terminal, write_all
from bais_gates.targets import identity
from bais_gates.targets.identity import identity_of
from bais_gates.verdict.decide import decide
from bais_gates.verdict.files import without_garbage_collection
from bais_gates.verdict.model import (
    Code,
    Decision,
    ExitStatus,
    GateResult,
    Origin,
    Reason,
    TargetIdentity,
    Verdict,
)

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.recorder import Recorder
    from bais_gates.pytest_plugin.run_state import RunState
    from bais_gates.verdict.signatures import Signature

decision_key: pytest.StashKey[Decision] = pytest.StashKey()
"""The decision of a deciding run, set on the controller before any report is rendered."""


class Finish:
    """Makes, writes and shows the decision, and sets the exit status."""

    def __init__(self, run: DecidingRun, recorder: Recorder, config: pytest.Config) -> None:
        self._run = run
        self._recorder = recorder
        self._config = config
        self._lock = threading.Lock()
        self.decision: Decision | None = None

    def pytest_report_header(self) -> str:
        """Return what is decided about, for the lines above the tests."""
        run = self._run
        count = len(run.state.catalog().for_scope(run.scope))
        gates = f"{count} gate" if count == 1 else f"{count} gates"
        return f"bais-gates: {run.scope} on {run.target.name}, {gates}, report in {run.state.settings.out}"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Generator[None, Any, Any]:
        """Redact the warnings that pytest is about to list."""
        for warning in terminalreporter.stats.get("warnings", ()):
            warning.message = redact(str(warning.message))
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, Any, Any]:
        """Decide and write before the others close; whatever they do, the exit status is the decision's."""
        self._finish(session, exitstatus)
        try:
            return (yield)
        except OSError as error:
            self._write(f"A plugin could not write its output: {format_error(error)}. The decision stands.")
        except BaseException as error:  # noqa: BLE001 - pytest.exit(returncode=0) would overwrite the status
            self._worsen(f"A plugin raised an error while the run was finished: {format_error(error)}.")
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
            self._run.block(self._config, list(self._recorder.integrity), ended=True)

    @without_garbage_collection()
    def _finish(self, session: pytest.Session, exitstatus: int) -> None:
        try:
            if self._run.fatal:  # no gate has run: nothing but these reasons is known
                decision = self._run.block(self._config, self._run.fatal, ended=True)
            else:
                decision = self._decide(session, exitstatus)
        except BaseException as error:  # noqa: BLE001 - no decision must ever be left to a broken one
            decision = self._run.block(self._config, [_internal_error(format_error(error))], ended=True)
        self._keep(decision)

    def _keep(self, decision: Decision) -> None:
        with self._lock:
            try:
                problems = write_all(decision, self._run.state.settings.out)
            except OSError as error:
                reason = unwritable_decision(self._run.state.settings.out, error)
                decision = self._run.block(self._config, [reason, *decision.reasons], ended=True)
                problems = ()
            self.decision = self._config.stash[decision_key] = decision
            unsigned = self._run.signer.sign(self._run.state, decision)
        if unsigned is not None:
            self._write(unsigned)
        for problem in problems:
            self._write(f"{problem.report} could not be written: {problem.message}. The decision stands.")

    def _decide(self, session: pytest.Session, exitstatus: int) -> Decision:
        run, recorder, state = self._run, self._recorder, self._run.state
        ledger = self._ledger()
        results, reasons = self._results(ledger)
        reasons += recorder.whole_run_reasons(session, exitstatus)
        reasons += refusals(self._config, self._config.option)
        reasons += self._unbound()
        origins = self._origins(results)
        if recorder.aborted is None:
            learn_facts(state, origins)
            reasons += compare_target(state)
        if state.ledger is not None and state.ledger.problem is not None:
            reasons.append(unwritable_ledger(state.ledger.problem))
        reasons += self._overwritten()
        return decide(
            catalog=state.catalog(),
            policy=state.policy(),
            waivers=run.waivers,
            scope=run.scope,
            results=results,
            run=run_value(self._config, state, ended=True, ledger_digest=ledger.digest),
            target=self._target(),
            subject=state.settings.subject,
            integrity=reasons,
            previous=run.previous,
            origins=origins,
            environment=state.environment().keys,
            now=moment(),
        )

    def _origins(self, results: list[GateResult]) -> tuple[Origin, ...]:
        """Return the earlier decisions whose results count here, or were rolled up by a gate of the scope."""
        run, catalog = self._run, self._run.state.catalog()
        phases = {gate.rolls_up for gate in catalog.for_scope(run.scope)}
        rolled_up = [
            result
            for gate_id, result in run.imported.results.items()
            if gate_id in catalog.by_id and catalog.by_id[gate_id].phase in phases
        ]
        counted = {result.imported_from for result in (*results, *rolled_up)}
        return tuple(origin for origin in run.imported.origins if origin.run_id in counted)

    def _overwritten(self) -> list[Reason]:
        """Return the reason for a decision file that is not this run's BLOCK any more."""
        settings = self._run.state.settings
        path = settings.out / DECISION_FILE
        with contextlib.suppress(GateInputError):
            if read_decision(path).run.run_id == settings.run_id:
                return []
        return [
            Reason(
                code=Code.TAMPERED,
                message=f"{path} is not the BLOCK that this run began with: another run has begun in this "
                "folder, or something else has changed the file.",
                remedy="Give each run a folder of its own (--gate-out), and run the whole scope again.",
            )
        ]

    def _ledger(self) -> LedgerView:
        ledger = self._run.state.ledger
        if ledger is None:
            raise RuntimeError("a run that decides has a ledger")
        ledger.append("run_finished", {"run_id": self._run.state.settings.run_id})
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
        gates = self._run.state.catalog().for_scope(self._run.scope)
        results = gate_results(gates, recorder, self._config, ledger.checks)
        here = {recorder.collected.bound[nodeid][0] for nodeid in recorder.collected.selected}
        imported = {
            gate_id: result
            for gate_id, result in self._run.imported.results.items()
            if gate_id not in here  # a gate that is run again counts as it is now
        }
        return [imported.get(result.gate_id, result) for result in results], reasons

    def _unbound(self) -> list[Reason]:
        """Return gates without a test, where the whole project was collected and one should be there."""
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
        bound.update(self._run.imported.results)
        return [
            Reason(
                code=Code.GATE_UNBOUND,
                gate_id=gate.id,
                message=f"No test is bound to {gate.id}.",
                remedy=f'Mark the test that proves it with @pytest.mark.gate("{gate.id}").',
            )
            for gate in self._run.state.catalog().for_scope(self._run.scope)
            if gate.id not in bound
        ]

    def _target(self) -> TargetIdentity:
        """Return the target that was judged, with every address that its names resolved to meanwhile."""
        state, first = self._run.state, self._run.target
        target = (identity.read(state.directory.path) if state.directory else None) or first
        last = identity_of(state.environment())
        return replace(
            target,
            rehearsal=target.rehearsal or first.rehearsal or last.rehearsal,
            addresses=tuple(dict.fromkeys((*first.addresses, *target.addresses, *last.addresses))),
        )

    def _worsen(self, why: str) -> None:
        """Turn the decision into a BLOCK, because of an error after it was made."""
        reason = _internal_error(why)
        last = self.decision
        blocked = self._run.block(self._config, [reason, *(last.reasons if last else ())], ended=True)
        if last is not None:
            blocked = replace(blocked, gates=last.gates, target=last.target, run=last.run)
        self._keep(blocked)

    def _show(self) -> None:
        if self.decision is not None:
            show(
                self._config,
                self.decision,
                self._run.signer.signatures,
                required=self._run.required_signatures,
            )

    def _write(self, text: str) -> None:
        write(self._config, f"bais-gates: {redact(text)}\n")


class ExitCode:
    """Around pytest's main loop: makes the exit status the decision's, also where no session was held."""

    def __init__(self, run: DecidingRun) -> None:
        self._run = run

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """Return the decision's exit status; block what ended without a decision."""
        try:
            result = yield
        except pytest.UsageError as error:
            sys.stderr.write("".join(f"ERROR: {line}\n" for line in error.args))
            return int(self._ended_by(config, error).exit_status)
        except BaseException as error:
            first = config.stash.get(decision_key, None)
            last = self._ended_by(config, error)
            if first is None or not isinstance(error, Exception):
                raise
            write(config, f"bais-gates: a plugin failed after the last test: {format_error(error)}\n")
            if last is not first:
                show(config, last)
            return int(last.exit_status)
        if decision_key not in config.stash and not self._run.fatal:
            broken = int(result or 0) == int(pytest.ExitCode.INTERNAL_ERROR)
            text = f"pytest ended with status {int(result or 0)}, and no session of tests came to its end."
            decision = self._block(config, Code.INTERNAL_ERROR if broken else Code.RUN_INCOMPLETE, text)
            show(config, decision)
            return int(decision.exit_status)
        return int(config.stash[decision_key].exit_status)

    def _ended_by(self, config: pytest.Config, error: BaseException) -> Decision:
        """Block, unless the session did so already for reasons of its own."""
        known = config.stash.get(decision_key, None)
        if known is None or known.verdict is Verdict.DEPLOY:
            what = "pytest did not start" if known is None else "A plugin failed after the last test"
            known = self._block(config, Code.RUN_ABORTED, f"{what}: {format_error(error)}")
        return known

    def _block(self, config: pytest.Config, code: Code, message: str) -> Decision:
        return self._run.block(
            config, [Reason(code=code, message=message, remedy="Run the whole scope again.")], ended=True
        )


class Refusal:
    """Ends a run that may not start, with every reason, before any test is collected."""

    def __init__(self, run: DecidingRun) -> None:
        self._run = run

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Show the decision and return its exit status."""
        decision = self._run.decision or self._run.block(config, self._run.fatal)
        config.stash[decision_key] = decision
        show(config, decision)
        return int(decision.exit_status)


def compare_target(state: RunState) -> list[Reason]:
    """Read the target's identity again, before it is torn down, and return why it blocks if it changed."""
    known = None if state.directory is None else identity.read(state.directory.path)
    if known is None:
        return []  # no gate of this run reached a target
    from bais_gates.targets.constancy import compare_facts  # noqa: PLC0415 - runs without a target load no client

    comparison = compare_facts(state.gate_run(), gates_dir=state.gates_dir)
    changed = [
        Reason(
            code=Code.TARGET_CHANGED,
            message=f"While the gates ran, {change.key} of the target changed from {redact(change.before)} "
            f"to {redact(change.after)}: the gates judged two different targets.",
            remedy="Wait until the rollout, or whatever changed it, is over; then run the whole scope again.",
        )
        for change in comparison.changes
    ]
    lost = [
        Reason(
            code=Code.TARGET_LOST,
            message=f"The target could not be asked whether it is still the one judged. {redact(error)}",
            remedy="Find out why it does not answer; then run the whole scope again.",
        )
        for error in comparison.errors
    ]
    return changed + lost


@without_garbage_collection()
def show(
    config: pytest.Config, decision: Decision, signatures: tuple[Signature, ...] = (), *, required: int = 0
) -> None:
    """Print a decision as the last thing on the terminal, who signed it, and how many the policy requires."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    writer = config.get_terminal_writer() if reporter is not None else None
    colour, width = (
        (writer.hasmarkup, writer.fullwidth)
        if writer is not None
        else (False, shutil.get_terminal_size().columns)
    )
    text = terminal.render(decision, colour=colour, width=width, signatures=signatures, required=required)
    write(config, "\n" + text)


def write(config: pytest.Config, text: str) -> None:
    """Write to the terminal, also where pytest's own reporter is switched off."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.ensure_newline()
        reporter.write(text, flush=True)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()


def _internal_error(why: str) -> Reason:
    return Reason(
        code=Code.INTERNAL_ERROR,
        message=f"internal error in bais-gates: {why}",
        remedy="Run again; if it persists, report it with the output of this run.",
    )
