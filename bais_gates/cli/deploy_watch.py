"""The watch of ``bais-gates deploy`` and the gates that judge what runs, as the arguments want them."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.rollout.postdeploy import SCOPE, PostdeployGates
from bais_gates.rollout.watch import Samples, Watch
from bais_gates.rollout.windows import require_bounded
from bais_gates.targets.target import open_prometheus
from bais_gates.verdict.catalog import load_catalog

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.rollout.workload import Workload
    from bais_gates.targets.environment import Environment

_CATALOG = Path("gates", "catalog.yaml")


def watch_of(
    arguments: argparse.Namespace,
    environment: Environment,
    workload: Workload,
    progress: Callable[[str], None],
    opened: ExitStack,
) -> Watch | None:
    """Return the watch that a deploy ends with, None without one; ``opened`` closes its connections.

    Raises GateInputError where the environment file names no Prometheus, so before the first write.
    """
    if getattr(arguments, "watch", None) == 0:
        progress("NOT WATCHED (--watch 0): after the verification nobody looks at what this release does")
        return None
    if not hasattr(arguments, "watch") or arguments.abort:
        return None
    if not _has_prometheus(environment):
        raise GateInputError(
            f"{environment.path}: monitoring.prometheus_url is missing: by its metrics a release is "
            "watched after its rollout. Describe it, or deploy without a watch by --watch 0."
        )
    limits = environment.watch()
    if arguments.watch is not None:
        limits = replace(limits, for_s=arguments.watch)
    require_bounded(limits, f"{environment.path}")
    prometheus = opened.enter_context(open_prometheus(environment))
    samples = Samples(prometheus=prometheus, workload=workload, limits=limits)
    return Watch(limits=limits, sampler=samples, progress=progress)


def gates_of(
    arguments: argparse.Namespace, environment: Environment, progress: Callable[[str], None]
) -> PostdeployGates | None:
    """Return the gates that judge what runs; None if the suite has none, or there is nothing to ask."""
    catalog = getattr(arguments, "catalog", _CATALOG)
    try:
        missing_why = "" if load_catalog(catalog).for_scope(SCOPE) else f"{catalog} has none"
    except GateInputError as error:  # a rollback needs no catalog
        missing_why = str(error)
    if not _has_prometheus(environment):
        missing_why = f"{environment.path} names no monitoring.prometheus_url"
    if missing_why:
        progress(f"no gates of phase {SCOPE} judge what runs: {missing_why}")
        return None
    return PostdeployGates(env=arguments.env, catalog=catalog, records=arguments.records, progress=progress)


def _has_prometheus(environment: Environment) -> bool:
    return environment.describes("monitoring") and environment.monitoring.prometheus_url is not None
