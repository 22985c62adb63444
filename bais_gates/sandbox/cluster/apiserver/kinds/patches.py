"""The patches: JSON merge patch (RFC 7386), JSON patch (RFC 6902), strategic merge patch.

A strategic merge patch is a merge patch that knows by which key the lists of a kind merge. Which lists merge,
and by what, ``x-kubernetes-patch-strategy`` and ``-patch-merge-key`` of the published schemas say; the
directives (``$patch``, ``$retainKeys``, ``$setElementOrder``, ``$deleteFromPrimitiveList``) are those that
kubectl writes.
"""

from __future__ import annotations

import copy
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import BadRequest, Failed, Unprocessable
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.schema import ANY, Node

PATCH = "$patch"
RETAIN = "$retainKeys"
ORDER = "$setElementOrder/"
DELETE_FROM = "$deleteFromPrimitiveList/"


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


def strategic_merge(kind: Kind, live: Obj, patch: Any) -> Obj:
    """Return what an object becomes by a strategic merge patch.

    Raises BadRequest for a malformed patch or directive, Failed for an item of a merging list that lacks
    its key.
    """
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: the body is no JSON object")
    return _merge_map(kind.node, live, patch)


def _merge_map(node: Node, live: Obj, patch: Obj) -> Obj:  # noqa: C901  # the cases of one directive table
    directive = patch.get(PATCH)
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != PATCH}
    if directive == "delete":
        return {}
    if directive not in {None, "merge"}:
        raise BadRequest(f"Unknown patch type: {directive}")
    made = dict(live)
    if RETAIN in patch:
        made = _retained(made, patch)
    for key, value in patch.items():
        if key in {PATCH, RETAIN} or key.startswith((ORDER, DELETE_FROM)):
            continue
        part = node.field(key)
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict) and "replace" not in part.patch_strategies:
            before = made.get(key)
            merged = _merge_map(part, before if isinstance(before, dict) else {}, value)
            if merged or not (isinstance(value, dict) and value.get(PATCH) == "delete"):
                made[key] = merged
            else:
                made.pop(key, None)
        elif isinstance(value, list):
            made[key] = _merge_list(part, made.get(key), value, patch.get(ORDER + key))
        else:
            made[key] = value
    _lists_without_items(node, made, patch)
    return made


def _retained(live: Obj, patch: Obj) -> Obj:
    keys = patch[RETAIN]
    if not isinstance(keys, list) or not all(
        key in keys for key in patch if not key.startswith("$") and patch[key] is not None
    ):
        raise BadRequest("invalid patch format of retainKeys")
    return {key: value for key, value in live.items() if key in keys}


def _lists_without_items(node: Node, made: Obj, patch: Obj) -> None:
    """Do what the patch says about lists besides giving items: take texts out, put items in order."""
    for key, value in patch.items():
        if key.startswith(DELETE_FROM):
            field = key.removeprefix(DELETE_FROM)
            if not isinstance(value, list):
                raise BadRequest("invalid patch format of primitive list")
            if isinstance(made.get(field), list):
                made[field] = [item for item in made[field] if item not in value]
        elif key.startswith(ORDER):
            field = key.removeprefix(ORDER)
            if not isinstance(value, list):
                raise BadRequest("invalid patch format of setElementOrder list")
            if field not in patch and isinstance(made.get(field), list):
                merge_key = node.field(field).merge_key
                made[field] = _ordered(made[field], value, made[field], merge_key)


def _merge_list(node: Node, live: Any, patch: list[Any], order: list[Any] | None) -> list[Any]:
    before: list[Any] = live if isinstance(live, list) else []
    if "merge" not in node.patch_strategies:
        return [_without_directives(item) for item in patch]
    key = node.merge_key
    if not key:
        merged = before + [item for item in dict.fromkeys(patch) if item not in before]
        return _ordered(merged, order if order is not None else patch, before, "")
    if any(isinstance(item, dict) and item.get(PATCH) == "replace" for item in patch):
        return [_without_directives(item) for item in patch if item.get(PATCH) != "replace" or len(item) > 1]
    merged = list(before)
    places = {_id(item, key): index for index, item in enumerate(before)}
    gone: set[Any] = set()
    element = node.element if node.shape == "list" else ANY
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise Failed(f"map: {item} does not contain declared merge key: {key}")
        name = item[key]
        if item.get(PATCH) == "delete":
            gone.add(name)
        elif name in places:
            merged[places[name]] = _merge_map(element, merged[places[name]], item)
        else:
            places[name] = len(merged)
            merged.append(_merge_map(element, {}, item))
    merged = [item for item in merged if _id(item, key) not in gone]
    given = [item for item in patch if item.get(PATCH) != "delete"]
    return _ordered(merged, order if order is not None else given, before, key)


def _without_directives(item: Any) -> Any:
    if isinstance(item, dict):
        return {
            key: _without_directives(value)
            for key, value in item.items()
            if not key.startswith("$") and value is not None
        }
    return item


def _id(item: Any, key: str) -> Any:
    return item.get(key) if key and isinstance(item, dict) else item


def _ordered(merged: list[Any], wanted: list[Any], live: list[Any], key: str) -> list[Any]:
    """Put a merged list in order: the items of the patch in the patch's, the others by their old place.

    An item that the patch doesn't name comes before the first named one that it was before of.
    """
    rank = {_id(item, key): index for index, item in enumerate(wanted)}
    before = {_id(item, key): index for index, item in enumerate(live)}
    named = sorted((item for item in merged if _id(item, key) in rank), key=lambda item: rank[_id(item, key)])
    others = sorted(
        (item for item in merged if _id(item, key) not in rank),
        key=lambda item: before.get(_id(item, key), len(before)),
    )
    made: list[Any] = []
    while named and others:
        left, right = before.get(_id(others[0], key)), before.get(_id(named[0], key))
        earlier = left is not None and right is not None and left < right
        made.append((others if earlier else named).pop(0))
    return made + named + others
