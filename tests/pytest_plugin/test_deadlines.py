"""A gate over its deadline is an ERROR, whatever it does to signals and clocks; timers of others go on."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.pytest_plugin.test_termination import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.pytest_plugin.conftest import Project

GATE = """
{marks}
@pytest.mark.gate("acceptance.{name}")
def test_{name}({arguments}):
    evidence.check("one", 1, "==", 1)
    {body}
"""
LATE = {
    # ended in the midst of it
    "alarm": "signal.alarm(0); time.sleep(30)",
    "timer": "signal.setitimer(signal.ITIMER_REAL, 0); time.sleep(30)",
    "handler": "signal.signal(signal.SIGALRM, signal.SIG_IGN); time.sleep(30)",
    "swallowed": "swallow(time.sleep, 30); swallow(time.sleep, 30)",
    "joined": "one = threading.Thread(target=time.sleep, args=(30,), daemon=True); one.start(); one.join()",
    "traced": "sys.settrace(lambda *_: None); time.sleep(30)",
    "expression": 're.match("(a+)+$", "a" * 64 + "b")',
    # by an exception in its thread, as no signal arrives
    "blocked": """signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True: time.sleep(0.1)""",
    "ignored": "ignore_all()\n    while True: time.sleep(0.1)",
    # found out afterwards
    "kept": "ignore_all(); time.sleep(0.8)",
    "skipped": "ignore_all(); time.sleep(0.8); pytest.skip()",
    "stopped_clocks": "ignore_all(); stop_clocks(monkeypatch); time.sleep(0.8)",
}
HELPERS = """
import re, sys, threading

def swallow(call, *arguments):
    try:
        call(*arguments)
    except BaseException:
        pass

def ignore_all():
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
        swallow(signal.signal, number, signal.SIG_IGN)

def stop_clocks(monkeypatch):
    for name in ("monotonic", "perf_counter", "time", "monotonic_ns", "perf_counter_ns", "time_ns"):
        monkeypatch.setattr(time, name, lambda: 0)

@pytest.fixture
def late_fixture():
    swallow(time.sleep, 30)

@pytest.fixture
def late_clean_up():
    yield
    swallow(time.sleep, 30)
"""


def write_gates(
    project: Project, bodies: Mapping[str, str], arguments: str = "", marks: Mapping[str, str] | None = None
) -> None:
    """Write a gate for each body, and their catalog."""
    marks = marks or {}
    project.catalog(**{name: {} for name in bodies})
    text = (
        GATE.format(
            name=name, body=body, marks=marks.get(name, ""), arguments=f"evidence, monkeypatch{arguments}"
        )
        for name, body in bodies.items()
    )
    project.tests(HELPERS + "".join(text))


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.nightly)], ids=["serial", "parallel"]
)
def test_no_gate_disarms_its_deadline(project: Project, workers: tuple[str, ...]) -> None:
    """Whatever a gate does to signals and clocks, it is ended or found out, and the gate after it as well."""
    bodies: dict[str, str] = {}
    for name, body in LATE.items():
        bodies |= {name: body, f"after_{name}": "time.sleep(0.05)"}
    write_gates(project, bodies)
    project.policy(gate_deadline_s=0.5)

    began = time.monotonic()
    ran = project.run("-m", "golive", *workers)

    assert time.monotonic() - began < 25
    expected = {name: "ERROR" if name in LATE else "PASS" for name in bodies}
    assert ran.outcomes == expected, ran.output
    for name in LATE:
        assert "deadline of 0.5 s passed in the test" in ran.gate(name)["message"]


def test_deadlines_of_fixtures(project: Project) -> None:
    """What a fixture takes counts, in set-up and in tear-down."""
    write_gates(project, {"set_up": "pass"}, arguments=", late_fixture")
    project.policy(gate_deadline_s=0.5)
    set_up = project.run("-m", "golive")
    write_gates(project, {"tear_down": "pass"}, arguments=", late_clean_up")
    tear_down = project.run("-m", "golive")

    assert "passed in set-up" in set_up.gate("set_up")["message"]
    assert "passed in tear-down" in tear_down.gate("tear_down")["message"]
    assert {*set_up.outcomes.values(), *tear_down.outcomes.values()} == {"ERROR"}


def test_a_late_clean_up_leaves_the_next_gate_alone(project: Project) -> None:
    """After a clean-up that is ended all others are still made, and the next gate starts anew."""
    bodies = {"late": "request.addfinalizer(lambda: time.sleep(30))", "next": "pass"}
    write_gates(project, bodies, arguments=", request")
    project.policy(gate_deadline_s=0.5)
    ran = project.run("-m", "golive")

    assert ran.outcomes == {"late": "ERROR", "next": "PASS"}, ran.output
    assert (ran.status, ran.codes) == (20, {"ERROR"})


@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_deadlines_of_hooks(project: Project, phase: str) -> None:
    """What a conftest adds around a phase of a gate counts, too."""
    write_gates(project, {"one": "pass"})
    project.write(
        "conftest.py",
        f"""
        import time
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_{phase}():
            answer = yield
            time.sleep(30)
            return answer
        """,
    )
    project.policy(gate_deadline_s=0.5)

    assert project.run("-m", "golive").outcomes == {"one": "ERROR"}


def test_gates_keep_their_own_alarm(project: Project) -> None:
    """A gate's own use of SIGALRM works as without the plugin."""
    body = """heard = []
    signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    time.sleep(0.3)
    evidence.check("alarms", len(heard), "==", 1)"""
    write_gates(project, {"alarm": body})

    assert project.run("-m", "golive").outcomes == {"alarm": "PASS"}


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("-n", "1"), marks=pytest.mark.nightly)], ids=["serial", "parallel"]
)
def test_pytest_timeout_by_signal(project: Project, workers: tuple[str, ...]) -> None:
    """pytest-timeout's marks and ini key end a test that is over them, and leave a gate's deadline alone."""
    project.policy(gate_deadline_s=1)
    late = dict.fromkeys(("marked", "ini", "longer", "same"), "time.sleep(30)")
    seconds = {"marked": 0.2, "longer": 20, "same": 1}
    marks = {name: f"@pytest.mark.timeout({limit})" for name, limit in seconds.items()}
    write_gates(project, late | {"quick": "time.sleep(0.1)"}, marks=marks)
    ran = project.run("-m", "golive", "-p", "pytest_timeout", "-o", "timeout=0.4", *workers)

    assert "Timeout (>0.2s)" in ran.gate("marked")["message"], ran.output
    assert "Timeout (>0.4s)" in ran.gate("ini")["message"], ran.output
    assert ran.outcomes["same"] in {"FAIL", "ERROR"}, "whichever comes first"
    assert ran.outcomes == {
        "marked": "FAIL",
        "ini": "FAIL",
        "longer": "ERROR",
        "same": ran.outcomes["same"],
        "quick": "PASS",
    }, ran.output


def test_pytest_timeout_by_thread(project: Project) -> None:
    """pytest-timeout's other method ends the process: BLOCK is on disk; in time it disturbs nothing."""
    timeout = ("-p", "pytest_timeout", "-o", "timeout_method=thread")
    write_gates(project, {"one": "time.sleep(30)"})
    ended = project.run("-m", "golive", *timeout, "-o", "timeout=0.3")
    write_gates(project, {"one": "time.sleep(30)", "two": "pass"})
    project.policy(gate_deadline_s=0.5)
    in_time = project.run("-m", "golive", *timeout, "-o", "timeout=20")

    assert (ended.status, ended.codes) == (1, {"RUN_INCOMPLETE"}), ended.output
    assert in_time.outcomes == {"one": "ERROR", "two": "PASS"}, in_time.output


def test_interrupt_of_a_late_gate(project: Project) -> None:
    """Ctrl-C ends the run also where the gate has passed its deadline and swallows it."""
    body = """open("here", "w").close()
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            time.sleep(0.1)
        except KeyboardInterrupt:
            raise
        except BaseException:
            open("late", "w").close()"""
    write_gates(project, {"one": body, "two": "pass"})
    project.policy(gate_deadline_s=0.3)

    process = project.start("-m", "golive")
    wait_for("late", project)
    process.send_signal(signal.SIGINT)
    ran = project.end(process, timeout=20)

    assert "RUN_ABORTED" in ran.codes, ran.output
    assert ran.outcomes["two"] == "NOT_RUN"


def test_a_long_load_run_moves_deadlines(project: Project) -> None:
    """`--gate-load-duration` adds to the deadlines of load gates and of the run, to no other gate's."""
    project.catalog(long={}, short={})
    entry = project.folder / "gates/catalog.yaml"
    text = entry.read_text(encoding="utf-8").replace("acceptance.long", "load.long", 1)
    entry.write_text(text.replace('"phase": "acceptance"', '"phase": "load"', 1), encoding="utf-8")
    project.policy(gate_deadline_s=0.5, run_deadline_s=2.5)
    project.tests(
        """
        @pytest.mark.gate("load.long")
        def test_long(evidence):
            time.sleep(1.5)
            evidence.check("one", 1, "==", 1)

        @pytest.mark.gate("acceptance.short")
        def test_short(evidence):
            time.sleep(1.5)
            evidence.check("one", 1, "==", 1)
        """
    )

    ran = project.run("-m", "golive", "--gate-load-duration=1m")

    assert ran.outcomes == {"long": "PASS", "short": "ERROR"}
    assert project.run("-m", "golive", "--gate-load-duration=10").status != 0
    assert "write it as 90s, 10m or 2h" in project.run("-m", "golive", "--gate-load-duration=10").output
