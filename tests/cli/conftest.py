"""A project with three green gates, and the command line as a user calls it."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bypass.conftest import Project
from tests.launch import run_command

Cli = Callable[..., subprocess.CompletedProcess[str]]
TIMEOUT_S = 60


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load this plugin and no other in runs that a command starts: importing all takes half their time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p bais_gates.pytest_plugin.plugin")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose three gates are green until a test changes something."""
    return Project(tmp_path)


@pytest.fixture
def process(tmp_path: Path) -> Cli:
    """Return a call of ``bais-gates`` as a process in the project's folder."""

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bais_gates", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return call


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Return a call of ``bais-gates`` in this process and the project's folder."""
    return functools.partial(run_command, folder=tmp_path)
