"""What hides failures is refused in a deciding run, at once and with the remedy."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.collection import Collection
from bais_gates.pytest_plugin.refusals import refusals

if TYPE_CHECKING:
    from tests.pytest_plugin.conftest import Project


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("reruns", 2),
        ("retries", 1),
        ("pythonwarnings", ["error", "ignore"]),
        ("disable_warnings", True),
        ("override_ini", ["filterwarnings="]),
        ("assertmode", "plain"),
        ("dist", "each"),
        ("dist", "loadgroup"),
        ("tx", ["ssh=elsewhere"]),
        ("tx", ["popen", "ssh=user@popen.example.com"]),
        ("tx", ["2*popen//via=far//python=python3"]),
        ("forked", True),
        ("suppress_tests_failed_exit_code", True),
        ("nagios", True),
        ("capture", "no"),
        ("log_cli_level", "DEBUG"),
        ("pastebin", "all"),
    ],
)
def test_options(pytestconfig: pytest.Config, option: str, value: object) -> None:
    """Each such option is one reason."""
    found = refusals(pytestconfig, SimpleNamespace(**{option: value}))

    assert [reason.code.value for reason in found] == ["REFUSED_OPTION"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("pythonwarnings", ["error"]),
        ("dist", "load"),
        ("tx", ["2*popen", "popen//python=/usr/bin/python3 -I//id=a"]),
        ("override_ini", ["a=b"]),
    ],
)
def test_options_that_hide_nothing(pytestconfig: pytest.Config, option: str, value: object) -> None:
    """Options of the same names with other values are nobody's business."""
    assert refusals(pytestconfig, SimpleNamespace(**{option: value})) == ()


@pytest.mark.parametrize(
    ("arguments", "env", "message"),
    [
        (("-W", "ignore"), {}, "-W/--pythonwarnings"),
        (("-p", "no:warnings"), {}, "-p no:warnings"),
        ((), {"PYTHONOPTIMIZE": "1"}, "python -O"),
        (("-o", "log_cli=true"), {}, "add -o log_cli=false to the run that decides"),
        (("--gate-subject", "api:latest"), {}, "--gate-subject"),
        ((), {"BAIS_GATES_RUN_ID": "a b"}, "--gate-run-id"),
        ((), {"PYTEST_ADDOPTS": "--assert=plain"}, "--assert=plain"),
        (("--gate-subject=",), {}, "--gate-subject is empty"),
        (("--gate-import", ""), {}, "--gate-import is empty"),
        (("--gate-waivers", "nowhere.yaml"), {}, "nowhere.yaml"),
        (("--gate-env", "nowhere"), {}, "nowhere"),
    ],
)
def test_no_gate_runs_after_a_refusal(
    project: Project, arguments: tuple[str, ...], env: dict[str, str], message: str
) -> None:
    """The run ends before collection with status 22, the reason on the terminal and in the file."""
    project.catalog(one={})
    project.tests("raise RuntimeError('must not be collected')")

    ran = project.run("-m", "golive", *arguments, env=env)

    assert ran.status == 22, ran.output
    assert message in " ".join(ran.output.split())
    assert re.search(r"What to do|Create it|Name one of them", " ".join(ran.output.split()))
    assert "must not be collected" not in ran.output
    assert ran.decision is not None
    assert ran.decision["verdict"] == "BLOCK"


def test_marks(project: Project) -> None:
    """Marks like xfail on gates are refused, whatever becomes of the test; the others are judged as ever."""
    project.catalog(red={}, false={}, green={}, fine={})
    project.tests(
        """
        @pytest.mark.xfail
        @pytest.mark.gate("acceptance.red")
        def test_red(evidence):
            evidence.check("one", 1, "==", 1)
            assert 1 == 2

        @pytest.mark.xfail
        @pytest.mark.gate("acceptance.false")
        def test_false(evidence):
            evidence.check("one", 1, "==", 2)

        @pytest.mark.xfail
        @pytest.mark.gate("acceptance.green")
        def test_green(evidence):
            evidence.check("one", 1, "==", 1)

        @pytest.mark.gate("acceptance.fine")
        def test_fine(evidence):
            evidence.check("one", 1, "==", 1)
        """
    )

    ran = project.run("-m", "golive")

    assert ran.outcomes == {"red": "XFAIL", "false": "FAIL", "green": "XPASS", "fine": "PASS"}, ran.output
    assert {"REFUSED_OPTION", "XFAIL", "XPASS"} <= ran.codes
    assert ran.status == 22


@pytest.mark.parametrize("worker", [None, "gw0"])
def test_workers_answer_for_their_own_interpreter(
    monkeypatch: pytest.MonkeyPatch, worker: str | None
) -> None:
    """`--tx popen//python=...` may give workers, and them alone, an interpreter without assertions."""
    flags = SimpleNamespace(flags=SimpleNamespace(optimize=1))
    monkeypatch.setattr("bais_gates.pytest_plugin.refusals.sys", flags)
    state: Any = SimpleNamespace(worker=worker, settings=SimpleNamespace(deciding=False))
    manager = SimpleNamespace(get_plugins=tuple)
    session: Any = SimpleNamespace(items=[], config=SimpleNamespace(pluginmanager=manager))
    collection = Collection(state)
    collection.pytest_collection_finish(session)

    problems = [problem.message for problem in collection.collected.problems]
    assert len(problems) == (worker is not None)
    assert all("python -O" in problem for problem in problems)
