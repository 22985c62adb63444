"""The proof of a migration on a copy: what it refuses, what it records, and that nothing of it is left."""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bais_gates.errors import GateInputError
from bais_gates.probes.backup import BackupError
from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.rollout import scratch
from bais_gates.rollout.errors import RefusalCode, Refused
from bais_gates.rollout.record import Record, State
from bais_gates.rollout.schema import prove
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.staged import Finding
from bais_gates.targets.environment import Environment
from bais_gates.targets.parts import ApiPart, BackupPart, KubernetesPart
from bais_gates.targets.rollout import RolloutPart
from tests.rollout.fake_cluster import OLD
from tests.rollout.proof_cluster import JOB, Object, ProofCluster

SERVER = "postgresql://scratch:scratch-canary@db.example:5432/postgres?sslmode=require"
CONTRACTS = "Revision 0004 contracts the schema: no way back before 2.0.0"
LEFT = ("Deployment", "Job", "Secret")


class Bench:
    """A platform, a scratch server that is a set of names, and one proof after another."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.cluster, self.progress = ProofCluster(), list[str]()
        self.databases: set[str] = set()
        self.revisions = ["0002", "0003"]
        self.findings = [Finding(name="status (payment)", observed=201, limit=201)]
        self.seen: list[Environment] = []
        self.environment = Environment(
            name="test",
            path=folder / "test.yaml",
            digest="",
            parts={
                "api": ApiPart(url="https://api.example/v1", environment="production"),
                "kubernetes": KubernetesPart(kubeconfig=folder / "kubeconfig", context="c"),
                "backup": BackupPart(directory=folder, identity="a key"),
                "rollout": RolloutPart(scratch_url=SERVER),
                "cache": "of the live platform",
            },
        )
        self.before = State(images={"api": OLD}, replicas=2, version="1.0.0")
        newest = SimpleNamespace(taken_at=datetime(2026, 3, 2, 11, tzinfo=UTC))
        patch.setattr(scratch, "list_backups", lambda _folder: [newest])
        patch.setattr(scratch, "restore", lambda *_parts, **_more: 1.5)
        patch.setattr(scratch.Scratch, "revision", lambda _scratch: self.revisions.pop(0))
        patch.setattr(scratch, "list_scratch_databases", self._list)
        patch.setattr(scratch, "drop_scratch_database", lambda _url, name: self.databases.discard(name))
        patch.setattr(scratch, "scratch_database", self._database)

    def _list(self, _url: str, *, prefix: str) -> list[str]:
        return sorted(one for one in self.databases if one.startswith(prefix))

    @contextmanager
    def _database(self, _url: str, *, prefix: str) -> Iterator[str]:
        self.databases.add(f"{prefix}1")
        try:
            yield ""
        finally:
            self.databases.discard(f"{prefix}1")

    def smoke(self, environment: Environment) -> Callable[[], Iterator[tuple[str, Finding]]]:
        """Return a smoke test with the findings of the bench."""
        self.seen.append(environment)
        return lambda: (("smoke", one) for one in self.findings)

    def prove(self, job: Object | None = JOB, *, accept: bool = False) -> Record:
        """Prove a deploy."""
        record = Record(
            id="1",
            kind="deploy",
            environment="test",
            rehearsal=True,
            by="dana",
            images={"api": "new"},
            version="2.0.0",
            before=self.before,
        )
        return prove(
            record,
            copy.deepcopy(job),
            workload=self.cluster.workload(),
            environment=self.environment,
            smoke=self.smoke,
            accept_no_way_back=accept,
            progress=self.progress.append,
        )

    def refusal(self, **how: Any) -> Refused:
        """Return the refusal of a proof that leaves nothing."""
        with pytest.raises(Refused) as caught:
            self.prove(**how)
        self.require_nothing_left()
        return caught.value

    def require_nothing_left(self) -> None:
        """Hold the cluster and the scratch server to what they were before."""
        names = {name for kind, _, name in self.cluster.objects if kind in {*LEFT, "Pod"}}
        assert names == {"bais-api"}
        assert self.databases == set()
        assert not any("Deployment bais-api" in one for one in self.cluster.written if "proof" not in one)
        assert "scratch-canary" not in str(self.progress)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a platform that runs the old image."""
    return Bench(tmp_path, monkeypatch)


def test_a_migration_with_which_the_previous_image_works_is_proven(bench: Bench) -> None:
    """Job and image ran on the copy, by a Secret of their own; then all of it was removed."""
    assert bench.prove().no_way_back == ""

    bench.require_nothing_left()
    written = [re.sub("-[0-9a-f]{6}$", "", one) for one in bench.cluster.written if "Lease" not in one]
    assert written == [
        *(f"{verb} {kind} bais-api-proof" for verb, kind in WRITES),
    ]
    (secret,) = bench.cluster.secrets
    url = base64.b64decode(secret["data"]["DATABASE_URL"]).decode()
    assert url.startswith("postgresql://scratch:scratch-canary@db.example:5432/bais_gates_proof_")
    assert url.endswith("_1?sslmode=require")
    (seen,) = bench.seen
    assert (seen.api.url, seen.api.server_name) == ("https://127.0.0.1:1234", "api.example")
    assert not seen.without_tenant  # production has none, and a copy needs none
    assert not seen.describes("cache")  # of the live platform
    assert "schema: the copy is migrated from 0002 to 0003" in bench.progress
    assert bench.progress[-1].startswith("schema: proven on a copy of the newest backup")


WRITES = [("create", kind) for kind in ("Secret", "Job", "Deployment")]
WRITES += [("delete", kind) for kind in ("Secret", "Deployment", "Job")]


def test_a_migration_that_fails_is_refused_with_its_log(bench: Bench) -> None:
    """The previous image is not tried."""

    def fail(job: Object) -> None:
        job["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "no such column"}]}

    bench.cluster.make_ready["Job"] = fail

    refused = bench.refusal()

    assert refused.code is RefusalCode.SCHEMA
    assert "The migration fails on a copy of the database: JOB_FAILED" in str(refused)
    assert "no such column" in str(refused)
    assert bench.seen == []


def test_a_previous_image_that_does_not_work_is_refused_with_the_finding(bench: Bench) -> None:
    """It would serve during the rollout, and after a rollback."""
    bench.findings.append(Finding(name="status (payment)", observed=500, limit=201))

    refused = bench.refusal()

    assert refused.code is RefusalCode.SCHEMA
    assert "The previous image does not work on the new schema" in str(refused)
    assert "smoke: status (payment): 500, must be 201" in str(refused)


def test_a_contraction_needs_to_be_accepted(bench: Bench) -> None:
    """Then it is recorded, and what ran before is not tried, as it is expected to fail."""
    bench.cluster.log_text, bench.revisions = CONTRACTS, ["0002", "0004"] * 2

    refused = bench.refusal()
    assert refused.code is RefusalCode.NO_WAY_BACK
    assert "There is no way back before 2.0.0" in str(refused)
    assert "--no-way-back" in str(refused)

    assert bench.prove(accept=True).no_way_back == "2.0.0"
    assert any("NO WAY BACK" in one for one in bench.progress)
    assert bench.seen == []
    bench.require_nothing_left()


def test_a_contraction_that_what_runs_is_ready_for_has_a_way_back(bench: Bench) -> None:
    """It is recorded all the same: an older image must never come back."""
    bench.before = replace(bench.before, version="2.0.0")
    bench.cluster.log_text = CONTRACTS

    assert bench.prove().no_way_back == "2.0.0"
    assert len(bench.seen) == 1


def test_what_changes_no_schema_needs_no_proof(bench: Bench) -> None:
    """No Job, or one that adds no revision to the live schema, although the backup's is older."""
    assert bench.prove(None).no_way_back == ""
    assert bench.cluster.written == []
    assert bench.progress == ["schema: no migration, so nothing to prove"]

    bench.before = replace(bench.before, schema="0003")
    bench.prove()
    assert "schema: the migration adds no revision to 0003, so nothing to prove" in bench.progress
    assert bench.seen == []
    bench.require_nothing_left()


def test_a_killed_proof_is_cleaned_up_by_the_next(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its objects by their label, its database by the prefix; another deployment's stay."""
    with monkeypatch.context() as patch:
        patch.setattr(scratch.Scratch, "remove", lambda _scratch: None)
        patch.setattr(scratch, "scratch_database", lambda _url, prefix: self_left(bench, prefix))
        bench.prove()
    assert len([name for kind, _, name in bench.cluster.objects if kind in LEFT]) == 4
    assert len(bench.databases) == 1
    bench.databases.add("bais_gates_proof_of_another")
    bench.revisions = ["0002", "0003"]

    bench.prove()

    bench.databases.remove("bais_gates_proof_of_another")
    bench.require_nothing_left()


@contextmanager
def self_left(bench: Bench, prefix: str) -> Iterator[str]:
    """Create a database that is not dropped."""
    bench.databases.add(f"{prefix}left")
    yield ""


def test_an_interrupt_leaves_nothing(bench: Bench) -> None:
    """Ctrl-C during the smoke test."""

    def interrupt(_environment: Environment) -> Callable[[], Iterator[tuple[str, Finding]]]:
        raise KeyboardInterrupt

    bench.smoke = interrupt  # type: ignore[method-assign, assignment] # of this one bench
    with pytest.raises(KeyboardInterrupt):
        bench.prove()

    bench.require_nothing_left()


def test_a_cluster_that_is_cut_off_refuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing about the release; whenever it is, the next proof removes what was left."""
    whole = Bench(tmp_path, monkeypatch)
    whole.prove()
    for number in range(1, whole.cluster.requests):
        bench = Bench(tmp_path, monkeypatch)
        monkeypatch.setattr(scratch, "_GONE_S", 0.0)
        bench.cluster.cut_at = number
        with suppress(StageError, ClusterError):
            bench.prove()
        assert "REFUSED" not in str(bench.progress)
        bench.cluster.cut_at = None
        bench.cluster.pass_time(31)
        bench.revisions = ["0002", "0003"]
        bench.prove()
        bench.require_nothing_left()


@pytest.mark.parametrize(
    "error",
    [
        BackupError("the backup folder has no backup"),
        StageError(StageCode.FORBIDDEN, "Secrets are forbidden"),
    ],
)
def test_without_a_copy_nothing_is_deployed(bench: Bench, error: Exception) -> None:
    """The refusal says why there was none."""

    def fail(*_parts: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch.Scratch, "restore", fail)
        refused = bench.refusal()
    assert "Nothing can be tried on a copy of the database" in str(refused)
    assert str(error) in str(refused)


def test_pods_of_a_copy_must_be_isolated(bench: Bench) -> None:
    """They would deliver the copy's webhooks to real customers."""
    bench.cluster.one("NetworkPolicy", "default-deny")["spec"]["policyTypes"] = ["Ingress"]

    assert "restricts the egress of pods" in str(bench.refusal())
    assert bench.cluster.secrets == []


@pytest.mark.parametrize("parts", [{}, {"rollout": RolloutPart()}])
def test_without_a_scratch_server_the_key_is_named(bench: Bench, parts: dict[str, Any]) -> None:
    """Before anything is written."""
    rest = {key: one for key, one in bench.environment.parts.items() if key != "rollout"}
    bench.environment = replace(bench.environment, parts=rest | parts)

    with pytest.raises(GateInputError, match=r"test\.yaml: rollout\.scratch_url is missing"):
        bench.prove()
    assert bench.cluster.written == []
