"""Sandboxes for these tests: each in a folder of its own, taken down whatever a test did to it."""

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
tell = lambda text: print(text, flush=True)
sandbox.start(directory, owner_pid=os.getpid(), discard=discard, progress=tell)
print("up", flush=True)
time.sleep(60)
"""
"""A program that owns a sandbox: prints its progress and "up", then sleeps."""


class Machine:
    """What the machine says from outside of a sandbox, and a program that owns one."""

    @staticmethod
    def everything_of(directory: Path) -> list[psutil.Process]:
        """List every process of the sandbox in ``directory``: the supervisor and all below it."""
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
        """Keep those that still run: ended ones that nobody has collected don't."""
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
        """List the System V segments, by id, that nobody uses and whose maker is gone.

        Sandboxes of others on this machine have such ones for a moment while they end: ask ``eventually``.
        """
        lines = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
        columns = ("key", "id", "mode", "size", "maker", "last", "users")
        segments = [dict(zip(columns, line.split(), strict=False)) for line in lines]
        return {
            one["id"] for one in segments if one["users"] == "0" and not psutil.pid_exists(int(one["maker"]))
        }

    @staticmethod
    def eventually(condition: Callable[[], bool], within: float = 10.0) -> bool:
        """Say whether the condition came true in time."""
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    @staticmethod
    def start_owner(directory: Path, discard: Path) -> subprocess.Popen[str]:
        """Start that program in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", OWNER, str(directory), str(discard)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


@pytest.fixture(scope="session")
def machine() -> Machine:
    """Give a look from outside at processes and shared memory."""
    return Machine()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a short path for a sandbox that does not exist yet; whatever is left of it is removed."""
    parent = Path(tempfile.mkdtemp(prefix="bais-gates-test-"))
    yield parent / "sandbox"
    sandbox.stop(parent / "sandbox")
    for process in Machine.alive(Machine.everything_of(parent)):
        process.kill()
    shutil.rmtree(parent)


@pytest.fixture(scope="package")
def running() -> Iterator[sandbox.SandboxInfo]:
    """One sandbox for the tests that only look at it."""
    parent = Path(tempfile.mkdtemp(prefix="bais-gates-test-"))
    yield sandbox.start(parent / "sandbox", owner_pid=os.getpid())
    sandbox.stop(parent / "sandbox")
    parent.rmdir()
