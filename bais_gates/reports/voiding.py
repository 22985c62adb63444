"""Take an older decision out of a report folder, before anything of a new run can fail.

Imports next to nothing at first: a run that is killed right after its start leaves no old DEPLOY either.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bais_gates.verdict.model import Previous, Reason

_DECISION = "decision.json"
_MOST_BYTES = 256 * 1024 * 1024  # verdict.document.MAX_BYTES, which takes an import
_STALE = (
    "signoff.html",
    "report.html",
    "ctrf.json",
    "junit.xml",
    "decision.intoto.jsonl",
    "vsa.predicate.json",
    "test-result.predicate.json",
    "sandbox.pub",
)
"""What would look green beside a decision that is gone; the new run's reports replace them."""


def void_all(
    outs: Iterable[str], *, option: str, run_id: str, command: Sequence[str], scope: str = "golive"
) -> bool:
    """Void the decisions of these folders; return False after a line on stderr about each that stays.

    ``option`` is how another folder is named.
    """
    done = True
    for out in outs:
        try:
            void(out, run_id=run_id, command=command, scope=scope)
        except OSError as error:
            done = False
            sys.stderr.write(
                f"bais-gates: BLOCK: the older decision in {out} can't be taken away ({error.strerror}), and "
                f"could pass for this run's. Correct the folder's owner and mode, or name another one "
                f"with {option}.\n"
            )
    return done


def void(out: str, *, run_id: str, command: Sequence[str], scope: str = "golive") -> None:
    """Replace the decision in the folder ``out``, if there is one, by the BLOCK of a run that has not ended.

    Where no BLOCK can be written (full disk) the decision is removed, and where it can't be removed
    (folder without write permission) it is emptied. Raises OSError when neither can be done.
    """
    path = os.path.join(out, _DECISION)  # noqa: PTH118 - pathlib takes longer to import than all of this
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:  # it can't be read, here and now
        _remove(path)
        return
    try:
        if not _is_decision(descriptor):
            return
        _remove(path)
        remove_stale(out)
        with suppress(OSError):
            previous = _previous(descriptor)
            write_block(out, run_id=run_id, scope=scope, command=command, previous=previous)
    finally:
        os.close(descriptor)


def remove_stale(out: str) -> None:
    """Remove the pages of an earlier run."""
    for name in _STALE:
        with suppress(OSError):
            os.unlink(os.path.join(out, name))  # noqa: PTH108, PTH118 - as above


def _is_decision(descriptor: int) -> bool:
    """Return whether somebody could take the file for a decision."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    if os.fstat(descriptor).st_size > _MOST_BYTES:  # `verify` refuses it unread
        return False
    with open(descriptor, "rb", closefd=False) as file:
        return b'"verdict"' in file.read()


def _remove(path: str) -> None:
    """Remove a file, or empty it where its folder can't be written. Raises OSError."""
    try:
        os.unlink(path)  # noqa: PTH108 - as above
    except OSError:
        with suppress(OSError):
            os.chmod(path, 0o600)  # noqa: PTH101 - as above; the file may be read-only, too
        os.truncate(path, 0)


def _previous(descriptor: int) -> Previous | None:
    """Return the decision that was removed, in short; the descriptor still reads it."""
    from pathlib import Path  # noqa: PLC0415 - once nothing is left to be taken for a DEPLOY

    from bais_gates.errors import GateInputError  # noqa: PLC0415 - as above
    from bais_gates.verdict.document import load_previous  # noqa: PLC0415 - as above

    try:
        return load_previous(Path(f"/proc/self/fd/{descriptor}"))
    except (GateInputError, OSError):
        return None


def write_block(
    out: str | Path, *, run_id: str, scope: str, command: Sequence[str], previous: Previous | None = None
) -> None:
    """Write the BLOCK of a run that has begun and knows no more of itself. Raises OSError."""
    from datetime import UTC, datetime  # noqa: PLC0415 - as above
    from pathlib import Path  # noqa: PLC0415 - as above

    from bais_gates.reports.files import write_decision  # noqa: PLC0415 - as above
    from bais_gates.verdict.decide import undecided  # noqa: PLC0415 - as above
    from bais_gates.verdict.model import Run  # noqa: PLC0415 - as above

    run = Run(
        run_id=run_id,
        started_at=datetime.now(UTC),
        finished_at=None,
        command=tuple(command),
        workers=1,
        versions=(),
        ledger_digest=None,
    )
    decision = undecided(scope=scope, run=run, reason=unfinished(), previous=previous)
    write_decision(decision, Path(out, _DECISION))


def unfinished() -> Reason:
    """Return the reason of a run that has begun and not ended."""
    from bais_gates.verdict.model import Code, Reason  # noqa: PLC0415 - as above

    return Reason(
        code=Code.RUN_INCOMPLETE,
        message="The run started and has come to no decision: it is still running, was refused before its "
        "first gate, or was killed or cancelled.",
        remedy="Wait for it to end, or run the whole scope again.",
    )
