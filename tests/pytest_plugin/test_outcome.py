"""Each way a gate can go has its outcome, the same with and without workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pytest_plugin.conftest import Project

GATES = """
def gate(name):
    return pytest.mark.gate("acceptance." + name)

@gate("good")
def test_good(evidence):
    '''It is good.'''
    evidence.check("p95", 180.0, "<=", 200, unit="ms", n=500, n_min=300)

@gate("false_check")
def test_false_check(evidence):
    assert not evidence.check("p95", 250, "<=", 200, unit="ms")
    evidence.check("errors", 3, "==", 0)

@gate("caught")
def test_caught(evidence):
    try:
        evidence.require("status", 500, "==", 200)
    except BaseException:
        pass
    with pytest.raises(AssertionError):
        evidence.require("body", "", "!=", "")

@gate("asserted")
def test_asserted(evidence):
    evidence.check("one", 1, "==", 1)
    assert 1 == 2

@gate("broken")
def test_broken(evidence):
    evidence.check("one", 1, "==", 1)
    raise RuntimeError("no connection, password=hunter2222")

@pytest.fixture
def no_set_up():
    assert False, "no set-up"

@gate("set_up")
def test_set_up(no_set_up, evidence):
    evidence.check("one", 1, "==", 1)

@pytest.fixture
def no_tear_down():
    yield
    raise RuntimeError("no tear-down")

@gate("misnamed")
def test_misnamed(evidense):
    pass

@gate("tear_down")
def test_tear_down(no_tear_down, evidence):
    evidence.check("one", 1, "==", 1)

@gate("no_data")
def test_no_data(evidence):
    evidence.check("p95", float("nan"), "<=", 200)
    evidence.check("p99", 1, "<=", 200, n=3, n_min=30)

@gate("required_data")
def test_required_data(evidence):
    evidence.require("p95", None, "<=", 200, n=0)

@gate("skipped")
@pytest.mark.skipif(True, reason="not today")
def test_skipped(evidence):
    evidence.check("one", 1, "==", 1)

@gate("skips")
def test_skips(evidence):
    evidence.check("one", 1, "==", 1)
    pytest.skip("later")

@gate("xfails")
def test_xfails(evidence):
    evidence.check("one", 1, "==", 1)
    pytest.xfail("known")

@gate("vacuous")
def test_vacuous():
    pass

@gate("subtest")
def test_subtest(evidence, subtests):
    evidence.check("one", 1, "==", 1)
    with subtests.test("part"):
        assert 1 == 2

@gate("subtest_skip")
def test_subtest_skip(evidence, subtests):
    evidence.check("one", 1, "==", 1)
    with subtests.test("part"):
        pytest.skip("no")

@gate("thread")
def test_thread(evidence):
    import threading
    evidence.check("one", 1, "==", 1)
    def fail():
        assert 1 == 2
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

@gate("late")
def test_late(evidence, request):
    evidence.check("one", 1, "==", 1)
    request.addfinalizer(lambda: evidence.check("left behind", 2, "==", 0))

@gate("needy")
def test_needy(evidence):
    evidence.check("one", 1, "==", 1)

@gate("excused")
def test_excused(evidence):
    raise RuntimeError("must not run")

@gate("cased")
@pytest.mark.parametrize("n", [1, 2], ids=["one", "two"])
def test_cased(evidence, n):
    evidence.check("n", n, "<", 3)

@gate("half_cased")
@pytest.mark.parametrize("n", [1], ids=["one"])
def test_half_cased(evidence, n):
    evidence.check("n", n, "<", 3)
"""
EXPECTED = {
    "good": "PASS",
    "false_check": "FAIL",
    "caught": "FAIL",
    "asserted": "FAIL",
    "broken": "ERROR",
    "set_up": "ERROR",
    "misnamed": "ERROR",
    "tear_down": "ERROR",
    "no_data": "NO_DATA",
    "required_data": "NO_DATA",
    "skipped": "SKIPPED",
    "skips": "SKIPPED",
    "xfails": "XFAIL",
    "vacuous": "VACUOUS",
    "subtest": "FAIL",
    "subtest_skip": "SKIPPED",
    "thread": "ERROR",
    "late": "FAIL",
    "needy": "NOT_RUN",
    "excused": "NOT_APPLICABLE",
    "cased": "PASS",
    "half_cased": "NOT_RUN",
    "absent": "NOT_RUN",
}


@pytest.mark.parametrize(
    "workers",
    # In every run tests/bypass/test_outcomes.py has such gates judged by two workers.
    [(), pytest.param(("-n", "2"), marks=pytest.mark.nightly)],
    ids=["serial", "parallel"],
)
def test_every_outcome(project: Project, workers: tuple[str, ...]) -> None:
    """What happens to a gate's test decides its outcome; the run is BLOCK with every reason."""
    more: dict[str, dict[str, object]] = {name: {} for name in EXPECTED}
    more["needy"] = {"needs": ["acceptance.caught", "acceptance.good"]}
    more["cased"] = more["half_cased"] = {"cases": ["one", "two"]}
    project.catalog(**more)
    project.write(
        "gates/environments/stub.yaml",
        "name: stub\nnot_applicable: {acceptance.excused: there is no such thing here}\n",
    )
    project.tests(GATES)

    ran = project.run("-m", "golive", *workers)

    assert ran.outcomes == EXPECTED, ran.output
    assert ran.status == 22, "a gate without a test is a matter of integrity"
    assert {"FAILED", "ERROR", "NO_DATA", "SKIPPED", "XFAIL", "VACUOUS", "GATE_UNBOUND"} <= ran.codes, (
        ran.output
    )
    assert {"NEEDS_NOT_PASSED", "CASES_MISSING"} <= ran.codes
    assert "LEDGER_MISMATCH" not in ran.codes
    assert "TAMPERED" not in ran.codes
    assert "p95: 250 ms (limit 200 ms)\nerrors: 3 (expected none)" in ran.output
    assert "errors: 3 (expected none)" in ran.gate("false_check")["message"]
    assert ran.gate("good")["summary"] == "It is good."
    assert ran.gate("needy")["needs_not_passed"] == ["acceptance.caught"]
    assert ran.gate("excused")["message"] == "there is no such thing here"
    assert "in set-up: AssertionError: no set-up" in ran.gate("set_up")["message"]
    assert "in set-up: FixtureLookupError: no fixture 'evidense' here;" in ran.gate("misnamed")["message"]
    assert "hunter2222" not in ran.output
    assert not [path for path in project.out.iterdir() if b"hunter2222" in path.read_bytes()]


def test_a_thread_that_starts_while_a_module_is_imported(project: Project) -> None:
    """A gate may start a thread while another thread has multiprocessing.pool half imported."""
    project.catalog(thread={})
    project.tests(
        """
        import sys, threading, types

        @pytest.mark.gate("acceptance.thread")
        def test_thread(evidence, monkeypatch):
            monkeypatch.setitem(sys.modules, "multiprocessing.pool", types.ModuleType("multiprocessing.pool"))
            done = threading.Event()
            threading.Thread(target=done.set).start()
            evidence.check("the thread ran", done.wait(10), "==", True)
        """
    )

    assert project.run("-m", "golive").outcomes == {"thread": "PASS"}
