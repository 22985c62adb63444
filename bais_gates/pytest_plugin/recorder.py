"""Records the reports of a deciding run, in the process that decides, and makes one result a gate of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.collection import Collected
from bais_gates.pytest_plugin.ledger import unwritable_ledger
from bais_gates.pytest_plugin.outcome import Observation, Truth
from bais_gates.redaction import redact
from bais_gates.verdict.model import Check, Code, Gate, GateResult, Outcome, Reason
from bais_gates.verdict.outcomes import worst

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.collection import Collection
    from bais_gates.pytest_plugin.run_state import RunState

CRASHED = "???"
"""The phase of the report that xdist makes for a test whose worker died."""
_MAX_TEXT = 600
_BAD = (Truth.FAILED, Truth.ERROR)


@dataclass(slots=True)
class Seen:
    """The reports of one gate's test."""

    gate_id: str
    case: str | None
    phases: list[str] = field(default_factory=list)
    results: list[GateResult] = field(default_factory=list)
    worsened: Outcome | None = None
    """What a mark or another plugin made of it, where that is worse than what was observed."""
    crashed: str | None = None


class Recorder:
    """Collects the reports of gates, and every reason not to trust the run."""

    def __init__(self, state: RunState, config: pytest.Config, collection: Collection) -> None:
        self._state = state
        self._config = config
        self._collection = collection
        self._from_workers: dict[str, Collected] = {}
        self._ids: dict[str, list[str]] = {}
        self.seen: dict[str, Seen] = {}
        self.integrity: list[Reason] = []
        self.aborted: str | None = None
        """Why the run ended before its end."""
        self.skipped_files: dict[str, str] = {}
        self.collection_failed = False
        self.failed_reports = 0
        self._lost_workers: dict[str, str] = {}

    @property
    def collected(self) -> Collected:
        """What was collected here or, alike, by the workers."""
        return next(iter(self._from_workers.values()), self._collection.collected)

    @property
    def collection_finished(self) -> bool:
        """Whether collection came to its end anywhere."""
        return bool(self._from_workers or self._collection.finished)

    def abort(self, why: str) -> None:
        """Record why the run ends early; the first reason stays."""
        self.aborted = self.aborted or redact(why)[:_MAX_TEXT]

    def past_deadline(self, seconds: float) -> None:
        """Record that the run has used up its time."""
        self.abort(f"its deadline of {seconds:g} s passed")
        self.add(
            Code.RUN_DEADLINE,
            f"The run's deadline of {seconds:g} s passed before it came to its end.",
            "See which gate or clean-up hangs; raise run_deadline_s in the policy only if it is too short.",
        )

    def add(self, code: Code, message: str, remedy: str = "", gate_id: str | None = None) -> None:
        """Record a reason not to trust the run."""
        self.integrity.append(
            Reason(code=code, message=redact(message)[:_MAX_TEXT], remedy=remedy, gate_id=gate_id)
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record files that could not be collected, or were skipped as a whole."""
        if report.failed:
            self.collection_failed = True
            self.failed_reports += 1
            last = (report.longreprtext.strip().splitlines() or [""])[-1]
            self.add(
                Code.COLLECTION_ERROR,
                f"{report.nodeid or 'The tests'} could not be collected: {last}",
                "Run pytest --collect-only, and fix the errors it prints.",
            )
        elif report.skipped:
            self.skipped_files[report.nodeid] = report.longreprtext[:_MAX_TEXT]

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what was observed from a gate's report, and compare it with what the report says."""
        if report.failed:
            self.failed_reports += 1
            self._stop_workers()
        observation = Observation.of_report(report)
        known = self.collected.bound.get(report.nodeid)
        if observation is None and known is None:
            self._of_no_gate(report)
            return
        gate_id, case = known or (observation.gate_id, observation.case)  # type: ignore[union-attr] # one is there
        seen = self.seen.get(report.nodeid) or self.seen.setdefault(report.nodeid, Seen(gate_id, case))
        seen.phases.append(report.when)
        if str(report.when) == CRASHED:
            seen.crashed = redact(report.longreprtext.strip())[:_MAX_TEXT]
            self._state.shared().put_result(gate_id, Outcome.ERROR, case)
        elif observation is None or (known is not None and (observation.gate_id, observation.case) != known):
            self._tampered(gate_id, report, "carries no observation of its own")
        else:
            self._compare(seen, report, observation)

    @pytest.hookimpl(optionalhook=True)  # without xdist there is no such hook
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Take over what a worker collected; all must have collected the same."""
        worker = str(node.gateway.id)
        collected = Collected.from_json(self._state.shared().collection(worker))
        if collected is None:
            self.add(
                Code.WORKERS_DISAGREE, f"The worker {worker} left no record of the gates that it collected."
            )
            return
        self._ids[worker] = list(ids)
        self._from_workers[worker] = collected
        first = next(iter(self._from_workers))
        if collected != self._from_workers[first] or self._ids[worker] != self._ids[first]:
            self.add(
                Code.WORKERS_DISAGREE,
                f"The workers {first} and {worker} collected different tests.",
                "Look for tests whose names or parameters are made at random, or read from an unordered set.",
            )

    @pytest.hookimpl(optionalhook=True)  # without xdist there is no such hook
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Record a worker that did not end by itself."""
        if error:
            last = (str(error).strip().splitlines() or [""])[-1]
            self._lost_workers[str(node.gateway.id)] = redact(last)[:_MAX_TEXT]

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record Ctrl-C, SIGTERM, pytest.exit and what else ends the run from outside."""
        self.abort(f"{excinfo.typename} {str(excinfo.value).strip()}".strip())

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record an internal error of pytest or a plugin."""
        first = (str(excinfo.value).strip().splitlines() or [""])[0]
        self.add(
            Code.INTERNAL_ERROR,
            f"internal error in pytest or a plugin: {excinfo.typename}: {first}",
            "See the INTERNALERROR lines of the run's output.",
        )

    def whole_run_reasons(self, session: pytest.Session, exitstatus: int) -> list[Reason]:
        """Return the reasons that only the end of the run shows."""
        for worker, why in self._lost_workers.items():
            self.abort(f"the worker {worker} was lost ({why})")
        stopped = session.shouldfail or session.shouldstop
        if stopped:
            self.abort(str(stopped))
        explained = bool(self.aborted or self.integrity or self.failed_reports)
        if int(exitstatus) not in {0, 5} and not explained:
            self.abort(f"pytest ended with status {int(exitstatus)}, and no gate accounts for it")
        reasons = list(self.integrity) + list(self.collected.problems)
        if self.aborted is not None:
            reasons.append(
                Reason(
                    code=Code.RUN_ABORTED,
                    message=f"The run ended early: {self.aborted}.",
                    remedy="Run the whole scope again.",
                )
            )
        return reasons

    def _compare(self, seen: Seen, report: pytest.TestReport, observation: Observation) -> None:
        if observation.result is not None:
            seen.results.append(observation.result)
        if observation.ledger_problem is not None:
            reason = unwritable_ledger(observation.ledger_problem)
            if reason not in self.integrity:
                self.integrity.append(reason)
        outcome, truth = str(report.outcome), observation.truth
        if outcome == "rerun" or getattr(report, "rerun", None):
            seen.worsened = seen.worsened or Outcome.FLAKY
        elif hasattr(report, "wasxfail"):
            seen.worsened = Outcome.XFAIL if truth is not Truth.PASSED else Outcome.XPASS
        elif outcome == "failed" and truth is Truth.PASSED and not observation.subtest:
            strict = report.longreprtext.startswith("[XPASS(strict)]")
            seen.worsened = Outcome.XPASS if strict else Outcome.ERROR
        elif (outcome == "passed" and truth is not Truth.PASSED) or (outcome == "skipped" and truth in _BAD):
            self._tampered(
                seen.gate_id, report, f"says {outcome} where the test {report.when} was {truth.value}"
            )

    def _tampered(self, gate_id: str, report: pytest.TestReport, what: str) -> None:
        self.add(
            Code.TAMPERED,
            f"The report of {report.nodeid} {what}: another plugin or a conftest changed it.",
            "Look for hooks around pytest_runtest_makereport, pytest_runtest_call and pytest_pyfunc_call.",
            gate_id,
        )

    def _of_no_gate(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.add(
                Code.FAILED,
                f"{report.nodeid} failed. It is not bound to a gate, but was selected for this decision.",
                "Bind it to a gate, remove the scope's mark from it, or fix it.",
            )

    def _stop_workers(self) -> None:
        limit = self._config.getoption("maxfail", None)
        if limit and self.failed_reports >= limit and self._state.directory is not None:
            self._state.directory.stop()


def gate_results(
    gates: Sequence[Gate],
    recorder: Recorder,
    config: pytest.Config,
    ledger_checks: Mapping[str, Sequence[Check]],
) -> list[GateResult]:
    """Return the results of all gates that were seen, and a NOT_RUN with its reason for each other one."""
    by_gate: dict[str, list[tuple[str | None, GateResult]]] = defaultdict(list)
    for nodeid, seen in recorder.seen.items():
        for result in _of_test(nodeid, seen, recorder, tuple(ledger_checks.get(nodeid, ()))):
            by_gate[seen.gate_id].append((seen.case, result))
    results: list[GateResult] = []
    for gate_id, by_case in by_gate.items():
        results += _joined(gate_id, by_case)
    nodeids: dict[str, list[str]] = defaultdict(list)
    for nodeid, (gate_id, _) in recorder.collected.bound.items():
        nodeids[gate_id].append(nodeid)
    chosen = frozenset(recorder.collected.selected)
    for gate in gates:
        if gate.id not in by_gate:
            is_chosen = not chosen.isdisjoint(nodeids[gate.id])
            message = _why_not_run(recorder, config, found=bool(nodeids[gate.id]), chosen=is_chosen)
            results.append(GateResult(gate_id=gate.id, outcome=Outcome.NOT_RUN, message=message))
    return results


def _of_test(nodeid: str, seen: Seen, recorder: Recorder, checks: tuple[Check, ...]) -> Iterator[GateResult]:
    cases = (seen.case,) if seen.case is not None else ()
    if seen.crashed is not None:
        yield GateResult(
            gate_id=seen.gate_id,
            outcome=Outcome.ERROR,
            message=f"The process that ran it died: {seen.crashed}",
            checks=checks,
            cases=cases,
            nodeid=nodeid,
        )
    elif not seen.results:
        why = f": {recorder.aborted}" if recorder.aborted is not None else ""
        yield GateResult(
            gate_id=seen.gate_id,
            outcome=Outcome.NOT_RUN,
            message=f"Its test began but did not come to its end{why}.",
            checks=checks,
            nodeid=nodeid,
        )
    for result in seen.results:
        passed = result.outcome in {Outcome.PASS, Outcome.VACUOUS}
        # A false check is what was seen, whatever was expected; an assert may have been expected to fail.
        expected = seen.worsened is Outcome.XFAIL and not any(check.ok is False for check in result.checks)
        if seen.worsened is not None and (passed or expected):
            message = f"{_EXPLANATIONS[seen.worsened]} {result.message}".strip()
            yield replace(result, outcome=seen.worsened, message=message)
        else:
            yield result


_EXPLANATIONS = {
    Outcome.FLAKY: "It was run again after a first attempt that failed.",
    Outcome.XFAIL: "It is marked as expected to fail, or called pytest.xfail.",
    Outcome.XPASS: "It passed although it is marked as expected to fail.",
    Outcome.ERROR: "Another plugin reports it as failed although its test passed.",
}


def _joined(gate_id: str, by_case: list[tuple[str | None, GateResult]]) -> list[GateResult]:
    """Join the cases of a gate into one result. A test or case that reported twice stays two results."""
    names = [case for case, _ in by_case]
    if len(by_case) == 1 or None in names or len(set(names)) != len(names):
        return [result for _, result in by_case]
    results = [result for _, result in by_case]
    gravest = worst(results)
    starts = [result.started_at for result in results if result.started_at is not None]
    ran = [result for result in results if result.outcome is not Outcome.NOT_RUN]
    return [
        GateResult(
            gate_id=gate_id,
            outcome=gravest.outcome,
            message="\n".join(f"{case}: {result.message}" for case, result in by_case if result.message),
            checks=tuple(check for result in results for check in result.checks),
            attachments=tuple(one for result in results for one in result.attachments),
            cases=tuple(case for result in ran for case in result.cases),
            needs_not_passed=tuple(dict.fromkeys(need for one in results for need in one.needs_not_passed)),
            nodeid=gravest.nodeid,
            summary=gravest.summary,
            started_at=min(starts) if starts else None,
            duration_s=sum(result.duration_s for result in results),
            worker=gravest.worker,
            attempts=max(result.attempts for result in results),
            log="\n".join(result.log for result in results if result.log),
        )
    ]


def _why_not_run(recorder: Recorder, config: pytest.Config, *, found: bool, chosen: bool) -> str:
    """Return why no report of a gate's tests arrived, of which some were ``found`` and some ``chosen``."""
    early = f" The run ended early: {recorder.aborted}." if recorder.aborted is not None else ""
    if not found and recorder.collection_failed:
        return "No test of it was collected, and collection had errors."
    if not found and recorder.skipped_files:
        files = ", ".join(sorted(recorder.skipped_files)[:5])
        return f"No test of it was collected; skipped as a whole were: {files}."
    if not found:
        return "No test that was collected is bound to it." + early
    if not chosen:
        return f"Its test was deselected ({_selection(config)})."
    for option, text in (
        ("collectonly", "--collect-only"),
        ("setuponly", "--setup-only"),
        ("setupplan", "--setup-plan"),
    ):
        if config.getoption(option, None):
            return f"pytest was called with {text}, so that no test ran."
    return "Its test was selected, but no report of it arrived." + early


def _selection(config: pytest.Config) -> str:
    """Return the options that select tests, as they were given."""
    given = [
        f"{name} {config.getoption(option)}"
        for name, option in (("-m", "markexpr"), ("-k", "keyword"))
        if config.getoption(option, "")
    ]
    given += [
        name
        for name, option in (
            ("--deselect", "deselect"),
            ("--lf", "lf"),
            ("--stepwise", "stepwise"),
            ("--stepwise", "stepwise_skip"),
        )
        if config.getoption(option, None)
    ]
    return ", ".join(given) or "by another plugin"
