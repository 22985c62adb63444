"""An older decision is gone before anything of a new run can fail, whatever stands in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from bais_gates.errors import GateInputError
from bais_gates.reports import files, read_decision, voiding
from bais_gates.verdict.model import Previous, Verdict
from tests.reports.conftest import NOW

PAGES = ("signoff.html", "report.html", "ctrf.json", "junit.xml")


def refuse(*_: object) -> NoReturn:
    """Fail as a full disk or a folder without write permission does."""
    raise PermissionError(13, "Permission denied")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a report folder with a decision of the run `old`, and its pages."""
    voiding.write_block(tmp_path, run_id="old", scope="golive", command=("pytest",), previous=BEFORE)
    for name in PAGES:
        (tmp_path / name).touch()
    return tmp_path


def void(out: Path) -> None:
    """Void the decision for the run `new`."""
    voiding.void(str(out), run_id="new", command=("bais-gates", "run"))


BEFORE = Previous(run_id="before", verdict=Verdict.DEPLOY, decided_at=NOW, scope="golive", outcomes=())


def test_a_block_of_the_new_run_takes_its_place(out: Path) -> None:
    """The file is a BLOCK of the new run that knows the last decision; no page of the old one stays."""
    void(out)

    decision = read_decision(out / "decision.json")
    assert decision.verdict is Verdict.BLOCK
    assert decision.run.run_id == "new"
    assert decision.previous == BEFORE, "the old run had judged nothing"
    assert [path.name for path in out.iterdir()] == ["decision.json"]


def test_a_full_disk(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no BLOCK can be written the decision is removed all the same."""
    monkeypatch.setattr(files, "write_atomically", refuse)
    void(out)

    assert list(out.iterdir()) == []


def test_a_folder_that_cannot_be_written(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision that can't be removed is emptied; if that fails, too, the caller is told."""
    monkeypatch.setattr(files, "write_atomically", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    void(out)
    assert (out / "decision.json").read_text() == ""

    (out / "decision.json").write_text('{"verdict": "DEPLOY"}')
    (out / "decision.json").chmod(0o400)
    void(out)
    assert (out / "decision.json").read_text() == "", "the file was read-only, too"

    (out / "decision.json").write_text('{"verdict": "DEPLOY"}')
    monkeypatch.setattr(os, "truncate", refuse)
    with pytest.raises(PermissionError):
        void(out)


@pytest.mark.parametrize("text", ["", "{}", '{"colour": "green"}'])
def test_a_file_that_is_no_decision(tmp_path: Path, text: str) -> None:
    """What nobody can take for a decision is left alone, and so is a folder without one."""
    void(tmp_path)
    (tmp_path / "decision.json").write_text(text)
    void(tmp_path)

    assert (tmp_path / "decision.json").read_text() == text


def test_a_file_too_large_for_a_decision(tmp_path: Path) -> None:
    """A file that `verify` refuses for its size is not read into memory."""
    path = tmp_path / "decision.json"
    path.touch()
    os.truncate(path, 2**38)
    with pytest.raises(GateInputError, match="larger"):
        read_decision(path)
    void(tmp_path)

    assert path.stat().st_size == 2**38


def test_damaged_decisions_and_things_that_are_no_file(tmp_path: Path) -> None:
    """A damaged decision is voided, a link is replaced and not followed, a pipe or folder does no harm."""
    path, target = tmp_path / "decision.json", tmp_path / "target"
    path.write_text('{"verdict": "DEPLOY", ')
    void(tmp_path)
    assert json.loads(path.read_text())["run"]["run_id"] == "new"

    target.write_text('{"verdict": "DEPLOY"}')
    path.unlink()
    path.symlink_to(target)
    void(tmp_path)
    assert (path.is_symlink(), target.read_text()) == (False, '{"verdict": "DEPLOY"}')

    path.unlink()
    path.mkdir()
    void(tmp_path)
    path.rmdir()
    os.mkfifo(path)
    void(tmp_path)
    assert path.is_fifo()


def test_next_to_nothing_is_imported_before() -> None:
    """The command line imports none of the modules that take time before the decision is gone."""
    code = "import bais_gates.cli, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )

    slow = {"argparse", "json", "subprocess", "jinja2", "dataclasses", "pytest", "bais_gates.verdict.model"}
    assert not slow & set(done.stdout.split())
