"""Whether the target at the end of a run is still the one that was judged.

If a release is rolled out, a certificate replaced or the cluster exchanged during a run, its first and its
second half judge two different targets. So the facts that each part reported when it was first reached are
compared with those it reports now. Pods may be replaced meanwhile (the recovery drill kills some); their
image digest, the cluster and the certificate may not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bais_gates.errors import GateInputError
from bais_gates.probes.deadline import TookTooLong, within
from bais_gates.probes.http import HttpClient, Unreachable
from bais_gates.probes.kubernetes.cluster import Cluster, ClusterError
from bais_gates.targets import identity, target
from bais_gates.targets.provision import ProvisionError, RunContext, environment_for, recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bais_gates.targets.environment import Environment

DEADLINE_S: Final = 12.0
"""Seconds within which all parts must have been read."""
_RETRY_S: Final = 4.0
"""Seconds for which a part that reports fewer facts than before is read again: a pod may be starting."""
_PAUSE_S: Final = 0.5
COMPARED: Final = ("api.version", "api.environment", "tls.serial", "cluster.uid", "release.image")
_ABSENT: Final = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A fact that the target reports differently now than when it was first reached."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The facts that changed, and one paragraph for each part of the target that could not be read."""

    changes: tuple[Change, ...] = ()
    errors: tuple[str, ...] = ()


def compare_facts(run: RunContext, *, gates_dir: Path) -> Comparison:
    """Read again every part of the target that this run reached, within :data:`DEADLINE_S`. Never raises."""
    try:
        return within(DEADLINE_S, lambda: _compare(run, gates_dir))
    except TookTooLong:
        return Comparison(errors=(f"The target did not report its identity within {DEADLINE_S:g} s.",))


def _compare(run: RunContext, gates_dir: Path) -> Comparison:
    if identity.read(run.directory) is None:
        return Comparison()
    try:
        environment = environment_for(run, gates_dir=gates_dir)
    except (GateInputError, ProvisionError) as e:
        return Comparison(errors=(str(e),))
    readers: dict[str, Callable[[Environment], identity.Facts]] = {
        identity.API: _api_facts,
        identity.CLUSTER: _cluster_facts,
    }
    changes: list[Change] = []
    errors = _cluster_error(run, environment)
    for part, read in readers.items():
        before = identity.read_facts(part, run.directory)
        if before is None:
            continue
        try:
            changes += _differences(before, _read_until_complete(environment, read, before))
        except (Unreachable, ClusterError, GateInputError) as e:
            errors.append(str(e))
    return Comparison(changes=tuple(changes), errors=tuple(errors))


def _cluster_error(run: RunContext, environment: Environment) -> list[str]:
    """Return why the cluster was not reached at the start, if it was not; nothing for a rehearsal."""
    record = recorded(run.directory, target.CLUSTER_RECORD)
    error = record.get("error") if record is not None else None
    return [error] if error is not None and not environment.rehearsal else []


def _read_until_complete(
    environment: Environment, read: Callable[[Environment], identity.Facts], before: identity.Facts
) -> identity.Facts:
    """Read until there are as many facts as before, or until time is up; then return or raise the last."""
    ends_at = time.monotonic() + _RETRY_S
    while True:
        try:
            now = read(environment)
        except (Unreachable, ClusterError):
            if time.monotonic() > ends_at:
                raise
        else:
            if {key for key, _ in now} >= {key for key, _ in before} or time.monotonic() > ends_at:
                return now
        time.sleep(_PAUSE_S)


def _api_facts(environment: Environment) -> identity.Facts:
    part = environment.api
    with HttpClient(part.url, ca_file=part.ca_file) as http:
        return identity.read_api_facts(http)


def _cluster_facts(environment: Environment) -> identity.Facts:
    part = environment.kubernetes
    with Cluster(part.access()) as cluster:
        return identity.read_cluster_facts(cluster, part)


def _differences(before: identity.Facts, after: identity.Facts) -> list[Change]:
    old, new = dict(before), dict(after)
    return [
        Change(key=key, before=old.get(key, _ABSENT), after=new.get(key, _ABSENT))
        for key in COMPARED
        if old.get(key) != new.get(key)
    ]
