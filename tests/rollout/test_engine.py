"""The way of a deploy through its phases: forward, back, and on after it was cut off or killed anywhere."""

from __future__ import annotations

import json
import multiprocessing
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.rollout.engine import Rollout
from bais_gates.rollout.errors import Refused, RolloutStatus, Stuck
from bais_gates.rollout.lock import Lock
from bais_gates.rollout.plan import last_record
from bais_gates.rollout.record import Folder, Phase, Record, State, record_on
from bais_gates.rollout.verification import NotVerified, Verification
from bais_gates.staging.errors import StageError
from bais_gates.staging.server import Clock
from tests.rollout.fake_cluster import BROKEN, NAMESPACE, NEW, OLD, FakeCluster

if TYPE_CHECKING:
    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.rollout.postdeploy import Gates
    from bais_gates.rollout.watch import Watch

JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "migrate-1", "namespace": NAMESPACE},
    "spec": {"activeDeadlineSeconds": 60},
}


@dataclass
class PodsOnly:
    """A verification that looks at the pods alone, and can be made to fail."""

    cluster: FakeCluster
    refused: str = ""

    def verify(self, images: dict[str, str], version: str | None, clock: Clock) -> None:
        """Raise ``NotVerified`` for the refused image, or another one than wanted."""
        del version, clock
        workload = self.cluster.workload()
        problems = workload.findings(workload.read(), images)
        if problems or self.refused in images.values():
            raise NotVerified("; ".join(problems) or "it is refused")


class Bench:
    """A cluster, a folder of records, and commands one after another."""

    def __init__(self, folder: Path) -> None:
        self.cluster, self.folder = FakeCluster(), Folder(folder)
        self.verification = PodsOnly(self.cluster)
        self.progress: list[str] = []
        self.watch: Watch | None = None
        self.gates: Gates | None = None

    def lock(self) -> Lock:
        """Return a lock of another process."""
        return Lock(cast("ClusterWriter", self.cluster), NAMESPACE, "bais-api-deploy")

    def rollout(self, lock: Lock) -> Rollout:
        """Return the engine."""
        return Rollout(
            workload=self.cluster.workload(),
            lock=lock,
            folder=self.folder,
            verification=cast("Verification", self.verification),
            progress=self.progress.append,
            timeout_s=5,
            watch=self.watch,
            gates=self.gates,
        )

    def record(self, image: str = NEW, *, kind: str = "deploy") -> Record:
        """Return a record without a phase."""
        return Record(
            id="1",
            kind=kind,
            environment="test",
            rehearsal=True,
            by="dana",
            images={"api": image},
            version="2.0.0",
            before=State(images={"api": self.cluster.image}, replicas=2),
            job="migrate-1",
        )

    def deploy(self, image: str = NEW) -> RolloutStatus:
        """Deploy as the command does."""
        last_record(self.cluster.workload().read())
        with self.lock() as lock:
            rollout = self.rollout(lock)
            return rollout.go_on(rollout.enter(self.record(image), Phase.RECORDED), JOB)

    def next_command(self, *, abort: bool) -> RolloutStatus | None:
        """Go on or roll back once the lock is past; None if nothing had begun."""
        self.cluster.pass_time(31)
        with self.lock() as lock:
            rollout = self.rollout(lock)
            record = rollout.last()
            if record is None or record.finished:
                return None
            if abort or record.phase is Phase.ROLLING_BACK:
                return rollout.roll_back(record, "it was aborted")
            return rollout.go_on(record, JOB)

    @property
    def phases(self) -> list[str]:
        """The phases in the file of the record."""
        data: dict[str, Any] = json.loads((self.folder.path / "test" / "1.json").read_text())
        return [one["phase"] for one in data["steps"]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a cluster that runs the old image."""
    return Bench(tmp_path)


def test_a_good_release_is_deployed(bench: Bench) -> None:
    """Record, migration, image and verification follow one another; the lock is free at the end."""
    assert bench.deploy() is RolloutStatus.DEPLOYED

    assert bench.cluster.image == NEW
    assert bench.phases == ["RECORDED", "MIGRATING", "ROLLING_OUT", "VERIFYING", "DEPLOYED"]
    assert bench.cluster.written == [
        "create Lease bais-api-deploy",
        *("patch Lease bais-api-deploy", "patch Deployment bais-api"),  # recorded
        *("patch Lease bais-api-deploy", "patch Deployment bais-api", "create Job migrate-1"),
        *("patch Lease bais-api-deploy", "patch Deployment bais-api"),
        *("patch Lease bais-api-deploy", "apply as bais-gates-deploy Deployment bais-api"),
        *("patch Lease bais-api-deploy", "patch Deployment bais-api") * 2,
        "patch Lease bais-api-deploy",
    ]
    assert bench.cluster.one("Lease", "bais-api-deploy")["spec"]["holderIdentity"] == ""
    assert not (bench.folder.path / "test" / "1.evidence.json").exists()


def test_a_release_that_hangs_is_rolled_back(bench: Bench) -> None:
    """What ran before runs again and was verified; logs and reason were saved before."""
    bench.cluster.log_text = "LEDGER_URL is not set"

    assert bench.deploy(BROKEN) is RolloutStatus.ROLLED_BACK

    assert bench.cluster.image == OLD
    assert bench.phases[-2:] == ["ROLLING_BACK", "ROLLED_BACK"]
    saved = json.loads((bench.folder.path / "test" / "1.evidence.json").read_text())
    assert "ProgressDeadlineExceeded" in saved["reason"]
    assert saved["pods"]["bais-api-1-0"]["log"] == {"api": ["LEDGER_URL is not set"]}


def test_a_release_that_is_not_verified_is_rolled_back(bench: Bench) -> None:
    """It is rolled out, and what it does is wrong."""
    bench.verification.refused = NEW

    assert bench.deploy() is RolloutStatus.ROLLED_BACK

    assert bench.cluster.image == OLD


def test_a_migration_that_fails_stops_the_deploy(bench: Bench) -> None:
    """No image was applied, and the Job can't start again later."""

    def fail(job: dict[str, Any]) -> None:
        job["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "no such column"}]}

    bench.cluster.make_ready["Job"] = fail

    assert bench.deploy() is RolloutStatus.ROLLED_BACK

    assert "ROLLING_OUT" not in bench.phases
    assert not bench.cluster.has("Job", "migrate-1")


def test_a_rollback_that_fails_says_so(bench: Bench) -> None:
    """There is no second attempt, and the record is finished."""
    bench.verification.refused = OLD

    assert bench.deploy(BROKEN) is RolloutStatus.ROLLBACK_FAILED

    assert bench.phases[-1] == "ROLLBACK_FAILED"
    assert sum("apply as" in one for one in bench.cluster.written) == 2


def test_the_pods_of_the_template_before_fail_no_rollout(bench: Bench) -> None:
    """Right after the image is applied they are the newest, and one that crashes says nothing about it."""
    workload = bench.cluster.workload()
    workload.apply({"api": BROKEN})
    crashing = {"name": "api", "restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    bench.cluster.broken_status = crashing
    observe = bench.cluster.make_ready["Deployment"]
    bench.cluster.make_ready["Deployment"] = lambda _deployment: None  # until it is read some times
    workload.apply({"api": OLD})
    reads = 0

    def sleep(_seconds: float) -> None:
        nonlocal reads
        reads += 1
        if reads == 3:
            bench.cluster.broken_status = None
            observe(bench.cluster.one("Deployment", "bais-api"))

    workload.wait(Clock(ends_at=9, now=lambda: float(reads), sleep=sleep), bench.progress.append)

    assert reads == 3


def test_a_deploy_that_stopped_is_never_begun_anew(bench: Bench) -> None:
    """The next command is refused, and names the deploy and its phase."""
    bench.cluster.cut_at = 20
    with pytest.raises((Stuck, StageError, ClusterError)):
        bench.deploy()
    bench.cluster.cut_at = None

    with pytest.raises(Refused, match=r"The deploy 1 by dana stopped in the phase .* --resume .* --abort"):
        bench.deploy()


def test_an_image_that_somebody_else_applied_is_left_alone(bench: Bench) -> None:
    """Neither going on nor back would be right then."""
    record = bench.record().then(Phase.ROLLING_OUT)
    bench.cluster.workload().apply({"api": f"{OLD[:-64]}{'d' * 64}"})

    with bench.lock() as lock, pytest.raises(Stuck, match="somebody else changed it"):
        bench.rollout(lock).go_on(record, None)


@pytest.mark.parametrize("abort", [False, True])
@pytest.mark.parametrize("image", [NEW, BROKEN])
def test_cut_off_at_every_request(tmp_path: Path, image: str, abort: bool) -> None:
    """Whichever request is the first that gets no answer, the next command ends in a consistent state."""
    whole = Bench(tmp_path / "whole")
    whole.deploy(image)
    for number in range(1, whole.cluster.requests + 1):
        bench = Bench(tmp_path / str(number))
        bench.cluster.cut_at = number
        with suppress(Stuck, StageError, ClusterError):  # none if only the release of the lock is cut off
            bench.deploy(image)
        bench.cluster.cut_at = None
        _ends_well(bench, image, abort=abort)


@pytest.mark.parametrize("abort", [False, True])
def test_killed_after_every_write(tmp_path: Path, abort: bool) -> None:
    """SIGKILL leaves lock, record and image as they are; the next command ends in a consistent state."""
    whole = Bench(tmp_path / "whole")
    whole.deploy(BROKEN)
    context = multiprocessing.get_context("fork")
    for number in range(1, len(whole.cluster.written) + 1):
        bench = Bench(tmp_path / str(number))
        bench.cluster.saved = tmp_path / f"{number}.pickle"
        bench.cluster.dies_after = number
        process = context.Process(target=bench.deploy, args=(BROKEN,))
        process.start()
        process.join(20)
        assert process.exitcode == -signal.SIGKILL
        bench.cluster.load(bench.cluster.saved)
        bench.cluster.dies_after = None
        held = bench.cluster.one("Lease", "bais-api-deploy")["spec"]["holderIdentity"]
        if held:  # all writes but the last, which releases it
            with pytest.raises(Refused, match="Another deploy holds the lock"):
                bench.lock().__enter__()
        _ends_well(bench, BROKEN, abort=abort)


def _ends_well(bench: Bench, image: str, *, abort: bool) -> None:
    """Run the next command; the image and the last phase agree, and nothing is left half-way."""
    status = bench.next_command(abort=abort)
    record = record_on(bench.cluster.workload().read())
    assert bench.cluster.one("Lease", "bais-api-deploy")["spec"]["holderIdentity"] == ""
    if record is None:
        assert (status, bench.cluster.image) == (None, OLD)
        return
    assert record.finished
    deployed = record.phase is Phase.DEPLOYED
    assert bench.cluster.image == (image if deployed else OLD)
    assert record.phase in {Phase.DEPLOYED, Phase.ROLLED_BACK}
    if status is not None and (abort or image == BROKEN):
        assert status is RolloutStatus.ROLLED_BACK
    assert bench.phases == [one.phase.value for one in record.steps]


def test_a_rollback_by_name_wants_its_own_image(bench: Bench) -> None:
    """It applies and verifies the image that it names, without migrating."""
    bench.deploy()
    record = replace(bench.record(OLD, kind="rollback"), id="2", job="")

    with bench.lock() as lock:
        rollout = bench.rollout(lock)
        status = rollout.roll_back_by_name(rollout.enter(record, Phase.RECORDED))

    assert (status, bench.cluster.image) == (RolloutStatus.ROLLED_BACK, OLD)
    last = record_on(bench.cluster.workload().read())
    assert last is not None
    assert last.running == ({"api": OLD}, "2.0.0")
