"""``bais-gates sandbox up|status|down|fault``, in words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from bais_gates import sandbox
from bais_gates.sandbox import commands
from bais_gates.sandbox.faults import FAULTS

if TYPE_CHECKING:
    from pathlib import Path


def test_up_to_down(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up says how to point a run at it, a second up that it is up already, fault what is on, down ends it."""
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    home, copy = folder / f"bais-gates-sandbox-{os.getuid()}" / "mine", folder / "copy.yaml"
    fault = min(FAULTS)
    try:
        assert commands.up(environment_out=copy, name="mine") == 0
        said = capsys.readouterr().out
        assert str(home) in said
        assert f"pytest -m golive --gate-env {copy}" in said
        assert copy.read_text() == (home / "environment.yaml").read_text()

        assert commands.up(name="mine") == 0
        assert "already up" in capsys.readouterr().out

        assert commands.status(name="mine") == 0
        assert "postgres" in capsys.readouterr().out

        assert commands.fault(name="mine", on=[fault]) == 0
        assert fault in capsys.readouterr().out
        info = sandbox.status(home)
        assert info is not None
        assert info.faults == (fault,)
        assert commands.fault(name="mine", off=[fault]) == 0
        assert "none" in capsys.readouterr().out
        assert commands.fault(name="mine", on=["no-such-fault"]) == 1
        assert "unknown fault" in capsys.readouterr().err
    finally:
        assert commands.down(name="mine") == 0
    assert "is down" in capsys.readouterr().out
    assert list(folder.iterdir()) == []


def test_nothing_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing up, status and fault say so and fail, down says so and does not."""
    assert commands.status(folder) == 1
    assert commands.down(folder) == 0
    assert capsys.readouterr().out.count(f"No sandbox is up in {folder}.") == 2
    assert commands.fault(folder, clear=True) == 1
    assert "no sandbox is up" in capsys.readouterr().err


def test_names_are_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that would lead out of the folder of sandboxes is refused."""
    assert commands.up(name="../elsewhere") == 1
    assert "can't name a sandbox" in capsys.readouterr().err


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of a user's sandboxes must be that user's alone, as its name can be guessed."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / f"bais-gates-sandbox-{os.getuid()}").mkdir(mode=0o777)
    (tmp_path / f"bais-gates-sandbox-{os.getuid()}").chmod(0o777)

    assert commands.up() == 1
    assert "not a folder of yours alone" in capsys.readouterr().err
