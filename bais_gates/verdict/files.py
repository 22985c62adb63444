"""Reading of the files that people write: limited in size, strict, with a digest of their bytes.

Every error is a GateInputError of one paragraph with the file, the line, the key and the remedy.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.verdict.model import JsonValue
from bais_gates.verdict.schema import Violation, find_violations
from bais_gates.verdict.strict_yaml import KeyPath, parse, show_path

MAX_BYTES: Final = 16 * 1024 * 1024
"""The size limit of a file; a catalog of 10,000 gates has about 4 MiB."""

_MAX_VIOLATIONS = 5  # in one message


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that was read and matches its schema."""

    path: Path
    data: dict[str, JsonValue]
    digest: str
    """``sha256:`` and 64 hex digits, of the file's bytes."""
    lines: dict[KeyPath, int]

    def line_of(self, key_path: Sequence[str | int]) -> int:
        """Return the line (from 1) of a key path, or of its nearest parent in the file."""
        return _line_of(self.lines, tuple(key_path))

    def error(self, key_path: Sequence[str | int], text: str) -> GateInputError:
        """Return the error with ``text`` about a place in this file; the caller raises it."""
        where = show_path(tuple(key_path))
        return GateInputError(f"{self.path}:{self.line_of(key_path)}: {where + ': ' if where else ''}{text}")


def load_document(path: str | os.PathLike[str], schema: str) -> Document:
    """Read a YAML file and validate it by ``verdict/schemas/<schema>.schema.json``.

    Raises AbsentFileError when there is no such file, GateInputError for every other error.
    """
    path = Path(path)
    raw = read_bytes(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise GateInputError(f"{path}:{line}: not UTF-8 text. Save the file as UTF-8.") from None
    data, lines = parse(text, str(path))
    if not isinstance(data, dict):
        remedy = f"See {schema}.schema.json for its keys."
        raise GateInputError(f"{path}:1: the file must have keys and values. {remedy}")
    validate(data, schema, name=str(path), lines=lines)
    return Document(path=path, data=data, digest=digest_of(raw), lines=lines)


def require_environments(document: Document, named: Iterable[tuple[KeyPath, str]]) -> None:
    """Raise GateInputError for a name, at a place of a file, of no environment in the folder beside the file.

    What is asked of a misspelt environment would be asked of none.
    """
    folder = document.path.parent / "environments"
    known = {"sandbox", *(file.stem for file in folder.glob("*.yaml"))}
    for at, name in named if folder.is_dir() else ():
        if name not in known:
            raise document.error(
                at, f"there is no environments/{name}.yaml. Correct the name, or add the file."
            )


def validate(data: JsonValue, schema: str, *, name: str, lines: dict[KeyPath, int] | None = None) -> None:
    """Validate a value by a schema; raise one GateInputError with the first few violations, a line each.

    Without ``lines`` (a JSON file) they are named by key alone.
    """
    violations = find_violations(data, schema)
    if not violations:
        return
    texts = [_format_violation(violation, name, lines) for violation in violations[:_MAX_VIOLATIONS]]
    if len(violations) > _MAX_VIOLATIONS:
        texts.append(f"and {len(violations) - _MAX_VIOLATIONS} more.")
    raise GateInputError("\n".join(texts))


def _format_violation(violation: Violation, name: str, lines: dict[KeyPath, int] | None) -> str:
    at = f"{name}:{_line_of(lines, violation.path)}" if lines is not None else name
    where = show_path(violation.path)
    return f"{at}: {where + ': ' if where else ''}{violation.text}"


def _line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def read_bytes(path: Path, *, limit: int = MAX_BYTES) -> bytes:
    """Read a regular file of at most ``limit`` bytes, without waiting for a pipe or a device.

    Raises AbsentFileError, or GateInputError for every other error, a link to an absent file among them.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise GateInputError(f"{path}: not a regular file. Give the path of a file.")
    with os.fdopen(descriptor, "rb") as stream:
        try:
            raw = stream.read(limit + 1) or b""  # None: a file of the kernel's that has nothing now
        except OSError as error:
            raise _unreadable(path, error) from None
    if len(raw) > limit:
        raise GateInputError(f"{path}: larger than {limit:,} bytes. Check that it is the right file.")
    return raw


def _unreadable(path: Path, error: OSError | ValueError) -> GateInputError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if path.is_symlink():  # a file was meant to be there: it is not the same as none
            return GateInputError(
                f"{path}: a symbolic link to a file that does not exist. Mend it, or remove it."
            )
        return AbsentFileError(f"{path}: no such file. Create it, or give another path.")
    if isinstance(error, PermissionError):
        return GateInputError(f"{path}: permission denied. Check its owner and mode.")
    reason = error.strerror if isinstance(error, OSError) else "the name is not valid"
    return GateInputError(f"{str(path)!r}: cannot be read ({reason}). Check the path.")


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Pause it while many values are made that all stay: each look through them finds nothing.

    With 10,000 gates that is a third of the time. As a decorator, it is for the time of each call.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def digest_of(raw: bytes) -> str:
    """Return the content digest of bytes: ``sha256:<64 hex digits>``."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()
