"""Decode the protobuf that kubectl sends where it has no manifest: ``create``, ``auth can-i``, ``whoami``.

kubectl encodes the objects that it makes itself as protobuf, and does not fall back to JSON. The kinds here
need only a few messages; ``_MESSAGES`` has their field numbers. Source: ``generated.proto`` of k8s.io/api and
k8s.io/apimachinery (Apache-2.0).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAGIC = b"k8s\x00"
Field = tuple[str, str]
"""A field's name, and its type: a message, ``text``, ``flag`` or ``bytes``, in [] repeated, in {} a map."""

_NAMED = {1: ("metadata", "ObjectMeta")}
_ROLE = _NAMED | {2: ("rules", "[PolicyRule]")}
_BINDING = _NAMED | {2: ("subjects", "[Subject]"), 3: ("roleRef", "RoleRef")}
_MESSAGES: Mapping[str, Mapping[int, Field]] = {
    "Unknown": {1: ("typeMeta", "TypeMeta"), 2: ("raw", "bytes")},
    "TypeMeta": {1: ("apiVersion", "text"), 2: ("kind", "text")},
    "ObjectMeta": {
        1: ("name", "text"),
        2: ("generateName", "text"),
        3: ("namespace", "text"),
        11: ("labels", "{text}"),
        12: ("annotations", "{text}"),
    },
    "Namespace": _NAMED,
    "ServiceAccount": _NAMED,
    "ConfigMap": _NAMED | {2: ("data", "{text}"), 3: ("binaryData", "{bytes}"), 4: ("immutable", "flag")},
    "Secret": _NAMED | {2: ("data", "{bytes}"), 3: ("type", "text"), 5: ("immutable", "flag")},
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "PolicyRule": {
        1: ("verbs", "[text]"),
        2: ("apiGroups", "[text]"),
        3: ("resources", "[text]"),
        4: ("resourceNames", "[text]"),
        5: ("nonResourceURLs", "[text]"),
    },
    "Subject": {1: ("kind", "text"), 2: ("apiGroup", "text"), 3: ("name", "text"), 4: ("namespace", "text")},
    "RoleRef": {1: ("apiGroup", "text"), 2: ("kind", "text"), 3: ("name", "text")},
    "SelfSubjectReview": _NAMED,
    "SelfSubjectRulesReview": _NAMED | {2: ("spec", "RulesSpec")},
    "RulesSpec": {1: ("namespace", "text")},
    "SelfSubjectAccessReview": _NAMED | {2: ("spec", "AccessSpec")},
    "AccessSpec": {1: ("resourceAttributes", "Resource"), 2: ("nonResourceAttributes", "NonResource")},
    "Resource": {
        1: ("namespace", "text"),
        2: ("verb", "text"),
        3: ("group", "text"),
        4: ("version", "text"),
        5: ("resource", "text"),
        6: ("subresource", "text"),
        7: ("name", "text"),
    },
    "NonResource": {1: ("path", "text"), 2: ("verb", "text")},
}


class NotDecodedError(Exception):
    """The body is no protobuf of a kind that is decoded."""


def decode(body: bytes) -> dict[str, Any]:
    """Return the object in a body, as JSON has it. Raises ``NotDecodedError``."""
    if not body.startswith(_MAGIC):
        raise NotDecodedError
    try:
        unknown = _message("Unknown", body[len(_MAGIC) :])
        about: dict[str, Any] = unknown["typeMeta"]
        return about | _message(about["kind"], base64.b64decode(unknown.get("raw", "")))
    except (KeyError, IndexError, UnicodeDecodeError) as error:
        raise NotDecodedError from error


def _message(name: str, data: bytes) -> dict[str, Any]:
    fields = _MESSAGES[name]
    found: dict[str, Any] = {}
    for number, raw in _fields(data):
        if number not in fields:
            # What is empty is sent, too: a status, a creation time. What is not would be lost.
            if raw not in (0, b"") and number not in _SERVER_FIELDS.get(name, ()):
                raise KeyError(number)
            continue
        key, kind = fields[number]
        if kind.startswith("["):
            found.setdefault(key, []).append(_value(kind[1:-1], raw))
        elif kind.startswith("{"):
            entry = dict(_fields(raw if isinstance(raw, bytes) else b""))
            value = _value(kind[1:-1], entry.get(2, b""))
            found.setdefault(key, {})[_value("text", entry.get(1, b""))] = value
        else:
            found[key] = _value(kind, raw)
    return {key: value for key, value in found.items() if value not in ("", {})}


_SERVER_FIELDS: Mapping[str, tuple[int, ...]] = {
    "ObjectMeta": (8,),  # creationTimestamp, empty
    "Namespace": (2, 3),
    "SelfSubjectReview": (2,),
    "SelfSubjectRulesReview": (3,),
    "SelfSubjectAccessReview": (3,),
    "Unknown": (3, 4),
}
"""Fields that the server sets itself."""


def _value(kind: str, raw: int | bytes) -> Any:
    if kind == "flag":
        return bool(raw)
    if not isinstance(raw, bytes):
        raise KeyError(kind)
    if kind == "text":
        return raw.decode()
    return base64.b64encode(raw).decode() if kind == "bytes" else _message(kind, raw)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the content of each field: a number, or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == 2:
            if at + value > len(data):
                raise IndexError(at)
            yield tag >> 3, data[at : at + value]
            at += value
        elif tag & 7 == 0:
            yield tag >> 3, value
        else:
            raise KeyError(tag)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            return value, at
