"""What ends a deciding run from outside, in bounded time: signals, Ctrl-C, and the run's deadline."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.verdict.model import ExitStatus

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.finish import Finish
    from bais_gates.pytest_plugin.recorder import Recorder
    from bais_gates.pytest_plugin.run_state import RunState

GRACE_S = 20.0
"""Seconds that a run has for its clean-up after a signal, before it is killed."""


class Termination:
    """Installed in the process that decides, for as long as its session lasts."""

    def __init__(self, state: RunState, recorder: Recorder, finish: Finish) -> None:
        self._state = state
        self._recorder = recorder
        self._finish = finish
        self._done = threading.Event()
        self._terminating = False
        self._before: dict[int, Any] = {}
        self._masks = threading.local()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Listen for SIGTERM, SIGINT and, but for nohup, SIGHUP, and start the clock of the run."""
        if threading.current_thread() is threading.main_thread():
            hung_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
            for number in (signal.SIGTERM, signal.SIGINT, *((signal.SIGHUP,) if hung_up else ())):
                self._before[number] = signal.signal(number, self._terminate)
            # `bais-gates run` starts pytest with Ctrl-C held back: before this it ends in a traceback.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._forget)
        threading.Thread(target=self._watch, name="bais-gates-deadline", daemon=True).start()

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Stop listening."""
        self._done.set()
        for number, before in self._before.items():
            # `bais-gates run` passes on what a terminal sent to both: maybe only now, as pytest ends anyway.
            passed_on = number == signal.SIGINT and self._state.place
            signal.signal(number, signal.SIG_IGN if passed_on else before)

    def _hold(self) -> None:
        """Hold signals back while a gate forks: Python forgets those that come before the new one runs."""
        blocked = () if self._done.is_set() else self._before
        self._masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)

    def _forget(self) -> None:
        """Let the forked process end as if nobody listened."""
        if not self._done.is_set():
            for number, before in self._before.items():
                signal.signal(number, before)
        self._release()

    def _terminate(self, number: int, _frame: FrameType | None) -> None:
        if self._terminating:  # the clean-up is on its way; a second signal must not end it half-way
            return
        self._terminating = True
        why = self._recorder.aborted or f"it was ended by {signal.Signals(number).name}"
        self._recorder.abort(why)  # a gate may catch what is raised
        self._later(GRACE_S, self._end_hard)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise pytest.exit.Exception(f"bais-gates: {why}", returncode=int(ExitStatus.INCOMPLETE))

    def _watch(self) -> None:
        seconds = self._state.policy().run_deadline_s + self._state.load_seconds()
        if self._done.wait(seconds):
            return
        self._recorder.past_deadline(seconds)
        self._state.shared().stop()
        self._finish.at_deadline()
        for _ in range(int(GRACE_S)):
            if not self._terminating:  # also where the deadline of a gate was raised in the handler's place
                os.kill(os.getpid(), signal.SIGTERM)
            if self._done.wait(1):
                return
        self._end_hard()

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        def wait() -> None:
            if not self._done.wait(seconds):
                call()

        threading.Thread(target=wait, name="bais-gates-grace", daemon=True).start()

    def _end_hard(self) -> None:
        """End the process, as the main thread does not come back. The file says BLOCK already."""
        sys.stderr.write("bais-gates: BLOCK: the run did not end in time, and is ended now.\n")
        sys.stderr.flush()
        os._exit(int(ExitStatus.INCOMPLETE))
