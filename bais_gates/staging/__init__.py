"""Staging: provision the platform in a namespace of its own, check it, and tear it down.

``plan`` sorts the manifests into steps; ``provision`` applies them (``applying``) and waits until they are
ready (``readiness``); ``diagnosis`` builds the error of a workload (``workload``) that is not; ``teardown``
deletes everything. ``run`` does this once a run, ``staged`` is what gates read. ``namespace`` keeps the first
rule: a namespace that staging did not create is never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.staging import isolation, workload
    from bais_gates.staging.namespace import OWNER, owner_of
    from bais_gates.staging.plan import Step
    from bais_gates.staging.reach import Reach
    from bais_gates.staging.readiness import condition, judge
    from bais_gates.staging.run import REVISION_QUERY
    from bais_gates.staging.server import request
    from bais_gates.staging.staged import Finding, StagedPlatform, record
else:
    __getattr__ = lazy_exports(
        __name__,
        "isolation",
        "namespace",
        "plan",
        "reach",
        "readiness",
        "run",
        "server",
        "staged",
        "workload",
    )

__all__ = [
    "OWNER",
    "REVISION_QUERY",
    "Finding",
    "Reach",
    "StagedPlatform",
    "Step",
    "condition",
    "isolation",
    "judge",
    "owner_of",
    "record",
    "request",
    "workload",
]
