"""The ledger: every record of a run in one append-only file, a line at a time, the moment it is made.

Each line is one ``write`` to a descriptor opened with O_APPEND, so that the lines of several workers do not
mix and a kill loses at most the line being written. What cannot be written is remembered, never raised: the
run goes on to its BLOCK.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bais_gates.redaction import redact_value
from bais_gates.verdict.model import JsonValue

LEDGER_FILE = "ledger.jsonl"


@dataclass(slots=True)
class Ledger:
    """One process's hold on the ledger."""

    path: Path
    worker: str
    problem: str | None = None
    """Why a line could not be written, None while all could."""
    _descriptor: int | None = field(default=None, repr=False)
    _sequence: int = field(default=0, repr=False)

    @classmethod
    def create(cls, path: Path) -> Ledger:
        """Begin a new ledger in place of the one of an earlier run."""
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
        """Write into the ledger that another process of the run began."""
        ledger = cls(path=path, worker=worker)
        ledger._open(0)
        return ledger

    def _open(self, flags: int) -> None:
        if self.problem is not None:
            return
        try:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | flags, 0o666)
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"

    def append(self, kind: str, record: dict[str, JsonValue]) -> None:
        """Write one line: the moment, the process, its running number, the kind and the record, redacted."""
        self._sequence += 1
        head: dict[str, JsonValue] = {
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "worker": self.worker,
            "pid": os.getpid(),
            "seq": self._sequence,
            "kind": kind,
        }
        line = json.dumps(head | {"record": redact_value(record)}).encode("ascii") + b"\n"
        if self._descriptor is None:
            return
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            self.problem = self.problem or f"{self.path}: {error.strerror}"
            return
        if written != len(line):
            self.problem = self.problem or f"{self.path}: a line was written in part; the disk may be full"

    def close(self) -> None:
        """Let go of the file; later records are dropped."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def read(self) -> LedgerContent:
        """Return what all processes wrote, with the digest of the file's bytes.

        A file that is absent, was put in place of the one that was begun, or has a broken line is told in
        ``problem``.
        """
        try:
            content = self.path.read_bytes()
            replaced = self._descriptor is None or not os.path.samestat(
                os.fstat(self._descriptor), self.path.stat()
            )
        except OSError as error:
            return LedgerContent(problem=f"{self.path}: {error.strerror}")
        lines: list[dict[str, JsonValue]] = []
        problem = f"{self.path}: the file was replaced while the run wrote it" if replaced else None
        for raw in content.splitlines():
            try:
                line = json.loads(raw)
            except ValueError:
                line = None
            if isinstance(line, dict) and isinstance(line.get("record"), dict):
                lines.append(line)
            else:
                problem = f"{self.path}: a line is not whole"
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        return LedgerContent(lines=tuple(lines), digest=digest, problem=problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerContent:
    """A ledger as read at the end of a run."""

    lines: tuple[dict[str, JsonValue], ...] = ()
    digest: str | None = None
    problem: str | None = None
