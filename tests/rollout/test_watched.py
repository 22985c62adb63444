"""A deploy that is watched and judged by gates: forward, back, paused, and on after it was cut off."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.rollout.errors import Paused, RolloutStatus, Stuck
from bais_gates.rollout.postdeploy import Judged
from bais_gates.rollout.record import Phase, Record, record_on
from bais_gates.rollout.watch import Watch
from bais_gates.rollout.windows import Window
from bais_gates.staging.errors import StageError
from bais_gates.targets.rollout import WatchPart
from tests.rollout.fake_cluster import NEW, OLD
from tests.rollout.test_engine import Bench
from tests.rollout.test_watch import BAD, GOOD, LIMITS, NONE, Seen

PASSED = Judged()
FAILED = Judged(failed=("postdeploy.errors: FAILED: 9 of 100 requests",))
UNPROVEN = Judged(unproven=("postdeploy.payments: NO_DATA: 3 of 20 payments",))


@dataclass
class Answers:
    """Gates that say one thing after a watch and another after a rollback."""

    after_watch: Judged = PASSED
    after_rollback: Judged = PASSED
    asked: list[tuple[str, str]] = field(default_factory=list)

    def run(self, record: Record, images: dict[str, str], *, within_s: float | None = None) -> Judged:
        """Return what they say now."""
        self.asked.append((record.phase, images["api"]))
        if record.phase is Phase.WATCHING:
            return self.after_watch
        assert within_s is not None
        assert 0 < within_s <= 300
        return self.after_rollback


def watched(path: Path, *windows: Window, gates: Answers | None = None, limits: WatchPart = LIMITS) -> Bench:
    """Return a bench whose releases show these windows."""
    bench = Bench(path)
    seen = Seen(windows)
    bench.watch = Watch(limits=limits, sampler=seen, progress=bench.progress.append, clock=seen.clock)
    bench.gates = gates
    return bench


def last(bench: Bench) -> Record:
    """Return the record on the Deployment."""
    record = record_on(bench.cluster.workload().read())
    assert record is not None
    return record


def test_a_good_release_is_deployed_after_its_watch(tmp_path: Path) -> None:
    """Windows and gates come between verification and end; a bad window is named although others are good."""
    gates = Answers()
    bench = watched(tmp_path, GOOD, BAD, GOOD, gates=gates)

    assert bench.deploy() is RolloutStatus.DEPLOYED

    assert bench.phases[-3:] == ["VERIFYING", "WATCHING", "DEPLOYED"]
    assert gates.asked == [("WATCHING", NEW)]
    assert [one.bad for one in last(bench).windows] == [False, True, False, False, False, False]
    assert "1 window was bad, the first one at" in last(bench).steps[-1].note
    assert "1 window was bad" in bench.progress[-1]


def test_without_a_watch_the_record_says_so(tmp_path: Path) -> None:
    """Neither windows nor gates."""
    bench = Bench(tmp_path)
    bench.gates = gates = Answers()

    assert bench.deploy() is RolloutStatus.DEPLOYED

    assert (last(bench).steps[-1].note, gates.asked) == ("not watched", [])


def test_bad_windows_roll_back(tmp_path: Path) -> None:
    """The reason names the first of them, and the record keeps all."""
    bench = watched(tmp_path, GOOD, BAD, NONE, BAD, BAD, gates=(gates := Answers()))

    assert bench.deploy() is RolloutStatus.ROLLED_BACK

    assert bench.cluster.image == OLD
    assert gates.asked == [("ROLLING_BACK", OLD)]
    why = next(one.note for one in last(bench).steps if one.phase is Phase.ROLLING_BACK)
    assert why == f"the watch failed: 3 windows were bad, the first one at {BAD.at}: {BAD.problems[0]}"
    assert len(last(bench).windows) == 5


def test_a_gate_that_fails_rolls_back(tmp_path: Path) -> None:
    """With its name and reason, also if another one has no data."""
    gates = Answers(after_watch=replace(FAILED, unproven=UNPROVEN.unproven))
    bench = watched(tmp_path, GOOD, gates=gates)

    assert bench.deploy() is RolloutStatus.ROLLED_BACK

    assert f"because gates after the watch failed: {FAILED.failed[0]}" in bench.progress
    assert gates.asked == [("WATCHING", NEW), ("ROLLING_BACK", OLD)]


def test_gates_without_data_pause(tmp_path: Path) -> None:
    """Nothing passes and nothing is rolled back; the next command asks the gates again, not the windows."""
    gates = Answers(after_watch=UNPROVEN)
    bench = watched(tmp_path, GOOD, gates=gates)

    with pytest.raises(Paused, match=r"postdeploy\.payments: NO_DATA: 3 of 20 payments\. The release runs"):
        bench.deploy()

    assert (bench.phases[-1], bench.cluster.image, len(last(bench).windows)) == ("WATCHING", NEW, 5)
    gates.after_watch = PASSED
    assert bench.next_command(abort=False) is RolloutStatus.DEPLOYED
    assert len(last(bench).windows) == 5


def test_silence_pauses_and_the_next_command_goes_on(tmp_path: Path) -> None:
    """With the windows so far."""
    bench = watched(tmp_path, GOOD, GOOD, NONE)
    with pytest.raises(Paused, match="paused after 0:30 without data"):
        bench.deploy()
    assert (bench.phases[-1], bench.cluster.image) == ("WATCHING", NEW)
    assert [one.good for one in last(bench).windows] == [True, True, False]
    bench.watch = watched(tmp_path, GOOD).watch

    assert bench.next_command(abort=False) is RolloutStatus.DEPLOYED
    assert len(last(bench).windows) == 6


def test_a_rollback_that_a_gate_fails(tmp_path: Path) -> None:
    """It is a rollback that failed, as one whose verification fails."""
    bench = watched(tmp_path, BAD, gates=Answers(after_rollback=FAILED))

    assert bench.deploy() is RolloutStatus.ROLLBACK_FAILED

    assert last(bench).steps[-1].note == FAILED.failed[0]


def test_a_rollback_with_little_traffic_since(tmp_path: Path) -> None:
    """What the gates could not prove is named in record and output, and fails nothing."""
    bench = watched(tmp_path, BAD, gates=Answers(after_rollback=UNPROVEN))

    assert bench.deploy() is RolloutStatus.ROLLED_BACK

    assert last(bench).steps[-1].note == f"not proven by gates: {UNPROVEN.unproven[0]}"
    assert f"not proven by gates: {UNPROVEN.unproven[0]}" in bench.progress


def test_a_lost_lock_stops_the_watch(tmp_path: Path) -> None:
    """After the window in which another one took it, nothing is written any more."""
    bench = watched(tmp_path, GOOD)

    class Taken(Seen):
        def window(self, _record: Record, seconds: float) -> Window:
            lease = bench.cluster.one("Lease", "bais-api-deploy")
            lease["spec"]["holderIdentity"] = "somebody else"
            return replace(GOOD, seconds=seconds)

    assert bench.watch is not None
    seen = Taken([GOOD])
    bench.watch = replace(bench.watch, sampler=seen, clock=seen.clock)

    with pytest.raises(Stuck, match="not held by this deploy any more but by somebody else"):
        bench.deploy()

    assert (last(bench).phase, last(bench).windows) == (Phase.WATCHING, ())


NIGHTLY = pytest.mark.nightly


@pytest.mark.parametrize(
    ("window", "abort"),
    [
        (BAD, False),
        pytest.param(GOOD, False, marks=NIGHTLY),
        pytest.param(GOOD, True, marks=NIGHTLY),
        pytest.param(BAD, True, marks=NIGHTLY),
    ],
)
def test_cut_off_in_the_watch(tmp_path: Path, window: Window, abort: bool) -> None:
    """Whichever request of it is the first without an answer: the next command ends in a consistent state."""
    limits = replace(LIMITS, for_s=20, bad_windows=2)
    whole = watched(tmp_path / "whole", window, limits=limits)
    whole.deploy()
    plain = Bench(tmp_path / "plain")
    plain.deploy()
    for number in range(plain.cluster.requests - 6, whole.cluster.requests + 1):
        bench = watched(tmp_path / str(number), window, limits=limits)
        bench.cluster.cut_at = number
        with suppress(Stuck, StageError, ClusterError):
            bench.deploy()
        bench.cluster.cut_at = None
        status = bench.next_command(abort=abort)
        record = last(bench)
        assert record.finished
        expected = (
            Phase.DEPLOYED if window is GOOD and not (abort and status is not None) else Phase.ROLLED_BACK
        )
        assert record.phase is expected
        assert bench.cluster.image == (NEW if expected is Phase.DEPLOYED else OLD)


def test_a_killed_watch_goes_on(tmp_path: Path) -> None:
    """SIGKILL in its third window: the next command adds the last three, and two bad ones still count."""
    bench = watched(tmp_path, GOOD)
    bench.cluster.saved = tmp_path / "saved"

    class Deadly(Seen):
        def window(self, record: Record, seconds: float) -> Window:
            if len(record.windows) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().window(record, seconds)

    assert bench.watch is not None
    deadly = Deadly([GOOD, BAD])
    killed = bench.watch
    bench.watch = replace(killed, sampler=deadly, clock=deadly.clock)
    process = multiprocessing.get_context("fork").Process(target=bench.deploy)
    process.start()
    process.join(20)
    assert process.exitcode == -signal.SIGKILL
    bench.cluster.load(bench.cluster.saved)
    assert [one.bad for one in last(bench).windows] == [False, True]
    bench.watch = killed

    assert bench.next_command(abort=False) is RolloutStatus.DEPLOYED
    assert [one.bad for one in last(bench).windows] == [False, True, False, False, False, False]


def test_a_rollback_by_name_is_judged_by_the_gates(tmp_path: Path) -> None:
    """As one that a deploy begins."""
    bench = Bench(tmp_path)
    bench.deploy()
    bench.gates = gates = Answers()
    record = replace(bench.record(OLD, kind="rollback"), id="2", job="")

    with bench.lock() as lock:
        rollout = bench.rollout(lock)
        status = rollout.roll_back_by_name(rollout.enter(record, Phase.RECORDED))

    assert (status, gates.asked) == (RolloutStatus.ROLLED_BACK, [("ROLLING_BACK", OLD)])
