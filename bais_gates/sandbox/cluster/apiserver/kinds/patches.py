"""The two patches that know no schema: JSON merge patch (RFC 7386) and JSON patch (RFC 6902)."""

from __future__ import annotations

import copy
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import BadRequest, Unprocessable
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj

MAX_OPERATIONS = 10_000


def merge_patch(live: Any, patch: Any) -> Any:
    """Return what an object becomes by a merge patch: null removes, objects merge, the rest replaces."""
    if not isinstance(patch, dict):
        return patch
    made = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merge_patch(made.get(key), value)
    return made


def json_patch(live: Obj, patch: Any) -> Obj:
    """Return what an object becomes by a list of operations.

    Raises BadRequest for what is no JSON patch, Unprocessable where an operation finds no place or a
    ``test`` doesn't hold.
    """
    import jsonpatch  # noqa: PLC0415  # only requests with a JSON patch need it
    import jsonpointer  # noqa: PLC0415  # see above

    if not isinstance(patch, list):
        raise BadRequest(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    if len(patch) > MAX_OPERATIONS:
        raise Unprocessable(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        )
    try:
        made = jsonpatch.JsonPatch(patch).apply(copy.deepcopy(live), in_place=True)
    except jsonpatch.JsonPatchTestFailed as wrong:
        raise Unprocessable(f"testing value failed: {wrong}") from None
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as wrong:
        raise Unprocessable(f"the JSON patch could not be applied: {wrong}") from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as wrong:
        raise BadRequest(f"error decoding patch: {wrong}") from None
    if not isinstance(made, dict):
        raise Unprocessable("the JSON patch leaves no object")
    return made
