"""Under xdist a decision is what it is without: needs, exclusive gates, dying workers, disagreement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.pytest_plugin.conftest import Project

FOUR = """
def gate(name):
    return pytest.mark.gate("acceptance." + name)

def note(text):
    with open("notes.txt", "a") as notes:
        notes.write(f"{text} {time.monotonic()}\\n")
"""


def test_a_killed_worker_costs_its_gate_alone(project: Project) -> None:
    """A worker that dies mid-test makes that gate an ERROR with its checks; the others report."""
    project.catalog(dies={}, needs_it={"needs": ["acceptance.dies"]}, one={}, two={}, three={})
    project.tests(
        FOUR
        + """
@gate("dies")
def test_dies(evidence):
    evidence.check("before", 1, "==", 1)
    os.kill(os.getpid(), signal.SIGKILL)

@gate("needs_it")
def test_needs_it(evidence):
    evidence.check("one", 1, "==", 1)

@pytest.mark.parametrize("n", [0])
@gate("one")
def test_one(evidence, n):
    evidence.check("one", 1, "==", 1)

@gate("two")
def test_two(evidence):
    evidence.check("one", 1, "==", 1)

@gate("three")
def test_three(evidence):
    evidence.check("one", 1, "==", 1)
"""
    )

    ran = project.run("-m", "golive", "-n", "2")

    assert ran.outcomes == {
        "dies": "ERROR",
        "needs_it": "NOT_RUN",
        "one": "PASS",
        "two": "PASS",
        "three": "PASS",
    }, ran.output
    assert ran.status == 20
    assert {"ERROR", "NEEDS_NOT_PASSED", "RUN_ABORTED"} <= ran.codes
    assert [check["name"] for check in ran.gate("dies")["checks"]] == ["before"]
    assert "The process that ran it died" in ran.gate("dies")["message"]


def test_needs_and_exclusive_gates_across_workers(project: Project) -> None:
    """A gate waits for what it needs elsewhere; an exclusive one runs last and alone."""
    project.catalog(
        alone={"exclusive": True},
        late={"needs": ["acceptance.slow"]},
        slow={},
        **{f"g{number}": {} for number in range(4)},
    )
    others = "".join(
        f"""
@gate("g{number}")
def test_g{number}(evidence):
    note("in g{number}"); time.sleep(0.2); note("out g{number}")
    evidence.check("one", 1, "==", 1)
"""
        for number in range(4)
    )
    project.tests(
        FOUR
        + """
@gate("alone")
def test_alone(evidence):
    note("in alone"); time.sleep(0.3); note("out alone")
    evidence.check("one", 1, "==", 1)

@gate("late")
def test_late(evidence):
    note("in late")
    evidence.check("one", 1, "==", 1)
    note("out late")

@gate("slow")
def test_slow(evidence):
    note("in slow"); time.sleep(0.5); note("out slow")
    evidence.check("one", 1, "==", 1)
"""
        + others
    )

    ran = project.run("-m", "golive", "-n", "3")

    assert ran.status == 0, ran.output
    notes = [line.split() for line in (project.folder / "notes.txt").read_text().splitlines()]
    at = {(what, who): float(when) for what, who, when in notes}
    assert at["out", "slow"] < at["in", "late"]
    assert not [who for (_, who), when in at.items() if at["in", "alone"] < when < at["out", "alone"]]


def test_workers_that_collect_different_tests_are_not_believed(project: Project) -> None:
    """Tests whose names differ from worker to worker make the run a matter of integrity."""
    project.catalog(one={}, two={})
    project.tests(
        FOUR
        + """
@gate("one")
def test_one(evidence):
    evidence.check("one", 1, "==", 1)

if os.environ["PYTEST_XDIST_WORKER"] == "gw0":
    @gate("two")
    def test_two(evidence):
        evidence.check("one", 1, "==", 1)
else:
    @gate("two")
    def test_other(evidence):
        evidence.check("one", 1, "==", 1)
"""
    )

    ran = project.run("-m", "golive", "-n", "2")

    assert "WORKERS_DISAGREE" in ran.codes, ran.output
    assert ran.status == 22


def test_maxfail_ends_a_run_early(project: Project) -> None:
    """With -x what did not run is NOT_RUN, with the reason, and gates that wait for needs do not hang."""
    project.catalog(**{f"g{number}": {} for number in range(6)}, late={"needs": ["acceptance.g5"]})
    project.tests(
        FOUR
        + "".join(
            f"""
@gate("g{number}")
def test_g{number}(evidence):
    evidence.check("red", {number}, ">", 0)
    time.sleep({0.3 if number else 0})
"""
            for number in range(6)
        )
        + """
@gate("late")
def test_late(evidence):
    evidence.check("one", 1, "==", 1)
"""
    )

    for workers in ((), ("-n", "2")):
        ran = project.run("-m", "golive", "-x", *workers)

        assert ran.status == 20, ran.output
        assert {"FAILED", "NOT_RUN", "RUN_ABORTED"} <= ran.codes
        assert ran.outcomes["g0"] == "FAIL"
        assert ran.outcomes["g5"] == ran.outcomes["late"] == "NOT_RUN"
