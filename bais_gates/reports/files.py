"""The files of a decision: ``decision.json``, written first, and every report made from the same value.

Each write is atomic: a reader finds the whole old file or the whole new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.reports import ctrf, junit, signoff, summary
from bais_gates.reports.redacted import redacted
from bais_gates.verdict.document import load_decision, to_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bais_gates.verdict.model import Decision, JsonValue
    from bais_gates.verdict.signatures import Signature

DECISION_FILE = "decision.json"
STATEMENTS = ("decision.intoto.jsonl", "vsa.predicate.json", "test-result.predicate.json", "sandbox.pub")
"""What other tools take for the decision: signed, and to be signed. Whoever signs writes them."""
_RENDERERS: tuple[tuple[str, Callable[[Decision], str]], ...] = (
    ("signoff.html", signoff.render),
    ("ctrf.json", ctrf.render),
    ("junit.xml", junit.render),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportProblem:
    """A report that could not be written. It never changes the verdict."""

    report: str
    """The file, e.g. ``signoff.html``."""
    message: str


def write_all(decision: Decision, out_dir: Path) -> tuple[ReportProblem, ...]:
    """Write ``decision.json``, then every other report, into ``out_dir``, and the CI summary if there is one.

    Statements about an older decision are removed before. Returns the other reports that could not be
    written. Raises ``OSError`` only when ``decision.json`` itself can't be written: without it there is no
    decision.
    """
    shown = redacted(decision)
    for name in STATEMENTS:
        (out_dir / name).unlink(missing_ok=True)
    _write_document(shown, out_dir / DECISION_FILE)
    problems = [_attempt(name, render, shown, out_dir / name) for name, render in _RENDERERS]
    if summary_path := os.environ.get("GITHUB_STEP_SUMMARY"):
        problems.append(_attempt_summary(shown, Path(summary_path)))
    return tuple(problem for problem in problems if problem is not None)


def write_signoff(decision: Decision, out_dir: Path, signatures: Sequence[Signature]) -> None:
    """Write the sign-off page anew, with those who have signed. Raises ``OSError``."""
    write_atomically(out_dir / "signoff.html", signoff.render(redacted(decision), signatures))


def write_decision(decision: Decision, path: Path) -> None:
    """Write one decision as JSON, atomically. Raises ``OSError`` when it can't be written."""
    _write_document(redacted(decision), path)


def read_decision(path: Path) -> Decision:
    """Read a decision back. Raises ``GateInputError`` when it is absent, damaged or no decision."""
    return load_decision(path)


def _write_document(shown: Decision, path: Path) -> None:
    write_atomically(path, _format(to_document(shown)))


def _format(document: Mapping[str, JsonValue]) -> str:
    """Return a document as JSON with a line a key, and a line an item where that is a list.

    ``indent`` would be prettier and takes the encoder in Python, four times the time.
    """
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    lines = []
    for key, value in document.items():
        items = ",\n".join(map(encode, value)) if isinstance(value, list) and value else None
        lines.append(f"{encode(key)}: " + (encode(value) if items is None else f"[\n{items}\n]"))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _attempt(
    name: str, render: Callable[[Decision], str], decision: Decision, path: Path
) -> ReportProblem | None:
    try:
        write_atomically(path, render(decision))
    except Exception as error:  # noqa: BLE001 - no error in a report may change the decision
        return ReportProblem(report=name, message=f"{type(error).__name__}: {error}")
    return None


def _attempt_summary(decision: Decision, path: Path) -> ReportProblem | None:
    try:
        written = path.stat().st_size if path.exists() else 0
        room = min(summary.DEFAULT_LIMIT, summary.JOB_LIMIT - written)
        if room < summary.SMALLEST:
            return ReportProblem(
                report="GITHUB_STEP_SUMMARY", message="the job's summary is full; earlier steps wrote it"
            )
        with path.open("a", encoding="utf-8") as stream:
            stream.write(summary.render(decision, limit=room))
    except Exception as error:  # noqa: BLE001 - no error in a report may change the decision
        return ReportProblem(report="GITHUB_STEP_SUMMARY", message=f"{type(error).__name__}: {error}")
    return None


def write_atomically(path: Path, text: str) -> None:
    """Replace the file by ``text`` as UTF-8: a temporary file in the same folder, synced, then moved over it.

    The folder is made when it is absent. Raises ``OSError`` when that fails; then the old file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode("utf-8")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    # Not tempfile: its 0600 would keep the report from the web server or the CI step that picks it up.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the move itself durable, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
