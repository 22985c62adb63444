"""The cluster of a target: started if the run has to, seen once a run to be the one that is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.probes.kubernetes.cluster import Cluster, ClusterError
from bais_gates.targets import identity
from bais_gates.targets.provision import ProvisionError, RunContext, once, start_cluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.targets.environment import Environment

RECORD = "cluster"
"""What the record in the run directory is called that says how reaching the cluster went."""


class ClusterUnusable(Exception):  # noqa: N818 - it names what was found out about the target
    """The target's cluster cannot be judged: not reached, bad credentials, not the one that is meant."""


def open_cluster(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> Cluster:
    """Return the cluster that ``environment`` describes, for reading.

    Raises GateInputError when the file describes none, ClusterUnusable for every other reason: at once, in
    every process of the run, without trying again.
    """
    part = environment.kubernetes
    reach(run, environment, gates_dir=gates_dir, progress=progress)
    return Cluster(part.access())


def open_cluster_writer(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> ClusterWriter:
    """Return the cluster for writing; GateInputError where the environment file marks it read_only."""
    from bais_gates.probes.kubernetes.writer import ClusterWriter  # noqa: PLC0415 - one sees who may write

    access = environment.kubernetes.write_access()
    reach(run, environment, gates_dir=gates_dir, progress=progress)
    return ClusterWriter(access)


def reach(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> None:
    """See once a run that the cluster is up and the one that is meant; ClusterUnusable if it is not."""

    def look() -> dict[str, str | None]:
        try:
            start_cluster(run, environment, gates_dir=gates_dir, progress=progress)
            identity.note(identity.CLUSTER, _asked(environment), run.directory)
        except (ClusterError, GateInputError, ProvisionError) as e:
            return {"error": str(e)}
        return {"error": None}

    reached = once(run.directory, RECORD, look)
    if reached["error"] is not None:
        raise ClusterUnusable(reached["error"])


def _asked(environment: Environment) -> identity.Facts:
    """Ask the cluster what it is; GateInputError when it is another one than the file names."""
    part = environment.kubernetes
    with Cluster(part.access()) as cluster:
        if part.cluster_uid is not None and (uid := cluster.uid()) != part.cluster_uid:
            raise GateInputError(
                f"{environment.path}: kubernetes.cluster_uid is {part.cluster_uid}, but the cluster of "
                f"context {part.context!r} ({cluster.address}) is {uid}: another cluster. Correct the "
                "context or the kubeconfig; change cluster_uid only if the cluster itself was made anew."
            )
        return identity.ask_cluster(cluster, part)
