"""The commands of ``bais-gates``: help, exit statuses and words for each kind of bad input."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.bypass.conftest import Project
    from tests.cli.conftest import Cli

RUN = ("run", "--env=staging.yaml")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("init",),
        ("run",),
        ("verify",),
        ("explain",),
        ("validate",),
        ("sandbox",),
        ("sandbox", "up"),
        ("sandbox", "fault"),
        ("monitoring", "check"),
        ("monitoring", "render"),
    ],
    ids=" ".join,
)
def test_help_of_each_command(cli: Cli, words: tuple[str, ...]) -> None:
    """Every command explains itself and ends with 0."""
    done = cli(*words, "--help")

    assert done.returncode == 0
    assert "usage: bais-gates" in done.stdout


def test_version(process: Cli) -> None:
    """`--version` names the program and its version."""
    done = process("--version")

    assert done.returncode == 0
    assert done.stdout.startswith("bais-gates ")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("deploj",),
        ("run", "goliv"),
        ("verify", "--max-age", "soon"),
        ("verify", "--max-age", "99999999999d"),
    ],
    ids=" ".join,
)
def test_wrong_words(cli: Cli, words: tuple[str, ...]) -> None:
    """Words that mean nothing end with 2 and the usage, not with a traceback."""
    done = cli(*words)

    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("verify", "--history="), ("run", "--env", "", "acceptance")])
def test_an_option_without_a_value(cli: Cli, words: tuple[str, ...]) -> None:
    """An option whose variable was not set is wrong input: its default, or this folder, is not meant."""
    done = cli(*words)

    assert done.returncode == 2
    assert "its value is empty" in done.stderr


def test_words_that_mean_nothing_to_a_process(process: Cli) -> None:
    """The process ends with 2, the usage on stderr and nothing on stdout."""
    done = process("deploj")

    assert (done.returncode, done.stdout) == (2, "")
    assert "usage:" in done.stderr


def test_a_command_imports_no_other() -> None:
    """Whoever verifies a decision does not wait for the imports of the other commands."""
    program = (
        "import sys; from bais_gates.cli import COMMANDS, main; main(['verify', 'nowhere'])\n"
        "print(*(name for name in COMMANDS if f'bais_gates.cli.{name}' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "verify"


@pytest.mark.usefixtures("project")
def test_run_and_verify_a_green_project(process: Cli, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` ends with DEPLOY's status, `verify` accepts exactly that run, `explain` explains it."""
    for name in ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_ADDOPTS"):  # with every plugin, as users run it
        monkeypatch.delenv(name)
    ran = process(*RUN, "--run-id=one")
    assert ran.returncode == 0, ran.stdout + ran.stderr

    accepted = process("verify", "--env", "staging", "--run-id", "one")
    assert accepted.returncode == 0
    assert "judged: run one, decided" in accepted.stdout
    assert "golive on staging, subject none (subject: not_required in the policy)" in accepted.stdout
    other = cli("verify", "--env", "staging", "--run-id", "two")
    assert other.returncode == 1
    assert "RUN_ID_OTHER" in other.stdout
    assert "judged: run one, decided" in other.stdout
    explained = cli("explain")
    assert explained.returncode == 0
    assert "DEPLOY" in explained.stdout


def test_run_a_red_gate(project: Project, cli: Cli) -> None:
    """`run` ends with the decision's status, and `explain --gate` shows the false check."""
    project.gate_b('evidence.check("answer time", 250, "<=", 200, unit="ms")')

    assert cli(*RUN).returncode == 20
    explained = cli("explain", "--gate", "acceptance.b").stdout
    assert "answer time" in explained
    assert "250" in explained


@pytest.mark.usefixtures("project")
def test_words_behind_the_dashes_go_to_pytest(cli: Cli) -> None:
    """`run -- -k test_a` hands the selection to pytest, and the decision is incomplete."""
    assert cli(*RUN, "--", "-k", "test_a").returncode == 21


def test_run_trusts_the_file_not_the_exit_status(project: Project, process: Cli) -> None:
    """A gate that ends pytest with 0 does not make `run` end with 0."""
    project.gate_b("import os; os._exit(0)")
    done = process(*RUN)

    assert done.returncode == 21
    assert "decision.json is BLOCK" in done.stderr


def test_run_leaves_no_deploy_that_it_does_not_report(project: Project, process: Cli, cli: Cli) -> None:
    """Where pytest fails after its DEPLOY, `run` ends with 22, and the file says BLOCK."""
    project.conftest("def pytest_unconfigure():\n    os._exit(7)\n")
    done = process(*RUN)

    assert done.returncode == 22
    assert "pytest exited with 7, but gate-report/decision.json is DEPLOY with 0" in done.stderr
    assert "DECISION_BLOCK" in cli("verify", "--env", "staging").stdout


def test_run_is_not_ended_by_a_module(
    project: Project, process: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that ends the process as it is imported does not make `run` end with 0."""
    monkeypatch.setenv("PYTHONPATH", str(project.write("lib/yaml.py", "raise SystemExit(0)").parent))

    assert process(*RUN).returncode == 23


def test_a_folder_that_was_removed(project: Project) -> None:
    """In a folder that is gone a command is refused in a sentence, also where pytest would be started."""
    gone = project.folder / "gone"
    shell = f"mkdir {gone} && cd {gone} && rmdir {gone} && exec '{sys.executable}' -m bais_gates run"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["sh", "-c", shell], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 2
    assert done.stderr == "bais-gates: the current folder was removed. Change into one that exists.\n"


def test_run_is_not_fooled_by_an_earlier_decision(project: Project, cli: Cli) -> None:
    """Where this run leaves no decision, an earlier DEPLOY is not taken for it."""
    assert project.run().status == 0
    done = cli(*RUN, "--", "-p", "no:bais_gates.pytest_plugin.plugin", "-o", "required_plugins=")

    assert done.returncode != 0


def test_explain_without_a_decision(cli: Cli) -> None:
    """`explain` of a file that does not exist fails with one paragraph."""
    done = cli("explain", "nowhere.json")

    assert done.returncode == 2
    assert "nowhere.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_explain_a_gate_that_is_not_there(project: Project, cli: Cli) -> None:
    """`explain --gate` of an unknown gate fails with near ids."""
    project.run()
    done = cli("explain", "--gate", "acceptance.x")

    assert "acceptance.x" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_verify_without_a_catalog(project: Project, cli: Cli) -> None:
    """`verify` refuses when the catalog it shall hold the decision to is not there."""
    assert project.run().status == 0
    (project.folder / "gates" / "catalog.yaml").unlink()
    done = cli("verify", "--env", "staging")

    assert done.returncode == 1
    assert "CATALOG_OTHER" in done.stdout


def test_run_offers_the_scopes_that_have_gates(project: Project, cli: Cli) -> None:
    """`run --help` lists the scopes of the catalog here, and all of them where there is none."""
    assert "those with gates: golive, acceptance options:" in " ".join(cli("run", "--help").stdout.split())
    (project.folder / "gates" / "catalog.yaml").unlink()
    assert "postdeploy" in cli("run", "--help").stdout


def test_run_imports_an_earlier_decision(project: Project, cli: Cli) -> None:
    """`run --import` counts the results of a decision in another folder, but not them alone."""
    assert cli("run", "acceptance", "--env", "staging.yaml", "--out", "earlier").returncode == 0
    options = ("--env", "staging.yaml", "--import", "earlier/decision.json")
    assert cli("run", *options, "--", "-k", "nothing").returncode != 0

    decision = json.loads((project.folder / "gate-report" / "decision.json").read_text(encoding="utf-8"))
    assert [reason["code"] for reason in decision["reasons"]] == ["ONLY_IMPORTED"]


def test_validate_a_right_folder(project: Project, cli: Cli) -> None:
    """`validate` ends with 0 when files and bindings are valid, with a note on what it could not check."""
    text = 'name: far\napi: {url: "https://${FAR_HOST}"}\n# database: {url: "${OUT_OF_USE}"}\n'
    project.write("gates/environments/far.yaml", text)
    project.write("gates/environments/production.yaml", "name: production\n")  # which the policy names
    done = cli("validate")

    assert done.returncode == 0, done.stdout
    assert "FAR_HOST" in done.stdout
    assert "OUT_OF_USE" not in done.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        {
            "gates/policy.yaml": ("blocking: [P1]\n", "policy.yaml"),
            "gates/waivers.yaml": ("waivers:\n  - gate: acceptance.a\n", "waivers.yaml:2"),
            "gates/environments/x.yaml": ("name: x\nurl: y\n", "x.yaml:2"),
        },
        {
            "gates/catalog.yaml": ("gates:\n  - id: acceptance.a\n    id: acceptance.b\n", "catalog.yaml:3"),
        },
        {"gates/test_more.py": ("import no_such_module\n", "no_such_module")},
        {
            "gates/test_more.py": (
                'import pytest\n@pytest.mark.gate("acceptance.b")\ndef test_more(evidence): pass\n',
                "acceptance.b",
            ),
        },
    ],
    ids=["P1 alone blocks, half a waiver, unknown key", "duplicate key", "import error", "bound twice"],
)
def test_validate_names_file_and_line(project: Project, cli: Cli, wrong: dict[str, tuple[str, str]]) -> None:
    """`validate` ends with 1 and names each file, the line and what is wrong."""
    for name, (text, _message) in wrong.items():
        project.write(name, text)
    done = cli("validate")

    assert done.returncode == 1, done.stdout
    assert [message for _text, message in wrong.values() if message not in done.stdout] == []
    assert "Traceback" not in done.stderr


def test_validate_looks_at_an_environment_as_a_run_would(project: Project, cli: Cli) -> None:
    """`validate --env` names everything that would end a run before its first gate."""
    text = "name: far\napi: {{url: 'http://127.0.0.1:{0}'}}\ncache: {{url: 'redis://:kept-back@127.0.0.1:{0}'}}\n"
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: connections to it are refused
        project.write("gates/environments/far.yaml", text.format(bound.getsockname()[1]))
        done = cli("validate", "--env", "far")

    assert done.returncode == 1, done.stdout
    assert "INVALID far: a run would end before its first gate." in done.stdout
    assert "the target is unreachable." in done.stdout
    assert "cache.url: " in done.stdout
    assert "kept-back" not in done.stdout + done.stderr


def test_validate_knows_what_gates_need_of_an_environment(project: Project, process: Cli) -> None:
    """A part that a gate asks for and the environment file lacks is named, as a run names it."""
    project.write("gates/environments/far.yaml", "name: far\n")
    project.write("gates/environments/production.yaml", "name: production\n")  # which the policy names
    project.gates(more="\n@pytest.fixture\ndef other(cache):\n    return cache\n")
    assert process("validate", "--env", "far").returncode == 0
    project.gates(
        b="""
@pytest.mark.gate("acceptance.b")
def test_b(cache, evidence):
    evidence.check("b", 1, "==", 1)
"""
    )
    done = process("validate", "--env", "far")
    assert done.returncode == 1
    assert "far.yaml: cache is missing, and a gate needs it." in done.stdout


def test_sandbox_faults_are_listed(cli: Cli) -> None:
    """`sandbox faults` names each way to break it and the gate that must notice."""
    lines = cli("sandbox", "faults").stdout

    assert "retry_after_lies" in lines
    assert "acceptance.rate_limiting" in lines


@pytest.mark.nightly  # every run tries the same commands in process, in tests/sandbox
def test_sandbox_up_run_down(process: Cli, cli: Cli, project: Project) -> None:
    """`sandbox up` can be pointed at, broken and mended by name, and `down` takes it away."""
    where = f"--dir={project.folder / 'sandbox'}"
    try:
        up = process("sandbox", "up", where)
        assert up.returncode == 0, up.stderr
        assert "environment.yaml" in up.stdout
        assert cli("sandbox", "status", where).returncode == 0
        assert cli("sandbox", "fault", "analytics_stale", where).returncode == 0
        assert "analytics_stale" in cli("sandbox", "status", where).stdout
        assert cli("sandbox", "fault", "no_such_fault", where).returncode == 1
    finally:
        down = process("sandbox", "down", where)
    assert down.returncode == 0
    assert cli("sandbox", "status", where).returncode == 1


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("rnu",), "run"),
        (("run", "golve"), "golive"),
        (("oncall", "plna"), "plan"),
        (("sandbox", "up", "--fautl=x"), "--fault"),
    ],
)
def test_a_misspelt_word_is_told_the_nearest(cli: Cli, words: tuple[str, ...], meant: str) -> None:
    """An unknown command, scope, action or option ends with the one that was probably meant."""
    done = cli(*words)
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith(f"Did you mean {meant}?")


@pytest.mark.parametrize("words", [("stage",), ("validate",), ("load", "run"), ("oncall", "plan")])
def test_a_command_outside_of_a_project_says_so(cli: Cli, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Without a gates folder one paragraph names this folder and the command that makes one."""
    done = cli(*words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"there is no project in {tmp_path}" in done.stderr
    assert "bais-gates init" in done.stderr


def test_a_run_outside_of_a_project_has_one_reason(cli: Cli, tmp_path: Path) -> None:
    """It says that there is no project, and nothing of the files that are absent with it."""
    done = cli("run", "--out", str(tmp_path / "out"))
    assert done.returncode == 22
    (reason,) = json.loads((tmp_path / "out" / "decision.json").read_text())["reasons"]
    assert (reason["code"], reason["message"].partition(":")[0]) == (
        "CATALOG_INVALID",
        "There is no project here",
    )


def test_a_report_folder_that_is_a_file_is_one_reason(project: Project, process: Cli, tmp_path: Path) -> None:
    """Where nothing can be written the run says that, and not as well that it came to no decision."""
    project.write("out", "")
    done = process("run", "--env", "./staging.yaml", "--out", str(tmp_path / "out"))
    assert done.returncode == 23
    assert "1 reason to block" in done.stdout
    assert "decision.json cannot be written: Not a" in " ".join(done.stdout.split())


def test_an_unknown_fault_is_refused_before_anything_starts(project: Project, process: Cli) -> None:
    """Its name is looked up with the environment file, and the nearest one is named."""
    project.write("gates/environments/stub.yaml", "name: stub\nprovision: sandbox\n")
    done = process("run", "--env", "stub", "--sandbox-fault", "health_version_mising")
    assert done.returncode == 22
    assert "Did you mean health_version_missing" in " ".join(done.stdout.split())
    assert "collected" not in done.stdout
