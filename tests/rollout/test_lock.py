"""One deploy at a time, by a Lease and the server's clock."""

from __future__ import annotations

from typing import cast

import pytest

from bais_gates.probes.kubernetes.writer import ClusterWriter
from bais_gates.rollout.errors import Refused, Stuck
from bais_gates.rollout.lock import Lock
from tests.rollout.fake_cluster import NAMESPACE, FakeCluster
from tests.staging.fake_server import Object


def lock(cluster: FakeCluster) -> Lock:
    """Return a lock of a process of its own."""
    return Lock(cast("ClusterWriter", cluster), NAMESPACE, "deploy")


def holder(cluster: FakeCluster) -> str:
    """Return who holds the Lease."""
    return str(cluster.one("Lease", "deploy")["spec"]["holderIdentity"])


def test_a_second_deploy_is_refused_and_learns_who_holds_it() -> None:
    """Nothing is written by the second one; when the first has ended, it may."""
    cluster = FakeCluster()
    with lock(cluster) as first:
        before = list(cluster.written)
        with pytest.raises(Refused) as refusal:
            lock(cluster).__enter__()
        assert first.holder in str(refusal.value)
        assert cluster.written == before

    with lock(cluster) as second:
        assert holder(cluster) == second.holder
    assert cluster.one("Lease", "deploy")["spec"]["leaseTransitions"] == 1


@pytest.mark.parametrize(("seconds", "taken"), [(30, True), (29, False)])
def test_a_lock_is_taken_over_only_when_it_is_past(seconds: float, taken: bool) -> None:
    """That is 30 s after its last renewal, by the server's clock; its old holder writes nothing more."""
    cluster = FakeCluster()
    killed = lock(cluster)
    killed._take()
    cluster.pass_time(seconds)
    if not taken:
        with pytest.raises(Refused):
            lock(cluster).__enter__()
        return
    with lock(cluster) as second:
        with pytest.raises(Stuck, match="not held by this deploy any more"):
            killed.check()
        killed.__exit__(None, None, None)
        assert holder(cluster) == second.holder


def test_a_renewal_keeps_it() -> None:
    """A deploy may take longer than the Lease lasts."""
    cluster = FakeCluster()
    with lock(cluster) as first:
        for _ in range(3):
            cluster.pass_time(20)
            first.check()
        with pytest.raises(Refused, match="last renewed at 2026-03-02T12:01:00"):
            lock(cluster).__enter__()


def test_of_two_that_take_it_at_once_one_gets_it() -> None:
    """The second writes a resourceVersion that is not current any more."""
    cluster = FakeCluster()
    slow, fast = lock(cluster), lock(cluster)
    with lock(cluster):
        pass
    read = slow._read

    def read_then_be_overtaken() -> Object | None:
        live = read()
        slow._read = read  # type: ignore[method-assign] # only the first time
        fast.__enter__()
        return live

    slow._read = read_then_be_overtaken  # type: ignore[method-assign] # between reading and writing
    with pytest.raises(Refused) as refusal:
        slow.__enter__()

    assert fast.holder in str(refusal.value)
    assert holder(cluster) == fast.holder
    fast.__exit__(None, None, None)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_it_is_released_on_every_way_out(error: type[BaseException]) -> None:
    """Also by Ctrl-C and SIGTERM, which end the block by an exception."""
    cluster = FakeCluster()
    with pytest.raises(error), lock(cluster):
        raise error

    assert holder(cluster) == ""
