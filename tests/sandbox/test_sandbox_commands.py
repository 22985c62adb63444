"""The output and exit status of ``bais-gates sandbox up|status|down|fault``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from bais_gates import sandbox
from bais_gates.cli import main
from bais_gates.sandbox.faults import FAULTS

if TYPE_CHECKING:
    from pathlib import Path


def run(*words: object) -> int:
    """Run ``bais-gates sandbox`` with these arguments and return its exit status."""
    return main(["sandbox", *map(str, words)])


def test_up_to_down(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up prints how to run gates, also if it is up already; fault lists active faults; down removes all."""
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    home, copy = folder / f"bais-gates-sandbox-{os.getuid()}" / "mine", folder / "copy.yaml"
    fault = min(FAULTS)
    try:
        assert run("up", "--name=mine", "--without-cluster", f"--environment={copy}") == 0
        output = capsys.readouterr().out
        assert str(home) in output
        assert f"pytest -m golive --gate-env {copy}" in output
        assert copy.read_text() == (home / "environment.yaml").read_text()

        assert run("up", "--name=mine", "--without-cluster") == 0
        assert "already up" in capsys.readouterr().out

        assert run("status", "--name=mine") == 0
        assert "postgres" in capsys.readouterr().out

        assert run("fault", "--name=mine", fault) == 0
        assert fault in capsys.readouterr().out
        info = sandbox.status(home)
        assert info is not None
        assert info.faults == (fault,)
        assert run("fault", "--name=mine", f"--off={fault}") == 0
        assert "none" in capsys.readouterr().out
        assert run("fault", "--name=mine", "no-such-fault") == 1
        assert "unknown fault" in capsys.readouterr().err
    finally:
        assert run("down", "--name=mine") == 0
    assert "is down" in capsys.readouterr().out
    assert list(folder.iterdir()) == []


def test_nothing_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a sandbox, status and fault fail with a message, and down succeeds."""
    assert run("status", f"--dir={folder}") == 1
    assert run("down", f"--dir={folder}") == 0
    assert capsys.readouterr().out.count(f"No sandbox is up in {folder}.") == 2
    assert run("fault", f"--dir={folder}", "--clear") == 1
    assert "no sandbox is up" in capsys.readouterr().err


def test_names_are_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that would leave the folder of sandboxes is refused."""
    assert run("up", "--name=../elsewhere") == 1
    assert "can't name a sandbox" in capsys.readouterr().err


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of a user's sandboxes must be private, as its name is predictable."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / f"bais-gates-sandbox-{os.getuid()}").mkdir(mode=0o777)
    (tmp_path / f"bais-gates-sandbox-{os.getuid()}").chmod(0o777)

    assert run("up") == 1
    assert "only you can access" in capsys.readouterr().err
