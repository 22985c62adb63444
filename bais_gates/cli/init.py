"""``bais-gates init``: write a project of gates that decides at once."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import bais_gates
from bais_gates.errors import GateInputError

STARTER: Final = Path(__file__).parent / "starter"
SUITE: Final = Path(bais_gates.__file__).parent / "suite"
"""The BAIS suite: in a checkout a link to gates/, in a wheel a copy of it."""
CI_FILES: Final = {
    "github": ("github.yml", ".github/workflows/gates.yml"),
    "gitlab": ("gitlab.yml", ".gitlab-ci.yml"),
    "jenkins": ("Jenkinsfile", "Jenkinsfile"),
}
NO_SUBJECT: Final = "\nsubject: not_required # write required once the release is an image"
SIGNATURES: Final = "\nsignatures:\n  production: {required: 1}\n"
NO_SIGNATURES: Final = (
    "\n# signatures:              # once somebody has a key: bais-gates attest keygen\n"
    "#   production: {required: 1}\n"
)
REPORTS: Final = "gate-report/"
NOTE: Final = """
The gate reads the project's files: nothing of production is judged before the catalog has a gate for it."""
_SHOWN: Final = 3
_PYTEST_FILES: Final = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
_PYTEST_SECTION: Final = re.compile(r"^\s*\[\s*(tool\.pytest\b.*|tool:pytest|pytest)\s*\]", re.MULTILINE)
DESCRIPTION = """\
Write gates/ into DIR: catalog, policy, waivers, an environment file and one commented gate that asks no
service, so that `pytest -m golive` decides there at once.

Touches DIR alone, and overwrites nothing: where one of its files exists, none is written and the exit status
is 2. pytest.ini is written unless DIR has settings of pytest; .gitignore gets a line for the reports."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "init",
        help="write a project of gates that decides at once",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where to write; made if it is not there (default: the current folder)",
    )
    parser.add_argument("--suite", choices=["bais"], help="write the gates of BAIS instead of the one gate")
    parser.add_argument(
        "--ci",
        choices=CI_FILES,
        help="also write a pipeline that deploys only what `bais-gates verify` accepts",
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the project, print what was written and left alone, and the next commands."""
    folder: Path = arguments.folder
    bais = arguments.suite is not None
    environment = "sandbox" if bais else "production"
    gates = files_of(SUITE) if bais else files_of(STARTER / "gates")
    # The one gate of a new project judges no image, and nobody has a key yet.
    policy = (SUITE / "policy.yaml").read_text(encoding="utf-8").replace("\nsubject: required", NO_SUBJECT)
    policy = policy.replace(SIGNATURES, NO_SIGNATURES)
    gates.setdefault("gates/policy.yaml", policy)
    others = {}
    if arguments.ci is not None:
        template, target = CI_FILES[arguments.ci]
        others[target] = pipeline(template, environment, extra="[sandbox]" if bais else "")
    settings = pytest_settings(folder)
    if settings is None:
        others["pytest.ini"] = f"[pytest]\ngate_catalog = gates/catalog.yaml\ngate_env = {environment}\n"
    ignored = folder / ".gitignore"
    added = missing_line(ignored)
    if added is None:
        others[ignored.name] = f"{REPORTS}\n"
    write_files(folder, gates | others)
    written = [f"gates ({len(gates)} files)"] if bais else list(gates)
    print("\n".join(f"wrote {folder / name}" for name in (*written, *others)))
    if added:
        with ignored.open("a", encoding="utf-8") as file:
            file.write(added)
        print(f"added {REPORTS} to {ignored}")
    if settings is not None:
        value = f'"{environment}"' if settings.suffix == ".toml" else environment
        print(
            f"left {settings} alone: add `gate_env = {value}` to pytest's settings there, and `gates` to "
            "testpaths if they have it"
        )
    print(next_commands(folder, environment, bais=bais, configured=settings is None))
    return 0


def files_of(root: Path) -> dict[str, str]:
    """Return the text of every file below ``root`` by its name in the new project, the outermost first."""
    files = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {
        f"gates/{path.relative_to(root)}": path.read_text(encoding="utf-8")
        for path in sorted(files, key=lambda path: (len(path.parts), path))
    }


def pipeline(template: str, environment: str, *, extra: str) -> str:
    """Return a CI pipeline that installs this version of bais-gates and judges ``environment``."""
    text = (STARTER / "ci" / template).read_text(encoding="utf-8")
    package = f"bais-gates{extra}=={bais_gates.__version__}"
    return text.replace("<package>", package).replace("<environment>", environment)


def pytest_settings(folder: Path) -> Path | None:
    """Return the file in ``folder`` that holds settings of pytest; None when there is none."""
    for name in (*_PYTEST_FILES, "pyproject.toml", "tox.ini", "setup.cfg"):
        path = folder / name
        if path.is_file() and (
            name in _PYTEST_FILES
            or _PYTEST_SECTION.search(path.read_text(encoding="utf-8", errors="replace"))
        ):
            return path
    return None


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files or none; GateInputError where one exists already, or can't be written."""
    existing = [str(folder / name) for name in files if os.path.lexists(folder / name)]
    if existing:
        more = f" and {len(existing) - _SHOWN} more" if len(existing) > _SHOWN else ""
        raise GateInputError(
            f"{', '.join(existing[:_SHOWN])}{more}: already there, so nothing was written. Name another "
            "folder, or move what is in the way."
        )
    made: list[Path] = []
    try:
        for name, text in files.items():
            path = folder / name
            for parent in reversed(path.parents):
                if not parent.exists():
                    parent.mkdir()
                    made.append(parent)
            with path.open("x", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except BaseException as error:  # Ctrl-C, too, leaves no half of a project
        for path in reversed(made):
            with contextlib.suppress(OSError):  # what somebody else has put in meanwhile stays
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise GateInputError(f"{error.filename}: {error.strerror}. Nothing was written.") from error
        raise


def missing_line(path: Path) -> str | None:
    """Return what keeps the reports out of git when appended to this .gitignore; None where there is none."""
    if not os.path.lexists(path):
        return None
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise GateInputError(f"{path}: {error.strerror}. Nothing was written.") from error
    if REPORTS.strip("/") in {line.strip().strip("/") for line in text.splitlines()}:
        return ""
    return f"{REPORTS}\n" if text.endswith("\n") or not text else f"\n{REPORTS}\n"


def next_commands(folder: Path, environment: str, *, bais: bool, configured: bool) -> str:
    """Return what to type next, a command a line."""
    ask = "pytest -m golive" if configured else f"pytest -m golive --gate-env={environment} gates"
    commands = [
        f"{ask}   # decides, and writes gate-report/signoff.html",
        f"bais-gates verify --env {environment}   # what a pipeline asks before it deploys",
    ]
    if bais:
        commands.insert(
            0, f"pip install 'bais-gates[sandbox]=={bais_gates.__version__}'   # what the gates need"
        )
    if folder.resolve() != Path.cwd():
        commands.insert(0, f"cd {shlex.quote(str(folder))}")
    note = "" if bais else NOTE
    return "next:\n" + "\n".join(f"  {command}" for command in commands) + note
