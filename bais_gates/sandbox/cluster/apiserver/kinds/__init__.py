"""Kinds: what the API server knows about the objects it stores, as pure functions without any I/O.

Schemas and the registry of kinds, reading and pruning, defaults, validation, the patches, server-side
apply with managedFields, printer columns. No function changes its arguments.
"""

from __future__ import annotations

from bais_gates.sandbox.cluster.apiserver.kinds.builtin import KindRegistry
from bais_gates.sandbox.cluster.apiserver.kinds.custom import established
from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    ApplyConflict,
    BadRequest,
    Cause,
    Failed,
    Invalid,
    KindError,
    Unprocessable,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.ownership import apply, same_but_times, track_update
from bais_gates.sandbox.cluster.apiserver.kinds.patches import json_patch, merge_patch, strategic_merge
from bais_gates.sandbox.cluster.apiserver.kinds.preparing import Prepared, prepare_create, prepare_update
from bais_gates.sandbox.cluster.apiserver.kinds.tables import table

__all__ = [
    "ApplyConflict",
    "BadRequest",
    "Cause",
    "Failed",
    "Invalid",
    "Kind",
    "KindError",
    "KindRegistry",
    "Obj",
    "Prepared",
    "Unprocessable",
    "apply",
    "established",
    "json_patch",
    "merge_patch",
    "prepare_create",
    "prepare_update",
    "same_but_times",
    "strategic_merge",
    "table",
    "track_update",
]
