"""``bais-gates deploy`` and ``rollback`` as commands: what they refuse, write, and say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bais_gates.cli import deploy_run, main
from bais_gates.rollout import plan, verification
from bais_gates.rollout.record import record_on
from bais_gates.rollout.workload import images_of
from tests.rollout.decisions import Suite
from tests.rollout.fake_cluster import BROKEN, NAMESPACE, NEW, OLD, OWNER, FakeCluster

ENVIRONMENT = """\
name: production
api: {url: "https://bais.example", environment: production}
kubernetes:
  {kubeconfig: absent, context: reader, deploy_context: deployer, read_only: true, namespace: bais}
"""
FREEZE = """\
freezes:
  - start: 2020-01-01T00:00
    end: 2099-01-01T00:00
    zone: UTC
    reason: Nothing is deployed in this test.
    may_override: [Dana Whitfield]
"""
MIGRATION = """\
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: bais, labels: {app.kubernetes.io/component: migration}}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: migrate, image: registry.example/bais-api}]}}
"""
VERSIONS = {OLD: "1.0.0", NEW: "1.1.0", BROKEN: "1.1.1"}
CANARY = "canary-7f3a-of-a-secret"


@dataclass
class Project:
    """A project folder whose production is a cluster in memory."""

    suite: Suite
    cluster: FakeCluster
    output: Callable[[], str]

    def deploy(self, *words: str, image: str = NEW, watch: tuple[str, ...] = ("--watch", "0")) -> int:
        """Run ``bais-gates deploy``."""
        where = ["--env", "production", "--decision", str(self.suite.decision), *watch]
        new = not {"--resume", "--abort"} & {*words}
        what = ["--subject", image, "--version", VERSIONS[image]] if new else []
        return main(["deploy", *where, *what, *words])

    def decide(self, image: str = NEW, **fields: object) -> None:
        """Write the decision about production."""
        facts = (("cluster.uid", "0a1b"),)
        given: dict[str, object] = {"target": "production", "rehearsal": False, "facts": facts}
        self.suite.decide(image, **(given | fields))  # type: ignore[arg-type] # each has a type of its own


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    """Return a project with a decision about the new image."""
    monkeypatch.chdir(tmp_path)
    suite, cluster = Suite(tmp_path / "gates"), FakeCluster()
    suite.write()
    (tmp_path / "gates" / "environments" / "production.yaml").write_text(ENVIRONMENT)
    manifests = tmp_path / "gates" / "staging" / "manifests" / "overlays" / "production"
    manifests.mkdir(parents=True)
    (manifests / "kustomization.yaml").write_text("resources: [migration.yaml]\n")
    (manifests / "migration.yaml").write_text(MIGRATION)
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"token": CANARY}}
    cluster.add({**secret, "metadata": {"name": "bais-api", "namespace": NAMESPACE}})

    def reported(_environment: object) -> str:
        return VERSIONS[images_of(cluster.one("Deployment", "bais-api"))["api"]]

    monkeypatch.setattr(deploy_run, "ClusterWriter", lambda _access: cluster)
    for module in (plan, verification):
        monkeypatch.setattr(module, "reported_version", reported)

    def output() -> str:
        captured = capsys.readouterr()
        return captured.out + captured.err

    project = Project(suite, cluster, output)
    project.decide()
    return project


def test_a_deploy_and_the_way_back(project: Project) -> None:
    """The image is deployed and recorded; the same again writes nothing; the rollback needs no name."""
    assert project.deploy() == 0
    assert project.cluster.image == NEW
    assert f"image: {NEW}" in project.output()
    written = len(project.cluster.written)
    assert project.deploy() == 0
    assert len(project.cluster.written) == written
    assert "this image runs already; nothing was written" in project.output()

    assert main(["rollback", "--env", "production", "--dry-run"]) == 0
    assert len(project.cluster.written) == written
    assert main(["rollback", "--env", "production"]) == 31
    assert project.cluster.image == OLD
    assert main(["rollback", "--env", "production"]) == 30
    assert main(["rollback", "--env", "production", "--to", BROKEN]) == 30
    assert "never ran here" in project.output()
    assert main(["rollback", "--env", "production", "--to", NEW, "--reason", "OPS-7"]) == 31
    assert project.cluster.image == NEW
    assert len(list(Path("rollouts/production").glob("*.json"))) == 5  # two of them evidence
    everything = "".join(path.read_text() for path in Path("rollouts").rglob("*.json")) + project.output()
    assert '"reason": "OPS-7"' in everything
    assert CANARY not in everything


def _frozen(project: Project) -> None:
    folder = project.suite.folder / "rollout"
    folder.mkdir()
    (folder / "freezes.yaml").write_text(FREEZE)


def _locked(project: Project) -> None:
    spec = {
        "holderIdentity": "alex@ci, process 7",
        "leaseDurationSeconds": 30,
        "renewTime": "2026-03-02T12:00:00Z",
    }
    metadata = {"name": "bais-api-deploy", "namespace": NAMESPACE}
    project.cluster.add(
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    )


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda project: project.suite.decision.unlink(), "REFUSED (DECISION): "),
        (lambda project: project.decide(OLD), "SUBJECT_OTHER"),
        (lambda project: project.decide(at=datetime.now(UTC) - timedelta(hours=3)), "STALE"),
        (lambda project: project.suite.decide(NEW), "REHEARSAL"),
        (lambda project: project.decide(facts=(("cluster.uid", "f"),)), "REFUSED (TARGET_OTHER)"),
        (_frozen, "REFUSED (FROZEN): production is frozen until 2099-01-01 00:00 UTC"),
        (_locked, "REFUSED (LOCKED): Another deploy holds the lock bais/bais-api-deploy: alex@ci, process 7"),
        (lambda project: setattr(project.cluster, "owner", OWNER), f'conflict with "{OWNER}"'),
    ],
)
def test_what_is_refused_writes_nothing(
    project: Project, break_it: Callable[[Project], None], words: str
) -> None:
    """Status 30, the reason, no request that writes, and no record."""
    break_it(project)

    assert project.deploy() == 30
    assert words in project.output()
    assert project.cluster.written == []
    assert not Path("rollouts").exists()


def test_a_dry_run_writes_nothing(project: Project) -> None:
    """It shows the diff and the Job."""
    assert project.deploy("--dry-run") == 0

    output = project.output()
    assert f"image: {NEW}" in output
    assert "migration: Job migrate-" in output
    assert "DEPLOYED" not in output
    assert project.cluster.written == []
    assert not Path("rollouts").exists()


def test_a_freeze_can_be_overridden_and_stops_no_rollback(project: Project) -> None:
    """The record says who did it and why."""
    _frozen(project)
    override = ("--override-freeze-by", "Dana Whitfield", "--reason", "Cards are declined.")

    assert project.deploy(*override) == 0
    (record,) = Path("rollouts/production").glob("*.json")
    assert '"by": "Dana Whitfield"' in record.read_text()
    assert main(["rollback", "--env", "production"]) == 31


def test_a_field_of_another_manager_can_be_taken_over(project: Project) -> None:
    """By its name alone."""
    project.cluster.owner = OWNER

    assert project.deploy("--take-over", "kubectl") == 30
    assert project.deploy("--take-over", OWNER) == 0


def test_a_decision_that_is_gone_by_the_first_write_stops_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read again once the lock is taken; the lock is all that was written."""
    original = deploy_run._require_unchanged

    def then_take_it_away(*arguments: object) -> None:
        original(*arguments)  # type: ignore[arg-type] # passed through
        project.suite.decision.unlink()

    monkeypatch.setattr(deploy_run, "_require_unchanged", then_take_it_away)

    assert project.deploy() == 30
    assert {one.split()[1] for one in project.cluster.written} == {"Lease"}
    assert project.cluster.image == OLD


@pytest.mark.parametrize(("word", "status", "image"), [("--resume", 0, NEW), ("--abort", 31, OLD)])
def test_a_deploy_that_stopped(project: Project, word: str, status: int, image: str) -> None:
    """It is stuck without a cluster; then it goes on or back, and nothing else does."""
    project.cluster.cut_at = 40
    assert project.deploy() == 33
    assert "STUCK" in project.output()
    project.cluster.cut_at = None
    project.cluster.pass_time(31)

    assert project.deploy() == 30
    assert "REFUSED (UNFINISHED)" in project.output()
    assert project.deploy(word) == status
    assert project.cluster.image == image
    assert project.deploy(word) == 30
    assert "No deploy has stopped half-way" in project.output()


@pytest.mark.parametrize(
    ("words", "image"), [((), OLD), (("--to", OLD), OLD), (("--to", f"{OLD[:-1]}d"), None)]
)
def test_a_rollback_takes_the_place_of_a_deploy_that_stopped(
    project: Project, words: tuple[str, ...], image: str | None
) -> None:
    """Somebody on call need not know how far it came; a migration that is not complete is ended."""
    project.cluster.make_ready["Job"] = lambda job: job.update(status={"active": 1})
    project.cluster.cut_at = 35
    assert project.deploy() == 33
    assert any(one.startswith("create Job") for one in project.cluster.written)
    project.cluster.cut_at = None
    assert main(["rollback", "--env", "production", *words]) == 30  # its lock is not past
    project.cluster.pass_time(31)

    assert main(["rollback", "--env", "production", *words]) == (31 if image else 30)
    assert project.cluster.image == OLD
    if image:
        assert not [one for one in project.cluster.objects if one[0] == "Job"]
        assert project.deploy("--resume") == 30
        assert "No deploy has stopped half-way" in project.output()


def test_a_rollback_by_name_ends_what_somebody_changed_by_hand(project: Project) -> None:
    """A deploy that stopped goes neither on nor back then; the name of an image is a way out."""
    assert project.deploy() == 0
    stopped = record_on(project.cluster.one("Deployment", "bais-api"))
    assert stopped is not None
    workload = project.cluster.workload()
    workload.annotate(replace(stopped, steps=stopped.steps[:3]))
    workload.apply({"api": BROKEN})

    for word in ("--resume", "--abort"):
        assert project.deploy(word) == 33
        assert "somebody else changed it" in project.output()
    assert main(["rollback", "--env", "production", "--to", OLD]) == 31
    assert project.cluster.image == OLD


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["deploy", "--env", "production"], "--subject is missing"),
        (["deploy", "--env", "production", "--subject", NEW], "--version is missing"),
        (["deploy", "--env", "production", "--resume", "--dry-run"], "--dry-run has no effect"),
        (["deploy", "--env", "nowhere", "--subject", NEW], "there is no environment 'nowhere'"),
        (["rollback", "--env", "production"], "no deploy is recorded here"),
    ],
)
def test_wrong_input(project: Project, words: list[str], message: str) -> None:
    """Status 2, one paragraph, nothing written."""
    if words[0] == "deploy":
        words = [*words, "--decision", str(project.suite.decision), "--watch", "0"]

    assert main(words) == 2
    assert message in project.output()
    assert project.cluster.written == []
