"""The ledger: every record of a run in one append-only file, a line at a time, the moment it is made.

At the end of a run the reports are compared with it: what was written at once can't be taken back later.

Each line is one ``write`` to a descriptor opened with O_APPEND, so that the lines of several workers do not
mix and a kill loses at most the line being written. What cannot be written is remembered, never raised: the
run goes on to its BLOCK.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bais_gates.pytest_plugin.deadlines import moment
from bais_gates.redaction import redact, redact_value
from bais_gates.verdict.codec import check_from_json, check_to_json
from bais_gates.verdict.model import Check, Code, GateResult, JsonValue, Outcome, Reason

LEDGER_FILE = "ledger.jsonl"
_encode = json.JSONEncoder().encode  # spares each line the look at the options of json.dumps,
_decode = json.JSONDecoder().decode  # and at the encoding
_LOWEST = 3  # the descriptor after those of standard input, output and error
_REMEDY = "Nothing but `evidence` may write gate-report/ledger.jsonl. Run the whole scope again."


@dataclass(slots=True)
class Ledger:
    """The ledger as one process writes it."""

    path: Path
    worker: str
    problem: str | None = None
    """Why a line could not be written, None while all could."""
    _closed: bool = field(default=False, repr=False)
    _descriptor: int | None = field(default=None, repr=False)
    _sequence: int = field(default=0, repr=False)

    @classmethod
    def create(cls, path: Path) -> Ledger:
        """Create a ledger in place of the one of an earlier run."""
        ledger = cls(path=path, worker="main")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        except OSError as error:
            ledger.problem = f"{path}: {error.strerror}"
        ledger._open(os.O_CREAT | os.O_EXCL)
        return ledger

    @classmethod
    def join(cls, path: Path, worker: str) -> Ledger:
        """Open the ledger that another process of the run created."""
        ledger = cls(path=path, worker=worker)
        ledger._open(0)
        return ledger

    def _open(self, flags: int) -> None:
        if self.problem is not None or self._descriptor is not None:
            return
        try:
            opened = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | flags, 0o666)
            # Where standard input is closed the file would be in its place, which pytest captures.
            self._descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _LOWEST)
            os.close(opened)
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"

    def append(self, kind: str, record: Mapping[str, str | None], **more: JsonValue) -> None:
        """Write one line: the moment, the process, its running number, the kind and the record.

        The texts of ``record`` are redacted. ``more`` is added to it as it is: numbers, and evidence, which
        was redacted as it was recorded.
        """
        self._sequence += 1
        if self._closed:
            self._open(0)
        if self._descriptor is None:
            return
        text = _encode(
            {
                "at": moment().isoformat(timespec="microseconds"),
                "worker": self.worker,
                "pid": os.getpid(),
                "seq": self._sequence,
                "kind": kind,
                "record": {key: value and redact(value) for key, value in record.items()} | more,
            }
        )
        line = f"{text}\n".encode("ascii")
        try:
            written = _write(self._descriptor, line)
        except OSError as error:
            self.problem = self.problem or f"{self.path}: {error.strerror}"
            return
        if written != len(line):
            self.problem = self.problem or f"{self.path}: a line was written in part; the disk may be full"

    def close(self) -> None:
        """Close the file. A later record is written all the same: it is then not the decision's any more."""
        self._closed = True
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def read(self) -> LedgerView:
        """Return what all processes wrote of gates' tests, with the digest of the file's bytes.

        ``problem`` says that the file is absent, was replaced since it was created, or has a broken line.
        """
        view, hashed = LedgerView(), hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                mine = self._descriptor is not None and os.path.samestat(
                    os.fstat(self._descriptor), os.fstat(file.fileno())
                )
                if not mine:
                    view.problem = f"{self.path}: the file was replaced while the run wrote it"
                for line in file:
                    hashed.update(line)
                    if not view.take(line):
                        view.problem = f"{self.path}: a line is not whole"
        except OSError as error:
            return LedgerView(problem=f"{self.path}: {error.strerror}")
        view.digest = f"sha256:{hashed.hexdigest()}"
        return view


@dataclass(slots=True)
class LedgerView:
    """The checks and outcomes of gates' tests that a ledger holds, by nodeid."""

    checks: dict[str, list[Check]] = field(default_factory=dict)
    outcomes: dict[str, list[str]] = field(default_factory=dict)
    digest: str | None = None
    problem: str | None = None

    def take(self, line: bytes) -> bool:
        """Add what a line says; return whether it is a whole record."""
        try:
            entry: Any = _decode(line.decode())
            record, kind = entry["record"], entry["kind"]
            nodeid = str(record.get("nodeid", ""))
            if kind == "check":
                self.checks.setdefault(nodeid, []).append(check_from_json(record["check"]))
            elif kind == "gate_finished":
                self.outcomes.setdefault(nodeid, []).append(str(record["outcome"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            return False
        return True


def reconcile(
    results: Sequence[tuple[str, GateResult]], ledger: LedgerView
) -> tuple[list[tuple[str, GateResult]], list[Reason]]:
    """Compare (nodeid, result) pairs with the ledger; a PASS with a false check there becomes FAIL."""
    reasons: list[Reason] = []
    if ledger.problem is not None:
        reasons.append(_mismatch(f"The ledger can't be trusted: {ledger.problem}."))
    kept: list[tuple[str, GateResult]] = []
    for nodeid, result in results:
        key = str(redact_value(nodeid))
        written, ended = ledger.checks.get(key, []), ledger.outcomes.get(key, [])
        if _same(written, result.checks) and ended[-1:] == [result.outcome.value]:
            kept.append((nodeid, result))
            continue
        reasons.append(
            _mismatch(
                f"{nodeid} reports {result.outcome.value} with {len(result.checks)} checks, the ledger has "
                f"{ended[-1] if ended else 'no outcome'} with {len(written)}.",
                result.gate_id,
            )
        )
        if result.outcome is Outcome.PASS and any(check.ok is False for check in written):
            result = replace(result, outcome=Outcome.FAIL, checks=tuple(written))  # noqa: PLW2901 - what it is kept as
        kept.append((nodeid, result))
    return kept, reasons


def _write(descriptor: int, line: bytes, _call: Callable[[int, bytes], int] = os.write) -> int:
    """Write to a file, also where a gate replaced os.write, e.g. by a file system of its own."""
    return _call(descriptor, line)


def _same(written: Sequence[Check], reported: Sequence[Check]) -> bool:
    return len(written) == len(reported) and all(
        one == other or check_to_json(one) == redact_value(check_to_json(other))
        for one, other in zip(written, reported, strict=True)
    )


def _mismatch(message: str, gate_id: str | None = None) -> Reason:
    return Reason(code=Code.LEDGER_MISMATCH, message=message, gate_id=gate_id, remedy=_REMEDY)


def unwritable_ledger(problem: str) -> Reason:
    """Return the reason for a ledger that cannot be written."""
    return Reason(
        code=Code.INTERNAL_ERROR,
        message=f"The ledger cannot be written: {problem}.",
        remedy="Make room on the disk, or name a folder that can be written to with --gate-out.",
    )
