"""Test on a cluster what gates do to a target: nothing if it is read-only, otherwise a recovery drill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bais_gates import sandbox
from bais_gates.bais.api import open_api, register_business
from bais_gates.probes.backup import generate_identity
from bais_gates.probes.kubernetes.writer import ClusterWriter
from bais_gates.probes.postgres import Database
from bais_gates.probes.restore import schema_revision
from bais_gates.targets.environment import load_environment
from bais_gates.targets.target import Target, Unique
from bais_gates.verdict.model import Outcome
from tests.gates.platform_bench import Result, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bais_gates.bais.api import Api
    from bais_gates.targets.environment import Environment

GATES = Path(__file__).parents[2] / "gates"
READING = {"get", "list", "watch"}
REVIEWS = {"selfsubjectaccessreviews", "selfsubjectrulesreviews"}
SELECTED = "network_security or capacity_planning or load_balancing or database_optimized or prerequisites"


class Bench:
    """A sandbox with its cluster, and clients that write to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = load_environment(directory / "environment.yaml", gates_dir=GATES)
        self.api: Api = open_api(Target(environment=self.environment, gates_dir=GATES))
        self.writer = ClusterWriter(self.environment.kubernetes.write_access())
        self.unique = Unique("drill")

    def drill(self, environment: Environment) -> Result:
        """Hold a drill."""
        given: dict[str, Any] = {
            "new_business": lambda: register_business(self.api, self.unique),
            "cluster_writer": self.writer,
            "api": self.api,
        }
        request = SimpleNamespace(getfixturevalue=given.__getitem__)
        return judge("disaster_recovery", environment=environment, request=request)

    def drill_with(self, key: str, part: object) -> Result:
        """Hold a drill with one part of the environment replaced."""
        return self.drill(replace(self.environment, parts={**self.environment.parts, key: part}))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Start a sandbox with its cluster."""
    directory = tmp_path_factory.mktemp("drill")
    sandbox.start(directory, owner_pid=os.getpid())
    try:
        sandbox.start_cluster(directory, manifests=GATES / "staging" / "manifests" / "overlays" / "sandbox")
        bench = Bench(directory)
        yield bench
        bench.api.http.close()
        bench.writer.close()
    finally:
        sandbox.stop(directory)


def test_a_read_only_run_writes_nothing(bench: Bench, tmp_path: Path) -> None:
    """The audit log has no verb of the run but get, list, watch and access reviews."""
    file = read_only_environment(bench.directory, tmp_path)
    log = bench.directory / "cluster" / "audit.log"
    began = len(log.read_text().splitlines())

    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "gates", "-q", "-p", "no:cacheprovider", "-k", SELECTED),
            f"--gate-env={file}",
        ],
        cwd=GATES.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    events = [json.loads(text) for text in log.read_text().splitlines()[began:]]
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
    assert load_environment(file, gates_dir=GATES).kubernetes.read_only
    return file


def test_a_backup_that_cannot_be_decrypted_fails_the_drill_and_the_platform_recovers(bench: Bench) -> None:
    """FAIL by the step that failed; the database has its schema again, and payments are accepted."""
    known = bench.environment
    result = bench.drill_with("backup", replace(known.backup, identity=generate_identity()))

    assert result.outcome is Outcome.FAIL, str(result)
    assert result.false == ["restore of the newest backup"]
    assert bench.api.get("/ready").status == 200
    with Database(known.database.url) as database:
        assert schema_revision(database) is not None
    business = register_business(bench.api, bench.unique)
    assert business.pay(business.workflow_id()).status == 201


def test_without_a_backup_nothing_is_deleted(bench: Bench) -> None:
    """If no backup can be made first, the database is not deleted."""
    part = bench.environment.kubernetes
    names = replace(part.names, backup="no-such-backup")
    business = register_business(bench.api, bench.unique)
    result = bench.drill_with("kubernetes", replace(part, names=names))

    assert (result.outcome, result.false) == (Outcome.FAIL, ["CronJob no-such-backup"]), str(result)
    assert bench.api.login(business.email, business.password).status == 200
