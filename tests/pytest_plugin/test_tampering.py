"""What other code in the process does to reports, hooks, records and files is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pytest_plugin.conftest import Project

RED = """
@pytest.mark.gate("acceptance.one")
def test_one(evidence):
    evidence.check("fine", 1, "==", 1)
    assert 1 == 2
"""
MAKE_GREEN = """
import pytest

@pytest.hookimpl(wrapper=True, {order}=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.outcome = "passed"
    report.longrepr = None
    return report
"""
SWALLOW = """
import pytest

@pytest.hookimpl(wrapper=True, {order}=True)
def {hook}({argument}):
    try:
        return (yield)
    except BaseException:
        return True
"""


@pytest.mark.parametrize(
    ("conftest", "workers"),
    [
        (MAKE_GREEN.format(order="tryfirst"), ()),
        pytest.param(MAKE_GREEN.format(order="tryfirst"), ("-n", "1"), marks=pytest.mark.nightly),
        (MAKE_GREEN.format(order="trylast"), ()),
        (SWALLOW.format(hook="pytest_pyfunc_call", argument="pyfuncitem", order="trylast"), ()),
        (SWALLOW.format(hook="pytest_pyfunc_call", argument="pyfuncitem", order="tryfirst"), ("-n", "1")),
        (SWALLOW.format(hook="pytest_runtest_call", argument="item", order="tryfirst"), ()),
        ("def pytest_runtest_makereport(item, call):\n    call.excinfo = None\n", ()),
    ],
)
def test_a_failure_made_green(project: Project, workers: tuple[str, ...], conftest: str) -> None:
    """A failing assert stays a failure, and where a report was changed the run is not believed."""
    project.catalog(one={})
    project.tests(RED)
    project.write("conftest.py", conftest)

    ran = project.run("-m", "golive", *workers)

    assert ran.outcomes == {"one": "FAIL"}, ran.output
    assert ran.status in {20, 22}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("evidence._Evidence__checks.clear()", "LEDGER_MISMATCH"),
        ("open('gate-report/ledger.jsonl', 'w').close()", "LEDGER_MISMATCH"),
        ("os.unlink('gate-report/ledger.jsonl')", "LEDGER_MISMATCH"),
        ("open('gate-report/ledger.jsonl', 'a').write('nonsense')", "LEDGER_MISMATCH"),
    ],
)
def test_records_taken_back(project: Project, body: str, code: str) -> None:
    """A check that was recorded cannot be un-recorded, neither in memory nor on disk."""
    project.catalog(one={})
    project.tests(
        f"""
        @pytest.mark.gate("acceptance.one")
        def test_one(evidence):
            evidence.check("false", 1, "==", 2)
            {body}
            evidence.check("true", 1, "==", 1)
        """
    )

    ran = project.run("-m", "golive")

    assert code in ran.codes, ran.output
    assert ran.outcomes == {"one": "FAIL"}
    assert ran.status == 22


def test_the_exit_status_is_the_decisions(project: Project) -> None:
    """Nobody has the last word on it but the decision, not even as the process is unconfigured."""
    project.catalog(one={})
    project.tests(RED)
    project.write(
        "conftest.py",
        """
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_sessionfinish(session):
            global the_session
            the_session = session
            yield
            session.exitstatus = 0

        def pytest_unconfigure(config):
            the_session.exitstatus = 0
        """,
    )

    assert project.run("-m", "golive").status == 20
