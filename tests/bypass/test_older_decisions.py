"""Ways round the gate by an older decision that a new run leaves in place."""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.bypass.conftest import GREEN
from tests.launch import run_command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.bypass.conftest import Project


@pytest.fixture
def green(project: Project) -> Path:
    """Return a copy of the report folder of a DEPLOY, to be put back before each way."""
    ran = project.run()
    assert (ran.status, project.verify().returncode) == (0, 0), ran.output
    return project.folder / shutil.copytree(project.folder / "gate-report", project.folder / "green")


def put_back(project: Project, green: Path, folder: str = "gate-report") -> None:
    """Put the older decision back, which verify accepts without the run's id."""
    shutil.copytree(green, project.folder / folder, dirs_exist_ok=True)
    assert project.verify(f"{folder}/decision.json").returncode == 0


def test_words_that_run_refuses(project: Project, green: Path) -> None:
    """`bais-gates run` with a wrong option, scope or value, written in any way, voids the decision first."""
    ways: Sequence[tuple[str, ...]] = (
        ("goliv",),
        ("--no-such-option",),
        ("golive", "acceptance"),
        ("--env", "-h"),
        ("--out=gate-report", "goliv"),
        ("--ou", "gate-report", "--nope"),
        ("--env=",),
        ("--out", ""),
    )
    for words in ways:
        put_back(project, green)
        assert run_command("run", *words, folder=project.folder).returncode == 2
        refused = project.verify()
        assert refused.returncode == 1, (words, refused.stdout)
        assert "DECISION_BLOCK" in refused.stdout
        assert not (project.folder / "gate-report" / "signoff.html").exists()


def test_folders_that_run_is_given(project: Project, green: Path) -> None:
    """`--out` and `-- --gate-out` name the folder that is voided; `--help` is no run and voids nothing."""
    for words, folder in (
        (("--out", "other", "goliv"), "other"),
        (("goliv", "--", "--gate-out=other"), "other"),
        (("goliv", "--", "--gate-out", "other"), "gate-report"),
    ):
        put_back(project, green, folder)
        run_command("run", *words, folder=project.folder)
        assert project.verify(f"{folder}/decision.json").returncode == 1, words

    put_back(project, green)
    assert run_command("run", "--help", folder=project.folder).returncode == 0
    assert run_command("--version", "run", folder=project.folder).returncode == 0
    assert project.verify().returncode == 0


def test_settings_that_end_pytest_early(project: Project, green: Path) -> None:
    """A missing plugin or a wrong value ends pytest before its session: the older decision is void."""
    ways: Sequence[tuple[str, ...]] = (
        ("-n", "many"),
        ("-o", "required_plugins=no-such-plugin"),
        ("-p", "no_such_plugin"),
        ("--no-such-option",),
        ("--gate-out", "gate-report", "--gate-subject"),
    )
    for options in ways:
        put_back(project, green)
        ran = project.run(*options)
        assert ran.status not in {0, 1}, ran.output
        assert project.verify().returncode == 1, (options, ran.output)


def test_conftest_that_ends_pytest_early(project: Project, green: Path) -> None:
    """A broken conftest ends pytest before its session: BLOCK by then."""
    put_back(project, green)
    project.write("conftest.py", "raise OSError(28, 'No space left on device')\n")
    ran = project.run()
    ran.blocks("COLLECTION_ERROR", status=4)
    assert project.verify().returncode == 1


def test_settings_that_lead_out_of_the_project(project: Project, green: Path) -> None:
    """`--rootdir` or `-c` takes the report elsewhere; the older decision where `verify` looks is void."""
    (project.folder / "elsewhere").mkdir()
    project.write("elsewhere/pytest.ini", "[pytest]\n")
    for option in ("--rootdir=elsewhere", "-celsewhere/pytest.ini"):
        put_back(project, green)
        project.run(option)
        refused = project.verify()
        assert refused.returncode == 1, option
        assert "DECISION_BLOCK" in refused.stdout

    put_back(project, green)
    project.run("--gate-out=named")
    assert project.verify().returncode == 0, "a folder that was named is the only one"


def test_run_that_begins_while_another_goes_on(project: Project) -> None:
    """A run begins, and is refused, while another goes on in its folder: its BLOCK gives way to no DEPLOY."""
    begin = 'subprocess.run([sys.executable, "-m", "bais_gates", "run", "goliv"], check=False)'
    project.gate_b(f"import subprocess, sys\n{begin}\n{GREEN}")
    ran = project.run()
    ran.blocks("TAMPERED", status=22)
    assert "another run has begun" in " ".join(ran.output.split())


def test_disk_without_room_for_temporary_files(
    project: Project, green: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`bais-gates run` finds no folder for temporary files: the older decision is void, no traceback."""

    def find_none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    put_back(project, green)
    monkeypatch.setattr(tempfile, "gettempdir", find_none)
    done = run_command("run", folder=project.folder)
    monkeypatch.undo()
    assert (done.returncode, "temporary files" in done.stderr) == (2, True)
    assert "DECISION_BLOCK" in project.verify().stdout


def test_user_whom_nobody_knows(project: Project, green: Path) -> None:
    """A path begins with `~` and a name that the machine has not: a file that is not there, no traceback."""
    for option, said in (("--gate-policy", "no such file"), ("--gate-catalog", "does not exist")):
        put_back(project, green)
        ran = project.run(f"{option}=~nobody-of-that-name/x")
        ran.verify_refuses()
        assert "Traceback" not in ran.output
        assert said in " ".join(ran.output.split()), ran.output
    done = run_command("run", "--out=~nobody-of-that-name/x", "goliv", folder=project.folder)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_catalog_that_is_gone(project: Project, green: Path) -> None:
    """Without its catalog the project is any other to pytest, which passes; the older decision is void."""
    put_back(project, green)
    (project.folder / "gates" / "catalog.yaml").rename(project.folder / "gates" / "catalog.bak")
    project.write("pytest.ini", "[pytest]\naddopts = -p no:schemathesis\n")
    project.run()
    (project.folder / "gates" / "catalog.bak").rename(project.folder / "gates" / "catalog.yaml")

    assert project.verify().returncode == 1
