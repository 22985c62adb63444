"""``bais-gates init``: what it writes decides at once, nothing is overwritten, the wheel has all of it."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bais_gates.cli.init import CI_FILES
from tests.launch import run_command, run_pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cli.conftest import Cli

ROOT = Path(__file__).parents[2]
PLUGIN = ("-p", "bais_gates.pytest_plugin.plugin")
OURS = ("BAIS_GATES", "PYTEST_", "PYTHON")
KEY = "-----BEGIN EC PRIVATE KEY-----\n"


def content(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder, besides what Python and tools cache there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.endswith(("__pycache__", "_cache")) for part in path.parts)
    }


def run(
    folder: Path, *command: str, python: str = sys.executable, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python module in a folder, with nothing of the pytest that runs this."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.run(
        [python, "-m", *command],
        cwd=folder,
        env=environment | more,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def decide(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin in a folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return run_pytest([*PLUGIN, *arguments], folder=folder, env=environment, timeout_s=60)


def decision(folder: Path) -> Mapping[str, Any]:
    """Read the decision that a run left in a project."""
    read: Mapping[str, Any] = json.loads(
        (folder / "gate-report" / "decision.json").read_text(encoding="utf-8")
    )
    return read


def test_a_new_project_decides_at_once(cli: Cli, tmp_path: Path) -> None:
    """What `init` wrote is valid and says DEPLOY, without xdist and pytest-html, too; `verify` accepts it."""
    made = cli("init", "my project")
    folder = tmp_path / "my project"
    valid = run_command("validate", folder=folder)
    decided = decide(folder, "-m", "golive")

    assert made.returncode == 0, made.stderr
    assert "  cd 'my project'\n  pytest -m golive" in made.stdout
    assert valid.returncode == 0, valid.stdout
    assert decided.returncode == 0, decided.stdout + decided.stderr
    assert decision(folder)["verdict"] == "DEPLOY"
    assert decision(folder)["gates"][0]["checks"][0]["n"] > 4
    assert run_command("verify", "--env", "production", folder=folder).returncode == 0


def test_the_gate_of_a_new_project_can_fail(cli: Cli, tmp_path: Path) -> None:
    """A private key anywhere in the project blocks; one in an installed package or in .git does not."""
    cli("init")
    for name in (".git/key.pem", "env/lib/key.pem", "env/pyvenv.cfg", "deploy/key.pem"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(KEY, encoding="utf-8")

    decided = decide(tmp_path, "-m", "golive")

    assert decided.returncode == 20, decided.stdout + decided.stderr
    assert decision(tmp_path)["gates"][0]["checks"][0]["observed"] == ["deploy/key.pem"]


def test_the_gate_of_a_new_project_keeps_to_default_rules(cli: Cli, tmp_path: Path) -> None:
    """The gate passes ruff's default rules; this project's rules and mypy see its template."""
    cli("init")

    for action in (("check",), ("format", "--check")):
        linted = run(tmp_path, "ruff", *action, "--isolated", "--no-cache", "gates")
        assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    ("existing", "words"),
    [
        ("gates/catalog.yaml", ()),
        ("pytest.ini/there", ()),
        ("gates/policy.yaml", ("--suite=bais",)),
        *((target, (f"--ci={name}",)) for name, (_, target) in CI_FILES.items()),
    ],
    ids=str,
)
def test_nothing_is_overwritten(cli: Cli, tmp_path: Path, existing: str, words: tuple[str, ...]) -> None:
    """One file in the way ends with 2 and one paragraph that names it, and nothing is written."""
    path = tmp_path / existing
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine", encoding="utf-8")

    done = cli("init", *words)

    assert done.returncode == 2
    assert existing.removesuffix("/there") in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert content(tmp_path) == {existing: b"mine"}


@pytest.mark.parametrize("target", ["there", "there/project"])
def test_a_folder_that_can_not_be_made(cli: Cli, tmp_path: Path, target: str) -> None:
    """Where a file stands in the folder's place `init` ends with 2 and says which."""
    (tmp_path / "there").write_text("mine", encoding="utf-8")

    done = cli("init", target)

    assert done.returncode == 2
    assert str(Path("there", "gates") if target == "there" else target) in done.stderr
    assert content(tmp_path) == {"there": b"mine"}


def test_a_suite_that_is_there_already(cli: Cli) -> None:
    """A second `init` names the first few of what is in the way."""
    cli("init", "--suite=bais")
    again = cli("init", "--suite=bais")

    assert again.returncode == 2
    assert "gates/catalog.yaml" in again.stderr
    assert "more" in again.stderr
    assert len(again.stderr) < 300


def test_an_error_half_way_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    """Files and folders that were made before the one that can't be are taken away again."""
    (tmp_path / "gates").mkdir()
    (tmp_path / "gates" / "environments").write_text("mine", encoding="utf-8")

    done = cli("init", "--ci=github")

    assert done.returncode == 2
    assert "environments" in done.stderr
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "gates",
        "gates/environments",
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pyproject.toml", "[tool.pytest]\ntestpaths = ['tests']\n", 'gate_env = "production"'),
        ("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-q'\n", 'gate_env = "production"'),
        ("setup.cfg", "[tool:pytest]\naddopts = -q\n", "gate_env = production"),
        (".pytest.ini", "", "gate_env = production"),
    ],
)
def test_settings_of_pytest_are_left_alone(cli: Cli, tmp_path: Path, name: str, text: str, told: str) -> None:
    """`init` says what to add to the settings that are there; the command it prints decides without."""
    (tmp_path / name).write_text(text, encoding="utf-8")

    made = cli("init")
    command = next(line.split("#")[0].split() for line in made.stdout.splitlines() if "pytest -m" in line)
    decided = decide(tmp_path, *command[1:])

    assert f"left {name} alone" in made.stdout
    assert told in made.stdout
    assert (tmp_path / name).read_text(encoding="utf-8") == text
    assert not (tmp_path / "pytest.ini").exists()
    assert decided.returncode == 0, decided.stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("*.pyc", "*.pyc\ngate-report/\n"),
        ("*.pyc\n", "*.pyc\ngate-report/\n"),
        ("/gate-report\n", "/gate-report\n"),
        (None, "gate-report/\n"),
    ],
)
def test_reports_are_kept_out_of_git(cli: Cli, tmp_path: Path, before: str | None, after: str) -> None:
    """The report folder is added to .gitignore, made if need be, unless it is there already."""
    if before is not None:
        (tmp_path / ".gitignore").write_text(before, encoding="utf-8")

    assert cli("init").returncode == 0
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == after


def test_a_gitignore_that_can_not_be_read(cli: Cli, tmp_path: Path) -> None:
    """What stands in .gitignore's place and is no file ends with 2 before anything is written."""
    (tmp_path / ".gitignore").mkdir()

    done = cli("init")

    assert done.returncode == 2
    assert ".gitignore" in done.stderr
    assert content(tmp_path) == {}


def test_the_suite_of_bais_is_this_projects(cli: Cli, tmp_path: Path) -> None:
    """`--suite bais` writes gates/ as it is here, and asks for the sandbox's extra."""
    made = cli("init", "--suite=bais", "suite")

    assert made.returncode == 0, made.stderr
    assert "pip install 'bais-gates[sandbox]==" in made.stdout
    assert content(tmp_path / "suite" / "gates") == content(ROOT / "gates")


@pytest.mark.parametrize("suite", [(), ("--suite=bais",)], ids=["new", "bais"])
@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_a_pipeline_deploys_only_what_verify_accepts(
    cli: Cli, tmp_path: Path, name: str, suite: tuple[str, ...]
) -> None:
    """The deployment waits for the gates and begins with `verify` of that very run, about production."""
    assert cli("init", f"--ci={name}", *suite).returncode == 0
    text = (tmp_path / CI_FILES[name][1]).read_text(encoding="utf-8")
    pipeline = yaml.safe_load(text)
    jobs = pipeline.get("jobs", pipeline)

    judged = "sandbox" if suite else "production"
    steps = jobs["deploy"]["steps" if name == "github" else "script"]
    commands = [
        step["run"] if isinstance(step, dict) else step for step in steps if "run" in step or name == "gitlab"
    ]
    assert jobs["deploy"]["needs"] in ("gates", ["gates"])
    assert commands[-2] == 'bais-gates verify --env production --run-id "$RUN_ID" --max-age 1h'
    assert f'bais-gates run golive --env {judged} --run-id "$RUN_ID"' in text
    assert "<" not in text


def test_the_pipeline_of_jenkins(cli: Cli, tmp_path: Path) -> None:
    """The stage that deploys follows the gates and begins with `verify` of that very build."""
    cli("init", "--ci=jenkins")
    text = (tmp_path / "Jenkinsfile").read_text(encoding="utf-8")
    gates, deploy = text.split("stage('Deploy')")

    assert 'bais-gates run golive --env production --run-id "$BUILD_NUMBER"' in gates
    assert deploy.index('bais-gates verify --env production --run-id "$BUILD_NUMBER"') < deploy.index(
        "deploy here"
    )
    assert text.count("{") == text.count("}")
    assert "<" not in text


@pytest.mark.parametrize("marked", [False, True], ids=["no test of that mark", "its own mark"])
def test_a_project_without_a_catalog(tmp_path: Path, marked: bool) -> None:
    """`pytest -m golive` without a catalog says how to start, unless the project has a mark of that name."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    golive: ours\n", encoding="utf-8")
    mark = "@pytest.mark.golive\n" if marked else ""
    (tmp_path / "test_ours.py").write_text(
        f"import pytest\n\n{mark}def test_ours():\n    pass\n", encoding="utf-8"
    )

    asked = decide(tmp_path, "-m", "golive")
    other = decide(tmp_path, "-m", "golive and slow")

    assert asked.returncode == (0 if marked else 5)
    assert ("`bais-gates init`" in asked.stdout) is not marked
    assert f"no gates/catalog.yaml below {tmp_path}" in asked.stdout or marked
    assert "bais-gates init" not in other.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution from a copy of this checkout, and the wheel from that, as pip would."""
    folder = tmp_path_factory.mktemp("wheel")
    hidden = shutil.ignore_patterns(
        ".git", ".venv", "*_cache", "__pycache__", "*.egg-info", "build", "gate-report"
    )
    copy = Path(shutil.copytree(ROOT, folder / "copy", symlinks=True, ignore=hidden))
    _build("sdist", copy, folder)
    source = folder / "source"
    source.mkdir()
    # unpack_archive warns without its filter, which Debian 12's Python 3.11.2 does not have.
    subprocess.run(["tar", "-xf", next(folder.glob("*.tar.gz")), "-C", source], check=True)
    _build("wheel", next(source.iterdir()), folder)
    return next(folder.glob("*.whl"))


def _build(what: str, source: Path, folder: Path) -> None:
    """Call the build backend in a process of its own; no network."""
    program = f"import setuptools.build_meta as backend; backend.build_{what}({str(folder)!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the python of a virtual environment with the wheel, and this one's libraries behind it."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # A path in a .pth file is searched last, and the .pth files in it (the editable install's) are not read.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    (folder / "bin" / "ruff").symlink_to(Path(sysconfig.get_path("scripts"), "ruff"))  # the sandbox's scanner
    return str(folder / "bin" / "python")


def test_the_wheel_carries_everything(wheel: Path) -> None:
    """All files of the package and its entry points are in it, the suite as gates/ is, nothing compiled."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
        (described,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        entry_points = configparser.ConfigParser(interpolation=None)
        entry_points.read_string(archive.read(described).decode())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = {f"bais_gates/{name}": data for name, data in content(ROOT / "bais_gates").items()}
    suite = {f"bais_gates/suite/{name}": data for name, data in content(ROOT / "gates").items()}

    assert packed == package | suite
    assert {name: dict(entry_points[name]) for name in entry_points.sections()} == {
        "console_scripts": project["scripts"],
        **project["entry-points"],
    }


@pytest.mark.nightly  # every run holds that all files and entry points are in the wheel
def test_the_wheel_works_in_an_empty_folder(installed: str, tmp_path: Path) -> None:
    """With the wheel alone a new project is made, decides and is verified."""
    made = run(tmp_path, "bais_gates", "init", "demo", python=installed)
    decided = run(tmp_path / "demo", "pytest", "-m", "golive", python=installed)

    assert made.returncode == 0, made.stderr
    assert decided.returncode == 0, decided.stdout + decided.stderr
    assert decision(tmp_path / "demo")["verdict"] == "DEPLOY"
    assert run(tmp_path / "demo", "bais_gates", "verify", python=installed).returncode == 0


@pytest.mark.nightly
def test_the_suite_of_the_wheel_judges_the_sandbox(installed: str, tmp_path: Path) -> None:
    """With the wheel alone all gates of BAIS pass on the sandbox."""
    made = run(tmp_path, "bais_gates", "init", "--suite=bais", python=installed)
    decided = run(tmp_path, "pytest", "-m", "golive", python=installed)

    assert made.returncode == 0, made.stderr
    assert decided.returncode == 0, decided.stdout + decided.stderr
    assert decision(tmp_path)["target"]["rehearsal"] is True
    assert run(tmp_path, "bais_gates", "verify", "--env=sandbox", python=installed).returncode == 0
