"""What is observed of a gate's test, the outcome that it amounts to, and its way through pytest's reports."""

from __future__ import annotations

import json
import re
import threading
import unittest
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import pytest

from bais_gates.errors import is_finding
from bais_gates.pytest_plugin.deadlines import GateDeadline, clock, moment
from bais_gates.pytest_plugin.evidence import GateFailure, Recorded, format_failures
from bais_gates.redaction import redact
from bais_gates.verdict.codec import result_from_json, result_to_json
from bais_gates.verdict.model import GateResult, Outcome
from bais_gates.verdict.outcomes import PROVEN

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.binding import Binding

# Of this module: a gate may replace json.dumps.
_encode = json.JSONEncoder().encode
_decode = json.JSONDecoder().decode
ATTRIBUTE = "bais_gates"
"""The attribute of a report that carries the observation, from a worker as JSON text: that passes xdist."""
MAX_MESSAGE = 4000
MAX_LOG = 64 * 1024
_PHASE_PREFIXES = {"setup": "in set-up: ", "call": "", "teardown": "in tear-down: "}

gate_test_key: pytest.StashKey[GateTest] = pytest.StashKey()
"""On an item that is bound to a gate: what is observed of its test."""


class Truth(StrEnum):
    """What really happened in one phase of a test, whatever its report says; in descending gravity."""

    ERROR = "error"
    FAILED = "failed"
    XFAILED = "xfailed"
    SKIPPED = "skipped"
    PASSED = "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """An outcome that was clear before the test ran, so that it does not run."""

    outcome: Outcome
    message: str
    needs_not_passed: tuple[str, ...] = ()


@dataclass(slots=True)
class GateTest:
    """Everything observed of one gate's test, over its phases and attempts."""

    binding: Binding
    preset: Preset | None = None
    attempts: int = 0
    running: str | None = None
    """The phase whose hooks run just now."""
    in_test: bool = False
    """Whether the test itself runs, and no fixture, set-up or tear-down: only its own checks prove it."""
    threads: set[threading.Thread] = field(default_factory=set)
    """Those that ran before the attempt."""
    truths: dict[str, Truth] = field(default_factory=dict)
    """Of the last attempt, by phase."""
    errors: dict[str, BaseException] = field(default_factory=dict)
    """Of the last attempt, by phase: the first exception that came out of the innermost part."""
    subtests: list[Truth] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    started_at: datetime = field(default_factory=moment)
    began: float = field(default_factory=clock)
    deadline_s: float = 0.0
    """Seconds that it may take from ``began``; 0 for no deadline."""
    outcome: Outcome | None = None
    """Set with the report of the tear-down."""

    def begin(self, deadline_s: float) -> None:
        """Start the clock of the gate, now that it is its turn."""
        self.started_at = moment()
        self.began = clock()
        self.deadline_s = deadline_s

    def begin_attempt(self) -> None:
        """Reset what belongs to one attempt; recorded checks and messages stay."""
        self.attempts += 1
        self.truths.clear()
        self.errors.clear()
        self.subtests.clear()
        self.threads = set(threading.enumerate())

    def record_error(self, phase: str, error: BaseException) -> None:
        """Keep the first exception of a phase."""
        self.errors.setdefault(phase, error)

    def classify(self, phase: str, *errors: BaseException) -> Truth:
        """Return what a phase amounts to, from what was raised inside and what its report is made from."""
        inner = self.errors.get(phase)
        truth = _gravest(errors if inner is None else (inner, *errors))
        if truth is Truth.FAILED and phase != "call":
            truth = Truth.ERROR
        self.truths[phase] = truth
        return truth

    def add_subtest(self, errors: Sequence[BaseException]) -> Truth:
        """Record a subtest and return what it amounts to."""
        truth = _gravest(errors)
        self.messages += ["in a subtest: " + format_error(error) for error in errors]
        self.subtests.append(truth)
        return truth

    def judge(self, recorded: Recorded) -> Outcome:
        """Return the outcome of the whole test."""
        if self.preset is not None and Truth.ERROR not in self.truths.values():
            return self.preset.outcome
        seen = {*self.truths.values(), *self.subtests} - {Truth.FAILED}
        rules = (
            (recorded.false or self._failed(recorded), Outcome.FAIL),
            (Truth.ERROR in seen, Outcome.ERROR),
            (Truth.SKIPPED in seen, Outcome.SKIPPED),
            (Truth.XFAILED in seen, Outcome.XFAIL),
            (recorded.without_data, Outcome.NO_DATA),
            ("call" not in self.truths, Outcome.NOT_RUN),
            (not recorded.by_test, Outcome.VACUOUS),
            (self.attempts > 1, Outcome.FLAKY),
        )
        return next((outcome for holds, outcome in rules if holds), Outcome.PASS)

    def _failed(self, recorded: Recorded) -> bool:
        """Return whether the test failed by more than checks that had no data."""
        by_checks = isinstance(self.errors.get("call"), GateFailure) and bool(recorded.without_data)
        return Truth.FAILED in self.subtests or (self.truths.get("call") is Truth.FAILED and not by_checks)

    def result(self, recorded: Recorded, *, summary: str, worker: str) -> GateResult:
        """Return the gate's result at the end of its test, and keep the outcome."""
        self.outcome = self.judge(recorded)
        good = self.outcome in PROVEN
        binding = self.binding
        return GateResult(
            gate_id=binding.gate_id,
            outcome=self.outcome,
            message="" if self.outcome is Outcome.PASS else self._message(recorded),
            checks=recorded.checks,
            attachments=recorded.attachments,
            cases=(binding.case,) if binding.case is not None else (),
            needs_not_passed=self.preset.needs_not_passed if self.preset is not None else (),
            nodeid=binding.nodeid,
            summary=summary,
            started_at=self.started_at,
            duration_s=clock() - self.began,
            worker=worker,
            attempts=max(1, self.attempts),
            log="" if good else "\n".join(self.logs)[-MAX_LOG:],
        )

    def _message(self, recorded: Recorded) -> str:
        if self.preset is not None and self.outcome is self.preset.outcome:
            return self.preset.message
        parts = [format_failures(recorded)]
        for phase, error in self.errors.items():
            if not isinstance(error, GateFailure):
                prefix = "" if is_finding(error) else _PHASE_PREFIXES.get(phase, "")
                parts.append(prefix + format_error(error))
        if self.outcome is Outcome.VACUOUS and recorded.checks:
            parts.append(
                "The test itself recorded no check; those there are come from fixtures or its set-up."
            )
        parts += self.messages
        return "\n".join(dict.fromkeys(text for text in parts if text))[:MAX_MESSAGE]


_last: list[tuple[str, Observation | None]] = []
"""The text that was read last, with what it says: several readers of one report share the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One phase of a gate's test as observed where it ran."""

    gate_id: str
    case: str | None
    when: str
    truth: Truth
    attempt: int
    subtest: bool = False
    result: GateResult | None = None
    """The whole result, with the report of the tear-down."""
    ledger_problem: str | None = None

    def to_text(self) -> str:
        """Return the observation as JSON text."""
        return _encode(
            {
                "gate": self.gate_id,
                "case": self.case,
                "when": self.when,
                "truth": self.truth,
                "attempt": self.attempt,
                "subtest": self.subtest,
                "result": None if self.result is None else result_to_json(self.result),
                "ledger_problem": self.ledger_problem,
            }
        )

    @classmethod
    def of_report(cls, report: pytest.TestReport) -> Observation | None:
        """Return the observation that a report carries; None when there is none or it is not one."""
        text = getattr(report, ATTRIBUTE, None)
        if not isinstance(text, str):
            return text if isinstance(text, cls) else None
        for known, observation in _last:
            if known == text:
                return observation
        observation = cls._read(text)
        _last[:] = [(text, observation)]
        return observation

    @classmethod
    def _read(cls, text: str) -> Observation | None:
        try:
            data = _decode(text)
            result = data["result"]
            return cls(
                gate_id=str(data["gate"]),
                case=data["case"],
                when=str(data["when"]),
                truth=Truth(data["truth"]),
                attempt=int(data["attempt"]),
                subtest=bool(data["subtest"]),
                result=None if result is None else result_from_json(str(data["gate"]), result),
                ledger_problem=data["ledger_problem"],
            )
        except (ValueError, KeyError, TypeError):
            return None


def format_error(error: BaseException) -> str:
    """Return an exception as a short redacted text: its type, where that adds something, and its message."""
    try:
        text = str(error).strip()
    except Exception as broken:  # noqa: BLE001 - the exception's own __str__ may do anything
        text = f"(no message: its __str__ raised {type(broken).__name__})"
    if isinstance(error, pytest.FixtureLookupError):  # its own shows a request of pytest's
        text = error.msg or f"no fixture {error.argname!r} here; `pytest --fixtures` lists those there are"
    text = redact(text[: MAX_MESSAGE * 2])[:MAX_MESSAGE]
    if is_finding(error) or isinstance(error, GateDeadline | pytest.skip.Exception | pytest.fail.Exception):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def summary_of(item: pytest.Item) -> str:
    """Return the first paragraph of a test's docstring on one line: the sentence that the gate proves."""
    documentation = getattr(getattr(item, "obj", None), "__doc__", None)
    if not isinstance(documentation, str):
        return ""
    first = re.split(r"\n\s*\n", documentation.strip(), maxsplit=1)[0]
    return redact(" ".join(first.split()))[:1000]


def _gravest(errors: Sequence[BaseException]) -> Truth:
    if not errors:
        return Truth.PASSED
    truths = {_truth_of(error) for error in errors}
    return next((truth for truth in Truth if truth in truths), Truth.PASSED)


def _truth_of(error: BaseException) -> Truth:
    if isinstance(error, pytest.xfail.Exception):
        return Truth.XFAILED
    if isinstance(error, pytest.skip.Exception | unittest.SkipTest):
        return Truth.SKIPPED
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return Truth.FAILED
    return Truth.ERROR
