"""Concurrent calls: each has a result or an error."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from bais_gates.probes import volley
from bais_gates.probes.volley import Shot, Volley, fire


def test_all_calls_begin_together_and_keep_their_order() -> None:
    """No call ends before the last one has begun, and results are in the order of the calls."""

    def call(number: int) -> int:
        time.sleep(0.05)
        return number

    fired = fire([partial(call, number) for number in range(50)], deadline_s=10)

    assert fired.results == list(range(50))
    assert fired.errors == []
    assert fired.max_concurrency == 50


def test_an_error_does_not_affect_other_calls() -> None:
    """The other calls have their results."""

    def fail() -> int:
        raise ConnectionError("gone")

    fired = fire([lambda: 1, fail, lambda: 3], deadline_s=10)

    assert fired.results == [1, 3]
    assert fired.errors == ["ConnectionError: gone"]


def test_a_call_that_hangs_ends_with_the_deadline() -> None:
    """It has an error of its own."""
    release = threading.Event()
    began = time.monotonic()
    fired = fire([lambda: release.wait(30), lambda: True], deadline_s=0.3)
    release.set()

    assert time.monotonic() - began < 5
    assert fired.results == [True]
    assert fired.errors == ["CallTimeoutError: no result within 0.3 s"]


def test_max_concurrency_counts_what_overlaps() -> None:
    """A call that ends when another begins does not overlap it."""
    shots = [Shot(began=0.0, ended=2.0, result=1), Shot(began=1.0, ended=3.0, result=1)]
    fired = Volley(shots=(*shots, Shot(began=3.0, ended=4.0, result=1)))

    assert fired.max_concurrency == 2


def test_an_interruption_before_the_start_cancels_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is made afterwards."""
    made: list[int] = []

    def interrupted(_self: object, _within_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(volley._Start, "release", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fire([lambda: made.append(1)] * 5, deadline_s=10)
    time.sleep(0.1)

    assert made == []
