"""Ways round the gate that make a red test look like something else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.bypass.conftest import GREEN, RED, Project, Way, serial_and_nightly_parallel, serial_and_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.bypass.conftest import Ran

    Try = Callable[[Way, int], Ran]

RED_ONCE = """\
from pathlib import Path
tried = Path("tried")
red = not tried.exists()
tried.touch()
evidence.check("b", red, "==", False)"""
SKIPS = {
    "skip": Way(RED, "@pytest.mark.skip(reason='later')"),
    "skipif": Way(RED, "@pytest.mark.skipif(True, reason='later')"),
    "skip in the test": Way(f"pytest.skip('later')\n{RED}"),
    "importorskip": Way(f"pytest.importorskip('no_such_module')\n{RED}"),
    "skip after a good check": Way(f"{GREEN}\npytest.skip('later')\n{RED}"),
}
XFAILS = {
    mark: Way(RED, f"@pytest.mark.{mark}") for mark in ("xfail", "xfail(strict=False)", "xfail(run=False)")
}
SWALLOWED = {
    "try": Way("try:\n    evidence.require('b', 2, '==', 1)\nexcept BaseException:\n    pass\n"),
    "raises": Way("with pytest.raises(Exception):\n    evidence.require('b', 2, '==', 1)"),
    "overwrite": Way(f"{RED}\n{GREEN}"),
    "suppress": Way(
        "import contextlib\nwith contextlib.suppress(Exception):\n    evidence.require('b', 2, '==', 1)"
    ),
}
SUBTEST = Way(f'{GREEN}\nwith subtests.test("part"):\n    assert False', arguments="evidence, subtests")
VACUOUS = {
    "pass": Way("pass"),
    "return": Way("return None"),
    "bare assert": Way("assert 1 == 1"),
    "swallowed assert": Way("try:\n    assert False\nexcept AssertionError:\n    pass"),
}
NO_SAMPLES = {
    "nan": Way('evidence.check("b", float("nan"), "<=", 1)'),
    "None": Way('evidence.check("b", None, "<=", 1)'),
    "no samples": Way('evidence.check("b", 0.0, "<=", 1, n=0)'),
    "too few samples": Way('evidence.check("b", 0.5, "<=", 1, n=9, n_min=10)'),
    "infinity": Way('evidence.check("b", float("inf"), ">=", 1)'),
    "nested": Way('evidence.check("b", [1, {"a": (float("nan"), None)}], "!=", [])'),
}
PROVES_NOTHING = {
    check: Way(f'evidence.check("b", {check})')
    for check in (
        '"", "in", "text"',
        '3, "!=", None',
        '3, "!=", "3"',
        '3, "not in", []',
        '"x", "matches", ".*"',
    )
}
XFAIL_CALL = Way(f"{RED}\npytest.xfail('known')")
XFAIL_CALL_FIRST = Way("pytest.xfail('known')")
NO_NUMBER = Way('evidence.check("b", 1, "<=", float("nan"))')
LYING_VALUE = Way(
    "class Liar(str):\n    __hash__ = str.__hash__\n    def __eq__(self, other): return True\n"
    'evidence.check("b", Liar("red"), "==", "green")'
)
ASSERTION_IN_A_THREAD = Way(
    'import threading\nevidence.check("b", 1, "==", 1)\ndef run():\n    assert False\n'
    "thread = threading.Thread(target=run)\nthread.start()\nthread.join()"
)
CHECK_IN_A_THREAD = Way(
    'import threading\nevidence.check("a", 1, "==", 1)\n'
    'thread = threading.Thread(target=lambda: evidence.check("b", 2, "==", 1))\n'
    "thread.start()\nthread.join()"
)
RED_GATES = (
    *(*SWALLOWED.values(), *VACUOUS.values(), *NO_SAMPLES.values(), *PROVES_NOTHING.values()),
    *(XFAIL_CALL, XFAIL_CALL_FIRST, NO_NUMBER, LYING_VALUE, ASSERTION_IN_A_THREAD, CHECK_IN_A_THREAD),
    SUBTEST,
)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Way, Ran]:
    """Try all ways that are in a test alone, those that end with the same status in one run."""
    return {
        way: ran
        for ways in (SKIPS.values(), XFAILS.values(), RED_GATES)
        for way, ran in Project(tmp_path_factory.mktemp("serial")).run_each(ways, workers=0).items()
    }


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Way, Ran]:
    """Try them all in one run with ``-n 2``, whose status is that of the worst."""
    ways = (*SKIPS.values(), *XFAILS.values(), *RED_GATES)
    tried = Project(tmp_path_factory.mktemp("parallel")).run_each(ways)
    return {way: replace(ran, status=None) for way, ran in tried.items()}


@pytest.fixture
def attempt(request: pytest.FixtureRequest) -> Try:
    """Return a function that returns what became of a way, with workers or without."""

    def run(way: Way, workers: int) -> Ran:
        ways: Mapping[Way, Ran] = request.getfixturevalue("parallel" if workers else "serial")
        return ways[way]

    return run


@serial_and_parallel
@pytest.mark.parametrize("way", SKIPS.values(), ids=SKIPS)
def test_skipping(attempt: Try, way: Way, workers: int) -> None:
    """A skip, by mark, call or missing module, takes the gate out."""
    attempt(way, workers).blocks("SKIPPED", status=21)


def test_skip_in_a_fixture(project: Project) -> None:
    """A fixture skips the gate."""
    project.gate_b(RED, arguments="evidence, sour")
    project.conftest("@pytest.fixture\ndef sour():\n    pytest.skip('later')\n")
    project.run().blocks("SKIPPED", status=21)


def test_skip_marks_added_by_a_conftest(project: Project) -> None:
    """A conftest adds skip marks at collection."""
    project.conftest("def pytest_collection_modifyitems(items):\n    items[1].add_marker(pytest.mark.skip)\n")
    project.run().blocks("SKIPPED", status=21)


@serial_and_parallel
@pytest.mark.parametrize("way", XFAILS.values(), ids=XFAILS)
def test_xfail_mark(attempt: Try, way: Way, workers: int) -> None:
    """An xfail mark turns red into expected."""
    attempt(way, workers).blocks("REFUSED_OPTION", status=22)


@serial_and_parallel
def test_xfail_call(attempt: Try, workers: int) -> None:
    """`pytest.xfail()` inside the gate turns red into expected, or leaves nothing proven."""
    attempt(XFAIL_CALL, workers).blocks("FAILED", status=20)
    attempt(XFAIL_CALL_FIRST, workers).blocks("XFAIL", status=20)


def test_xfail_added_while_running(project: Project) -> None:
    """An xfail mark added from inside the test applies to the running test."""
    project.gate_b(f"request.node.add_marker(pytest.mark.xfail)\n{RED}", arguments="request, evidence")
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


def test_xpass(project: Project) -> None:
    """A stale xfail mark on a gate that passes."""
    project.gate_b(GREEN, marks="@pytest.mark.xfail(strict=False)")
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


@serial_and_parallel
@pytest.mark.parametrize("way", SWALLOWED.values(), ids=SWALLOWED)
def test_false_check_swallowed(attempt: Try, way: Way, workers: int) -> None:
    """A false check is caught, expected, suppressed or followed by a true one of the same name."""
    attempt(way, workers).blocks("FAILED", status=20)


@serial_and_parallel
@pytest.mark.parametrize("way", VACUOUS.values(), ids=VACUOUS)
def test_no_check_recorded(attempt: Try, way: Way, workers: int) -> None:
    """A test without a recorded check proves nothing, however green."""
    attempt(way, workers).blocks("VACUOUS", status=20)


def test_assertion_of_a_tuple(project: Project) -> None:
    """`assert (condition, "message")` is always true."""
    project.gate_b(f'{GREEN}\nassert (1 == 2, "not equal")')
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


@serial_and_parallel
@pytest.mark.parametrize("way", NO_SAMPLES.values(), ids=NO_SAMPLES)
def test_zero_samples(attempt: Try, way: Way, workers: int) -> None:
    """A comparison with no number, or of no samples, is not a pass."""
    attempt(way, workers).blocks("NO_DATA", status=20)


@serial_and_parallel
@pytest.mark.parametrize("way", PROVES_NOTHING.values(), ids=PROVES_NOTHING)
def test_checks_that_hold_for_everything(attempt: Try, way: Way, workers: int) -> None:
    """A check that no observation could make false is refused."""
    attempt(way, workers).blocks("ERROR", status=20)


@serial_and_parallel
def test_limit_that_is_no_number(attempt: Try, workers: int) -> None:
    """A limit of NaN can't be met or missed: the gate itself is wrong."""
    attempt(NO_NUMBER, workers).blocks("ERROR", status=20)


@serial_and_parallel
def test_lying_value(attempt: Try, workers: int) -> None:
    """A str subclass whose `==` is always true is observed."""
    attempt(LYING_VALUE, workers).blocks("FAILED", status=20)


@serial_and_parallel
def test_assertion_in_a_thread(attempt: Try, workers: int) -> None:
    """The assertion is in a thread, where nobody sees it fail."""
    attempt(ASSERTION_IN_A_THREAD, workers).blocks("ERROR", status=20)


@serial_and_parallel
def test_false_check_in_a_thread(attempt: Try, workers: int) -> None:
    """A false check recorded in a thread counts like any other."""
    attempt(CHECK_IN_A_THREAD, workers).blocks("FAILED", status=20)


@serial_and_nightly_parallel
def test_teardown_error(project: Project, workers: int) -> None:
    """The gate passes, its tear-down does not."""
    project.gate_b(GREEN, arguments="evidence, sour")
    project.conftest("@pytest.fixture\ndef sour():\n    yield\n    raise OSError('left behind')\n")
    project.run(workers=workers).blocks("ERROR", status=20)


def test_session_teardown_error(project: Project) -> None:
    """A session fixture's tear-down fails after the last gate."""
    project.conftest(
        "@pytest.fixture(scope='session', autouse=True)\n"
        "def sour():\n    yield\n    raise OSError('left behind')\n"
    )
    project.run().blocks("ERROR", status=20)


def test_session_teardown_error_after_a_gate_that_does_not_apply(project: Project) -> None:
    """A session fixture's tear-down fails after the last gate, which does not apply here."""
    catalog = project.folder / "gates" / "catalog.yaml"
    catalog.write_text(
        catalog.read_text(encoding="utf-8") + "    environments: [sandbox]\n", encoding="utf-8"
    )
    project.conftest(
        "@pytest.fixture(scope='session', autouse=True)\n"
        "def sour():\n    yield\n    raise OSError('left behind')\n"
    )
    project.run().blocks("ERROR", status=20)


def test_setup_error_hidden_by_xfail(project: Project) -> None:
    """An xfail mark hides that the fixture could not even be set up."""
    project.gate_b(RED, marks="@pytest.mark.xfail(strict=False)", arguments="evidence, sour")
    project.conftest("@pytest.fixture\ndef sour():\n    raise OSError('unreachable')\n")
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


@serial_and_parallel
def test_failed_subtest(attempt: Try, workers: int) -> None:
    """A subtest fails and its parent passes."""
    attempt(SUBTEST, workers).blocks("FAILED", status=20)


@serial_and_nightly_parallel
@pytest.mark.parametrize("how", [("--reruns", "2"), ("mark",)], ids=["option", "mark"])
def test_reruns(project: Project, how: tuple[str, ...], workers: int) -> None:
    """The gate is tried again until it passes."""
    project.gate_b(RED_ONCE, marks="@pytest.mark.flaky(reruns=2)" if how == ("mark",) else "")
    options = () if how == ("mark",) else how
    project.run_command(*options, workers=workers).blocks("REFUSED_OPTION", status=22)


def test_rerun_by_hand(project: Project) -> None:
    """A conftest runs the protocol of a red gate twice and keeps the second try."""
    project.gate_b(RED_ONCE)
    project.conftest(
        "from _pytest.runner import runtestprotocol\n"
        "def pytest_runtest_protocol(item, nextitem):\n"
        "    runtestprotocol(item, nextitem=nextitem, log=False)\n"
        "    for r in runtestprotocol(item, nextitem=nextitem, log=False):\n"
        "        item.ihook.pytest_runtest_logreport(report=r)\n"
        "    return True\n"
    )
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}, ran.output
