"""The shape of the code base: who may import whom, how long a file may be, what the package never does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bais_gates"
MAX_LINES = 400

# room -> the rooms it may import besides itself; a room is the first name below bais_gates.
ALLOWED = {
    "errors": set(),
    "redaction": set(),
    "verdict": {"errors"},
    "reports": {"verdict", "redaction", "errors"},
    "attest": {"verdict", "redaction", "errors"},
    "probes": {"redaction", "errors"},
    "manifests": {"verdict", "errors"},
    "staging": {"probes", "targets", "manifests", "redaction", "errors"},
    "targets": {"probes", "redaction", "errors", "sandbox", "verdict"},
    "pytest_plugin": {"verdict", "reports", "redaction", "errors", "targets", "attest"},
    "sandbox": {"errors", "manifests", "probes"},  # of probes only what judges pods, for admission
    "cli": {
        "verdict",
        "reports",
        "attest",
        "targets",
        "probes",
        "sandbox",
        "staging",
        "redaction",
        "errors",
        "pytest_plugin",
    },
    "__main__": {"cli"},
    "__init__": set(),
}
# Exceptions to a room's list: only these modules may use the import, with the reason.
ONLY_IN = {
    ("pytest_plugin", "attest"): "imports.py",  # what it imports was verified
    ("targets", "sandbox"): "provision.py",  # the sandbox is reached through an environment file
}
GATES_MAY_IMPORT = {"targets", "probes", "staging", "manifests", "pytest_plugin"}
SOURCES = sorted(PACKAGE.rglob("*.py"))
PROJECT_SOURCES = sorted(
    path
    for folder in ("bais_gates", "gates", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)


def room_of(path: Path) -> str:
    """Return the room that a module of the package belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms of bais_gates that a module imports, also inside functions and for types only."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = (
                [node.module] if node.module != "bais_gates" else [f"bais_gates.{a.name}" for a in node.names]
            )
        rooms |= {name.split(".")[1] for name in names if name.startswith("bais_gates.")}
    return rooms - {"__version__"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    """A module imports only the rooms below its own."""
    room = room_of(path)
    allowed = set(ALLOWED[room]) | {room}
    for (where, what), module in ONLY_IN.items():
        if where == room and path.name != module:
            allowed.discard(what)

    assert imported_rooms(path) <= allowed


@pytest.mark.parametrize(
    "path",
    [ROOT / "conftest.py", *sorted((ROOT / "gates").rglob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_gates_see_only_the_target(path: Path) -> None:
    """A gate and the fixtures it uses reach the platform through its target, never through the sandbox."""
    assert imported_rooms(path) <= GATES_MAY_IMPORT


@pytest.mark.parametrize("path", PROJECT_SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_can_be_held_in_the_head(path: Path) -> None:
    """No source file is longer than what one reads in one go."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_package_asserts_nothing(path: Path) -> None:
    """The package has no bare assert: ``python -O`` would take the check away."""
    asserts = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]

    assert asserts == []


def test_nothing_names_a_package_registry_or_a_path_of_one_machine() -> None:
    """No tracked text names a registry's host or a folder of the machine it was written on."""
    words = (
        "pypi" + r"\.org",
        "python" + "hosted",
        "registry\\.npm" + "js",
        "deb\\.deb" + "ian",
        "/wo" + "rk/",
        "/ro" + "ot/",
    )
    pattern = re.compile("|".join(words))
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in ROOT.rglob("*")
        if path.is_file()
        and path.suffix
        in {"", ".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".html", ".css", ".sh"}
        and not {".git", ".venv", "gate-report"} & set(path.relative_to(ROOT).parts)
        and not any(
            part.endswith(("_cache", ".egg-info", "__pycache__")) or part == ".hypothesis"
            for part in path.parts
        )
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]

    assert found == []
