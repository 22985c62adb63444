"""Files that an environment file names are read, or are errors with file, key and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.errors import GateInputError, RecordRefused
from bais_gates.probes import files

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_read(tmp_path: Path) -> None:
    """As bytes, and as text."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xc3\xa9\r\n")

    assert files.read_bytes(path, "record", "a.key") == b"\xc3\xa9\r\n"
    assert files.read_text(path, "record", "a.key") == "\xe9\r\n"


def test_an_absent_file_is_refused_as_a_record(tmp_path: Path) -> None:
    """The message has the path, the kind of file and the key."""
    with pytest.raises(RecordRefused, match=r"gone\.txt: no such record.*correct a\.key"):
        files.read_text(tmp_path / "gone.txt", "record", "a.key")


def test_an_unreadable_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a file that is not UTF-8, and one that is too large."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\xff")

    with pytest.raises(GateInputError, match="cannot be read"):
        files.read_bytes(tmp_path, "record", "a.key")
    with pytest.raises(RecordRefused, match="not UTF-8"):
        files.read_text(path, "record", "a.key")
    monkeypatch.setattr(files, "MAX_BYTES", 1)
    with pytest.raises(GateInputError, match="larger than 1 bytes"):
        files.read_bytes(path, "record", "a.key")
