"""One exclusive gate, or any number of others: kept across xdist workers by file locks."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@contextlib.contextmanager
def its_turn(lock_file: Path, *, exclusive: bool) -> Iterator[None]:
    """Wait until a gate may run, and hold the others off while it does.

    An exclusive gate that waits keeps later ones from starting (it holds the door), so that it is not passed
    over for ever. A process that dies lets go of everything.
    """
    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    door_file = lock_file.with_suffix(".door")
    with lock_file.open("a") as room:
        with door_file.open("a") as door:
            fcntl.flock(door, mode)
            fcntl.flock(room, mode)
        yield
