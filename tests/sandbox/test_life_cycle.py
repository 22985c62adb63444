"""A sandbox starts, ends, and leaves nothing behind, however it or its owner ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from bais_gates import sandbox

if TYPE_CHECKING:
    from tests.sandbox.conftest import Machine


def ready(info: sandbox.SandboxInfo) -> int:
    """Return the status of the API's /ready over TLS, trusting only the sandbox's authority."""
    trust = ssl.create_default_context(cafile=info.directory / "ca.pem")
    with urllib.request.urlopen(f"{info.api_url}/ready", context=trust, timeout=5) as response:
        return int(response.status)


def test_it_keeps_nothing_of_its_starter_and_leaves_nothing_when_stopped(
    folder: Path, machine: Machine
) -> None:
    """It outlives its starter without its session, descriptors and secrets; after stop nothing is left."""
    segments = machine.orphaned_memory()
    program = (
        "import fcntl, os, sys; from pathlib import Path; from bais_gates import sandbox\n"
        "fcntl.fcntl(os.open(sys.executable, os.O_RDONLY), fcntl.F_DUPFD, 50)  # an inheritable descriptor\n"
        "sandbox.start(Path(sys.argv[1]), owner_pid=None, progress=print)"
    )
    # Ends only when no process has the pipes of its output open.
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env=os.environ | {"CI_TOKEN": "do-not-inherit-me"},
        capture_output=True,
        check=True,
        timeout=60,
    )

    info = sandbox.status(folder)
    assert done.stdout
    assert info is not None
    assert info.state == "ready"
    assert ready(info) == 200
    assert info.parts == {"postgres": "running", "redis": "running", "api": "running"}
    for pid in info.pids.values():
        process = psutil.Process(pid)
        assert os.getsid(pid) == pid
        assert "CI_TOKEN" not in process.environ()
        opened = {str(file.readlink()) for file in descriptors(pid)}
        assert os.path.realpath(sys.executable) not in opened
        assert not any(name.startswith("/dev/pts") for name in opened)
    processes = machine.processes_of(folder)
    assert {info.pids[name] for name in ("supervisor", *info.parts)} <= {one.pid for one in processes}
    sandbox.stop(folder)
    assert machine.alive(processes) == []
    assert not folder.exists()
    assert machine.eventually(lambda: machine.orphaned_memory() <= segments)
    assert sandbox.status(folder) is None


@pytest.mark.nightly  # every run starts several side by side
def test_two_start_at_once_and_run_side_by_side(folder: Path) -> None:
    """Sandboxes share nothing, not even ports: stopping one leaves the other ready, and its folder empty."""
    folders = [folder.with_name("one"), folder.with_name("other")]
    folders[0].mkdir()
    try:
        with ThreadPoolExecutor(len(folders)) as pool:
            infos = list(pool.map(lambda one: sandbox.start(one, owner_pid=os.getpid()), folders))

        assert [ready(info) for info in infos] == [200, 200]
        assert not set(infos[0].pids.values()) & set(infos[1].pids.values())
        sandbox.stop(folders[0])
        assert ready(infos[1]) == 200
        assert list(folders[0].iterdir()) == []
    finally:
        for one in folders:
            sandbox.stop(one)


def test_a_folder_holds_one_sandbox(shared_sandbox: Path) -> None:
    """Starting a second one in the same folder is refused and does not touch the first."""
    with pytest.raises(sandbox.SandboxError, match="already up"):
        sandbox.start(shared_sandbox, owner_pid=os.getpid())

    info = sandbox.status(shared_sandbox)
    assert info is not None
    assert ready(info) == 200


def test_files_of_others_are_not_touched(folder: Path) -> None:
    """A folder that contains a foreign file with the name of a sandbox's file is refused."""
    folder.mkdir()
    (folder / "logs").mkdir()

    with pytest.raises(sandbox.SandboxError, match="which no sandbox wrote"):
        sandbox.start(folder, owner_pid=os.getpid())

    assert (folder / "logs").is_dir()


def test_it_ends_with_its_owner(folder: Path, machine: Machine) -> None:
    """A kill -9 of the owner ends everything, and removes the folder to discard."""
    segments, discard = machine.orphaned_memory(), folder.with_name("run")
    (discard / "results").mkdir(parents=True)
    owner = machine.start_owner(folder, discard)
    assert owner.stdout is not None
    assert "up\n" in iter(owner.stdout.readline, "")
    processes = machine.processes_of(folder)
    assert len(processes) > 4

    owner.kill()
    owner.communicate()

    assert machine.eventually(lambda: not machine.alive(processes))
    assert machine.eventually(lambda: not folder.exists() and not discard.exists())
    assert machine.eventually(lambda: machine.orphaned_memory() <= segments)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.nightly)])
def test_a_start_cut_short_leaves_nothing(folder: Path, number: int, machine: Machine) -> None:
    """Ctrl-C or a kill -9 of the owner in the middle of the start leaves no process and no file."""
    owner = machine.start_owner(folder, folder.with_name("run"))
    assert owner.stdout is not None
    owner.stdout.readline()
    processes = machine.processes_of(folder)

    os.killpg(owner.pid, number)
    owner.communicate(timeout=20)

    assert machine.eventually(
        lambda: not machine.alive(machine.processes_of(folder)) and not machine.alive(processes)
    )
    assert machine.eventually(lambda: not folder.exists())


def test_a_part_that_is_killed_stays_down(folder: Path, machine: Machine) -> None:
    """A killed or stopped part is reported as such and not restarted; stop still leaves nothing."""
    segments = machine.orphaned_memory()
    info = sandbox.start(folder, owner_pid=os.getpid())
    processes = machine.processes_of(folder)

    database_url = json.loads((folder / "api.json").read_text(encoding="utf-8"))["database_url"]
    busy = psycopg.connect(database_url)  # its worker does not notice that the server ended
    busy.pgconn.send_query(b"SELECT count(*) FROM (SELECT generate_series(1, 100000000000)) AS numbers")

    def is_counting() -> bool:
        left = machine.alive(machine.processes_of(folder))
        return any("SELECT" in " ".join(process.cmdline()) for process in left)

    assert machine.eventually(is_counting)
    os.kill(info.pids["postgres"], signal.SIGKILL)
    os.kill(info.pids["redis"], signal.SIGSTOP)
    os.kill(info.pids["api"], signal.SIGKILL)

    def parts() -> dict[str, str]:
        now = sandbox.status(folder)
        return {} if now is None else dict(now.parts)

    assert machine.eventually(lambda: parts().get("postgres", "").startswith("ended: signal 9 (SIGKILL) at "))
    assert machine.eventually(lambda: parts().get("redis") == "stopped")
    assert machine.eventually(lambda: parts().get("api", "").startswith("ended: signal 9 (SIGKILL) at "))
    with pytest.raises(urllib.error.URLError, match="refused"):  # no process keeps the port
        ready(info)
    left = machine.processes_of(folder)
    assert is_counting()
    sandbox.stop(folder)
    busy.close()
    assert machine.alive(left) == []
    assert machine.alive(processes) == []
    assert machine.eventually(lambda: machine.orphaned_memory() <= segments)


def descriptors(pid: int) -> list[Path]:
    """Return the open descriptors of a process, as links."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            entry.readlink()
            found.append(entry)
    return found
