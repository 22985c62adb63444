"""Helpers for the tests of targets: environment files and runs that need no pytest run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, kw_only=True)
class FakeRun:
    """Stands in for the facts about a run."""

    directory: Path
    environment: str
    run_id: str = "run-1"
    owner_pid: int = 1
    faults: tuple[str, ...] = ()


@pytest.fixture
def gates_dir(tmp_path: Path) -> Path:
    """Return an empty gates folder."""
    folder = tmp_path / "gates"
    (folder / "environments").mkdir(parents=True)
    return folder


@pytest.fixture
def write(gates_dir: Path) -> Callable[[str, str], Path]:
    """Write an environment file by name."""

    def write_file(name: str, text: str) -> Path:
        path = gates_dir / "environments" / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., FakeRun]:
    """Return a function that makes a run with its own run directory."""

    def make(environment: str, faults: tuple[str, ...] = ()) -> FakeRun:
        directory = tmp_path / "run"
        directory.mkdir(exist_ok=True)
        return FakeRun(directory=directory, environment=environment, faults=faults)

    return make
