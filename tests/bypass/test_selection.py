"""Ways round the gate that leave a test out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bypass.conftest import (
    GATE,
    HEAD,
    PLUGINS,
    RED,
    TIMEOUT_S,
    Way,
    serial_and_nightly_parallel,
    serial_and_parallel_once,
)
from tests.launch import run_pytest

if TYPE_CHECKING:
    from tests.bypass.conftest import Project


@serial_and_nightly_parallel
def test_nothing_wrong_is_deploy(project: Project, workers: int) -> None:
    """The control: three green gates, nothing tampered with."""
    ran = project.run(workers=workers)
    assert (ran.status, ran.verify_status) == (0, 0), ran.output
    assert ran.document is not None, ran.output
    assert (ran.document["verdict"], ran.status) == ("DEPLOY", 0), ran.output
    assert ran.verify_status == 0, ran.verify_output


def test_nothing_wrong_is_deploy_as_users_type_it(project: Project) -> None:
    """The control in a new interpreter, in which pytest finds its plugins itself."""
    ran = project.run_command()
    assert (ran.status, ran.verify_status) == (0, 0), ran.output


@serial_and_parallel_once(
    "options",
    {
        " ".join(options): options
        for options in (
            ("-k", "not test_b"),
            ("--deselect", "gates/test_gates.py::test_b"),
            ("gates/test_gates.py::test_a",),
            ("--ignore", "gates/test_gates.py"),
            ("-k", "nothing_like_it"),
        )
    },
)
def test_selecting_fewer_gates(project: Project, options: tuple[str, ...], workers: int) -> None:
    """`-k`, `--deselect`, `--ignore` or a path leaves a gate out."""
    project.run(*options, workers=workers).blocks("NOT_RUN", status=21)


def test_selecting_by_environment(project: Project) -> None:
    """`PYTEST_ADDOPTS=-k ...` leaves a gate out unseen on the command line."""
    project.env["PYTEST_ADDOPTS"] = "-k test_a"
    project.run().blocks("NOT_RUN", status=21)


def test_narrower_marker_expression(project: Project) -> None:
    """`-m "golive and P2"` names the scope but selects less than it."""
    project.run("-m", "golive and P2").blocks("NOT_RUN", status=21)


def test_negated_scope(project: Project) -> None:
    """`-m "not golive"` asks for no decision: it makes none, and the last one stays its own run's."""
    ran = project.run("-m", "not golive")
    assert ran.document is None
    ran.verify_refuses()

    project.run("--gate-run-id", "last-week")
    project.run("-m", "not (acceptance or golive)").verify_refuses()


@serial_and_nightly_parallel
def test_misspelt_gate_id(project: Project, workers: int) -> None:
    """A misspelt gate id in the marker leaves the real gate without a test."""
    project.gates(
        b='@pytest.mark.gate("acceptance.bee")\ndef test_b(evidence):\n    evidence.check("b", 1, "==", 1)\n'
    )
    project.run(workers=workers).blocks("GATE_UNKNOWN", status=22)


def test_misspelt_marker(project: Project) -> None:
    """A misspelt marker name (`gat`) unbinds the gate."""
    project.gates(
        b='@pytest.mark.gat("acceptance.b")\ndef test_b(evidence):\n    evidence.check("b", 1, "==", 1)\n'
    )
    project.run().blocks("COLLECTION_ERROR", status=22)


def test_misspelt_scope_is_no_decision(project: Project) -> None:
    """`-m goliv` asks for no decision, so none is there to verify."""
    ran = project.run("-m", "goliv")

    assert ran.document is None
    ran.verify_refuses()


def test_module_level_skip(project: Project) -> None:
    """`pytest.skip(allow_module_level=True)` takes a whole file away."""
    project.gates(more='\npytest.skip("later", allow_module_level=True)\n')
    project.run().blocks("NOT_RUN", status=21)


def test_file_renamed(project: Project) -> None:
    """The file no longer matches `test_*.py`."""
    (project.folder / "gates" / "test_gates.py").rename(project.folder / "gates" / "gates_old.py")
    project.run().blocks("GATE_UNBOUND", status=22)


@pytest.mark.parametrize("text", ['collect_ignore = ["test_gates.py"]', "collect_ignore_glob = ['*']"])
def test_collect_ignore(project: Project, text: str) -> None:
    """A conftest ignores the file."""
    project.conftest(text)
    project.run().blocks("GATE_UNBOUND", status=22)


def test_norecursedirs(project: Project) -> None:
    """`-o norecursedirs=gates` keeps pytest out of the folder."""
    project.run("-o", "norecursedirs=gates").blocks("GATE_UNBOUND", status=22)


def test_class_with_constructor(project: Project) -> None:
    """A test class with `__init__` is not collected."""
    project.gates(
        b='class TestB:\n    def __init__(self): pass\n    @pytest.mark.gate("acceptance.b")\n'
        '    def test_b(self, evidence): evidence.check("b", 1, "==", 1)\n'
    )
    ran = project.run()
    ran.verify_refuses()
    assert ran.status in {21, 22}


def test_shadowed_function(project: Project) -> None:
    """A second `def test_b` shadows the first: the shadowed gate never runs."""
    project.gates(
        more='\n@pytest.mark.gate("acceptance.c")\n'
        'def test_b(evidence):\n    evidence.check("c", 1, "==", 1)\n'
    )
    ran = project.run()
    ran.blocks("GATE_BOUND_TWICE", status=22)


SHADOWS = {
    "function": "def test_b(evidence):\n    pass\n",
    "other gate's function": '@pytest.mark.gate("acceptance.d")\ndef test_b(evidence):\n    pass\n',
    "assignment": "test_b = test_green\n",
    "condition": "if sys.platform:\n    def test_b(evidence):\n        pass\n",
    "import": "from green import test_green as test_b\n",
    "star": "from green_b import *\n",
    "pattern": "match test_green:\n    case test_b:\n        pass\n",
    "run time": "globals()['test_b'] = test_green\n",
    "taken out": "test_b.__test__ = False\n",
}


@serial_and_nightly_parallel
def test_shadowed_gates(project: Project, workers: int) -> None:
    """A later function, import, assignment, pattern or what runs meanwhile takes the name of a red gate."""
    green_b = GATE.format(name="b")
    green = green_b.replace("test_b", "test_green")
    project.write("gates/green.py", HEAD + green)
    project.write("gates/green_b.py", HEAD + green_b)
    project.catalog("a", "b", "c", "d")
    red = Way(RED).text("b")
    for number, shadow in enumerate(SHADOWS.values()):
        project.write(f"gates/test_{number}.py", HEAD + green + red + shadow)
    ran = project.run(workers=workers)
    ran.blocks("COLLECTION_ERROR", status=22)
    assert ran.document is not None
    messages = [one["message"] for one in ran.document["reasons"] if one["code"] == "COLLECTION_ERROR"]
    files = [f"gates/test_{number}.py" for number in range(len(SHADOWS))]
    assert sorted(message.split(": test_b ")[0] for message in messages) == files, messages


def test_always_true_assert_that_was_compiled_before(project: Project) -> None:
    """`assert (condition, "message")` is in a file that an earlier run compiled, so pytest warns no more."""
    project.gate_b('evidence.check("b", 1, "==", 1)\nassert (1 == 2, "not equal")')
    project.conftest("sys.dont_write_bytecode = False\n")
    run_pytest((*PLUGINS, "-q", "-W", "ignore"), folder=project.folder, env=project.env, timeout_s=TIMEOUT_S)
    assert list(project.folder.rglob("test_gates*pytest*.pyc"))
    project.run().blocks("COLLECTION_ERROR", status=22)


@serial_and_nightly_parallel
def test_same_gate_twice(project: Project, workers: int) -> None:
    """Two tests claim the same gate, so that the green one may cover the red one."""
    project.gates(
        more='\n@pytest.mark.gate("acceptance.b")\n'
        'def test_b2(evidence):\n    evidence.check("b", 1, "==", 1)\n'
    )
    project.run(workers=workers).blocks("GATE_BOUND_TWICE", status=22)


@pytest.mark.parametrize("options", [(), ("-o", "empty_parameter_set_mark=skip")], ids=["default", "skip"])
def test_empty_parametrize(project: Project, options: tuple[str, ...]) -> None:
    """A gate parametrized with an empty list runs nothing."""
    project.gate_b(
        'evidence.check("b", 1, "==", 1)', marks='@pytest.mark.parametrize("x", [])', arguments="evidence, x"
    )
    ran = project.run(*options)
    ran.verify_refuses()
    assert ran.status in {20, 21, 22}


def test_fewer_cases_than_declared(project: Project) -> None:
    """A gate with declared cases runs only some of them."""
    text = (
        (project.folder / "gates/catalog.yaml")
        .read_text()
        .replace("    title: Gate b\n", "    title: Gate b\n    cases: [one, two]\n")
    )
    project.write("gates/catalog.yaml", text)
    project.gate_b(
        'evidence.check("b", 1, "==", 1)',
        marks='@pytest.mark.parametrize("x", ["one"])',
        arguments="evidence, x",
    )
    project.run().blocks("CASES_MISSING", status=21)


@serial_and_nightly_parallel
def test_items_dropped_silently(project: Project, workers: int) -> None:
    """A conftest drops gates from `items` without telling anybody."""
    project.conftest(
        "def pytest_collection_modifyitems(items):\n    items[:] = [i for i in items if i.name != 'test_b']\n"
    )
    project.run(workers=workers).blocks("NOT_RUN", status=21)


def test_protocol_swallowed(project: Project) -> None:
    """A conftest's `pytest_runtest_protocol` says True and runs nothing."""
    project.conftest(
        "def pytest_runtest_protocol(item):\n    return True if item.name == 'test_b' else None\n"
    )
    project.run().blocks("NOT_RUN", status=21)


def test_stale_cache(project: Project) -> None:
    """`--lf`, `--sw` with a cache of last time run a part, or nothing new."""
    project.gate_b('evidence.check("b", 2, "==", 1)')
    project.run()
    for option in ("--lf", "--sw", "--ff"):
        ran = project.run(option)
        ran.verify_refuses()
        assert ran.status in {20, 21, 22}


@serial_and_parallel_once("option", {"-x": "-x", "--maxfail=1": "--maxfail=1"})
def test_stopping_at_the_first_failure(project: Project, option: str, workers: int) -> None:
    """`-x` stops after a red gate: the rest did not run, and the red one is not forgotten."""
    project.gate_b('evidence.check("b", 2, "==", 1)')
    project.run(option, workers=workers).blocks("FAILED", status=20)


@pytest.mark.parametrize(
    "option",
    ["--collect-only", "--setup-plan", "--fixtures", "--version"],
)
def test_options_that_run_nothing(project: Project, option: str) -> None:
    """`--collect-only` and its like end with status 0 and ran no gate."""
    ran = project.run(option)
    ran.verify_refuses()
    assert ran.document is None or ran.document["verdict"] == "BLOCK"


def test_catalog_without_the_gate(project: Project) -> None:
    """The gate is deleted from the catalog and its test: the trusted catalog has another digest."""
    trusted = project.write("trusted/catalog.yaml", (project.folder / "gates/catalog.yaml").read_text())
    project.write(
        "gates/catalog.yaml",
        (project.folder / "gates/catalog.yaml").read_text().split("  - id: acceptance.c")[0],
    )
    text = (
        (project.folder / "gates/test_gates.py").read_text().split('\n@pytest.mark.gate("acceptance.c")')[0]
    )
    project.write("gates/test_gates.py", text)
    assert project.run().status == 0

    assert project.verify("--catalog", str(trusted)).returncode != 0


def test_catalog_deleted(project: Project) -> None:
    """The catalog is deleted, so that nothing needs to be proven."""
    (project.folder / "gates" / "catalog.yaml").unlink()
    project.run().blocks("CATALOG_INVALID", status=22)


def test_empty_catalog(project: Project) -> None:
    """The catalog is emptied."""
    project.write("gates/catalog.yaml", "gates: []\n")
    ran = project.run()
    ran.verify_refuses()
    assert ran.status == 22
