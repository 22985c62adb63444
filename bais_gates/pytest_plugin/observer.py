"""Sees what really happens to a gate's test, in the process that runs it, from inside all other plugins."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.evidence import GateFailure, Recorded, complaint
from bais_gates.pytest_plugin.keys import binding_key, evidence_key, watch_key
from bais_gates.pytest_plugin.observation import ATTRIBUTE, Observation, Truth, to_text
from bais_gates.pytest_plugin.scrub import scrub
from bais_gates.pytest_plugin.watch import Watch, in_words, sentence

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.state import RunState

_NOTHING = Recorded(checks=(), attachments=())


class Observer:
    """Innermost wrappers around a test's phases and its reports.

    What comes out of the test's own code is remembered before any other plugin can swallow or change it, and
    travels with the reports as one JSON text.
    """

    def __init__(self, state: RunState) -> None:
        self._state = state

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Remember what a fixture raises; do not even set up a test whose outcome is clear before it runs."""
        watch = _watch(item)
        if watch is not None:
            watch.begin_attempt()
        with _Phase(watch, "setup"):
            if watch is not None and watch.preset is not None:
                told = f"{watch.preset.outcome.value}: {watch.preset.message}"
                raise pytest.skip.Exception(told, _use_item_location=True)
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Remember what the test raises, and fail it at its end when its checks did not all hold."""
        __tracebackhide__ = True
        with _Phase(_watch(item), "call"):
            answer = yield
            _fail_by_checks(item)
            return answer

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        """Remember what the function itself raises: a wrapper around this hook could swallow it."""
        with _Phase(_watch(pyfuncitem), "call"):
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Remember what the clean-up raises, and fail it when it recorded a check that did not hold."""
        before = len(_unheld(item))
        with _Phase(_watch(item), "teardown"):
            answer = yield
            if len(_unheld(item)) > before:
                _fail_by_checks(item)
            return answer

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Redact the report and have it carry what was seen."""
        before = call.excinfo
        report = yield
        watch = _watch(item)
        if watch is None:
            if evidence_key in item.stash:
                _shorten(report, call)
                scrub(report)
            return report
        errors = [excinfo.value for excinfo in (before, call.excinfo) if excinfo is not None]
        _shorten(report, call)
        scrub(report)
        subtest = watch.running == "call" and call.when == "call"
        observation = self._subtest(watch, errors) if subtest else self._phase(item, watch, report, errors)
        setattr(report, ATTRIBUTE, to_text(observation))
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Redact what was added to a gate's report later, e.g. the captured output of a subtest."""
        if hasattr(report, ATTRIBUTE):
            scrub(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Redact the errors of collection."""
        if not report.passed:
            scrub(report)

    def _subtest(self, watch: Watch, errors: list[BaseException]) -> Observation:
        truth = Truth.PASSED
        for error in errors:
            truth = Watch(binding=watch.binding).settle("call", error)
            if truth is not Truth.PASSED:
                watch.messages.append("in a subtest: " + in_words(error))
        watch.subtests.append(truth)
        return self._observation(watch, "call", truth, subtest=True)

    def _phase(
        self, item: pytest.Item, watch: Watch, report: pytest.TestReport, errors: list[BaseException]
    ) -> Observation:
        when = report.when
        for error in errors:
            watch.saw(when, error)
        truth = watch.settle(when, *errors)
        if truth is not Truth.PASSED and report.longrepr:
            watch.logs.append(f"--- {when} ---\n{report.longreprtext}")
        if when != "teardown":
            return self._observation(watch, when, truth)
        watch.logs += [f"--- {name} ---\n{text}" for name, text in report.sections]
        evidence = item.stash.get(evidence_key, None)
        result = watch.result(
            evidence.recorded() if evidence is not None else _NOTHING,
            summary=sentence(item),
            worker=self._state.worker or "main",
        )
        ledger = self._state.ledger
        if ledger is not None:
            ledger.append(
                "gate_finished",
                {
                    "nodeid": item.nodeid,
                    "gate": result.gate_id,
                    "outcome": result.outcome.value,
                    "checks": len(result.checks),
                    "attempts": result.attempts,
                },
            )
        return self._observation(watch, when, truth, result=result)

    def _observation(self, watch: Watch, when: str, truth: Truth, **more: Any) -> Observation:
        ledger = self._state.ledger
        return Observation(
            gate_id=watch.binding.gate_id,
            case=watch.binding.case,
            when=when,
            truth=truth,
            attempt=watch.attempts,
            ledger_problem=ledger.problem if ledger is not None else None,
            **more,
        )


class _Phase:
    """A phase that runs: what is raised in it is remembered and goes on."""

    def __init__(self, watch: Watch | None, when: str) -> None:
        self._watch = watch
        self._when = when
        self._outer: str | None = None

    def __enter__(self) -> None:
        if self._watch is not None:
            self._outer = self._watch.running
            self._watch.running = self._when

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if self._watch is not None:
            self._watch.running = self._outer
            if error is not None and not isinstance(error, GeneratorExit):
                self._watch.saw(self._when, error)


def _watch(item: pytest.Item) -> Watch | None:
    binding = item.stash.get(binding_key, None)
    if binding is None:
        return None
    watch = item.stash.get(watch_key, None)
    if watch is None:
        watch = item.stash[watch_key] = Watch(binding)
    return watch


def _unheld(item: pytest.Item) -> tuple[object, ...]:
    evidence = item.stash.get(evidence_key, None)
    if evidence is None:
        return ()
    return tuple(check for check in evidence.recorded().checks if check.ok is not True)


def _fail_by_checks(item: pytest.Item) -> None:
    __tracebackhide__ = True
    evidence = item.stash.get(evidence_key, None)
    text = complaint(evidence.recorded()) if evidence is not None else ""
    if text:
        raise GateFailure(text)


def _shorten(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Show the checks that did not hold instead of the frames of pytest and this plugin."""
    if (
        call.excinfo is not None
        and isinstance(call.excinfo.value, GateFailure)
        and report.longrepr is not None
    ):
        report.longrepr = call.excinfo.getrepr(style="value")
