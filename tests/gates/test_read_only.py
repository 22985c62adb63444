"""A run against a read-only target, by the audit log of its API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from bais_gates import sandbox
from bais_gates.targets.environment import load_environment

ROOT = Path(__file__).parents[2]
READING = {"get", "list", "watch"}
REVIEWS = {"selfsubjectaccessreviews", "selfsubjectrulesreviews"}
SELECTED = "network_security or capacity_planning or load_balancing or database_optimized or prerequisites"


def test_a_read_only_run_writes_nothing(tmp_path: Path) -> None:
    """The audit log has no verb of the run but get, list, watch and access reviews."""
    directory = tmp_path / "sandbox"
    sandbox.start(directory, owner_pid=os.getpid())
    try:
        sandbox.start_cluster(
            directory, manifests=ROOT / "gates" / "staging" / "manifests" / "overlays" / "sandbox"
        )
        file = read_only_environment(directory, tmp_path)
        log = directory / "cluster" / "audit.log"
        began = len(log.read_text().splitlines())

        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "gates", "-q", "-p", "no:cacheprovider", "-k", SELECTED),
                f"--gate-env={file}",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        events = [json.loads(text) for text in log.read_text().splitlines()[began:]]
    finally:
        sandbox.stop(directory)
    assert done.returncode in {0, 1}, done.stdout[-3000:]  # the gates ran, with any outcome
    requests = [event for event in events if event["user"]["username"] == "bais-gates"]
    assert len(requests) > 20
    assert [
        (event["verb"], event["requestURI"])
        for event in requests
        if event["verb"] not in READING and event["objectRef"]["resource"] not in REVIEWS
    ] == []


def read_only_environment(directory: Path, elsewhere: Path) -> Path:
    """Write the sandbox's environment file as production's is: read only, no drill, nothing staged."""
    described = yaml.safe_load((directory / "environment.yaml").read_text())
    described["kubernetes"]["read_only"] = True
    del described["kubernetes"]["admin_context"], described["staging"]
    described["recovery"]["drill"] = False
    file = elsewhere / "read-only.yaml"
    file.write_text(yaml.safe_dump(described))
    assert load_environment(file, gates_dir=ROOT / "gates").kubernetes.read_only
    return file
