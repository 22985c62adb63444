"""What was seen of one gate's test while it ran, and what that amounts to."""

from __future__ import annotations

import inspect
import time
import unittest
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from bais_gates.pytest_plugin.deadlines import GateDeadline
from bais_gates.pytest_plugin.evidence import GateFailure, Recorded, complaint
from bais_gates.pytest_plugin.observation import Truth
from bais_gates.redaction import redact
from bais_gates.verdict.model import GateResult, Outcome

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.binding import Binding

MAX_MESSAGE = 4000
MAX_LOG = 64 * 1024
_PHASE_NAMES = {"setup": "in set-up: ", "call": "", "teardown": "in tear-down: "}


def truth_of(error: BaseException | None) -> Truth:
    """Tell what an exception out of a test's function means; set-up and tear-down know no FAILED."""
    if error is None:
        return Truth.PASSED
    if isinstance(error, pytest.xfail.Exception):
        return Truth.XFAILED
    if isinstance(error, pytest.skip.Exception | unittest.SkipTest):
        return Truth.SKIPPED
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return Truth.FAILED
    return Truth.ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """An outcome that was clear before the test ran, so that it does not run."""

    outcome: Outcome
    message: str
    needs_not_passed: tuple[str, ...] = ()


@dataclass(slots=True)
class Watch:
    """Everything seen of one test, over its phases and attempts."""

    binding: Binding
    preset: Preset | None = None
    attempts: int = 0
    running: str | None = None
    """The phase whose hooks run just now."""
    truths: dict[str, Truth] = field(default_factory=dict)
    """Of the last attempt, by phase."""
    errors: dict[str, BaseException] = field(default_factory=dict)
    """Of the last attempt, by phase: the first exception that came out of the innermost part."""
    subtests: list[Truth] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)
    deadline_at: float = 0.0
    """When (monotonic) its deadline passes."""
    outcome: Outcome | None = None
    """Set with the report of the tear-down."""

    def begin(self, deadline_s: float) -> None:
        """Start the clock of the gate, now that it is its turn."""
        self.started_at = datetime.now(UTC)
        self.began = time.monotonic()
        self.deadline_at = self.began + deadline_s

    def begin_attempt(self) -> None:
        """Start anew with the phases; what was recorded and said before stays."""
        self.attempts += 1
        self.truths.clear()
        self.errors.clear()
        self.subtests.clear()

    def saw(self, when: str, error: BaseException) -> None:
        """Remember the first exception of a phase."""
        self.errors.setdefault(when, error)

    def settle(self, when: str, *errors: BaseException | None) -> Truth:
        """Return what a phase amounts to, from what was seen inside and what its report is made from."""
        truths = [truth_of(error) for error in (self.errors.get(when), *errors) if error is not None]
        truth = next((one for one in _GRAVEST_FIRST if one in truths), Truth.PASSED)
        if truth is Truth.FAILED and when != "call":
            truth = Truth.ERROR
        self.truths[when] = truth
        return truth

    def judge(self, recorded: Recorded) -> Outcome:
        """Return the outcome of the whole test."""
        if self.preset is not None:
            return self.preset.outcome
        seen = {*self.truths.values(), *self.subtests} - {Truth.FAILED}
        rules = (
            (recorded.false or self._failed(recorded), Outcome.FAIL),
            (Truth.ERROR in seen, Outcome.ERROR),
            (Truth.SKIPPED in seen, Outcome.SKIPPED),
            (Truth.XFAILED in seen, Outcome.XFAIL),
            (recorded.without_data, Outcome.NO_DATA),
            ("call" not in self.truths, Outcome.NOT_RUN),
            (not recorded.checks, Outcome.VACUOUS),
            (self.attempts > 1, Outcome.FLAKY),
        )
        return next((outcome for holds, outcome in rules if holds), Outcome.PASS)

    def _failed(self, recorded: Recorded) -> bool:
        """Tell whether the test failed by more than checks that had no data."""
        by_checks = isinstance(self.errors.get("call"), GateFailure) and bool(recorded.without_data)
        return Truth.FAILED in self.subtests or (self.truths.get("call") is Truth.FAILED and not by_checks)

    def result(self, recorded: Recorded, *, summary: str, worker: str) -> GateResult:
        """Return the gate's result at the end of its test."""
        self.outcome = self.judge(recorded)
        good = self.outcome in {Outcome.PASS, Outcome.NOT_APPLICABLE}
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
            duration_s=time.monotonic() - self.began,
            worker=worker,
            attempts=max(1, self.attempts),
            log="" if good else "\n".join(self.logs)[-MAX_LOG:],
        )

    def _message(self, recorded: Recorded) -> str:
        if self.preset is not None:
            return self.preset.message
        told = [complaint(recorded)]
        for when, error in self.errors.items():
            if not isinstance(error, GateFailure):
                told.append(_PHASE_NAMES.get(when, "") + in_words(error))
        told += self.messages
        return "\n".join(dict.fromkeys(text for text in told if text))[:MAX_MESSAGE]


_GRAVEST_FIRST = (Truth.ERROR, Truth.FAILED, Truth.XFAILED, Truth.SKIPPED, Truth.PASSED)


def in_words(error: BaseException) -> str:
    """Return an exception as a short redacted text: its type, where that tells more, and what it says."""
    try:
        text = str(error).strip()
    except Exception as broken:  # noqa: BLE001 - the exception's own __str__ may do anything
        text = f"(its text cannot be had: {type(broken).__name__})"
    text = redact(text[: MAX_MESSAGE * 2])[:MAX_MESSAGE]
    if isinstance(error, GateFailure | GateDeadline | pytest.skip.Exception | pytest.fail.Exception):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def sentence(item: pytest.Item) -> str:
    """Return the first paragraph of a test's docstring on one line: the sentence that the gate proves."""
    documentation = getattr(getattr(item, "obj", None), "__doc__", None)
    if not isinstance(documentation, str):
        return ""
    return redact(" ".join(inspect.cleandoc(documentation).split("\n\n")[0].split()))[:1000]
