"""Waiting until what was applied is ready, with a word about what is waited for, and an end to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from bais_gates.staging import diagnosis
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.plan import describe
from bais_gates.staging.readiness import (
    State,
    Verdict,
    creation_refused,
    failed,
    judge,
    waiting,
)
from bais_gates.staging.server import address, asked, place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bais_gates.staging.readiness import Object
    from bais_gates.staging.server import Server

POLL_S: Final = (0.15, 1.0)
"""Seconds between two looks, at first and at most."""
SAY_EVERY_S: Final = 5.0
_WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "Job"})


@dataclass(slots=True, kw_only=True)
class Clock:
    """The time that provisioning may take, and how one waits; tests wait without sleeping."""

    ends_at: float
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.ends_at - self.now()


@dataclass(slots=True)
class _Pending:
    """One object that is waited for."""

    wanted: Object
    live: Object
    verdict: Verdict
    trouble_since: dict[str, float] = field(default_factory=dict)


def until_ready(
    server: Server,
    objects: list[Object],
    *,
    step: str,
    clock: Clock,
    progress: Callable[[str], None],
    least: Mapping[str, int] | None = None,
) -> None:
    """Wait until every object is ready. Raises ``StageError`` for one that fails, or is not in time.

    ``least`` names the replicas that a Deployment's autoscaler keeps, as the Deployment itself says nothing.
    """
    pending = [_Pending(one, one, waiting("just applied")) for one in objects]
    began = said_at = clock.now()
    pause, said = POLL_S[0], ""
    while True:
        for one in pending:
            _look(server, one, least or {}, step)
        pending = [one for one in pending if one.verdict.state is not State.READY]
        if not pending:
            return
        _believe_trouble(server, pending, clock, step)
        if clock.left <= 0:
            raise _out_of_time(server, pending[0], clock.now() - began, step)
        text = "; ".join(f"{describe(one.wanted)}: {one.verdict.why}" for one in pending[:3])
        if text != said or clock.now() - said_at >= SAY_EVERY_S:
            progress(f"{step}: {text} ({clock.now() - began:.0f} s)")
            said, said_at = text, clock.now()
        clock.sleep(min(pause, max(clock.left, 0.0)))
        pause = min(pause * 1.3, POLL_S[1])


def _look(server: Server, one: _Pending, least: Mapping[str, int], step: str) -> None:
    """Read an object anew and judge it; raise what has failed for good."""
    live: Object | None = asked(
        f"Reading {place(one.wanted)}", lambda: server.named(*address(one.wanted)), step=step
    )
    if live is None:
        one.verdict = waiting("it is not there any more")
        return
    one.live = {**live, "kind": one.wanted["kind"], "apiVersion": one.wanted["apiVersion"]}
    one.verdict = with_autoscaler(judge(one.live), one.live, least)
    if one.verdict.state is State.FAILED:
        raise diagnosis.failure(server, one.live, one.verdict, step=step)


def with_autoscaler(verdict: Verdict, live: Object, least: Mapping[str, int]) -> Verdict:
    """Hold a Deployment to the replicas that its autoscaler keeps at least."""
    wanted = least.get(str(live["metadata"]["name"]), 0) if live.get("kind") == "Deployment" else 0
    available = int((live.get("status") or {}).get("availableReplicas") or 0)
    if verdict.state is State.READY and available < wanted:
        return waiting(f"{available} of the {wanted} replicas that the autoscaler keeps are available")
    return verdict


def _believe_trouble(server: Server, pending: list[_Pending], clock: Clock, step: str) -> None:
    """Raise for a workload whose pods can't be made, or have been in the same trouble for long enough."""
    for one in pending:
        if one.live.get("kind") not in _WORKLOADS or "uid" not in one.live["metadata"]:
            continue
        seen: diagnosis.Surroundings = asked(
            f"Reading the pods of {place(one.live)}",
            partial(diagnosis.around, server, one.live),
            step=step,
        )
        refused = creation_refused(seen.events) if not seen.pods else None
        if refused is not None:
            raise diagnosis.judged(server, one.live, refused, seen, step=step)
        trouble = seen.trouble
        if trouble is None:
            one.trouble_since.clear()
            continue
        since = one.trouble_since.setdefault(trouble.code, clock.now())
        if clock.now() - since >= trouble.patience_s:
            verdict = failed(trouble.code, one.verdict.why)
            raise diagnosis.judged(server, one.live, verdict, seen, step=step)
        one.verdict = waiting(f"{one.verdict.why} ({trouble.reason})")


def _out_of_time(server: Server, one: _Pending, after_s: float, step: str) -> StageError:
    verdict = failed(StageCode.NOT_READY, f"not ready after {after_s:.0f} s: {one.verdict.why}")
    if one.live.get("kind") == "PersistentVolumeClaim":
        verdict = failed(StageCode.VOLUME, verdict.why)
    return diagnosis.failure(server, one.live, verdict, step=step)
