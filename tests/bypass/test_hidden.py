"""Ways round the gate that hide a failure where no exception reaches the test."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.bypass.conftest import GREEN, Project, Way, serial_and_nightly_parallel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bypass.conftest import Ran


def _body(text: str) -> str:
    return f"{GREEN}\n{textwrap.dedent(text).strip()}"


IGNORE = "@pytest.mark.filterwarnings('ignore')"
SIMPLE = "import warnings\nwarnings.simplefilter('ignore')\n"
THREAD = _body("""
    import threading
    def fail():
        assert False, "not proven"
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
""")
OWN_THREAD = _body("""
    import threading
    class Own(threading.Thread):
        def run(self):
            raise OSError("gone")
    own = Own()
    own.start()
    own.join()
""")
QUIET_HOOK = "import threading\nmonkeypatch.setattr(threading, 'excepthook', lambda args: None)\n"
THREADS = {
    "ignored by a mark": Way(THREAD, IGNORE),
    "ignored by simplefilter": Way(SIMPLE + THREAD),
    "excepthook replaced": Way(QUIET_HOOK + THREAD, arguments="evidence, monkeypatch"),
    "own class": Way(OWN_THREAD, IGNORE),
}
UNAWAITED = _body("""
    async def helper():
        evidence.check("b", 2, "==", 1)
    helper()
""")
CAUGHT = _body("""
    import warnings
    async def helper():
        evidence.check("b", 2, "==", 1)
    with warnings.catch_warnings(record=True):
        helper()
""")
HELPERS = {
    "called": Way(UNAWAITED),
    "ignored by a mark": Way(UNAWAITED, IGNORE),
    "ignored by simplefilter": Way(SIMPLE + UNAWAITED),
    "warning caught": Way(CAUGHT),
}
POOL = """
    from concurrent.futures import ThreadPoolExecutor, wait
    with ThreadPoolExecutor() as pool:
        {}
"""
MULTIPROCESSING = """
    from multiprocessing.pool import ThreadPool
    with ThreadPool(1) as pool:
        pool.apply_async(lambda: 1 / 0).wait()
"""
IMAP = """
    from multiprocessing.pool import ThreadPool
    with ThreadPool(1) as pool:
        results = pool.imap(lambda number: 1 / number, [1, 0])
        next(results)
        pool.close()
        pool.join()
"""
LOOP = """
    import asyncio
    async def fail():
        assert False, "not proven"
    async def main():
        loop = asyncio.get_running_loop()
        {}
        await asyncio.sleep(0.05)
    asyncio.run(main())
"""
OTHER_LOOP = LOOP.replace("import asyncio", "import asyncio, uvloop").replace("asyncio.run", "uvloop.run")
QUIET_LOOP = "loop.set_exception_handler(lambda loop, context: None)"
UNREAD = {
    "submit": Way(_body(POOL.format("pool.submit(lambda: 1 / 0)"))),
    "map": Way(_body(POOL.format("pool.map(lambda number: 1 / 0, range(3))"))),
    "wait": Way(_body(POOL.format("wait([pool.submit(lambda: 1 / 0)])"))),
    "callback of a future": Way(
        _body(POOL.format("pool.submit(int).add_done_callback(lambda future: 1 / 0)"))
    ),
    "pool of multiprocessing": Way(_body(MULTIPROCESSING)),
    "iterator of a pool": Way(_body(IMAP)),
    "task": Way(_body(LOOP.format("task = asyncio.create_task(fail())"))),
    "task, quiet loop": Way(_body(LOOP.format(f"task = asyncio.create_task(fail()); {QUIET_LOOP}"))),
    "task of another loop": Way(_body(OTHER_LOOP.format("task = asyncio.create_task(fail())"))),
    "executor of a loop": Way(_body(LOOP.format("loop.run_in_executor(None, lambda: 1 / 0)"))),
    "callback": Way(_body(LOOP.format("loop.call_soon(lambda: 1 / 0)"))),
}
UNFINISHED_TASK = """
    import asyncio
    async def late():
        await asyncio.sleep(9)
        evidence.check("b", 2, "==", 1)
    async def main():
        asyncio.create_task(late())
        await asyncio.sleep(0)
    {}
"""
CLOSED_LOOP = "loop = asyncio.new_event_loop(); loop.run_until_complete(main()); loop.close()"
CALLED_LATER = """
    import asyncio
    async def main():
        asyncio.get_running_loop().call_later(9, evidence.check, "b", 2, "==", 1)
    asyncio.run(main())
"""
UNFINISHED = {
    "run": Way(_body(UNFINISHED_TASK.format("asyncio.run(main())"))),
    "runner": Way(_body(UNFINISHED_TASK.format("with asyncio.Runner() as runner: runner.run(main())"))),
    "closed loop": Way(_body(UNFINISHED_TASK.format(CLOSED_LOOP))),
    "called later": Way(_body(CALLED_LATER)),
}
DESTRUCTOR = _body("""
    class Left:
        def __del__(self):
            assert False, "left open"
    Left()
""")
FINALIZER = _body("""
    import weakref
    class Left:
        pass
    left = Left()
    weakref.finalize(left, lambda: 1 / 0)
    del left
""")
DESTRUCTORS = {
    "ignored by a mark": Way(DESTRUCTOR, IGNORE),
    "hook replaced": Way("sys.unraisablehook = lambda unraisable: None\n" + DESTRUCTOR),
    "weakref": Way(FINALIZER, IGNORE),
}
RETURNED = {
    "alone": Way(f"{GREEN}\nreturn False"),
    "ignored by a mark": Way(f"{GREEN}\nreturn False", IGNORE),
    "ignored by simplefilter": Way(f"{SIMPLE}{GREEN}\nreturn 1 == 2"),
}
LATE_CHECK = """
    import threading, time
    def late():
        time.sleep(30)
        evidence.check("b", 2, "==", 1)
    {}.start()
"""
LATE = {
    "daemon": Way(_body(LATE_CHECK.format("threading.Thread(target=late, daemon=True)"))),
    "timer": Way(
        _body("""
            import threading
            timer = threading.Timer(30, evidence.check, ("b", 2, "==", 1))
            timer.daemon = True
            timer.start()
        """)
    ),
}
EMPTY = {
    "fixture": Way("pass", "@pytest.mark.usefixtures('recorded')", ""),
    "autouse fixture": Way("pass", arguments=""),
    "finalizer": Way(
        "request.addfinalizer(lambda: evidence.check('b', 1, '==', 1))", "", "evidence, request"
    ),
}
RECORDING = """
@pytest.fixture
def recorded(evidence):
    evidence.check("one", 1, "==", 1)

@pytest.fixture(autouse=True)
def everywhere(evidence):
    evidence.check("two", 2, "==", 2)
    yield
    evidence.check("three", 3, "==", 3)
"""
KEPT = _body("""
    import asyncio, types
    from concurrent.futures import ThreadPoolExecutor
    async def helper():
        evidence.check("b", 2, "==", 1)
    async def fail():
        assert False, "not proven"
    async def main():
        os.kept_task = asyncio.create_task(fail())
        await asyncio.sleep(0.01)
    with ThreadPoolExecutor() as pool:
        os.kept_future = pool.submit(lambda: 1 / 0)
    asyncio.run(main())
    os.kept_coroutine = helper()
    os.kept_loop = asyncio.new_event_loop()
    async def begin():
        asyncio.create_task(pending())
    async def pending():
        await asyncio.sleep(9)
        evidence.check("b", 2, "==", 1)
    os.kept_loop.run_until_complete(begin())
    circle = types.SimpleNamespace(of=helper())
    circle.self = circle
""")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Way, Ran]:
    """Try all ways that are in a test alone in one run with ``-n 2``."""
    tables = (THREADS, HELPERS, UNREAD, UNFINISHED, DESTRUCTORS, RETURNED, LATE, EMPTY)
    project = Project(tmp_path_factory.mktemp("hidden"))
    project.conftest(RECORDING)
    return project.run_each([way for table in tables for way in table.values()])


@pytest.mark.parametrize("way", THREADS.values(), ids=THREADS)
def test_thread_that_dies(ran: Mapping[Way, Ran], way: Way) -> None:
    """A thread dies, and a filter ignores the warning or `threading.excepthook` is replaced."""
    ran[way].blocks("ERROR", status=20)


@pytest.mark.parametrize("way", HELPERS.values(), ids=HELPERS)
def test_forgotten_await(ran: Mapping[Way, Ran], way: Way) -> None:
    """A helper is called without `await`, and a filter ignores the warning."""
    ran[way].blocks("ERROR", status=20)


@pytest.mark.parametrize("way", UNREAD.values(), ids=UNREAD)
def test_unread_future(ran: Mapping[Way, Ran], way: Way) -> None:
    """What fails in an executor, a pool, a task or a callback stays in a future that nobody reads."""
    ran[way].blocks("ERROR", status=20)


@pytest.mark.parametrize("way", UNFINISHED.values(), ids=UNFINISHED)
def test_unfinished_task(ran: Mapping[Way, Ran], way: Way) -> None:
    """A task or callback that would record a false check is cancelled, or destroyed, with its loop."""
    ran[way].blocks("ERROR", status=20)


def test_kept_for_good(project: Project) -> None:
    """A coroutine, task or future is kept where it is never destroyed, or waits in a circle for it."""
    project.gate_b(KEPT)
    ran = project.run()
    ran.blocks("ERROR", status=20)
    assert ran.document is not None
    message = "".join(reason["message"] for reason in ran.document["reasons"])  # the last gate's
    for what in ("a future that nobody read", "a task that nobody awaited", "helper", "pending"):
        assert what in message


@pytest.mark.parametrize("way", DESTRUCTORS.values(), ids=DESTRUCTORS)
def test_failing_destructor(ran: Mapping[Way, Ran], way: Way) -> None:
    """A destructor fails, and a filter ignores the warning or `sys.unraisablehook` is replaced."""
    ran[way].blocks("ERROR", status=20)


def test_left_open(project: Project) -> None:
    """A file is left open where only the garbage collector finds it, after the last test."""
    project.gate_b(
        f"import types\n{GREEN}\nleft = types.SimpleNamespace(file=open('x', 'w'))\nleft.circle = left"
    )
    ran = project.run()
    ran.blocks("ERROR", status=20)
    assert "Traceback" not in ran.output


@pytest.mark.parametrize("way", RETURNED.values(), ids=RETURNED)
def test_returned_comparison(ran: Mapping[Way, Ran], way: Way) -> None:
    """The test returns its comparison, also where a filter ignores the warning."""
    ran[way].blocks("FAILED", status=20)


@pytest.mark.parametrize("way", LATE.values(), ids=LATE)
def test_check_after_the_end(ran: Mapping[Way, Ran], way: Way) -> None:
    """A thread of the gate would record a false check only after the run."""
    ran[way].blocks("ERROR", status=20)


@serial_and_nightly_parallel
def test_check_during_another_gate(project: Project, workers: int) -> None:
    """A false check is recorded, and its error swallowed, while the next gate runs."""
    project.gates(
        b=Way(f"sys.evidence = evidence\n{GREEN}").text("b"),
        more=Way(f"{GREEN}\ntry:\n    sys.evidence.check('b', 2, '==', 1)\nexcept Exception:\n    pass").text(
            "d"
        ),
    )
    project.catalog("a", "b", "c", "d")
    options = ("--dist", "loadfile") if workers else ()
    project.run(*options, workers=workers).blocks("LEDGER_MISMATCH", status=22)


AFTER = {
    "exit handler": "    import atexit\n    atexit.register(evidence.check, 'b', 2, '==', 1)\n    yield\n",
    "hook": (
        "    os.kept = evidence\n    yield\n"
        "def pytest_sessionfinish():\n    try:\n        os.kept.check('b', 2, '==', 1)\n"
        "    except RuntimeError:\n        pass\n"
    ),
}


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
def test_check_after_the_decision(project: Project, after: str) -> None:
    """A false check is recorded when the decision was made, and its error swallowed."""
    project.conftest(f"@pytest.fixture(autouse=True)\ndef keep(evidence):\n{after}")
    ran = project.run()
    ran.verify_refuses()
    assert "LEDGER_OTHER" in ran.verify_output


@pytest.mark.parametrize("way", EMPTY.values(), ids=EMPTY)
def test_checks_of_fixtures_alone(ran: Mapping[Way, Ran], way: Way) -> None:
    """Fixtures record checks, the test itself none."""
    ran[way].blocks("VACUOUS", status=20)


def test_checks_of_set_up_alone(project: Project) -> None:
    """A unittest class records checks in `setUp`, which runs in the same phase as the empty test."""
    project.gates(
        b=(
            "import unittest\nclass TestB(unittest.TestCase):\n"
            "    @pytest.fixture(autouse=True)\n    def hold(self, evidence):\n"
            "        self.evidence = evidence\n"
            "    def setUp(self):\n        self.evidence.check('b', 1, '==', 1)\n"
            "    @pytest.mark.gate('acceptance.b')\n    def test_b(self):\n        pass\n"
        )
    )
    project.run().blocks("VACUOUS", status=20)
