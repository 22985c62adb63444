"""However `bais-gates run` is ended, the file says BLOCK, the status is documented and nothing is left."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bypass.conftest import PLUGINS

if TYPE_CHECKING:
    from tests.bypass.conftest import Project

WITHIN_S = 60
WAITING = """\
from pathlib import Path
import time
Path("waiting").write_text(str(os.getpid()))
evidence.check("b", 1, "==", 1)
time.sleep(60)
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(project: Project) -> Iterator[Start]:
    """Return a call that starts `bais-gates run` in a session of its own, as a terminal does."""
    started: list[subprocess.Popen[str]] = []

    def call(*options: str) -> subprocess.Popen[str]:
        command = (sys.executable, "-m", "bais_gates", "run", "--env=staging.yaml", "--", *PLUGINS, *options)
        process = subprocess.Popen(
            command,
            cwd=project.folder,
            env={**project.env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for_gate(project: Project) -> int:
    """Wait until gate b waits, and return the id of its process."""
    path = project.folder / "waiting"
    until(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def blocks(project: Project) -> bool:
    """Return whether the decision on disk is BLOCK."""
    verdict = json.loads((project.folder / "gate-report" / "decision.json").read_text())["verdict"]
    return bool(verdict == "BLOCK")


def ended(pid: int) -> bool:
    """Return whether a process has ended, be it that nobody has reaped it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def left(project: Project) -> list[str]:
    """Return the run directories that are left."""
    return [path.name for path in (project.folder / "tmp").glob("bais-gates-*")]


@pytest.mark.parametrize("times", [1, *(pytest.param(n, marks=pytest.mark.nightly) for n in (2, 3))])
def test_ctrl_c(project: Project, start: Start, times: int) -> None:
    """Ctrl-C, once or more, ends in BLOCK and 130 without a traceback, after the clean-up."""
    project.gate_b(WAITING)
    process = start()
    wait_for_gate(project)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    output, _ = process.communicate(timeout=WITHIN_S)

    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "RUN_ABORTED" in output
    assert blocks(project)
    assert left(project) == []


def test_ctrl_c_at_the_end(project: Project, start: Start) -> None:
    """Ctrl-C that is passed on to a pytest that has decided and is about to end changes nothing."""
    project.gate_b(
        "import atexit, signal\natexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        'evidence.check("b", 1, "==", 1)'
    )
    process = start()
    output, _ = process.communicate(timeout=WITHIN_S)

    assert "KeyboardInterrupt" not in output
    assert process.returncode == 0, output


@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.nightly), 2])
def test_ctrl_c_at_the_start(project: Project, start: Start, times: int) -> None:
    """Ctrl-C before pytest has begun ends in BLOCK and 130 without a traceback."""
    assert project.run().status == 0
    page = project.folder / "gate-report" / "signoff.html"
    process = start()
    until(lambda: not page.exists())
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    output, _ = process.communicate(timeout=WITHIN_S)

    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert blocks(project)
    assert left(project) == []


@pytest.mark.parametrize(
    "options", [pytest.param((), id="serial"), pytest.param(("-n", "1"), id="-n1", marks=pytest.mark.nightly)]
)
def test_run_is_killed(project: Project, start: Start, options: tuple[str, ...]) -> None:
    """A `bais-gates run` that is killed takes its pytest along, which removes what it made."""
    project.gate_b(WAITING)
    process = start(*options)
    gate = wait_for_gate(project)
    process.kill()
    until(lambda: ended(gate) and left(project) == [])

    assert blocks(project)
    assert left(project) == []


def test_nohup(project: Project) -> None:
    """Behind `nohup` a terminal that is closed ends neither `bais-gates run` nor its pytest."""
    hang_up = "import signal\nfor pid in (os.getppid(), os.getpid()):\n    os.kill(pid, signal.SIGHUP)"
    project.gate_b(f'{hang_up}\nevidence.check("b", 1, "==", 1)')
    done = subprocess.run(
        (sys.executable, "-m", "bais_gates", "run", "--env=staging.yaml", "--", *PLUGINS),
        cwd=project.folder,
        env={**project.env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_pytest_is_killed(project: Project, start: Start, number: signal.Signals) -> None:
    """What a pytest that is killed leaves is removed by its `bais-gates run`, whose status is 21."""
    share = "from bais_gates.pytest_plugin.run_state import state_key\npytestconfig.stash[state_key].shared()"
    project.gate_b(f"{share}\n{WAITING}", arguments="evidence, pytestconfig")
    process = start()
    gate = wait_for_gate(project)
    assert len(left(project)) == 1
    os.kill(gate, number)
    output, _ = process.communicate(timeout=WITHIN_S)

    assert process.returncode == 21, output
    assert blocks(project)
    assert left(project) == []


COMMANDS = {
    "run --env=staging.yaml": 0,
    "explain": 0,
    "verify --env staging": 0,
    "verify": 1,
    "validate": 0,
    "explain nowhere": 2,
    "run goliv": 2,
}
"""Command lines and their exit statuses; the first one makes the decision that the others read."""


@pytest.mark.parametrize("count", [2, pytest.param(len(COMMANDS), marks=pytest.mark.nightly)])
def test_output_that_nobody_reads(project: Project, count: int) -> None:
    """A closed or full stdout, or a reader that leaves, changes no exit status and makes no traceback."""
    project.env["PYTEST_ADDOPTS"] = " ".join(PLUGINS)
    project.env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    shell = shutil.which("bash")
    assert shell is not None
    for words, status in list(COMMANDS.items())[:count]:
        closed = ("{} >&-", "{} >/dev/full") if words.startswith(("run --env", "explain")) else ()
        for form in ("{} 2>&1 | true; exit ${{PIPESTATUS[0]}}", *closed):
            done = subprocess.run(
                [shell, "-c", form.format(f"{shlex.quote(sys.executable)} -m bais_gates {words}")],
                cwd=project.folder,
                env=project.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=WITHIN_S,
                check=False,
            )
            assert done.returncode == status, (form, words, done.stderr)
            assert "Traceback" not in done.stderr
