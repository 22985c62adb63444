"""The standard streams of a process: that they are closed, full or read by nobody changes no decision."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Unread(io.FileIO):
    """A stream that goes on when nobody reads it any more (``| head -1``) or it has no room (a full disk)."""

    def write(self, data: Any, /) -> int:
        """Write the data, or drop it."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def open_closed() -> None:
    """Open what was closed before this process began: the next file to be opened would get what it prints."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no keywords
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w", closefd=False))  # noqa: SIM115 - stays open


def outlive_readers() -> None:
    """Keep output that nobody reads from changing the exit status of this process."""
    open_closed()
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        raw = io.BufferedWriter(_Unread(descriptor, "w", closefd=False))
        buffered = not (name == "stderr" or stream.isatty())
        setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=not buffered))
