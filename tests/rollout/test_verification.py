"""What runs is verified: every pod, the reported version, and the smoke test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bais_gates.rollout import verification
from bais_gates.rollout.verification import IN_A_ROW, NotVerified, Verification
from bais_gates.staging.server import Clock
from bais_gates.staging.staged import Finding
from bais_gates.targets.environment import Environment
from tests.rollout.fake_cluster import BROKEN, NEW, OLD, FakeCluster
from tests.staging.conftest import FakeTime


class Bench:
    """A cluster that runs the old image, and versions that are reported one after another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster, self.time, self.asked = FakeCluster(), FakeTime(), 0
        self.versions: list[str | None] = ["1.0.0"]
        self.progress: list[str] = []
        self.findings: list[Finding] = [Finding(name="status", observed=200, limit=200)]
        monkeypatch.setattr(verification, "reported_version", self.report)

    def report(self, _environment: Environment) -> str | None:
        """Return the next version; the last one again and again."""
        self.asked += 1
        return self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]

    def smoke(self) -> Iterator[tuple[str, Finding]]:
        """Yield the findings of the smoke test."""
        return (("smoke", one) for one in self.findings)

    def verify(self, image: str = OLD, version: str | None = "1.0.0") -> None:
        """Verify, within a time that passes by sleeping."""
        environment = Environment(name="test", path=Path("test.yaml"), digest="")
        Verification(
            workload=self.cluster.workload(),
            environment=environment,
            smoke=self.smoke,
            progress=self.progress.append,
        ).verify({"api": image}, version, self.clock())

    def clock(self) -> Clock:
        """Return the clock of a rollback."""
        return self.time.clock(300)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return what runs well."""
    return Bench(monkeypatch)


def test_what_runs_well_is_verified(bench: Bench) -> None:
    """The version is reported some times in a row; replicas that end still report the old one before."""
    bench.versions = ["0.9.0", "1.0.0", "0.9.0", "1.0.0"]

    bench.verify()

    assert bench.asked == 3 + IN_A_ROW
    assert bench.progress[-1] == "verify: the smoke test passed"


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.0.1", r"GET /health reports version 1\.0\.1, not 1\.0\.0"),
        (None, "does not respond with 200 and a version"),
    ],
)
def test_another_version_is_not_verified(bench: Bench, version: str | None, words: str) -> None:
    """However long it is asked for."""
    bench.versions = [version]

    with pytest.raises(NotVerified, match=words):
        bench.verify()


def test_an_unknown_version_must_respond_all_the_same(bench: Bench) -> None:
    """As after a rollback to an image whose version nobody recorded."""
    bench.versions = ["anything"]
    bench.verify(version=None)
    bench.versions = [None]
    with pytest.raises(NotVerified):
        bench.verify(version=None)


def test_a_pod_with_another_image_is_not_verified(bench: Bench) -> None:
    """It is named with the digest that it runs."""
    with pytest.raises(NotVerified, match="pod bais-api-1-0 runs sha256:aaaa"):
        bench.verify(NEW)


def test_a_pod_that_is_not_ready_is_not_verified(bench: Bench) -> None:
    """Even if the Deployment looked complete."""
    bench.cluster.workload().apply({"api": BROKEN})

    with pytest.raises(NotVerified, match="0 of 2 replicas are ready"):
        bench.verify(BROKEN)


def test_a_smoke_test_that_fails_or_breaks_is_not_verified(bench: Bench) -> None:
    """With the finding, or with what it raised."""
    bench.findings = [Finding(name="status (payment)", observed=500, limit=201)]
    with pytest.raises(NotVerified, match=r"smoke: status \(payment\): 500, must be 201"):
        bench.verify()
    bench.findings = [None]  # type: ignore[list-item] # a check with a bug
    with pytest.raises(NotVerified, match="AttributeError"):
        bench.verify()
