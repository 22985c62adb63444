"""Errors of the sandbox: one paragraph for the user, with the last lines of the log that explains it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from bais_gates.sandbox.processes import log_tail

if TYPE_CHECKING:
    from bais_gates.sandbox.processes import Part


class SandboxError(Exception):
    """A sandbox could not be started, found or changed; the message is one paragraph for the user."""


class StopRequestedError(Exception):
    """The supervisor received a signal to stop, or its owner ended, while it was waiting."""


class OwnerEndedError(StopRequestedError):
    """The sandbox's owner ended, so that nobody else removes what the owner made for it."""


def format_exit_status(status: int) -> str:
    """Return ``exit status 1``, or ``signal 9 (SIGKILL)`` for a negative status."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"


def start_error(name: str, part: Part) -> SandboxError:
    """Return the error for a part that ended, or did not respond, while it was starting."""
    how = "did not respond" if part.status is None else f"ended with {format_exit_status(part.status)}"
    tail = log_tail(part.log) or "empty"
    return SandboxError(f"the sandbox's {name} {how} while it was starting. The end of its log: {tail}")
