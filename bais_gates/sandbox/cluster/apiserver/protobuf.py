"""Reading the few objects that kubectl sends as protobuf: reviews, what ``kubectl create`` makes of flags.

kubectl prefers protobuf for kinds that are compiled in. Applied manifests and everything that other clients
send is JSON; so only these small kinds are read here, and any other is refused with 415. Field numbers are
those of the published ``generated.proto`` files.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Object = dict[str, Any]
_MAGIC = b"k8s\0"


class ProtobufError(Exception):
    """Bytes that are no object of a kind that is read here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field: its JSON name, and how it is read (``text bytes bool int map datamap`` or a message)."""

    name: str
    how: str | Mapping[int, Field] = "text"
    repeated: bool = False


def _fields(**named: tuple[int, str | Mapping[int, Field]] | int) -> dict[int, Field]:
    found = {}
    for name, entry in named.items():
        number, how = entry if isinstance(entry, tuple) else (entry, "text")
        repeated = name.endswith("__list")
        found[number] = Field(name=name.removesuffix("__list"), how=how, repeated=repeated)
    return found


_META = _fields(
    name=1, generateName=2, namespace=3, labels=(11, "map"), annotations=(12, "map"), finalizers__list=14
)
_RESOURCE = _fields(namespace=1, verb=2, group=3, version=4, resource=5, subresource=6, name=7)
_ACCESS = _fields(resourceAttributes=(1, _RESOURCE), nonResourceAttributes=(2, _fields(path=1, verb=2)))
_PRECONDITIONS = _fields(uid=1, resourceVersion=2)
_DELETE = _fields(
    gracePeriodSeconds=(1, "int"),
    preconditions=(2, _PRECONDITIONS),
    orphanDependents=(3, "bool"),
    propagationPolicy=4,
    dryRun__list=5,
)
_RULE = _fields(
    verbs__list=1, apiGroups__list=2, resources__list=3, resourceNames__list=4, nonResourceURLs__list=5
)
_ROLE = _fields(metadata=(1, _META), rules__list=(2, _RULE))
_SUBJECT = _fields(kind=1, apiGroup=2, name=3, namespace=4)
_BINDING = _fields(
    metadata=(1, _META), subjects__list=(2, _SUBJECT), roleRef=(3, _fields(apiGroup=1, kind=2, name=3))
)
_KINDS: dict[tuple[str, str], Mapping[int, Field]] = {
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): _fields(metadata=(1, _META), spec=(2, _ACCESS)),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): _fields(
        metadata=(1, _META), spec=(2, _fields(namespace=1))
    ),
    ("authentication.k8s.io/v1", "SelfSubjectReview"): _fields(metadata=(1, _META)),
    ("policy/v1", "Eviction"): _fields(metadata=(1, _META), deleteOptions=(2, _DELETE)),
    ("v1", "ConfigMap"): _fields(
        metadata=(1, _META), data=(2, "map"), binaryData=(3, "datamap"), immutable=(4, "bool")
    ),
    ("v1", "Secret"): _fields(
        metadata=(1, _META), data=(2, "datamap"), type=3, stringData=(4, "map"), immutable=(5, "bool")
    ),
    ("v1", "Namespace"): _fields(metadata=(1, _META)),
    ("v1", "ServiceAccount"): _fields(metadata=(1, _META)),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): _ROLE,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io/v1", "Role"): _ROLE,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): _BINDING,
    ("v1", "DeleteOptions"): _DELETE,
    ("meta.k8s.io/v1", "DeleteOptions"): _DELETE,
}
_UNKNOWN = _fields(typeMeta=(1, _fields(apiVersion=1, kind=2)), raw=(2, "bytes"))


def read(body: bytes) -> Object | None:
    """Give the object, or None for a kind that isn't read here; raises ProtobufError for no object."""
    if not body.startswith(_MAGIC):
        raise ProtobufError(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    envelope = _message(body[len(_MAGIC) :], _UNKNOWN)
    about = envelope.get("typeMeta") or {}
    fields = _KINDS.get((about.get("apiVersion", ""), about.get("kind", "")))
    return None if fields is None else {**about, **_message(envelope.get("raw", b""), fields)}


def _message(data: bytes, fields: Mapping[int, Field]) -> Object:
    found: Object = {}
    for number, value in _entries(data):
        field = fields.get(number)
        if field is None:
            continue
        read_ = _value(value, field.how)
        if field.how in ("map", "datamap"):
            found.setdefault(field.name, {}).update(read_)
        elif field.repeated:
            found.setdefault(field.name, []).append(read_)
        elif read_ != "":
            found[field.name] = read_
    return found


def _value(value: int | bytes, how: str | Mapping[int, Field]) -> Any:
    if isinstance(value, int):
        return bool(value) if how == "bool" else value
    match how:
        case "text":
            return value.decode(errors="replace")
        case "bytes" | "bool" | "int":
            return value
        case "map" | "datamap":
            pair = dict(_entries(value))
            key, held = pair.get(1, b""), pair.get(2, b"")
            if isinstance(key, int) or isinstance(held, int):
                raise ProtobufError("proto: wrong wireType of a map's entry")
            text = base64.b64encode(held).decode() if how == "datamap" else held.decode(errors="replace")
            return {key.decode(errors="replace"): text}
        case str():
            raise ProtobufError(f"unknown reading {how}")
        case _:
            return _message(value, how)


def _entries(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}.get(wire, -1)
        if length < 0 or at + length > len(data):
            raise ProtobufError("unexpected EOF")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise ProtobufError("unexpected EOF")
