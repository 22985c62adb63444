"""A project with three green gates, and the command line as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bypass.conftest import Project

Cli = Callable[..., subprocess.CompletedProcess[str]]
TIMEOUT_S = 60


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose three gates are green until a test changes something."""
    return Project(tmp_path)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Return a call of ``bais-gates`` in the project's folder."""

    def call(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bais_gates", *words],
            cwd=tmp_path,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return call
