"""Calls that are made at once: all of them are seen through, however they end."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from bais_gates.probes import volley
from bais_gates.probes.volley import Shot, Volley, fire


def test_all_begin_together_and_come_back_in_order() -> None:
    """No call is over before the last one has begun, and results stand in the order of the calls."""

    def call(number: int) -> int:
        time.sleep(0.05)
        return number

    fired = fire([partial(call, number) for number in range(50)], deadline_s=10)

    assert fired.results == list(range(50))
    assert fired.errors == []
    assert fired.most_at_once == 50


def test_an_error_is_the_outcome_of_its_call_alone() -> None:
    """A call that raises does not keep the others from their results."""

    def fail() -> int:
        raise ConnectionError("gone")

    fired = fire([lambda: 1, fail, lambda: 3], deadline_s=10)

    assert fired.results == [1, 3]
    assert fired.errors == ["ConnectionError: gone"]


def test_a_call_that_hangs_does_not_hold_the_volley() -> None:
    """A call that is not back at the deadline is told as such, in bounded time."""
    release = threading.Event()
    began = time.monotonic()
    fired = fire([lambda: release.wait(30), lambda: True], deadline_s=0.3)
    release.set()

    assert time.monotonic() - began < 5
    assert fired.results == [True]
    assert fired.errors == ["NotBackError: not back within 0.3 s"]


def test_most_at_once_counts_what_overlaps() -> None:
    """Three calls of which two overlap at most are two at once; one that ends as another begins is not."""
    shots = [Shot(began=0.0, ended=2.0, result=1), Shot(began=1.0, ended=3.0, result=1)]
    fired = Volley(shots=(*shots, Shot(began=3.0, ended=4.0, result=1)))

    assert fired.most_at_once == 2


def test_an_interrupted_volley_makes_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted before all are at the line, nobody is let go: no call is made behind the gate's back."""
    made: list[int] = []

    def interrupted(_self: object, _within_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(volley._Start, "go_when_all_are_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fire([lambda: made.append(1)] * 5, deadline_s=10)
    time.sleep(0.1)

    assert made == []
