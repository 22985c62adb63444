"""Sandboxes for these tests, each in its own folder, and always stopped after the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from bais_gates import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


OWNER = """
import os, sys, time
from pathlib import Path
from bais_gates import sandbox
directory, discard = Path(sys.argv[1]), Path(sys.argv[2])
show = lambda text: print(text, flush=True)
sandbox.start(directory, owner_pid=os.getpid(), discard=discard, progress=show)
print("up", flush=True)
time.sleep(60)
"""
"""A program that owns a sandbox: prints its progress and "up", then sleeps."""


class Machine:
    """Observes processes and shared memory from outside a sandbox, and starts a program that owns one."""

    @staticmethod
    def processes_of(directory: Path) -> list[psutil.Process]:
        """Return the processes of the sandbox in ``directory``: the supervisor and its descendants."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            try:
                belongs = str(directory) in " ".join(process.cmdline())
                family = [process, *process.children(recursive=True)] if belongs else []
                found |= {one.pid: one for one in family if one.pid != os.getpid()}
            except psutil.Error:
                continue
        return list(found.values())

    @staticmethod
    def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
        """Return the processes that still run, without zombies."""
        left = []
        for process in processes:
            try:
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(process)
            except psutil.NoSuchProcess:
                continue
        return left

    @staticmethod
    def orphaned_memory() -> set[str]:
        """Return the ids of the unused System V segments whose creator has ended.

        Other sandboxes on this machine leave some for a moment while they end: use with ``eventually``.
        """
        lines = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
        columns = ("key", "id", "mode", "size", "creator", "last", "users")
        segments = [dict(zip(columns, line.split(), strict=False)) for line in lines]
        return {
            one["id"]
            for one in segments
            if one["users"] == "0" and not psutil.pid_exists(int(one["creator"]))
        }

    @staticmethod
    def eventually(condition: Callable[[], bool], within: float = 10.0) -> bool:
        """Return whether the condition became true in time."""
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    @staticmethod
    def start_owner(directory: Path, discard: Path) -> subprocess.Popen[str]:
        """Start that program in its own process group."""
        return subprocess.Popen(
            [sys.executable, "-c", OWNER, str(directory), str(discard)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


@pytest.fixture(scope="session")
def machine() -> Machine:
    """Return the observer of processes and shared memory."""
    return Machine()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a short path for a new sandbox, and remove everything in it afterwards."""
    parent = Path(tempfile.mkdtemp(prefix="bais-gates-test-"))
    yield parent / "sandbox"
    sandbox.stop(parent / "sandbox")
    for process in Machine.alive(Machine.processes_of(parent)):
        process.kill()
    shutil.rmtree(parent)


@pytest.fixture(scope="package")
def running() -> Iterator[sandbox.SandboxInfo]:
    """Yield a sandbox for the tests that only read it."""
    parent = Path(tempfile.mkdtemp(prefix="bais-gates-test-"))
    yield sandbox.start(parent / "sandbox", owner_pid=os.getpid())
    sandbox.stop(parent / "sandbox")
    parent.rmdir()
