"""Migrations on a real small platform: tried on a copy first, refused there, and without a way back."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest
import yaml

from bais_gates.probes.kubernetes.cluster import Cluster
from bais_gates.probes.postgres import Database
from bais_gates.probes.restore import list_scratch_databases, schema_revision
from bais_gates.rollout.copies import LABEL
from bais_gates.rollout.record import Record, record_on
from bais_gates.rollout.workload import images_of
from bais_gates.targets.environment import Environment, load_environment
from tests.rollout.test_on_the_sandbox import ROOT, Sandbox, running_sandbox

pytestmark = pytest.mark.nightly
KINDS = (("v1", "Pod"), ("v1", "Secret"), ("batch/v1", "Job"), ("apps/v1", "Deployment"))


BESIDE = {("list", "secrets"), ("get", "namespaces")}
"""What a deployer may be refused, and the cluster's identity, for which a Role of a namespace can't be."""


def documented_rights() -> set[tuple[str, str]]:
    """Return verb and resource of the rules in the deployer's Role of docs/deploy.md."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    role = yaml.safe_load(text.rpartition("```yaml")[2].partition("```")[0])
    return {
        (verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }


class Schema(Sandbox):
    """A running sandbox, and what a proof may leave in it."""

    @property
    def described(self) -> Environment:
        """Its environment."""
        return load_environment(self.info.environment_file, gates_dir=ROOT / "gates")

    def left(self) -> list[str]:
        """Return the names of objects and databases of a proof."""
        with Cluster(self.described.kubernetes.access("sandbox-admin")) as cluster:
            objects = [
                f"{kind} {one['metadata']['name']}"
                for version, kind in KINDS
                for one in cluster.list(version, kind, "bais", labels=LABEL)
            ]
        url = self.described.rollout.scratch_url
        assert url is not None
        return objects + list_scratch_databases(url, prefix="bais_gates_proof_")

    def state(self) -> tuple[object, ...]:
        """Return what a deploy changes first: live schema, record, image, and the platform's Jobs."""
        with Database(self.described.database.url) as database:
            head = schema_revision(database)
        with Cluster(self.described.kubernetes.access("sandbox-admin")) as cluster:
            live = cluster.named("apps/v1", "Deployment", "bais-api", "bais") or {}
            listed = cluster.list("batch/v1", "Job", "bais", labels=f"!{LABEL}")
            jobs = {one["metadata"]["name"] for one in listed}
        return head, record_on(live), images_of(live), jobs

    def requests(self) -> list[tuple[str, str]]:
        """Return verb and resource of what bais-gates has requested so far, dry runs included."""
        log = (self.info.directory / "cluster" / "audit.log").read_text().splitlines()
        found = [event for event in map(json.loads, log) if event["userAgent"] == "bais-gates"]
        refs = [(event["verb"], event["objectRef"]) for event in found if "objectRef" in event]
        return [
            (verb, "/".join(filter(None, (ref["resource"], ref.get("subresource"))))) for verb, ref in refs
        ]

    def refused(self, *words: str) -> str:
        """Deploy what is refused before the first write to the platform; return the output."""
        before, written = self.state(), len(self.written())
        status, output = self.until_free(self.deployment(*words))
        assert status == 30, output
        assert self.state() == before
        named = {one.rpartition(" ")[2] for one in self.written()[written:]}
        assert not named & {"bais-api", "bais-api-deploy"}
        assert self.left() == []
        return output


@pytest.fixture(scope="module")
def platform() -> Iterator[Schema]:
    """Yield a sandbox with its cluster."""
    with running_sandbox() as (info, parent):
        yield Schema(info, parent)


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("migration_fails", ("The migration fails on a copy", "JOB_FAILED", "payment_provider")),
        (
            "migration_breaks_previous",
            ("does not work on the new schema", "status (payment): 500, must be 201"),
        ),
        ("unpullable", ("The migration fails on a copy", "IMAGE_PULL: Job bais/bais-api-proof-")),
    ],
)
def test_a_migration_that_would_fail_is_refused(
    platform: Schema, release: str, words: tuple[str, ...]
) -> None:
    """Before the first write to the platform, with the log or the finding, and nothing is left."""
    output = platform.refused(release)

    assert "REFUSED (SCHEMA)" in output
    assert all(one in output for one in words), output


def test_a_proof_that_is_interrupted_leaves_nothing(platform: Schema) -> None:
    """Ctrl-C ends it with 130; what a kill leaves, the next one removes."""
    line, before = "schema: the image that runs now is ready", platform.state()
    assert platform.stop_at(platform.deployment("good"), line, signal.SIGINT) == 130
    assert platform.left() == []

    assert platform.stop_at(platform.deployment("good"), line, signal.SIGKILL) == -signal.SIGKILL
    assert platform.state() == before
    assert platform.left() != []
    platform.refused("migration_fails")


def test_a_contraction_has_no_way_back(platform: Schema) -> None:
    """It is refused unless that is accepted, and afterwards nothing goes back before its version.

    Neither a deploy that stopped nor a rollback by name; and a deployer needs no more rights than documented.
    """
    output = platform.refused("migration_contracts")
    assert "REFUSED (NO_WAY_BACK): There is no way back before 1.1.0" in output
    assert "version 1.0.0" in output

    began = len(platform.requests())
    command = platform.deployment("migration_contracts", "--no-way-back")
    assert platform.stop_in(command, "VERIFYING", signal.SIGKILL) == -signal.SIGKILL
    status, output = platform.until_free(platform.command("deploy", "--abort"))
    assert status == 30, output
    assert "REFUSED (NO_WAY_BACK): There is no way back before 1.1.0" in output
    status, output = platform.run(platform.command("deploy", "--resume"))
    assert status == 0, output
    record = platform.state()[1]
    assert isinstance(record, Record)
    assert record.no_way_back == "1.1.0"
    assert platform.left() == []
    used = set(platform.requests()[began:])
    assert ("patch", "deployments") in used
    assert used - documented_rights() <= BESIDE

    before = platform.state()
    for command in ([], ["--to", platform.releases["present"][0]]):
        status, output = platform.run(platform.command("rollback", *command))
        assert status == 30, output
        assert "REFUSED (NO_WAY_BACK): There is no way back before 1.1.0" in output
        assert "version 1.0.0" in output
    assert platform.state() == before
