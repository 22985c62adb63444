"""Whether the target at the end of a run is still the one that was judged.

A release that is rolled out, a certificate that is exchanged or a cluster that is another one by the end make
the first half of a run and the second half talk about two things. What is compared is what the parts said of
themselves when they were first reached. Pods may come and go meanwhile (the recovery drill kills some); the
digest that they run, the cluster and the certificate may not change.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bais_gates.errors import GateInputError
from bais_gates.probes.deadline import TookTooLong, within
from bais_gates.probes.http import HttpClient, Unreachable
from bais_gates.probes.kubernetes.cluster import Cluster, ClusterError
from bais_gates.targets import clusters, identity
from bais_gates.targets.provision import ProvisionError, RunContext, environment_for, recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bais_gates.targets.environment import Environment

WITHIN_S: Final = 12.0
"""Seconds that asking again may take altogether."""
_PATIENCE_S: Final = 4.0
"""Seconds in which a part that says less than before is asked again: a pod may just be replaced."""
_PAUSE_S: Final = 0.5
COMPARED: Final = ("api.version", "api.environment", "tls.serial", "cluster.uid", "release.image")
_NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a target says of itself now, in the place of what it said when it was first reached."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Constancy:
    """What asking again showed: changes, and why a part of the target could not be asked."""

    changes: tuple[Change, ...] = ()
    not_asked: tuple[str, ...] = ()


def look_again(run: RunContext, *, gates_dir: Path) -> Constancy:
    """Ask every part of the target that was reached in this run again, in bounded time. Never raises."""
    try:
        return within(WITHIN_S, lambda: _look(run, gates_dir))
    except TookTooLong:
        return Constancy(not_asked=(f"The target did not say within {WITHIN_S:g} s what it is.",))


def _look(run: RunContext, gates_dir: Path) -> Constancy:
    if identity.read(run.directory) is None:
        return Constancy()
    try:
        environment = environment_for(run, gates_dir=gates_dir)
    except (GateInputError, ProvisionError) as e:
        return Constancy(not_asked=(str(e),))
    asking: dict[str, Callable[[Environment], identity.Facts]] = {
        identity.API: _api,
        identity.CLUSTER: _cluster,
    }
    changes: list[Change] = []
    not_asked = _never_reached(run, environment)
    for part, ask in asking.items():
        before = identity.noted(part, run.directory)
        if before is None:
            continue
        try:
            changes += _differences(before, _patiently(environment, ask, before))
        except (Unreachable, ClusterError, GateInputError) as e:
            not_asked.append(str(e))
    return Constancy(changes=tuple(changes), not_asked=tuple(not_asked))


def _never_reached(run: RunContext, environment: Environment) -> list[str]:
    """Return why the cluster of a target that counts could not be asked at the start, if it could not."""
    record = recorded(run.directory, clusters.RECORD)
    error = record.get("error") if record is not None else None
    return [error] if error is not None and not environment.rehearsal else []


def _patiently(
    environment: Environment, ask: Callable[[Environment], identity.Facts], before: identity.Facts
) -> identity.Facts:
    """Ask until it says as much as before, or for so long; give what it says, or raise why it does not."""
    ends = time.monotonic() + _PATIENCE_S
    while True:
        try:
            now = ask(environment)
        except (Unreachable, ClusterError):
            if time.monotonic() > ends:
                raise
        else:
            if {key for key, _ in now} >= {key for key, _ in before} or time.monotonic() > ends:
                return now
        time.sleep(_PAUSE_S)


def _api(environment: Environment) -> identity.Facts:
    part = environment.api
    with HttpClient(part.url, ca_file=part.ca_file) as http:
        return identity.ask(http)


def _cluster(environment: Environment) -> identity.Facts:
    part = environment.kubernetes
    with Cluster(part.access()) as cluster:
        return identity.ask_cluster(cluster, part)


def _differences(before: identity.Facts, after: identity.Facts) -> list[Change]:
    then, now = dict(before), dict(after)
    return [
        Change(what=key, before=then.get(key, _NOTHING), after=now.get(key, _NOTHING))
        for key in COMPARED
        if then.get(key) != now.get(key)
    ]
