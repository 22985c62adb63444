"""From a request's body to what is stored: read, fill in, generate, validate."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from bais_gates.sandbox.cluster.apiserver.kinds import custom, defaults, strategies
from bais_gates.sandbox.cluster.apiserver.kinds.decoding import decode
from bais_gates.sandbox.cluster.apiserver.kinds.errors import BadRequest, Invalid
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.validation import causes_of_create, causes_of_update


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An object that may be stored.

    ``obj`` is what to store. ``read`` is the object as it was sent, with its defaults, before the server
    added parts of its own: what managedFields of an ordinary write are reckoned from. ``warnings`` are for
    the Warning headers; those about unknown fields start with ``unknown field``.
    """

    obj: Obj
    read: Obj
    warnings: tuple[str, ...] = ()


def prepare_create(kind: Kind, obj: Obj, *, strict: bool) -> Prepared:
    """Make an object of a POST's body ready to be stored.

    ``obj`` has its final name, namespace and uid. ``strict``: unknown fields are an error, not a warning.
    Raises BadRequest for a body that can't be read as the kind, Invalid for one that breaks its rules.
    """
    read, warnings = _read(kind, obj, strict=strict)
    made = copy.deepcopy(read)  # the server adds to it, and ``read`` must stay what was sent
    strategies.before_create(kind, made)
    if causes := causes_of_create(kind, made):
        raise Invalid(causes)
    return Prepared(obj=made, read=read, warnings=tuple(warnings))


def prepare_update(
    kind: Kind, old: Obj, new: Obj, *, strict: bool, subresource: str | None = None
) -> Prepared:
    """Make the object of a PUT, or of a patch's outcome, ready to be stored in place of ``old``.

    ``subresource``: ``status`` lets only the status change; None keeps the status, where the kind has that
    subresource. Raises as ``prepare_create``.
    """
    read, warnings = _read(kind, new, strict=strict)
    made = strategies.before_update(kind, old, read, subresource)
    if causes := causes_of_update(kind, old, made, subresource):
        raise Invalid(causes)
    return Prepared(obj=made, read=made, warnings=tuple(warnings))


def _read(kind: Kind, obj: Obj, *, strict: bool) -> tuple[Obj, list[str]]:
    decoded = decode(kind, obj)
    if decoded.unknown and strict:
        fields = ", ".join(f'unknown field "{path}"' for path in decoded.unknown)
        raise BadRequest(f"strict decoding error: {fields}")
    if kind.custom:
        custom.fill(kind.node, decoded.obj)
    else:
        defaults.fill(kind, decoded.obj)
    return decoded.obj, [f'unknown field "{path}"' for path in decoded.unknown]
