"""A sandbox runs for root and for ordinary users, although PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bais_gates.sandbox.processes import unshare_user_namespace

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.conftest import Machine


def _namespaces_allowed() -> bool:
    """Return whether a process may create a user namespace; in many containers it may not."""
    try:
        subprocess.run(["true"], preexec_fn=unshare_user_namespace, check=True)
    except subprocess.SubprocessError:
        return False
    return True


in_a_namespace = pytest.mark.skipif(
    os.geteuid() == 0 and not _namespaces_allowed(), reason="user namespaces are forbidden here"
)
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch to another user")

ORDINARY = """
import os, sys
from pathlib import Path
from bais_gates import sandbox
assert os.geteuid() == 65534
info = sandbox.start(Path(sys.argv[1]), owner_pid=os.getpid())
print(*info.parts.values())
sandbox.stop(Path(sys.argv[1]))
"""

NOBODY = """
import sys, tempfile
from pathlib import Path
from bais_gates.sandbox import tls, processes, files
from bais_gates.sandbox.services import postgres, postgres_account
from bais_gates.sandbox.waiting import Watch
import psycopg

runs = postgres_account._runs
postgres_account._runs = lambda program, **how: "user" in how and runs(program, **how)  # no namespaces
directory = Path(sys.argv[1])
directory.mkdir(mode=0o700)
processes.become_subreaper()
database = postgres.Postgres(directory / "pg", directory, tls.issue(directory))
try:
    Watch(None).exhaust(database.bring_up())
    part = database.part
    status = Path(f"/proc/{part.pid}/status").read_text()
    print("uid", status.split("Uid:")[1].split()[0])
    print("groups", status.split("Groups:")[1].splitlines()[0].split())
    for role in ("bais_app", "gates_ro"):
        with psycopg.connect(database.url(role)) as connection:
            print(connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone())
    try:
        psycopg.connect(database.url("bais_app").partition("?")[0] + "?sslmode=disable")
    except psycopg.OperationalError as error:
        print("no encryption" in str(error))
    elsewhere = (directory / "pg").readlink()
finally:
    processes.end_together([(part, database.stop_signals)])
    processes.end_all_children()
    files.clear(directory)
print(elsewhere.exists(), [path.name for path in directory.iterdir()])
"""


@in_a_namespace
def test_an_ordinary_user(folder: Path, machine: Machine) -> None:
    """An unprivileged user starts and stops the whole sandbox."""
    done = subprocess.run(
        [sys.executable, "-c", ORDINARY, str(folder)],
        preexec_fn=unshare_user_namespace,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("running running running\n", "")
    assert machine.alive(machine.processes_of(folder)) == []
    assert not folder.exists()


@in_a_namespace
def test_a_folder_without_the_right_to_write(folder: Path) -> None:
    """A user without permission to write to the folder receives one paragraph."""
    folder.mkdir(mode=0o500)

    done = subprocess.run(
        [sys.executable, "-c", ORDINARY, str(folder)],
        preexec_fn=unshare_user_namespace,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert f"SandboxError: the sandbox could not be started in {folder}: [Errno 13]" in done.stderr
    assert list(folder.iterdir()) == []


def test_root_without_user_namespaces(folder: Path, machine: Machine) -> None:
    """Where user namespaces are forbidden, PostgreSQL runs as nobody, in a separate folder."""
    done = subprocess.run(
        [sys.executable, "-c", NOBODY, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "uid 65534",
        "groups []",
        "(True,)",
        "(True,)",
        "True",
        "False ['postgres.log']",
    ]
    assert machine.alive(machine.processes_of(folder)) == []
