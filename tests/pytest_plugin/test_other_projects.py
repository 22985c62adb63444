"""Where there are no gates, or no decision was asked for, the plugin changes nothing."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from bais_gates.pytest_plugin.options import asked_scopes
from tests.pytest_plugin.conftest import HTML

if TYPE_CHECKING:
    from tests.pytest_plugin.conftest import Project


def files(project: Project) -> set[str]:
    """Name the files of a project, but for what Python compiled."""
    found = (path for path in project.folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(project.folder)) for path in found}


def test_a_project_without_gates_notices_nothing(project: Project) -> None:
    """Its own mark `load`, its own fixture `evidence`, its exit status and its files stay its own."""
    project.write("pytest.ini", "[pytest]\nmarkers =\n    load: ours\naddopts = --strict-markers\n")
    project.tests(
        """
        @pytest.fixture
        def evidence():
            return 7

        @pytest.mark.load
        def test_ours(evidence):
            assert evidence == 7

        @pytest.mark.load
        def test_red():
            assert False
        """
    )
    before = files(project)

    ran = project.run("-m", "load", "-p", "no:cacheprovider")
    marks = project.run("--markers")

    assert ran.status == 1
    assert "1 failed, 1 passed" in ran.output
    assert "bais-gates" not in ran.output
    assert files(project) == before
    assert "gate(id)" not in marks.output


def test_a_partial_run_decides_nothing(project: Project) -> None:
    """Without a scope pytest's exit status stands, no file is touched, and evidence still fails its test."""
    project.catalog(one={}, two={"needs": ["acceptance.one"]})
    project.passing("one", "two")
    first = project.run("-m", "golive", "-k", "one")
    kept = (project.out / "decision.json").read_bytes()
    before = files(project)
    project.tests(
        """
        @pytest.mark.gate("acceptance.one")
        def test_one(evidence):
            assert evidence.check("p95", 1, "<", 0, unit="ms") is False

        @pytest.mark.gate("acceptance.two")
        def test_two(evidence):
            evidence.check("one", 1, "==", 1)

        def test_of_no_gate(evidence):
            evidence.check("other", None, "==", 1)
        """
    )

    whole = project.run("-rs")
    alone = project.run("-k", "two")
    by_severity = project.run("-m", "P1", "-k", "two", "-p", "no:terminal")

    assert first.status == 21
    assert whole.status == 1
    assert "2 failed, 1 skipped" in whole.output
    assert "p95: 1 ms (must be below 0 ms)" in whole.output
    assert "other: not measured (expected 1)" in whole.output
    assert "NOT_RUN: It needs acceptance.one, which did not pass (FAIL)." in whole.output
    assert alone.status == by_severity.status == 0
    assert (project.out / "decision.json").read_bytes() == kept
    assert files(project) == before


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.nightly)], ids=["serial", "parallel"]
)
def test_wrong_bindings_are_told_at_collection(project: Project, workers: tuple[str, ...]) -> None:
    """An id that the catalog lacks and a gate with two tests stop a run before its first test."""
    project.catalog(one={}, two={})
    project.tests(
        """
        @pytest.mark.gate("acceptance.oen")
        def test_misspelt():
            open("ran", "w").close()

        @pytest.mark.gate("acceptance.two")
        def test_two():
            pass

        @pytest.mark.gate("acceptance.two")
        def test_two_again():
            pass
        """
    )

    ran = project.run(*workers)
    deciding = project.run("-m", "golive", *workers)

    assert ran.status in {1, 2}, ran.output
    assert "GATE_UNKNOWN: test_gates.py::test_misspelt is marked as gate acceptance.oen" in ran.output
    assert "GATE_BOUND_TWICE: acceptance.two is bound to 2 tests" in ran.output
    assert deciding.status == 22
    assert {"GATE_UNKNOWN", "GATE_BOUND_TWICE", "GATE_UNBOUND", "DUPLICATE_RESULT"} <= deciding.codes
    assert not (project.folder / "ran").exists(), "nobody selected it"


def test_a_mark_that_comes_too_late(project: Project) -> None:
    """A conftest may add a gate's mark to a collected test; later the mark is refused, with the remedy."""
    project.catalog(one={})
    project.tests("def test_one(evidence):\n    evidence.check('one', 1, '==', 1)\n")
    conftest = "import pytest\ndef {}:\n    item.add_marker(pytest.mark.gate('acceptance.one'))\n"
    project.write("conftest.py", conftest.format("pytest_itemcollected(item)"))
    assert project.run("-m", "golive").status == 0

    late = conftest.format("pytest_collection_modifyitems(items)").replace("item.", "items[0].")
    project.write("conftest.py", late)
    ran = project.run("-m", "golive")

    assert (ran.status, ran.codes) == (22, {"GATE_UNBOUND", "NOT_RUN"})
    assert "add it in pytest_itemcollected" in " ".join(ran.output.split())


def test_marks_and_scopes(project: Project) -> None:
    """The catalog's scopes, phase and severity are marks to select by; several scopes need a widest one."""
    project.catalog(one={}, two={"severity": "P4"}, three={"scopes": []})
    project.passing("one", "two", "three")
    project.write("pytest.ini", "[pytest]\naddopts = --strict-markers\n")

    marks = project.run("--markers")
    wide = project.run("-m", "golive and acceptance and P1")
    neither = project.run("-m", "golive or load")
    named = project.run("-m", "P1 or P4", "--gate-scope", "golive")

    assert "@pytest.mark.gate(id):" in marks.output
    assert "@pytest.mark.P4:" in marks.output
    assert wide.decision is not None
    assert wide.decision["scope"] == "acceptance", "it holds all gates of golive"
    assert wide.outcomes == {"one": "PASS", "two": "NOT_RUN", "three": "NOT_RUN"}
    assert wide.status == 21
    assert neither.decision is not None
    assert neither.decision["scope"] == "golive", "load has no gates, so golive holds them all"
    assert named.status == 0, named.output
    assert named.outcomes == {"one": "PASS", "two": "PASS"}


@pytest.mark.parametrize(
    ("expression", "asked"),
    [
        ("golive", ["golive"]),
        ("golive and P1", ["golive"]),
        ("not not golive", ["golive"]),
        ("not (not golive)", ["golive"]),
        ("not(P4) and(golive)", ["golive"]),
        ("acceptance and not golive", ["acceptance"]),
        ("(load or not (staging and not monitoring))", ["load", "monitoring"]),
        ("golive(of='x') and not P4", ["golive"]),
        ("golive) and (", ["golive"]),
        ("not acceptance", []),
        ("not (golive or acceptance)", []),
        ("P1 or not golive", []),
        ("not(not(not(golive)))", []),
        ("gate(id='golive') or gate(golive=1)", []),
        ("my-golive or golive.fast", []),
        ("", []),
    ],
)
def test_scopes_that_an_expression_asks_for(expression: str, asked: list[str]) -> None:
    """A decision is asked for by a scope that ``-m`` names without negation, however it is written."""
    assert list(asked_scopes(SimpleNamespace(markexpr=expression))) == asked


@pytest.mark.parametrize(
    "text",
    [
        "products:\n  - name: one\n    price: 3\n",
        "gates:\n  - name: AND\n    inputs: 2\n",
        "gates:\n  - id: coverage\n    severity: high\n    phase: build\n",
        "apiVersion: backstage.io/v1alpha1\nkind: Location\n",
        "- a\n- b\n",
        "{{ template }}\n",
    ],
    ids=["shop", "logic", "quality gates", "backstage", "list", "template"],
)
def test_another_catalog_of_that_name(project: Project, text: str) -> None:
    """A `gates/catalog.yaml` that is not ours leaves the project alone, its marks `gate` and `load` too."""
    project.write("gates/catalog.yaml", text)
    project.tests("@pytest.mark.gate('x')\n@pytest.mark.load\ndef test_ours():\n    pass\n")
    before = files(project)

    ran = project.run("-m", "load")

    assert ran.status == 0, ran.output
    assert "bais-gates" not in ran.output
    assert files(project) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gates:\n",
        "gates: []\n",
        "gates:\n  - id: acceptance.one\n   phase: acceptance\n  severity: [P1\n    scopes: [golive]\n",
        "gate:\n  - {id: acceptance.one, phase: acceptance, severity: P1, requirement: it holds}\n",
    ],
    ids=["empty", "no list", "no gate", "no YAML", "misspelt"],
)
def test_a_damaged_catalog_blocks(project: Project, text: str) -> None:
    """A catalog of ours that is damaged blocks a decision, and is not taken for another project's."""
    project.write("gates/catalog.yaml", text)
    project.tests("@pytest.mark.golive\ndef test_one():\n    pass\n")

    ran = project.run("-m", "golive")

    assert ran.status == 22, ran.output
    assert ran.codes >= {"CATALOG_INVALID"}


@pytest.mark.parametrize(("name", "code"), [("catalog", "CATALOG_INVALID"), ("policy", "POLICY_INVALID")])
def test_a_file_that_is_none_blocks(project: Project, name: str, code: str) -> None:
    """A pipe is not waited for, and a link to a file that is gone is not the same as no file."""
    project.catalog(one={})
    project.passing("one")
    path = project.folder / "gates" / f"{name}.yaml"
    path.unlink()
    if name == "catalog":
        os.mkfifo(path)
    else:
        path.symlink_to("gone.yaml")

    ran = project.run("-m", "golive")

    assert (ran.status, ran.codes) == (22, {code}), ran.output


def test_cases_beyond_ascii(project: Project) -> None:
    """A case is named in the catalog as its author writes it, though pytest escapes its id."""
    cases = ["Zürich", "a\\b", "plain"]
    project.catalog(one={"cases": cases})
    project.tests(
        f"""
        @pytest.mark.gate("acceptance.one")
        @pytest.mark.parametrize("case", {cases!r})
        def test_one(evidence, case):
            evidence.check("one", 1, "==", 1)
        """
    )

    ran = project.run("-m", "golive")

    assert ran.status == 0, ran.output


def test_a_named_catalog_must_be_there(project: Project) -> None:
    """A catalog that was asked for and is absent blocks a decision, and stops a run that has gates."""
    project.passing("one")

    deciding = project.run("-m", "golive", "--gate-catalog", "nowhere.yaml")
    scoped = project.run("--gate-scope", "golive")
    partial = project.run("--gate-catalog", "nowhere.yaml")

    assert deciding.codes >= {"CATALOG_INVALID"}
    assert deciding.status == scoped.status == 22
    assert partial.status == 2
    assert "nowhere.yaml" in partial.output


def test_without_standard_streams(project: Project) -> None:
    """A run whose stdin, stdout and stderr are closed decides as ever: no file takes their numbers."""
    project.catalog(one={})
    project.passing("one")

    ran = project.run("-m", "golive", before=lambda: os.closerange(0, 3))

    assert (ran.status, ran.codes) == (0, set()), ran.decision


def test_without_the_plugins_around_it(project: Project) -> None:
    """A decision needs neither terminal, cache, xdist nor pytest-html."""
    project.catalog(one={})
    project.passing("one")

    arguments = (*HTML, "-p", "no:terminal", "-p", "no:xdist.plugin", "-p", "no:pytest_html.plugin")
    ran = project.run("-m", "golive", *arguments)

    assert ran.status == 0, ran.output
    assert "DEPLOY: 1 of 1 gate passed" in ran.output


def test_a_path_of_its_own_that_pytest_takes_for_tests(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An environment file outside the project moves pytest's root there, and not the project."""
    project.catalog(one={})
    project.passing("one")
    environment = tmp_path_factory.mktemp("elsewhere") / "environment.yaml"
    environment.write_text("name: stub\n")

    ran = project.run("-m", "golive", "--gate-env", str(environment))
    assert ran.status == 0, ran.output
    refused = project.run("-m", "golive", env={"PYTEST_ADDOPTS": f"--gate-env {environment}"})
    assert (refused.status, refused.codes) == (22, {"REFUSED_OPTION"}), refused.output


@pytest.mark.nightly
@pytest.mark.parametrize("place", ["elsewhere", "sub"])
def test_a_path_that_pytest_takes_for_tests(
    project: Project, tmp_path_factory: pytest.TempPathFactory, place: str
) -> None:
    """An option's path that moves pytest's root out of the project is read right or refused."""
    project.catalog(one={})
    project.passing("one")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    environment = elsewhere / "environment.yaml"
    environment.write_text("name: stub\n")
    project.write("sub/pytest.ini", "[pytest]\n")
    below = project.write("sub/environment.yaml", "name: stub\n").relative_to(project.folder)

    path = str(environment if place == "elsewhere" else below)
    apart = project.run("-m", "golive", "--gate-env", path)
    assert apart.status == 0, apart.output
    by_environment = {"PYTEST_ADDOPTS": f"--gate-env {path}"}
    refused = project.run("-m", "golive", env=by_environment)
    assert refused.status == 22, refused.output
    assert refused.codes == {"REFUSED_OPTION"}
    assert f"Write--gate-env={path}instead." in "".join(refused.output.split())
    partial = project.run(env=by_environment)
    assert partial.status == 4
    assert f"Write --gate-env={path} instead." in partial.output
    workers = project.run("-m", "golive", "-n", "1", "--gate-out", str(elsewhere / "new"))
    assert workers.status == 0, workers.output
    joined = project.run("-m", "golive", f"--gate-env={environment}", "-n", "1")
    inside = project.run("-m", "golive", "--gate-out", "sub", "--gate-subject", "a/b@sha256:" + "0" * 64)
    assert joined.status == 0, joined.output
    assert inside.status == 0, inside.output
