"""The deadline of a gate: kept by a timer that no gate has a name for, judged afterwards by the clock.

The timer is a POSIX timer of its own, which ``signal.alarm`` and ``signal.setitimer`` do not reach; SIGALRM
is left to gates and pytest-timeout. Its signal is SIGURG, for the reasons that the Go runtime gives for using
it: hardly anything sends it, it may arrive at any time without harm, and where its handler was taken away it
is ignored, while a real-time signal or SIGVTALRM would end the process. It is a signal because only that
interrupts a blocking call, and C code that holds the interpreter but looks for signals, such as a regular
expression. A thread does what is left: where the signal is blocked, or its handler was replaced, it raises in
the test's thread.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from _pytest.outcomes import OutcomeException  # private: what pytest's tear-down goes on after

REPEAT_S = 1.0
"""How often a deadline that has passed is raised again, should the gate swallow it."""

_PHASE_NAMES = {"setup": "in set-up", "call": "in the test", "teardown": "in tear-down"}
_SIGNAL = signal.SIGURG
_SIGEV_THREAD_ID = 4  # <signal.h>: to one thread, as the kernel may choose any that does not block the signal
_TIMER_ABSTIME = 1
# CLOCK_REALTIME_COARSE of Linux: libraries that freeze time leave it alone, and its 4 ms are exact enough.
_WALL_CLOCK = 5 if sys.platform == "linux" else time.CLOCK_REALTIME


def clock(_read: Callable[[], float] = time.perf_counter) -> float:
    """Return seconds of the monotonic clock, also where a gate replaced the functions of ``time``."""
    return _read()


def moment(
    _read: Callable[[int], float] = time.clock_gettime,
    _convert: Callable[..., datetime] = datetime.fromtimestamp,
) -> datetime:
    """Return the present moment in UTC, also where a gate or its fixtures froze the time."""
    return _convert(_read(_WALL_CLOCK), UTC)


class GateDeadline(OutcomeException):
    """The gate's deadline has passed. Not an Exception, so that ``except Exception`` lets it through.

    After any other BaseException pytest leaves clean-ups undone, and fixtures of this gate to the next one.
    """

    def __init__(self, message: str = "the gate's deadline passed") -> None:
        super().__init__(message)


@dataclass(slots=True)
class Due:
    """When the time of one phase of a gate is over."""

    at: float
    """By ``clock``."""
    deadline_s: float
    phase: str
    record: Callable[[GateDeadline], None]
    """Called at the end of a phase that took longer, whether or not anything was raised in it."""
    raised_at: float = 0.0

    def error(self) -> GateDeadline:
        """Return what is raised."""
        where = _PHASE_NAMES[self.phase]
        return GateDeadline(f"the gate's deadline of {self.deadline_s:g} s passed {where}")


class Watchdog:
    """Raises GateDeadline in the thread that made it, which runs the tests of this process."""

    def __init__(self) -> None:
        self._thread = threading.current_thread()
        self._due: Due | None = None
        self._before: Any = None
        has_timers = sys.platform == "linux"  # elsewhere the thread alone keeps the deadlines
        self._timer = _Timer(threading.get_native_id()) if self._is_main and has_timers else None
        self._closed = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, name="bais-gates-watchdog", daemon=True).start()

    @property
    def _is_main(self) -> bool:
        return self._thread is threading.main_thread()

    def listen(self) -> None:
        """Take the signal back from whom took or blocked it: once for each gate."""
        if self._timer is None:
            return
        if signal.getsignal(_SIGNAL) != self._fire:  # the first gate, or the one before took it away
            before = signal.signal(_SIGNAL, self._fire)
            self._before = before if self._before is None else self._before
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (_SIGNAL,))

    def hold(self, due: Due) -> Generator[None, Any, Any]:
        """Wrap a hook: raise GateDeadline in it when its time is over, again each second, and at its end."""
        __tracebackhide__ = True
        try:
            self._due = due
            if self._timer is not None:
                self._timer.set(due.at)
            answer = yield
        finally:
            self._due = None  # with no call before it, so that neither signal nor exception can come between
            late = self._late(due)
        if late:
            raise due.error()
        return answer

    def close(self) -> None:
        """End the timer and the thread, and give the signal back."""
        self._closed.set()
        if self._timer is not None:
            self._timer.close()
        if self._before is not None:
            signal.signal(_SIGNAL, self._before)

    def _late(self, due: Due) -> bool:
        """Return whether a phase that has ended took too long, and record it."""
        if clock() < due.at:
            return False
        # The thread may have raised what has not arrived: let it arrive here. To take it back instead would
        # have the interpreter look for it for ever, an endless loop under a tracer.
        with self._lock:
            try:
                while _raise_in(self._thread, GateDeadline):
                    pass
            except GateDeadline:
                pass
        due.record(due.error())
        return True

    def _fire(self, number: int, frame: FrameType | None) -> None:
        due = self._due
        if due is not None and clock() >= due.at:
            due.raised_at = clock()
            raise due.error()
        if callable(self._before):
            self._before(number, frame)

    def _watch(self) -> None:
        while not self._closed.wait(REPEAT_S):
            with self._lock:
                due = self._due
                if due is not None and clock() - max(due.at, due.raised_at) > REPEAT_S:
                    _raise_in(self._thread, GateDeadline)


def _raise_in(thread: threading.Thread, kind: type[BaseException]) -> bool:
    """Raise in a thread as soon as it runs Python code, once, however often this was called meanwhile.

    Return whether the thread is known by its number, which gevent changes.
    """
    number = ctypes.c_ulong(thread.ident or 0)
    return bool(ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(kind)))


class _Event(ctypes.Structure):
    """``struct sigevent`` of Linux, 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread_id", ctypes.c_int),
        ("padding", ctypes.c_int * 11),
    )


class _Times(ctypes.Structure):
    """``struct itimerspec``: the interval and the first time."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns"))


class _Timer:
    """A POSIX timer (timer_create(2)) that signals one thread; a forked process does not inherit it."""

    def __init__(self, thread_id: int) -> None:
        self._c = ctypes.PyDLL(None, use_errno=True)
        if not hasattr(self._c, "timer_create"):  # before glibc 2.34
            self._c = ctypes.PyDLL("librt.so.1", use_errno=True)
        self._id = ctypes.c_void_p()
        self._at = 0.0
        self._times = _Times(every_s=int(REPEAT_S))
        event = _Event(signal=int(_SIGNAL), notify=_SIGEV_THREAD_ID, thread_id=thread_id)
        if self._c.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._id)):
            raise OSError(ctypes.get_errno(), "timer_create")

    def set(self, at: float) -> None:
        """Signal at this time of ``clock``, and then each second."""
        if at != self._at:
            self._at = at
            self._times.first_s, self._times.first_ns = int(at), int(at % 1 * 1e9)
            self._c.timer_settime(self._id, _TIMER_ABSTIME, ctypes.byref(self._times), None)

    def close(self) -> None:
        """End the timer."""
        self._c.timer_delete(self._id)
