"""Observes what really happens to a gate's test, in the process that runs it, inside all other plugins."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import inspect
import os
import unittest
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.errors import is_finding
from bais_gates.pytest_plugin import background
from bais_gates.pytest_plugin.binding import binding_key
from bais_gates.pytest_plugin.evidence import GateFailure, Recorded, evidence_key, format_failures
from bais_gates.pytest_plugin.outcome import (
    ATTRIBUTE,
    GateTest,
    Observation,
    Truth,
    gate_test_key,
    summary_of,
)
from bais_gates.redaction import redact

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.run_state import RunState

_NOTHING = Recorded(checks=(), attachments=(), by_test=False)
_MAX_DEPTH = 12
"""How deep pytest's representation of an error is followed."""


class Observer:
    """Innermost wrappers around a test's phases and its reports.

    What comes out of the test's own code is recorded before any other plugin can swallow or change it, and
    travels with the reports, from a worker as one JSON text.
    """

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._listens = state.settings.deciding and background.listen()

    def pytest_collection_finish(self) -> None:
        """Leave what is there before the first test out of every later garbage collection and search."""
        if self._listens:
            gc.freeze()

    @pytest.hookimpl(wrapper=True)
    def pytest_unconfigure(self) -> Generator[None, None, None]:
        """Leave the process as it was, after pytest has collected garbage once more."""
        try:
            return (yield)
        finally:
            if self._listens:
                gc.unfreeze()
                background.stop()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Record what a fixture raises; skip a test whose outcome is clear before it runs."""
        test = _gate_test(item)
        if test is not None:
            test.begin_attempt()
        with _Phase(test, "setup"):
            if test is not None and test.preset is not None:
                reason = f"{test.preset.outcome.value}: {test.preset.message}"
                raise pytest.skip.Exception(reason, _use_item_location=True)
            answer = yield
            background.raise_heard()
            return answer

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Record what the test raises, and fail it at its end when its checks did not all hold."""
        __tracebackhide__ = True
        test = _gate_test(item)
        with _Phase(test, "call"), _own_method(item, test):
            try:
                answer = yield
            except Warning:  # of pytest, about what was heard of, too
                background.raise_heard()
                raise
            _fail_by_checks(item)
            background.raise_heard()
            return answer

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        """Record what the function itself raises: a wrapper around this hook could swallow it."""
        test = _gate_test(pyfuncitem)
        with _Phase(test, "call"):
            if test is None:
                return (yield)
            before = pyfuncitem.obj
            pyfuncitem.obj = _own(before, test)
            try:
                return (yield)
            finally:
                pyfuncitem.obj = before

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, Any, Any]:
        """Record what the clean-up raises, and fail it when it recorded a check that did not hold."""
        before = _count_not_held(item)
        test = _gate_test(item)
        with _Phase(test, "teardown"):
            answer = yield
            if test is not None:
                background.wait_for_threads(test.threads)
            if _count_not_held(item) > before:
                _fail_by_checks(item)
            if nextitem is None and self._listens:
                background.search()
                gc.freeze()  # what is left are results, for the decision
            background.raise_heard()
            return answer

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Redact the report and have it carry what was seen."""
        before = call.excinfo
        report = yield
        test = _gate_test(item)
        if test is None:
            if evidence_key in item.stash:
                _shorten(report, call)
                redact_report(report)
            return report
        errors = [excinfo.value for excinfo in (before, call.excinfo) if excinfo is not None]
        _shorten(report, call)
        redact_report(report)
        if test.running == "call" and call.when == "call":
            observation = self._observation(test, "call", test.add_subtest(errors), subtest=True)
        else:
            observation = self._phase(item, test, report, errors)
        setattr(report, ATTRIBUTE, observation.to_text() if self._state.worker else observation)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Redact what was added to a gate's report later, e.g. the captured output of a subtest."""
        if hasattr(report, ATTRIBUTE):
            redact_report(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Redact the errors of collection."""
        if not report.passed:
            redact_report(report)

    def _phase(
        self, item: pytest.Item, test: GateTest, report: pytest.TestReport, errors: list[BaseException]
    ) -> Observation:
        when = report.when
        for error in errors:
            test.record_error(when, error)
        truth = test.classify(when, *errors)
        if truth is not Truth.PASSED and report.longrepr:
            test.logs.append(f"--- {when} ---\n{report.longreprtext}")
        if when != "teardown":
            return self._observation(test, when, truth)
        test.logs += [f"--- {name} ---\n{text}" for name, text in report.sections]
        evidence = item.stash.get(evidence_key, None)
        if evidence is not None:
            evidence.end()
        result = test.result(
            evidence.recorded() if evidence is not None else _NOTHING,
            summary=summary_of(item),
            worker=self._state.worker or "main",
        )
        ledger = self._state.ledger
        if ledger is not None:
            ledger.append(
                "gate_finished",
                {"nodeid": item.nodeid, "gate": result.gate_id, "outcome": result.outcome.value},
                checks=len(result.checks),
                attempts=result.attempts,
            )
        return self._observation(test, when, truth, result=result)

    def _observation(self, test: GateTest, when: str, truth: Truth, **more: Any) -> Observation:
        ledger = self._state.ledger
        return Observation(
            gate_id=test.binding.gate_id,
            case=test.binding.case,
            when=when,
            truth=truth,
            attempt=test.attempts,
            ledger_problem=ledger.problem if ledger is not None else None,
            **more,
        )


class _Phase:
    """A phase that runs: what is raised in it is recorded and goes on.

    A process that was forked in it is no part of the run, and ends with it instead of running the rest.
    """

    def __init__(self, test: GateTest | None, phase: str) -> None:
        self._test = test
        self._phase = phase
        self._outer: str | None = None
        self._pid = os.getpid()

    def __enter__(self) -> None:
        if self._test is not None:
            self._outer = self._test.running
            self._test.running = self._phase

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if os.getpid() != self._pid:
            background.end_forked(error)
        if self._test is not None:
            self._test.running = self._outer
            if error is not None and not isinstance(error, GeneratorExit):
                self._test.record_error(self._phase, error)


@contextlib.contextmanager
def _own_method(item: pytest.Item, test: GateTest | None) -> Iterator[None]:
    """Have the method of a unittest.TestCase count as the test itself; its setUp runs in the same phase."""
    instance = getattr(item, "instance", None)
    if test is None or not isinstance(instance, unittest.TestCase) or not isinstance(item, pytest.Function):
        yield
        return
    before = item.obj
    item.obj = _own(before, test)
    setattr(instance, item.name, item.obj)  # where unittest looks, of a coroutine or under pytest-django
    try:
        yield
    finally:
        item.obj = before
        vars(instance).pop(item.name, None)


def _own(function: Callable[..., Any], test: GateTest) -> Callable[..., Any]:
    """Return a test's function such that the test is known to run in it; what it returns is an error."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*arguments: Any, **named: Any) -> None:
            __tracebackhide__ = True
            test.in_test = True
            try:
                _require_nothing(await function(*arguments, **named))
            finally:
                test.in_test = False

        return run_async

    @functools.wraps(function)
    def run(*arguments: Any, **named: Any) -> None:
        __tracebackhide__ = True
        test.in_test = True
        try:
            _require_nothing(function(*arguments, **named))
        finally:
            test.in_test = False

    return run


def _require_nothing(answer: object) -> None:
    """Fail a test that returned something: pytest only warns, and a filter may ignore that."""
    __tracebackhide__ = True
    if answer is not None:
        pytest.fail(f"the test returned {type(answer).__name__}: use assert, or evidence.check")


def _gate_test(item: pytest.Item) -> GateTest | None:
    test = item.stash.get(gate_test_key, None)
    if test is None and (binding := item.stash.get(binding_key, None)) is not None:
        test = item.stash[gate_test_key] = GateTest(binding)
    return test


def _count_not_held(item: pytest.Item) -> int:
    evidence = item.stash.get(evidence_key, None)
    return 0 if evidence is None else evidence.count_not_held()


def _fail_by_checks(item: pytest.Item) -> None:
    __tracebackhide__ = True
    evidence = item.stash.get(evidence_key, None)
    if evidence is not None and evidence.count_not_held():
        raise GateFailure(format_failures(evidence.recorded()))


def _shorten(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Show what was found, a check that did not hold or a target that can't be judged, without frames."""
    if call.excinfo is not None and is_finding(call.excinfo.value) and report.longrepr is not None:
        report.longrepr = call.excinfo.getrepr(style="value")


def redact_report(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Redact a report's traceback and captured sections, in place."""
    if report.longrepr is not None:
        report.longrepr = _redacted(report.longrepr, 0)  # type: ignore[assignment] # of the type it had
    if report.sections:
        report.sections[:] = [(name, redact(text)) for name, text in report.sections]
    properties = getattr(report, "user_properties", None)
    if properties and isinstance(properties, list):
        properties[:] = [
            (name, redact(value) if isinstance(value, str) else value) for name, value in properties
        ]


def _redacted(value: object, depth: int) -> object:
    """Return ``value`` with its texts redacted: pytest's representations of errors are changed in place."""
    if depth > _MAX_DEPTH or value is None:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        parts = [_redacted(part, depth + 1) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    if type(value).__module__.startswith("_pytest."):
        names = (
            [field.name for field in dataclasses.fields(value)]
            if dataclasses.is_dataclass(value)
            else list(getattr(value, "__dict__", ()))
        )
        for name in names:
            part = getattr(value, name, None)
            if isinstance(part, str | list | tuple) or type(part).__module__.startswith("_pytest."):
                object.__setattr__(value, name, _redacted(part, depth + 1))
    return value
