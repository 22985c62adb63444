"""One run at a time measures on this machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from bais_gates.measuring import alone_on_this_machine

HOLDER = """
import sys
from bais_gates.measuring import alone_on_this_machine
with alone_on_this_machine(print):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the lock in a folder of this test, so that other tests hold nothing off."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_another_process_is_waited_for() -> None:
    """Who comes second is told once and waits, until the first is done; also where the first is killed."""
    for ending in ("done", "killed"):
        first = subprocess.Popen(
            [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        told: list[str] = []
        waiting, entered = threading.Event(), threading.Event()

        def second(
            told: list[str] = told, waits: threading.Event = waiting, goes: threading.Event = entered
        ) -> None:
            def tell(text: str) -> None:
                told.append(text)
                waits.set()

            with alone_on_this_machine(tell):
                goes.set()

        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        assert waiting.wait(10)
        assert not entered.is_set()
        if ending == "killed":
            first.kill()
        first.communicate("\n" if ending == "done" else None)
        assert entered.wait(10)
        thread.join()
        assert told == ["waiting for another run that measures on this machine"]


def test_no_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the lock can't be had, nothing is waited for and nothing raised."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with alone_on_this_machine(pytest.fail):
        pass
