"""Ways round the gate by ending, killing or misconfiguring the process."""

from __future__ import annotations

import json
import signal
import subprocess
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bypass.conftest import (
    GATE,
    GREEN,
    HEAD,
    PLUGINS,
    RED,
    SETTINGS,
    TIMEOUT_S,
    Way,
    serial_and_nightly_parallel,
    serial_and_parallel,
)
from tests.launch import run_command

if TYPE_CHECKING:
    from tests.bypass.conftest import Project


@serial_and_parallel
def test_pytest_exit_with_zero(project: Project, workers: int) -> None:
    """`pytest.exit("...", returncode=0)` ends the run as if all were well."""
    project.gate_b("pytest.exit('done', returncode=0)")
    ran = project.run(workers=workers)
    ran.verify_refuses()
    assert ran.status in {20, 21, 22, 23}
    assert ran.document is not None
    assert ran.document["verdict"] == "BLOCK"


@pytest.mark.parametrize(
    "where",
    ["gate", "def pytest_unconfigure(config):", "def pytest_sessionfinish(session):"],
    ids=["in a gate", "in pytest_unconfigure", "in pytest_sessionfinish"],
)
def test_process_ended_with_zero(project: Project, where: str) -> None:
    """`os._exit(0)` ends the process at once: the exit status lies, the file does not."""
    project.gate_b("import os; os._exit(0)" if where == "gate" else RED)
    if where != "gate":
        project.conftest(f"{where}\n    os._exit(0)\n")
    ran = project.run()

    assert ran.document is not None
    assert ran.document["verdict"] == "BLOCK"
    ran.verify_refuses()


def test_process_ended_by_a_thread(project: Project) -> None:
    """A thread ends the process in the middle of a gate, as a time-out by thread does."""
    project.gate_b("import os, threading, time\nthreading.Timer(0.1, os._exit, [0]).start()\ntime.sleep(30)")
    ran = project.run()

    assert ran.document is not None
    assert ran.document["verdict"] == "BLOCK"
    ran.verify_refuses()


@serial_and_nightly_parallel
def test_forked_process_that_comes_back(project: Project, workers: int) -> None:
    """A process that a red gate forked comes back from the test, to run the rest and decide in its place."""
    body = f"""
        import pathlib, time
        child = os.fork()
        if child:
            pathlib.Path("child").write_text(str(child))
            raise OSError("gone")
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        {GREEN}"""
    project.catalog("a", "b")
    text = GATE.format(name="a") + Way(textwrap.dedent(body)).text("b")
    project.write("gates/test_gates.py", HEAD + text)
    ran = project.run(workers=workers)
    child = Path("/proc", (project.folder / "child").read_text(encoding="utf-8"), "cmdline")
    assert child.read_bytes()
    project.write("go", "")
    until = time.monotonic() + TIMEOUT_S
    while child.exists() and child.read_bytes() and time.monotonic() < until:
        time.sleep(0.02)

    ran.blocks("ERROR", status=20)
    again = project.verify("--run-id", "this-run")
    assert "DECISION_BLOCK" in again.stdout + again.stderr


def test_exit_handler(project: Project) -> None:
    """An `atexit` handler ends the process with 0 after a BLOCK was decided."""
    project.gate_b(f"import atexit, os\natexit.register(os._exit, 0)\n{RED}")
    ran = project.run()

    assert "FAILED" in ran.codes
    ran.verify_refuses()


@pytest.mark.parametrize(
    "restart",
    [(), pytest.param(("--max-worker-restart=0",), marks=pytest.mark.nightly)],
    ids=["restart", "no restart"],
)
def test_worker_killed(project: Project, restart: tuple[str, ...]) -> None:
    """A worker dies in the middle of a gate."""
    project.gate_b(f"import os\n{GREEN}\nos.kill(os.getpid(), 9)")
    ran = project.run(*restart, workers=2)
    ran.blocks("ERROR", status=20)


@pytest.mark.nightly
@pytest.mark.parametrize("dist", ["worksteal", "loadscope", "loadfile"])
def test_worker_killed_under_other_schedulers(project: Project, dist: str) -> None:
    """A worker dies under a scheduler that loses the tests behind it."""
    project.gate_b("import os\nos.kill(os.getpid(), 9)")
    ran = project.run("--dist", dist, "--max-worker-restart=1", workers=2)
    ran.verify_refuses()
    assert ran.status in {20, 21, 22}


@pytest.mark.parametrize("dist", ["loadgroup", pytest.param("each", marks=pytest.mark.nightly)])
def test_refused_schedulers(project: Project, dist: str) -> None:
    """`--dist=loadgroup` hangs after a crash and `--dist=each` gives a gate two results: both are refused."""
    project.run("--dist", dist, workers=2).blocks("REFUSED_OPTION", status=22)


REFUSED = {
    "-W/--pythonwarnings": ("-W", "ignore"),
    "-p no:warnings": ("-p", "no:warnings"),
    "--disable-warnings": ("--disable-warnings",),
    "--assert=plain": ("--assert=plain",),
    "-o/--override-ini of filterwarnings, required_plugins, max_warnings": ("-o", "filterwarnings=ignore"),
    "-p no:unraisableexception": ("-p", "no:unraisableexception"),
    "-p no:threadexception": ("-p", "no:threadexception"),
}


def test_refused_options(project: Project) -> None:
    """Options that silence warnings or assertions are refused, each with a reason of its own."""
    ran = project.run(*(word for options in REFUSED.values() for word in options))

    ran.blocks("REFUSED_OPTION", status=22)
    assert ran.document is not None
    named = {reason["message"].split(" is refused")[0] for reason in ran.document["reasons"]}
    assert named == REFUSED.keys()


def test_python_optimised(project: Project) -> None:
    """`PYTHONOPTIMIZE=1` strips assertions."""
    project.write("pytest.ini", f"[pytest]\n{SETTINGS.replace('filterwarnings = error', '')}")
    project.env["PYTHONOPTIMIZE"] = "1"
    project.run_command().blocks("REFUSED_OPTION", status=22)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_gate_that_catches_the_end(project: Project, number: str) -> None:
    """A gate catches what ends the run, Ctrl-C or SIGTERM, and passes."""
    project.gate_b(
        f"import signal, time\ntry:\n    os.kill(os.getpid(), signal.{number})\n    time.sleep(30)\n"
        f"except BaseException:\n    pass\n{GREEN}"
    )
    project.run().blocks("RUN_ABORTED", status=21)


def test_warnings_by_environment(project: Project) -> None:
    """`PYTHONWARNINGS=ignore` would hide an assertion that fails in a thread."""
    project.env["PYTHONWARNINGS"] = "ignore"
    project.gate_b(
        f"import threading\n{GREEN}\ndef run():\n    assert False\n"
        "thread = threading.Thread(target=run)\nthread.start()\nthread.join()"
    )
    ran = project.run_command()
    ran.verify_refuses()
    assert ran.status in {20, 22}


def interrupt(project: Project, number: int, *, workers: int = 0) -> subprocess.Popen[str]:
    """Start a run whose gate b waits, send it a signal once it waits, and return the ended process."""
    project.gate_b("from pathlib import Path\nimport time\nPath('waiting').touch()\ntime.sleep(30)")
    process = subprocess.Popen(
        (*project.command(workers=workers), *PLUGINS),
        cwd=project.folder,
        env={**project.env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (project.folder / "waiting").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=30)
    return process


@serial_and_nightly_parallel
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_signals(project: Project, number: signal.Signals, workers: int) -> None:
    """A cancelled job (SIGTERM), Ctrl-C or `kill -9` leaves BLOCK, and no run directory."""
    process = interrupt(project, number, workers=workers)
    document = json.loads((project.folder / "gate-report" / "decision.json").read_text())

    assert process.returncode != 0
    assert document["verdict"] == "BLOCK"
    assert {reason["code"] for reason in document["reasons"]} & {"RUN_INCOMPLETE", "RUN_ABORTED", "NOT_RUN"}
    assert project.verify("--run-id", "this-run").returncode != 0


def test_gate_that_hangs(project: Project) -> None:
    """A gate that blocks every signal and hangs is ended by its deadline and is an ERROR."""
    policy = Path(project.folder / "gates/policy.yaml")
    lines = [
        "gate_deadline_s: 1" if line.startswith("gate_deadline_s:") else line
        for line in policy.read_text().splitlines()
    ]
    policy.write_text("\n".join(lines) + "\n")
    project.gate_b(
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "while True:\n    try:\n        time.sleep(0.1)\n    except Exception:\n        pass"
    )
    project.run().blocks("ERROR", status=20)


def test_stale_decision(project: Project) -> None:
    """A green decision of an earlier run is offered for this one."""
    assert project.run("--gate-run-id", "earlier-run").status == 0

    assert project.verify("--run-id", "this-run").returncode != 0


def test_old_decision(project: Project) -> None:
    """A green decision is used long after it was made."""
    assert project.run().status == 0
    time.sleep(1.1)

    assert project.verify("--max-age", "1s").returncode != 0


def test_edited_decision(project: Project) -> None:
    """The file's verdict is edited from BLOCK to DEPLOY."""
    project.gate_b(RED)
    project.run()
    path = project.folder / "gate-report" / "decision.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "verdict": "DEPLOY", "reasons": [], "exit_status": 0}))

    assert project.verify().returncode != 0


def test_decision_of_another_image(project: Project) -> None:
    """A decision about one image is used for another, or for any."""
    one, two = ("registry.example/bais@sha256:" + digit * 64 for digit in "12")
    assert project.run("--gate-subject", one).status == 0

    assert project.verify("--subject", one).returncode == 0
    assert project.verify("--subject", two).returncode != 0


def test_target_on_this_machine(project: Project) -> None:
    """The environment file is called staging, but its API is a stand-in on loopback: only a rehearsal."""
    project.write("staging.yaml", 'name: staging\napi: {url: "http://127.0.0.1:9"}\n')
    ran = project.run()

    assert ran.document is not None
    assert ran.document["target"]["rehearsal"] is True
    assert "REHEARSAL" in ran.verify_output
    ran.verify_refuses()


@pytest.mark.parametrize("name", ["policy", "waivers"])
def test_files_edited_afterwards(project: Project, name: str) -> None:
    """The policy or the waivers are edited between the decision and the deployment."""
    path = project.write("gates/waivers.yaml", "waivers: []\n").with_name(f"{name}.yaml")
    assert project.run().status == 0
    path.write_text(path.read_text() + "# edited\n")

    assert f"{name.upper()}_OTHER" in project.verify().stdout
    assert project.verify().returncode != 0


def test_decision_from_the_future(project: Project) -> None:
    """The clock was set forward for the run, so that its decision stays fresh for longer."""
    project.conftest(
        "import datetime\nimport bais_gates.pytest_plugin.finish as finish\nnow = finish.moment\n"
        "finish.moment = lambda: now() + datetime.timedelta(hours=3)\n"
    )
    project.run().verify_refuses()


def test_decision_of_another_scope(project: Project) -> None:
    """The decision of a small scope is offered as the go-live's."""
    result = project.run("-m", "acceptance")
    assert result.status == 0, result.output

    assert project.verify().returncode != 0
    assert project.verify("--scope", "acceptance").returncode == 0


def test_decision_of_another_environment(project: Project) -> None:
    """Staging's decision is offered for production."""
    assert project.run().status == 0

    assert run_command("verify", folder=project.folder).returncode != 0


def test_read_only_report_folder(project: Project) -> None:
    """The report folder can't be written: no verdict is given that nobody could read."""
    (project.folder / "gate-report").write_text("a file stands where the folder should be")
    ran = project.run()

    assert ran.status == 23
    # Without spaces, as a line may end behind any hyphen of the path.
    assert "gate-report/decision.jsoncannotbewritten" in "".join(ran.output.split())
    assert "Traceback" not in ran.output
