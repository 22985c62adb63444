"""Ways round the gate by a conftest or plugin that changes what was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bypass.conftest import (
    RED,
    serial_and_nightly_parallel,
    serial_and_parallel_once,
)

if TYPE_CHECKING:
    from tests.bypass.conftest import Project


@serial_and_parallel_once("order", {"tryfirst": "tryfirst=True", "trylast": "trylast=True", "plain": ""})
def test_outcome_rewritten(project: Project, order: str, workers: int) -> None:
    """A conftest's `pytest_runtest_makereport` wrapper sets every outcome to passed."""
    project.gate_b(RED)
    wrapper = f"wrapper=True, {order}" if order else "wrapper=True"
    project.conftest(
        f"@pytest.hookimpl({wrapper})\ndef pytest_runtest_makereport(item, call):\n"
        "    report = yield\n    report.outcome = 'passed'\n    report.longrepr = None\n    return report\n"
    )
    ran = project.run(workers=workers)
    ran.verify_refuses()
    assert ran.status in {20, 22}
    assert ran.codes & {"TAMPERED", "FAILED"}


@serial_and_nightly_parallel
def test_report_replaced(project: Project, workers: int) -> None:
    """A conftest returns a made-up report in place of the real one."""
    project.gate_b(RED)
    project.conftest(
        "@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_makereport(item, call):\n"
        "    return pytest.TestReport(item.nodeid, item.location, {}, 'passed', None, call.when)\n"
    )
    ran = project.run(workers=workers)
    ran.verify_refuses()
    assert ran.status in {20, 21, 22}


@serial_and_nightly_parallel
def test_exception_swallowed_around_the_call(project: Project, workers: int) -> None:
    """A conftest wraps `pytest_pyfunc_call` and swallows what the gate raises."""
    project.gate_b("evidence.require('b', 2, '==', 1)")
    project.conftest(
        "@pytest.hookimpl(wrapper=True)\ndef pytest_pyfunc_call(pyfuncitem):\n"
        "    try:\n        return (yield)\n    except BaseException:\n        return True\n"
    )
    project.run(workers=workers).blocks("FAILED", status=20)


@serial_and_nightly_parallel
def test_test_function_replaced(project: Project, workers: int) -> None:
    """A conftest's `pytest_pyfunc_call` says True and runs nothing."""
    project.gate_b(RED)
    project.conftest(
        "@pytest.hookimpl(tryfirst=True)\ndef pytest_pyfunc_call(pyfuncitem):\n    return True\n"
    )
    project.run(workers=workers).blocks("VACUOUS", status=20)


def test_error_turned_into_a_pass_with_one_good_check(project: Project) -> None:
    """After one good check the gate errs; a conftest swallows the error."""
    project.gate_b('evidence.check("a", 1, "==", 1)\nraise OSError("unreachable")')
    project.conftest(
        "@pytest.hookimpl(wrapper=True)\ndef pytest_pyfunc_call(pyfuncitem):\n"
        "    try:\n        return (yield)\n    except BaseException:\n        return True\n"
    )
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


def test_evidence_emptied(project: Project) -> None:
    """The gate empties the lists in which its evidence is kept."""
    project.gate_b(
        'evidence.check("b", 2, "==", 1)\n'
        "import gc\n"
        "for thing in [getattr(evidence, n, None) for n in dir(evidence)] + gc.get_referents(evidence):\n"
        "    if isinstance(thing, list): thing.clear()\n"
        'evidence.check("b", 1, "==", 1)'
    )
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 22}


@serial_and_parallel_once(
    "order", {"wrapper": "wrapper=True, tryfirst=True", "trylast": "trylast=True", "plain": ""}
)
def test_exit_status_overwritten(project: Project, order: str, workers: int) -> None:
    """A plugin sets the session's exit status to 0 at the end."""
    project.gate_b(RED)
    body = "    yield\n    session.exitstatus = 0\n" if "wrapper" in order else "    session.exitstatus = 0\n"
    project.conftest(f"@pytest.hookimpl({order})\ndef pytest_sessionfinish(session):\n{body}")
    ran = project.run(workers=workers)
    ran.verify_refuses()
    assert ran.document is not None
    assert ran.document["verdict"] == "BLOCK"


@serial_and_nightly_parallel
def test_session_finish_raises(project: Project, workers: int) -> None:
    """A plugin raises while the session finishes."""
    project.gate_b(RED)
    project.conftest("def pytest_sessionfinish(session):\n    raise RuntimeError('boom')\n")
    ran = project.run(workers=workers)
    ran.verify_refuses()
    assert ran.status != 0


@pytest.mark.parametrize("red", [False, True], ids=["deploy", "block"])
def test_unconfigure_raises(project: Project, red: bool) -> None:
    """A plugin raises when the decision was made."""
    if red:
        project.gate_b(RED)
    project.conftest("def pytest_unconfigure(config):\n    raise RuntimeError('boom')\n")
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {20, 21}
    assert (ran.status == 20) is red
    assert "a plugin failed after the last test: RuntimeError: boom" in ran.output
    assert "Traceback" not in ran.output


def test_hook_error(project: Project) -> None:
    """A hook fails early, before anything could be judged."""
    project.write("conftest.py", "def pytest_sessionstart(session):\n    raise RuntimeError('boom')\n")
    ran = project.run()
    ran.verify_refuses()
    assert ran.status != 0
    assert ran.document is not None
    assert ran.document["verdict"] == "BLOCK"


def test_conftest_does_not_import(project: Project) -> None:
    """A conftest can't be imported: BLOCK was written before it was tried."""
    project.write("conftest.py", "import no_such_module\n")
    ran = project.run()

    assert ran.status != 0
    ran.verify_refuses()
    assert ran.document is not None
    assert "COLLECTION_ERROR" in ran.codes


@serial_and_nightly_parallel
def test_collection_error(project: Project, workers: int) -> None:
    """Another file of gates can't be imported."""
    project.write("gates/test_more.py", "import no_such_module\n")
    project.run(workers=workers).blocks("COLLECTION_ERROR", status=22)


@serial_and_nightly_parallel
def test_collection_error_continued(project: Project, workers: int) -> None:
    """`--continue-on-collection-errors` goes on as if the file were not there."""
    project.write("gates/test_more.py", "import no_such_module\n")
    project.run("--continue-on-collection-errors", workers=workers).blocks("COLLECTION_ERROR", status=22)


@pytest.mark.nightly  # in every run, tests/pytest_plugin/test_workers.py has workers that differ
def test_workers_collect_different_gates(project: Project) -> None:
    """The xdist workers do not collect the same gates."""
    project.conftest(
        "def pytest_collection_modifyitems(items):\n"
        "    if os.environ.get('PYTEST_XDIST_WORKER') == 'gw1': items.pop()\n"
    )
    ran = project.run(workers=2)
    ran.verify_refuses()
    assert ran.status in {21, 22}


def test_plugin_disabled(project: Project) -> None:
    """`-p no:bais_gates` runs the tests without us: pytest may be green, verify is not."""
    project.gate_b("pass", arguments="")
    project.run_command("-p", "no:bais_gates", "-o", "required_plugins=").verify_refuses()


def test_plugin_autoload_disabled(project: Project) -> None:
    """`PYTEST_DISABLE_PLUGIN_AUTOLOAD=1` runs the tests without us."""
    project.env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    project.run_command().verify_refuses()


def test_other_configuration_file(project: Project) -> None:
    """`-c /dev/null` takes the project's configuration away."""
    project.gate_b(RED)
    ran = project.run_command("-c", "/dev/null")
    ran.verify_refuses()


def test_command_line_main_replaced(project: Project) -> None:
    """A plugin's `pytest_cmdline_main` returns 0 and runs nothing."""
    project.write("conftest.py", "def pytest_cmdline_main(config):\n    return 0\n")
    project.run().verify_refuses()


def test_decision_overwritten_by_a_gate(project: Project) -> None:
    """A gate writes a DEPLOY into the decision file itself."""
    project.run()
    green = (project.folder / "gate-report" / "decision.json").read_text()
    project.write("green.json", green)
    project.gate_b(
        f"{RED}\nimport shutil, atexit\n"
        "atexit.register(shutil.copy, 'green.json', 'gate-report/decision.json')"
    )
    ran = project.run("--gate-run-id", "next-run")

    assert ran.status != 0
    assert project.verify("--run-id", "next-run").returncode != 0
