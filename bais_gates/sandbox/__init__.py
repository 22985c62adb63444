"""The sandbox: a small BAIS platform (API, PostgreSQL, Redis) on loopback, and the default target.

``start`` starts one in a folder and returns when it is ready; ``stop`` stops it and empties the folder.
``start_cluster`` adds a small Kubernetes cluster in which the same processes are pods, ``start_monitoring``
Prometheus, Alertmanager and stand-ins for the receivers of alerts. A detached supervisor runs all of it, and
stops everything when its owner ends. Several sandboxes can run at once. Linux only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import default_directory
from bais_gates.sandbox.lifecycle import SandboxInfo, set_faults, start, status, stop

__all__ = [
    "ClusterInfo",
    "SandboxError",
    "SandboxInfo",
    "cluster_limits",
    "default_directory",
    "prepare_accounts",
    "set_faults",
    "start",
    "start_cluster",
    "start_monitoring",
    "status",
    "stop",
]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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
    from bais_gates.sandbox.bootstrap import start  # noqa: PLC0415 - slow to import, and most runs need no cluster

    return start.start_cluster(directory, manifests=manifests, progress=progress, within=within)


def start_monitoring(
    directory: Path,
    *,
    artefacts: Path,
    provision: Sequence[str | Path] = (),
    progress: Callable[[str], None] = lambda _text: None,
) -> None:
    """Start the sandbox's monitoring: see :func:`bais_gates.sandbox.monitoring.start.start_monitoring`."""
    from bais_gates.sandbox.monitoring import start  # noqa: PLC0415 - most runs need none

    start.start_monitoring(directory, artefacts=artefacts, provision=provision, progress=progress)


def prepare_accounts(directory: Path, *, businesses: int = 20, keys: int = 1000) -> Path:
    """Prepare accounts for a load: see :func:`bais_gates.sandbox.accounts.prepare_accounts`."""
    from bais_gates.sandbox import accounts  # noqa: PLC0415 - most runs need none

    return accounts.prepare_accounts(directory, businesses=businesses, keys=keys)


def cluster_limits() -> tuple[str, ...]:
    """Return what the cluster's own API server does not do, each as the end of a sentence about it."""
    from bais_gates.sandbox.cluster.apiserver.unsupported import sentences  # noqa: PLC0415 - for help only

    return sentences()
