"""What a sandbox raises: one paragraph for the user, with the last lines of the log that explains it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from bais_gates.sandbox.processes import log_tail

if TYPE_CHECKING:
    from bais_gates.sandbox.processes import Part


class SandboxError(Exception):
    """A sandbox could not be started, found or changed; the message is one paragraph for the user."""


class ToldToEndError(Exception):
    """The supervisor was told to end, or its owner is gone, while it was waiting for something."""

    owner_is_gone = False


class OwnerGoneError(ToldToEndError):
    """Nobody will ask for the sandbox any more, nor remove what the owner made for it."""

    owner_is_gone = True


def how_it_ended(status: int) -> str:
    """Say ``exit status 1`` or ``signal 9 (SIGKILL)``."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"


def part_ended(name: str, part: Part) -> SandboxError:
    """Make the error for a part that ended, or did not answer, while it was being started."""
    how = "did not answer" if part.status is None else f"ended with {how_it_ended(part.status)}"
    said = log_tail(part.log) or "nothing"
    return SandboxError(
        f"the sandbox's {name} {how} while it was being started; the last it said was: {said}"
    )
