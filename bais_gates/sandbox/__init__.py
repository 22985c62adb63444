"""The sandbox: the whole platform in small (API, PostgreSQL, Redis) on loopback; the default target.

``start`` brings one up in a folder of its own and returns when it is ready; ``stop`` takes it down and
empties the folder. ``start_cluster`` puts a small Kubernetes cluster beside it, in which the same processes
are pods. A detached supervisor does both, and takes everything down by itself when its owner
dies. Several sandboxes can be up side by side. Linux only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.lifecycle import SandboxInfo, check_faults, set_faults, start, status, stop

__all__ = [
    "ClusterInfo",
    "SandboxError",
    "SandboxInfo",
    "check_faults",
    "set_faults",
    "start",
    "start_cluster",
    "status",
    "stop",
]

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bais_gates.sandbox.bootstrap.start import ClusterInfo


def start_cluster(
    directory: Path,
    *,
    manifests: Path,
    progress: Callable[[str], None] = lambda _text: None,
    within: float = 90.0,
) -> ClusterInfo:
    """Start the sandbox's cluster: see :func:`bais_gates.sandbox.bootstrap.start.start_cluster`."""
    from bais_gates.sandbox.bootstrap import start as cluster_up  # noqa: PLC0415 - slow to import, and most runs need no cluster

    return cluster_up.start_cluster(directory, manifests=manifests, progress=progress, within=within)
