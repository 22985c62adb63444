"""Staging: the platform provisioned for real in a namespace of its own, looked at, and taken away again.

``plan`` sorts the manifests into steps, ``provision`` brings them about through ``applying`` and ``waiting``;
``readiness`` and ``pods`` judge objects, ``diagnosis`` says why one failed, ``teardown`` takes all away.
``ownership`` holds the rule above all others: a namespace that staging did not make is never touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.staging import isolation, workload
    from bais_gates.staging.findings import Finding
    from bais_gates.staging.ownership import OWNER, owner_of
    from bais_gates.staging.plan import Step
    from bais_gates.staging.pods import is_ready, trouble
    from bais_gates.staging.reach import NotReachable, Reach
    from bais_gates.staging.readiness import condition, judge
    from bais_gates.staging.run import REVISION
    from bais_gates.staging.server import asked
    from bais_gates.staging.view import StagedPlatform, record
else:
    __getattr__ = lazy_exports(
        __name__,
        "findings",
        "isolation",
        "ownership",
        "plan",
        "pods",
        "reach",
        "readiness",
        "run",
        "server",
        "view",
        "workload",
    )

__all__ = [
    "OWNER",
    "REVISION",
    "Finding",
    "NotReachable",
    "Reach",
    "StagedPlatform",
    "Step",
    "asked",
    "condition",
    "is_ready",
    "isolation",
    "judge",
    "owner_of",
    "record",
    "trouble",
    "workload",
]
