"""Command lines that pytest reads differently than they were meant.

pytest looks for its configuration beside every argument that is the path of something that exists, before
it knows the options of plugins: in ``--gate-env /etc/env.yaml`` it takes the second word for tests. The form
with ``=`` is read as it is meant, so such a command line is started over in that form; where that can't be
done (pytest called from a program, an option in PYTEST_ADDOPTS) it is told.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_WITH_PATH = frozenset(
    f"--gate-{name}" for name in ("env", "out", "catalog", "policy", "waivers", "import", "subject")
)


def misread(config: pytest.Config) -> str | None:
    """Say what was misread, if pytest has left the project because of it; None when all is well."""
    here = config.invocation_params.dir
    options = config.known_args_namespace
    if getattr(options, "inifilename", None) or getattr(options, "rootdir", None):
        return None
    if config.inipath is not None and config.inipath.parent in {here, *here.parents}:
        return None
    words = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *map(str, config.invocation_params.args)]
    for option, value in _separate(words):
        outside = Path(here, value).exists() and config.rootpath != here
        if outside:
            return (
                f"pytest takes {value} behind {option} for a path of tests, and looks for its configuration "
                f"there. Write {option}={value} instead."
            )
    return None


def _separate(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options with a path that stand apart from their value."""
    for option, value in pairwise(arguments):
        if option in _WITH_PATH and not value.startswith("-"):
            yield option, value


def start_over(config: pytest.Config) -> None:
    """Replace this process by pytest with the options joined, if the command line is what misled it."""
    given = [str(one) for one in config.invocation_params.args]
    joined = _joined(given)
    if joined == given or misread(config) is None or sys.orig_argv[-len(given) :] != given:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    before = sys.orig_argv[1 : -len(given)]
    os.execv(sys.executable, [sys.executable, *before, *joined])  # noqa: S606 - the same program, no shell


def join_for_workers(config: pytest.Config) -> None:
    """Have xdist hand the options to its workers in the form that is read as it is meant.

    Without it a report folder that this process has just made would move the workers' root.
    """
    joined = _joined([str(one) for one in config.invocation_params.args])
    config.invocation_params = dataclasses.replace(config.invocation_params, args=tuple(joined))


def _joined(arguments: Sequence[str]) -> list[str]:
    joined: list[str] = []
    words = iter(arguments)
    for word in words:
        value = next(words, None) if word in _WITH_PATH else None
        joined.append(word if value is None else f"{word}={value}")
    return joined
