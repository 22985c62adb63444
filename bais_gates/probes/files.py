"""Read the files that an environment file names; an absent or unreadable file is an error with its remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bais_gates.errors import GateInputError, RecordRefused

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 64 * 1024 * 1024


def read_bytes(path: Path, what: str, key: str) -> bytes:
    """Return the content of a file of at most ``MAX_BYTES``; raise GateInputError.

    A file that does not exist proves nothing, as a damaged one: RecordRefused. ``what`` is the kind of file
    ("audit record"), ``key`` the key of the environment file that names it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise RecordRefused(
            f"{path}: no such {what}. Provide it, or correct {key} in the environment file."
        ) from None
    except OSError as e:
        raise GateInputError(f"{path}: the {what} cannot be read ({e.strerror}). Check {key}.") from None
    if len(content) > MAX_BYTES:
        raise GateInputError(f"{path}: the {what} is larger than {MAX_BYTES} bytes. Check {key}.")
    return content


def read_text(path: Path, what: str, key: str) -> str:
    """Return the UTF-8 text of a file; raise the errors of :func:`read_bytes`."""
    try:
        return read_bytes(path, what, key).decode("utf-8")
    except UnicodeDecodeError:
        raise RecordRefused(f"{path}: the {what} is not UTF-8 text. Save it as UTF-8.") from None
