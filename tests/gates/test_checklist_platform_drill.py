"""Test on a sandbox with its cluster that a failed recovery drill leaves a healthy target behind."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

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


class Bench:
    """A sandbox with its cluster, and clients that write to it."""

    def __init__(self, directory: Path) -> None:
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
