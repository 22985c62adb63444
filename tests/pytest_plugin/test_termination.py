"""However a run ends, it ends in bounded time, in BLOCK, with the truth about why."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.pytest_plugin.conftest import HTML

if TYPE_CHECKING:
    from tests.pytest_plugin.conftest import Project

TWO = """
@pytest.mark.gate("acceptance.one")
def test_one(evidence):
    evidence.check("one", 1, "==", 1)
    {body}

@pytest.mark.gate("acceptance.two")
def test_two(evidence):
    evidence.check("one", 1, "==", 1)
"""


def wait_for(path: object, project: Project, seconds: float = 20) -> None:
    """Wait until a test of the project left a file."""
    until = time.monotonic() + seconds
    while not (project.folder / str(path)).exists():
        assert time.monotonic() < until
        time.sleep(0.02)


SERIAL_AND_PARALLEL = [
    pytest.param((), id="serial"),
    pytest.param(("-n", "2"), id="parallel", marks=pytest.mark.nightly),
]


FORKED = {
    "signal": ("time.sleep(30) or os._exit(9)", "os.kill(child, signal.SIGTERM)", -signal.SIGTERM),
    "exit": ("raise SystemExit(3)", "pass", 3),
    "error": ("raise OSError", "pass", 1),
    "end": ("return", "pass", 0),
}


def test_forked_processes_end_as_in_any_program(project: Project) -> None:
    """A process that a gate forked ends by a signal, an error or its own end, and the gate has its status."""
    project.catalog(**{name: {} for name in FORKED})
    project.tests(
        "".join(
            f"""
@pytest.mark.gate("acceptance.{name}")
def test_{name}(evidence):
    child = os.fork()
    if child == 0:
        {of_child}
    {of_parent}
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    evidence.check("exit status", status, "==", {int(expected)})
"""
            for name, (of_child, of_parent, expected) in FORKED.items()
        )
    )

    ran = project.run("-m", "golive")

    assert ran.outcomes == dict.fromkeys(FORKED, "PASS"), ran.output


def test_forked_processes_are_ended_before_they_begin(project: Project) -> None:
    """A signal that a gate sends to a process in the moment in which it forks it ends that process."""
    project.catalog(one={})
    project.tests(
        """
        @pytest.mark.gate("acceptance.one")
        def test_one(evidence):
            statuses = []
            for _ in range(100):
                child = os.fork()
                if child == 0:
                    time.sleep(5)
                    os._exit(9)
                os.kill(child, signal.SIGTERM)
                statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            evidence.check("exit statuses", sorted(set(statuses)), "==", [-signal.SIGTERM])
        """
    )

    ran = project.run("-m", "golive")

    assert ran.outcomes == {"one": "PASS"}, ran.output


def test_block_is_on_disk_while_the_run_lasts(project: Project) -> None:
    """From before the first conftest the file says BLOCK; a kill leaves it so, and names the run before."""
    project.catalog(one={}, two={})
    project.passing("one", "two")
    first = project.run("-m", "golive", "--gate-run-id", "first", *HTML)
    assert (project.out / "report.html").exists()
    project.write(
        "conftest.py",
        "import json\nassert json.load(open('gate-report/decision.json'))['verdict'] == 'BLOCK'\n",
    )
    project.tests(TWO.format(body="open('here', 'w').close(); time.sleep(60)"))

    process = project.start("-m", "golive", "--gate-run-id", "second", *HTML)
    wait_for("here", project)
    process.kill()
    ran = project.end(process)

    assert first.status == 0
    assert first.decision is not None
    assert first.decision["verdict"] == "DEPLOY"
    assert ran.codes == {"RUN_INCOMPLETE"}
    assert ran.decision is not None
    assert ran.decision["run"]["run_id"] == "second"
    assert ran.decision["previous"]["run_id"] == "first"
    assert not (project.out / "report.html").exists(), "the page of the run before would look green"
    assert "second" in (project.out / "signoff.html").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("workers", SERIAL_AND_PARALLEL)
def test_a_signal_cleans_up_and_blocks(
    project: Project, number: signal.Signals, workers: tuple[str, ...]
) -> None:
    """A cancelled job or a closed terminal: fixtures are torn down, the decision is BLOCK and says why."""
    project.catalog(one={}, two={})
    project.tests(
        "@pytest.fixture(scope='session')\ndef target():\n    yield\n    open('gone', 'w').close()\n"
        + TWO.format(body="open('here', 'w').close(); time.sleep(30)").replace("(evid", "(target, evid")
    )

    process = project.start("-m", "golive", *workers)
    wait_for("here", project)
    process.send_signal(number)
    ran = project.end(process, timeout=30)

    assert ran.status == 21, ran.output
    assert "RUN_ABORTED" in ran.codes
    assert number.name in ran.output
    assert ran.outcomes["one"] == "NOT_RUN"
    if not workers:
        assert (project.folder / "gone").exists()


@pytest.mark.parametrize(
    ("body", "status", "code", "outcome"),
    [
        ("pytest.exit('bye', returncode=0)", 21, "RUN_ABORTED", "NOT_RUN"),
        ("raise KeyboardInterrupt", 21, "RUN_ABORTED", "NOT_RUN"),
        ("os._exit(0)", 0, "RUN_INCOMPLETE", None),
    ],
)
def test_a_test_that_ends_the_run(
    project: Project, body: str, status: int, code: str, outcome: str | None
) -> None:
    """A test can end the run, not decide it; what it does to the process the file does not follow."""
    project.catalog(one={}, two={})
    project.tests(TWO.format(body=body))

    ran = project.run("-m", "golive")

    assert ran.status == status, ran.output
    assert code in ran.codes
    assert ran.decision is not None
    assert ran.decision["verdict"] == "BLOCK"
    assert ran.outcomes.get("one") == outcome


@pytest.mark.parametrize(
    ("conftest", "arguments", "status", "code"),
    [
        ("raise ImportError('no such thing')", (), 4, "COLLECTION_ERROR"),
        ("def pytest_configure(config):\n    raise RuntimeError('no')", (), 23, "INTERNAL_ERROR"),
        ("def pytest_collection_modifyitems(items):\n    raise RuntimeError('no')", (), 23, "INTERNAL_ERROR"),
        ("def pytest_sessionfinish():\n    raise RuntimeError('no')", (), 23, "INTERNAL_ERROR"),
        (
            "import pytest\ndef pytest_sessionfinish():\n    pytest.exit('fine', returncode=0)",
            (),
            23,
            "INTERNAL_ERROR",
        ),
        ("def pytest_unconfigure(config):\n    config.stash\n", ("no_such_file.py",), 21, "RUN_ABORTED"),
        ("", ("--no-such-option",), 4, "RUN_INCOMPLETE"),
        ("", ("--help",), 21, "RUN_INCOMPLETE"),
        ("", ("--collect-only", "-q"), 21, "NOT_RUN"),
        ("", ("--setup-only",), 21, "NOT_RUN"),
        ("", ("--deselect", "test_gates.py::test_two"), 21, "NOT_RUN"),
        ("def pytest_cmdline_main():\n    return 0", (), 21, "RUN_INCOMPLETE"),
    ],
)
def test_runs_that_do_not_get_to_their_tests(
    project: Project, conftest: str, arguments: tuple[str, ...], status: int, code: str
) -> None:
    """Broken conftests, usage errors and looking-only leave BLOCK, a true reason and no status 0."""
    project.catalog(one={}, two={})
    project.passing("one", "two")
    project.write("conftest.py", conftest)

    ran = project.run("-m", "golive", *arguments)

    assert ran.status == status, ran.output
    assert code in ran.codes, ran.output
    assert ran.decision is not None
    assert ran.decision["verdict"] == "BLOCK"


def test_a_gate_that_hangs_ends_at_its_deadline(project: Project) -> None:
    """A gate over its deadline is an ERROR, also when it swallows every exception; the next ones run."""
    project.catalog(one={}, two={})
    project.policy(gate_deadline_s=0.5)
    project.tests(
        TWO.format(
            body="""
    for _ in range(2):
        try:
            time.sleep(30)
        except BaseException:
            pass
"""
        )
    )

    began = time.monotonic()
    ran = project.run("-m", "golive")

    assert time.monotonic() - began < 15
    assert ran.outcomes == {"one": "ERROR", "two": "PASS"}, ran.output
    assert ran.status == 20, ran.output
    assert "deadline of 0.5 s passed in the test" in ran.gate("one")["message"]


@pytest.mark.parametrize("workers", SERIAL_AND_PARALLEL)
def test_a_run_that_hangs_ends_at_its_deadline(project: Project, workers: tuple[str, ...]) -> None:
    """The run's deadline ends what no gate's deadline can, in bounded time, with RUN_DEADLINE."""
    project.catalog(one={}, two={})
    project.policy(gate_deadline_s=2, run_deadline_s=3)
    project.tests(
        TWO.format(
            body="""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGURG])
    time.sleep(60)
"""
        )
    )

    began = time.monotonic()
    ran = project.run("-m", "golive", *workers)

    assert time.monotonic() - began < 40
    assert "RUN_DEADLINE" in ran.codes, ran.output
    assert ran.status in {20, 21}, ran.output  # 20 where the gate's own deadline is raised as it wakes
