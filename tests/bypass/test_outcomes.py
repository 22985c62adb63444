"""Ways round the gate that make a red test look like something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.bypass.conftest import Project

serial_and_parallel = pytest.mark.parametrize("workers", [0, 2], ids=["serial", "-n2"])
RED = 'evidence.check("b", 2, "==", 1)'
RED_ONCE = """\
from pathlib import Path
tried = Path("tried")
red = not tried.exists()
tried.touch()
evidence.check("b", red, "==", False)"""


@serial_and_parallel
@pytest.mark.parametrize(
    ("marks", "body"),
    [
        ("@pytest.mark.skip(reason='later')", RED),
        ("@pytest.mark.skipif(True, reason='later')", RED),
        ("", f"pytest.skip('later')\n{RED}"),
        ("", f"pytest.importorskip('no_such_module')\n{RED}"),
        ("", f"evidence.check('b', 1, '==', 1)\npytest.skip('later')\n{RED}"),
    ],
    ids=["skip", "skipif", "skip in the test", "importorskip", "skip after a good check"],
)
def test_skipping(project: Project, marks: str, body: str, workers: int) -> None:
    """A skip, by mark, call or missing module, takes the gate out."""
    project.gate_b(body, marks=marks)
    project.run(workers=workers).blocks("SKIPPED", status=21)


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
@pytest.mark.parametrize(
    "marks",
    ["@pytest.mark.xfail", "@pytest.mark.xfail(strict=False)", "@pytest.mark.xfail(run=False)"],
)
def test_xfail_mark(project: Project, marks: str, workers: int) -> None:
    """An xfail mark turns red into expected."""
    project.gate_b(RED, marks=marks)
    project.run(workers=workers).blocks("REFUSED_OPTION", status=22)


def test_xfail_call(project: Project) -> None:
    """`pytest.xfail()` inside the gate turns red into expected."""
    project.gate_b(f"{RED}\npytest.xfail('known')")
    project.run().blocks("FAILED", status=20)


def test_xfail_call_before_any_check(project: Project) -> None:
    """`pytest.xfail()` before the first check leaves nothing proven."""
    project.gate_b("pytest.xfail('known')")
    project.run().blocks("XFAIL", status=20)


def test_xfail_added_while_running(project: Project) -> None:
    """An xfail mark added from inside the test applies to the running test."""
    project.gate_b(f"request.node.add_marker(pytest.mark.xfail)\n{RED}", arguments="request, evidence")
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


def test_xpass(project: Project) -> None:
    """A stale xfail mark on a gate that passes."""
    project.gate_b('evidence.check("b", 1, "==", 1)', marks="@pytest.mark.xfail(strict=False)")
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


@serial_and_parallel
@pytest.mark.parametrize(
    "body",
    [
        f"try:\n    evidence.require('b', 2, '==', 1)\nexcept BaseException:\n    pass\n{''}",
        "with pytest.raises(Exception):\n    evidence.require('b', 2, '==', 1)",
        "evidence.check('b', 2, '==', 1)\nevidence.check('b', 1, '==', 1)",
        "import contextlib\nwith contextlib.suppress(Exception):\n    evidence.require('b', 2, '==', 1)",
    ],
    ids=["try", "raises", "overwrite", "suppress"],
)
def test_false_check_swallowed(project: Project, body: str, workers: int) -> None:
    """A false check is caught, expected, suppressed or followed by a true one of the same name."""
    project.gate_b(body)
    project.run(workers=workers).blocks("FAILED", status=20)


@pytest.mark.parametrize(
    "body",
    ["pass", "return None", "assert 1 == 1", "try:\n    assert False\nexcept AssertionError:\n    pass"],
    ids=["pass", "return", "bare assert", "swallowed assert"],
)
def test_no_check_recorded(project: Project, body: str) -> None:
    """A test without a recorded check proves nothing, however green."""
    project.gate_b(body)
    project.run().blocks("VACUOUS", status=20)


def test_return_false(project: Project) -> None:
    """`return False` instead of an assertion."""
    project.gate_b('evidence.check("b", 1, "==", 1)\nreturn False')
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


def test_assertion_of_a_tuple(project: Project) -> None:
    """`assert (condition, "message")` is always true."""
    project.gate_b('evidence.check("b", 1, "==", 1)\nassert (1 == 2, "not equal")')
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


@pytest.mark.parametrize(
    "check",
    [
        '"b", float("nan"), "<=", 1',
        '"b", None, "<=", 1',
        '"b", 0.0, "<=", 1, n=0',
        '"b", 0.5, "<=", 1, n=9, n_min=10',
        '"b", float("inf"), ">=", 1',
    ],
    ids=["nan", "None", "no samples", "too few samples", "infinity"],
)
def test_zero_samples(project: Project, check: str) -> None:
    """A comparison with no number, or of no samples, is not a pass."""
    project.gate_b(f"evidence.check({check})")
    project.run().blocks("NO_DATA", status=20)


def test_limit_that_is_no_number(project: Project) -> None:
    """A limit of NaN can't be met or missed: the gate itself is wrong."""
    project.gate_b('evidence.check("b", 1, "<=", float("nan"))')
    project.run().blocks("ERROR", status=20)


def test_lying_value(project: Project) -> None:
    """A str subclass whose `==` is always true is observed."""
    project.gate_b(
        "class Liar(str):\n    __hash__ = str.__hash__\n    def __eq__(self, other): return True\n"
        'evidence.check("b", Liar("red"), "==", "green")'
    )
    ran = project.run()
    ran.verify_refuses()
    assert ran.status == 20


def test_assertion_in_a_thread(project: Project) -> None:
    """The assertion is in a thread, where nobody sees it fail."""
    project.gate_b(
        'import threading\nevidence.check("b", 1, "==", 1)\ndef run():\n    assert False\n'
        "thread = threading.Thread(target=run)\nthread.start()\nthread.join()"
    )
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


def test_false_check_in_a_thread(project: Project) -> None:
    """A false check recorded in a thread counts like any other."""
    project.gate_b(
        'import threading\nevidence.check("a", 1, "==", 1)\n'
        'thread = threading.Thread(target=lambda: evidence.check("b", 2, "==", 1))\n'
        "thread.start()\nthread.join()"
    )
    project.run().blocks("FAILED", status=20)


@serial_and_parallel
def test_teardown_error(project: Project, workers: int) -> None:
    """The gate passes, its tear-down does not."""
    project.gate_b('evidence.check("b", 1, "==", 1)', arguments="evidence, sour")
    project.conftest("@pytest.fixture\ndef sour():\n    yield\n    raise OSError('left behind')\n")
    project.run(workers=workers).blocks("ERROR", status=20)


def test_session_teardown_error(project: Project) -> None:
    """A session fixture's tear-down fails after the last gate."""
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
def test_failed_subtest(project: Project, workers: int) -> None:
    """A subtest fails and its parent passes."""
    project.gate_b(
        'evidence.check("b", 1, "==", 1)\nwith subtests.test("part"):\n    assert False',
        arguments="evidence, subtests",
    )
    project.run(workers=workers).blocks("FAILED", status=20)


@serial_and_parallel
@pytest.mark.parametrize("how", [("--reruns", "2"), ("mark",)], ids=["option", "mark"])
def test_reruns(project: Project, how: tuple[str, ...], workers: int) -> None:
    """The gate is tried again until it passes."""
    project.gate_b(RED_ONCE, marks="@pytest.mark.flaky(reruns=2)" if how == ("mark",) else "")
    options = () if how == ("mark",) else how
    project.run(*options, workers=workers).blocks("REFUSED_OPTION", status=22)


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
