"""The shape of the code base: who may import whom, how long a file may be, what the package never does."""

from __future__ import annotations

import ast
import functools
import gc
import importlib
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bais_gates"
MAX_LINES = 400

# room -> the rooms it may import besides itself; a room is the first name below bais_gates.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "extras": {"errors"},
    "lazy": set(),
    "measuring": set(),
    "people": set(),
    "redaction": set(),
    "servers": {"errors"},
    "streams": set(),
    "strict": set(),
    "verdict": {"errors", "people", "strict"},
    "manifests": {"verdict", "errors", "extras"},
    "reports": {"verdict", "redaction", "errors", "lazy"},
    "attest": {"verdict", "redaction", "errors", "extras", "strict"},
    "rules": {"errors", "extras", "lazy", "people", "strict"},
    "probes": {"rules", "redaction", "errors", "extras", "lazy", "strict"},
    "targets": {"probes", "verdict", "redaction", "errors", "sandbox"},
    "staging": {"probes", "rules", "targets", "manifests", "redaction", "errors", "extras", "lazy"},
    "load": {"probes", "errors", "lazy"},
    "rollout": {
        "attest",
        "verdict",
        "staging",
        "probes",
        "targets",
        "manifests",
        "people",
        "redaction",
        "errors",
        "lazy",
    },
    "bais": {"probes", "targets", "staging", "load", "redaction", "errors", "extras"},
    "pytest_plugin": {
        "verdict",
        "reports",
        "attest",
        "targets",
        "probes",
        "staging",
        "redaction",
        "errors",
        "measuring",
        "streams",
    },
    "monitoring": {"verdict", "errors", "extras", "lazy", "servers"},
    "oncall": {
        "monitoring",
        "probes",
        "manifests",
        "targets",
        "verdict",
        "people",
        "redaction",
        "errors",
        "extras",
        "lazy",
    },
    "sandbox": {"manifests", "rules", "errors", "servers"},  # of rules only what judges pods, for admission
    "cli": {
        "verdict",
        "reports",
        "attest",
        "targets",
        "probes",
        "sandbox",
        "staging",
        "rollout",
        "monitoring",
        "oncall",
        "bais",
        "load",
        "measuring",
        "redaction",
        "errors",
        "servers",
        "streams",
        "pytest_plugin",
    },
    "__main__": {"cli"},
    "__init__": {"pytest_plugin", "targets", "errors", "lazy"},
}
# Exceptions to a room's list: only these modules may use the import, with the reason.
ONLY_IN = {
    ("pytest_plugin", "attest"): {"imports.py", "signing.py"},  # what is imported was verified
    ("pytest_plugin", "probes"): {"fixtures.py", "provisioning.py"},  # a run pays for what its gates ask for
    ("pytest_plugin", "staging"): {"fixtures.py", "provisioning.py"},  # as above
    ("oncall", "targets"): {"fixtures.py"},  # what it opens is of an environment file
    ("targets", "sandbox"): {"provision.py"},  # the sandbox is reached through an environment file
}
PUBLIC = (
    "bais_gates",
    "bais_gates.bais",
    "bais_gates.load",
    "bais_gates.monitoring",
    "bais_gates.oncall",
    "bais_gates.probes",
    "bais_gates.rollout",
    "bais_gates.rules",
    "bais_gates.rules.kubernetes",
    "bais_gates.staging",
)
"""The packages that gates import from; what they export is in their ``__all__``."""
STARTER = PACKAGE / "cli" / "starter"  # what `bais-gates init` writes is a project's, not the package's
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(STARTER))
GATES = sorted([*(ROOT / "gates").rglob("*.py"), *STARTER.rglob("*.py")])
PROJECT_SOURCES = sorted(
    path
    for folder in ("bais_gates", "gates", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)


def name_of(path: Path) -> str:
    """Return the dotted name of a module of the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in SOURCES}


@functools.cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Return every node of a source file."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.fixture(scope="module", autouse=True)
def _forget_nodes() -> Iterator[None]:
    """Collect no garbage meanwhile, and forget the nodes afterwards: with so many objects it takes long."""
    gc.disable()
    yield
    nodes_of.cache_clear()
    gc.enable()


def imports_of(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield module and name of each import from bais_gates, also inside functions and for types only.

    A name that is a module itself is yielded as that module, without a name.
    """
    for node in nodes_of(path):
        found: list[tuple[str, str | None]]
        if isinstance(node, ast.Import):
            found = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            full = [(f"{node.module}.{alias.name}", alias.name) for alias in node.names]
            found = [(name, None) if name in MODULES else (node.module, short) for name, short in full]
        else:
            continue
        yield from (one for one in found if one[0].partition(".")[0] == "bais_gates")


def where(path: Path) -> str:
    """Return a path as it is named in the project."""
    return str(path.relative_to(ROOT))


def test_imports_point_one_way() -> None:
    """A module imports only the rooms below its own."""
    violations = []
    for path in SOURCES:
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        allowed = ALLOWED[room] | {room}
        allowed -= {
            what for (of, what), modules in ONLY_IN.items() if of == room and path.name not in modules
        }
        rooms = {module.split(".")[1] for module, _ in imports_of(path) if "." in module}
        violations += [f"{where(path)} imports {one}" for one in sorted(rooms - allowed)]

    assert violations == []


def test_the_stand_in_cluster_is_apart() -> None:
    """The cluster imports nothing from outside its folder, and only the sandbox imports it."""
    cluster = "bais_gates.sandbox.cluster"
    inside = [path for path in SOURCES if name_of(path).startswith(cluster)]
    outside = [path for path in SOURCES if not name_of(path).startswith("bais_gates.sandbox")]
    violations = [
        f"{where(path)} imports {module}"
        for path in inside
        for module, _ in imports_of(path)
        if not module.startswith(cluster)
    ]
    violations += [
        f"{where(path)} imports {module}"
        for path in outside
        for module, _ in imports_of(path)
        if module.startswith(cluster)
    ]

    assert inside
    assert violations == []


def test_no_module_imports_itself_by_a_detour() -> None:
    """There is no import circle, neither at run time nor for types only."""
    graph = {name: {module for module, _ in imports_of(path)} - {name} for name, path in MODULES.items()}
    for imported in graph.values():
        imported.discard("bais_gates")  # only its version is imported, see the next test
    try:
        TopologicalSorter(graph).prepare()
        circle = []
    except CycleError as error:
        circle = error.args[1]

    assert circle == []


def test_the_framework_imports_a_name_from_the_module_that_defines_it() -> None:
    """What the public packages export is for gates alone."""
    violations = [
        f"{where(path)}: from {module} import {name}"
        for path in SOURCES
        for module, name in imports_of(path)
        if module in PUBLIC and name not in {None, "__version__"}
    ]

    assert violations == []


def test_a_public_package_exports_what_it_lists() -> None:
    """Every name in ``__all__`` resolves, to what type checkers see under it."""
    for name in PUBLIC:
        package = importlib.import_module(name)
        typed = {
            alias.name: f"{node.module}.{alias.name}"
            for node in nodes_of(MODULES[name])
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(name)
            for alias in node.names
            if alias.name != "lazy_exports"
        }

        assert sorted(package.__all__) == sorted(typed)
        for short, full in typed.items():
            module, _, attribute = full.rpartition(".")
            seen = importlib.import_module(full) if full in MODULES else None
            seen = seen or getattr(importlib.import_module(module), attribute)
            assert getattr(package, short) is seen, full


def test_gates_import_public_names_only() -> None:
    """A gate reaches the platform through its target, by the names that the public packages export."""
    public = {name: set(importlib.import_module(name).__all__) for name in PUBLIC}
    public["bais_gates.bais.fixtures"] = {
        "api",
        "done_load_run",
        "load_run",
        "new_business",
    }  # by the suite's conftest
    public["bais_gates.oncall.fixtures"] = {"oncall"}  # as above
    public["bais_gates.load.generator"] = {
        "PLAN",
        "ScheduledUser",
        "option",
    }  # by the locustfile, inside Locust

    def exported(module: str, name: str | None) -> bool:
        package, short = (module, name) if name is not None else module.rsplit(".", 1)
        return short in public.get(package, ())

    violations = [
        f"{where(path)}: {module} {name or ''}"
        for path in GATES
        for module, name in imports_of(path)
        if not exported(module, name)
    ]

    assert violations == []


def test_no_two_files_of_gates_have_one_name() -> None:
    """Projects that have the suite collect it by pytest's default import mode, which refuses that."""
    names = [path.name for path in (ROOT / "gates").rglob("test_*.py")]

    assert sorted(names) == sorted(set(names))


def test_a_file_is_short_enough_to_read_at_once() -> None:
    """No source file has more than 400 lines."""
    lines = {where(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PROJECT_SOURCES}

    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_the_package_asserts_nothing() -> None:
    """The package has no bare assert: ``python -O`` would take the check away."""
    asserts = [
        f"{where(path)}:{node.lineno}"
        for path in SOURCES
        for node in nodes_of(path)
        if isinstance(node, ast.Assert)
    ]

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
