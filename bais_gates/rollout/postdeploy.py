"""The gates of phase postdeploy, run by a deploy about what runs, after its watch and after a rollback."""

from __future__ import annotations

import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from bais_gates.errors import GateInputError
from bais_gates.redaction import redact
from bais_gates.verdict.document import load_decision
from bais_gates.verdict.model import Code, ExitStatus, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.rollout.record import Record
    from bais_gates.verdict.model import Reason

SCOPE: Final = Phase.POSTDEPLOY.value
_END_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the gates of a phase say: they passed if neither list has anything."""

    failed: tuple[str, ...] = ()
    """Gates of which a check was false, each with the reason: the release is at fault."""
    unproven: tuple[str, ...] = ()
    """Why the rest is not proven: no data, a gate that could not check, a run that did not end."""


class Gates(Protocol):
    """What judges the running release; tests bring their own."""

    def run(self, record: Record, images: dict[str, str], *, within_s: float | None = None) -> Judged:
        """Judge what runs; ``images`` is what should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostdeployGates:
    """Those gates of a suite, as a deciding run of a process of its own."""

    env: str
    catalog: Path
    records: Path
    progress: Callable[[str], None]

    def run(self, record: Record, images: dict[str, str], *, within_s: float | None = None) -> Judged:
        """Run them and read their decision; a run that is not done ``within_s`` seconds is ended."""
        run_id = f"{record.id}-{secrets.token_hex(3)}"
        folder = self.records / record.environment / f"{record.id}.{SCOPE}" / record.phase.lower()
        command = [sys.executable, "-m", "bais_gates", "run", SCOPE, "--env", self.env]
        command += ["--out", str(folder), "--run-id", run_id]
        if (subject := _subject(record, images)) is not None:
            command += ["--subject", subject]
        command += ["--", f"--gate-catalog={self.catalog}"]
        self.progress(f"gates of phase {SCOPE}: report in {folder}")
        log = folder / "output.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as output:
                status = _run(command, output.fileno(), within_s)
        except OSError as error:
            return Judged(unproven=(f"the gates could not be run ({error.strerror})",))
        if status is None:
            return Judged(unproven=(f"the gates were not done within {within_s:.0f} s",))
        return _read(folder / "decision.json", run_id, status, log)


def _run(command: list[str], output: int, within_s: float | None) -> int | None:
    """Return the exit status of a command; None if it had to be ended."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _read(file: Path, run_id: str, status: int, log: Path) -> Judged:
    """Return what a run's decision says; unproven where it and the exit status do not agree."""
    try:
        decision = load_decision(file)
    except (GateInputError, OSError) as error:
        return Judged(unproven=(redact(f"the gates' run ended with {status}, see {log} ({error})"),))
    if (decision.run.run_id, decision.scope, int(decision.exit_status)) != (run_id, SCOPE, status):
        return Judged(unproven=(f"the gates' run ended with {status}, and {file} says otherwise; see {log}",))
    if decision.exit_status is ExitStatus.DEPLOY:
        return Judged()
    return Judged(
        failed=tuple(_text(one) for one in decision.reasons if one.code is Code.FAILED),
        unproven=tuple(_text(one) for one in decision.reasons if one.code is not Code.FAILED),
    )


def _text(reason: Reason) -> str:
    where = reason.gate_id or ", ".join(reason.holds_back)
    return redact(f"{where + ': ' if where else ''}{reason.code}: {reason.message.rstrip('.')}")


def _subject(record: Record, images: dict[str, str]) -> str | None:
    """Return the image that the deploy is about, among those that should run; None without a digest."""
    found = {images[name] for name in record.images if name in images}
    return found.pop() if len(found) == 1 and "@sha256:" in next(iter(found)) else None
