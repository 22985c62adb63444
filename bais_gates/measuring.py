"""Let one run at a time measure on this machine: two that measure times at once both measure the other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def alone_on_this_machine(waiting: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other run of this user measures here, and hold the others off meanwhile.

    ``waiting`` is called once if there is something to wait for. A process that dies lets go. Where the lock
    can't be had, nothing is waited for: a measurement itself judges whether it was starved.
    """
    path = Path(tempfile.gettempdir(), f"bais-gates-{os.getuid()}.measuring")
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        yield
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting("waiting for another run that measures on this machine")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
