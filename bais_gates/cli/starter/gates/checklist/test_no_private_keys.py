"""An example gate: look, record what was observed, and let the limit decide.

To put your own in its place, change the entry in gates/catalog.yaml, name its id in the
marker below, and write another function. Everything of pytest works: fixtures,
parametrize, helpers. bais-gates adds `evidence` and the fixtures of the target, such as
`environment` (what the environment file describes), `database`, `cache` and `cluster`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bais_gates import Evidence

# What a private key in PEM form begins with; as a pattern it does not match itself.
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
LARGEST = 1_000_000  # bytes: keys are small, a larger file is data


@pytest.mark.gate("checklist.no_private_keys")  # its id in the catalog
def test_no_private_keys(pytestconfig: pytest.Config, evidence: Evidence) -> None:
    """No file of the project holds a private key."""
    root = pytestconfig.rootpath
    files = list(project_files(root))
    found = [file for file in files if PRIVATE_KEY.search(file.read_bytes())]
    keys = [str(file.relative_to(root)) for file in found]
    # A name, what was observed, an operator and the limit. n is how many were looked at:
    # fewer than n_min is NO_DATA, which is no pass. A figure has a unit, such as
    # evidence.check("p95 latency (GET /)", 84.2, "<=", 200, unit="ms", n=500, n_min=100).
    evidence.check("files with a private key", keys, "==", [], n=len(files), n_min=1)


def project_files(root: Path) -> Iterator[Path]:
    """Yield the files below root, besides .git and installed packages."""
    for folder, subfolders, names in os.walk(root):
        kept = [name for name in subfolders if name not in {".git", "node_modules"}]
        subfolders[:] = [s for s in kept if not Path(folder, s, "pyvenv.cfg").exists()]
        for path in (Path(folder, name) for name in names):
            if path.is_file() and path.stat().st_size <= LARGEST:
                yield path
