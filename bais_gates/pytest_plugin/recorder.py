"""Hears of all that happens in a deciding run, in the process that decides: facts, not yet a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.collected import Collected, from_json
from bais_gates.pytest_plugin.observation import ATTRIBUTE, Observation, Truth, from_text
from bais_gates.pytest_plugin.opening import no_ledger
from bais_gates.redaction import redact
from bais_gates.verdict.model import Code, GateResult, Outcome, Reason

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.collection import Collection
    from bais_gates.pytest_plugin.state import RunState

CRASHED = "???"
"""The phase of the report that xdist makes for a test whose worker died."""
_MAX_TOLD = 600
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
    """Collects the reports of gates, and every reason not to believe the run."""

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
        """Note why the run ends early; the first reason stays."""
        self.aborted = self.aborted or redact(why)[:_MAX_TOLD]

    def past_deadline(self, seconds: float) -> None:
        """Note that the run has used up its time."""
        self.abort(f"its deadline of {seconds:g} s passed")
        self.add(
            Code.RUN_DEADLINE,
            f"The run's deadline of {seconds:g} s passed before it came to its end.",
            "See which gate or clean-up hangs; raise run_deadline_s in the policy only if it is too short.",
        )

    def add(self, code: Code, message: str, remedy: str = "", gate_id: str | None = None) -> None:
        """Note a reason not to believe the run."""
        self.integrity.append(
            Reason(code=code, message=redact(message)[:_MAX_TOLD], remedy=remedy, gate_id=gate_id)
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note files that could not be collected, or were skipped as a whole."""
        if report.failed:
            self.collection_failed = True
            self.failed_reports += 1
            last = (report.longreprtext.strip().splitlines() or [""])[-1]
            self.add(
                Code.COLLECTION_ERROR,
                f"{report.nodeid or 'The tests'} could not be collected: {last}",
                "Run pytest --collect-only, and correct what it says.",
            )
        elif report.skipped:
            self.skipped_files[report.nodeid] = report.longreprtext[:_MAX_TOLD]

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what was observed from a gate's report, and compare it with what the report says."""
        if report.failed:
            self.failed_reports += 1
            self._tell_workers_to_stop()
        observation = from_text(getattr(report, ATTRIBUTE, None))
        known = self.collected.bound.get(report.nodeid)
        if observation is None and known is None:
            self._of_no_gate(report)
            return
        gate_id, case = known or (observation.gate_id, observation.case)  # type: ignore[union-attr] # one is there
        seen = self.seen.setdefault(report.nodeid, Seen(gate_id, case))
        seen.phases.append(report.when)
        if str(report.when) == CRASHED:
            seen.crashed = redact(report.longreprtext.strip())[:_MAX_TOLD]
            self._state.shared().put_result(gate_id, Outcome.ERROR, case)
        elif observation is None or (known is not None and (observation.gate_id, observation.case) != known):
            self._tampered(gate_id, report, "carries no observation of its own")
        else:
            self._compare(seen, report, observation)

    @pytest.hookimpl(optionalhook=True)  # without xdist there is no such hook
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Take over what a worker collected; all must have collected the same."""
        worker = str(node.gateway.id)
        told = from_json(self._state.shared().collection(worker))
        if told is None:
            self.add(Code.WORKERS_DISAGREE, f"The worker {worker} did not say which gates it collected.")
            return
        self._ids[worker] = list(ids)
        self._from_workers[worker] = told
        first = next(iter(self._from_workers))
        if told != self._from_workers[first] or self._ids[worker] != self._ids[first]:
            self.add(
                Code.WORKERS_DISAGREE,
                f"The workers {first} and {worker} collected different tests.",
                "Look for tests whose names or parameters are made at random, or read from an unordered set.",
            )

    @pytest.hookimpl(optionalhook=True)  # without xdist there is no such hook
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Note a worker that did not end by itself."""
        if error:
            last = (str(error).strip().splitlines() or [""])[-1]
            self._lost_workers[str(node.gateway.id)] = redact(last)[:_MAX_TOLD]

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note Ctrl-C, SIGTERM, pytest.exit and what else ends the run from outside."""
        self.abort(f"{excinfo.typename} {str(excinfo.value).strip()}".strip())

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note that pytest or a plugin broke."""
        first = (str(excinfo.value).strip().splitlines() or [""])[0]
        self.add(
            Code.INTERNAL_ERROR,
            f"pytest or a plugin broke: {excinfo.typename}: {first}",
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
            reason = no_ledger(observation.ledger_problem)
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
                "Bind it to a gate, take the scope's mark from it, or mend it.",
            )

    def _tell_workers_to_stop(self) -> None:
        limit = self._config.getoption("maxfail", None)
        if limit and self.failed_reports >= limit and self._state.directory is not None:
            self._state.directory.stop()


class XdistRecorder:
    """The recorder's ears for xdist's own hooks, registered only where xdist is."""

    def __init__(self, recorder: Recorder) -> None:
        self.pytest_xdist_node_collection_finished = recorder.pytest_xdist_node_collection_finished
        self.pytest_testnodedown = recorder.pytest_testnodedown
