"""The run's own platform is brought up while the first gates run; no other is touched early."""

from __future__ import annotations

import pytest

from tests.pytest_plugin.conftest import Project

CONFTEST = """
import contextlib, pathlib, threading, time
from types import SimpleNamespace
import bais_gates.staging.run, bais_gates.targets.provision, bais_gates.targets.target
import pytest
from bais_gates.targets.environment import load_environment

LOG = pathlib.Path(__file__).parent / "log.txt"
STEPS = 10

def log(text):
    with LOG.open("a") as file:
        file.write(f"{text}\\n")

def step(name):
    ahead = "ahead" if threading.current_thread().name == "provisioning" else "asked"
    log(f"{name} {ahead}")

def open_target(run, *, gates_dir, **_):
    step("target")
    if (gates_dir / "broken").exists():
        raise RuntimeError("no target")
    return SimpleNamespace(environment=load_environment("stub", gates_dir=gates_dir), gates_dir=gates_dir)

class Writer:
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def close(self): pass

def open_cluster_writer(run, environment, **_):
    step("cluster")
    return Writer()

def open_staging(run, server, environment, *, progress, **_):
    step("staging")
    if threading.current_thread().name == "provisioning":
        for _ in range(STEPS):
            progress("still at it")
            time.sleep(0.05)
        log("staged")
    return object()

def release(directory):
    log("released " + ("beside" if threading.current_thread() is not threading.main_thread() else "last"))

bais_gates.targets.provision.release = release
bais_gates.targets.target.open_target = open_target
bais_gates.targets.target.open_cluster_writer = open_cluster_writer
bais_gates.staging.run.open_staging = open_staging

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    log(item.name)
    return (yield)
"""
GATES = """
@pytest.mark.gate("acceptance.first")
def test_first(evidence):
    time.sleep(0.3)
    evidence.check("one", 1, "==", 1)

@pytest.mark.gate("acceptance.measures")
def test_measures(target, evidence):
    evidence.check("one", 1, "==", 1)

@pytest.mark.gate("acceptance.staged")
def test_staged(staging, evidence):
    evidence.check("one", 1, "==", 1)
"""


def run(
    project: Project,
    *options: str,
    provision: str = "sandbox",
    more: str = "",
    gates: str = GATES,
    conftest: str = CONFTEST,
) -> list[str]:
    """Run the gates over fakes that log who opens what, and return the log."""
    project.catalog(first={}, measures={"exclusive": True}, staged={})
    project.write("gates/environments/stub.yaml", f"name: stub\nprovision: {provision}\n{more}")
    project.write("conftest.py", conftest)
    project.tests(gates)
    project.run("-m", "golive", *options)
    return (project.folder / "log.txt").read_text(encoding="utf-8").splitlines()


def test_it_is_brought_up_beside_the_first_gates(project: Project) -> None:
    """Staging is ready when a gate asks for it, and an exclusive gate waits for it although it does not."""
    log = run(project)

    assert project.run("-m", "golive").status == 0
    assert log.index("staging ahead") < log.index("test_staged")
    assert log.index("test_first") < log.index("staged") < log.index("test_measures")
    assert list(dict.fromkeys(line for line in log if line.endswith("ahead"))) == [
        "target ahead",
        "cluster ahead",
        "staging ahead",
    ]


def test_an_exclusive_gate_of_another_worker_waits_too(project: Project) -> None:
    """With two workers no exclusive gate runs while the other one brings something up."""
    log = run(project, "-n", "2")

    assert log.index("staged") < log.index("test_measures")


@pytest.mark.parametrize(
    ("provision", "more", "expected"),
    [
        ("none", "", []),
        (
            "sandbox",
            "not_applicable:\n  acceptance.staged: There is no staging.\n",
            ["target ahead"],
        ),
    ],
)
def test_nothing_is_brought_up_that_no_gate_may_ask_for(
    project: Project, provision: str, more: str, expected: list[str]
) -> None:
    """Another target waits until a gate asks, and what is not applicable is not provisioned."""
    log = run(project, provision=provision, more=more)

    assert list(dict.fromkeys(line for line in log if line.endswith("ahead"))) == expected


def test_a_failure_is_one_reason_for_the_gates_that_ask(project: Project) -> None:
    """A platform that does not come up is one reason, which lists the gates that need it; none is run."""
    project.write("gates/broken", "")
    run(project)

    ran = project.run("-m", "golive")
    assert ran.decision is not None
    (reason,) = ran.decision["reasons"]
    assert (ran.status, reason["holds_back"]) == (20, ["acceptance.staged", "acceptance.measures"])
    assert "no target" in reason["message"]


@pytest.mark.parametrize("options", [(), pytest.param(("-n", "2"), marks=pytest.mark.nightly)])
def test_it_ends_beside_the_reports_and_once_more(project: Project, options: tuple[str, ...]) -> None:
    """After the last gate a thread ends the platform; what it could not end is ended, and reported, last."""
    log = run(project, *options)

    assert log[-2:] == ["released beside", "released last"]


def test_the_end_of_the_session_ends_it(project: Project) -> None:
    """An interrupted run does not wait for what is still coming up, and ends it after its fixtures."""
    begun = 'while "staging ahead" not in open("log.txt").read(): time.sleep(0.01)'
    gates = GATES.replace("time.sleep(0.3)", f"{begun}\n    raise KeyboardInterrupt")
    log = run(project, gates=gates, conftest=CONFTEST.replace("STEPS = 10", "STEPS = 400"))

    assert "staged" not in log
    assert [line for line in log if "released" in line] == ["released last"]
