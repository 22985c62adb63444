"""Label and field selectors, read and matched as ``k8s.io/apimachinery`` does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver.kinds.validation import names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Object = dict[str, Any]
_TOKEN = re.compile(r"==|!=|[=!<>(),]|[^\s=!<>(),]+")
_OPERATORS = {"in": "in", "notin": "notin", "=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}
_SIGNS = frozenset({"", ",", "=", "==", "!=", "!", "(", ")", ">", "<"})
_BEGINNING = "!, identifier, or 'end of string'"


class SelectorError(Exception):
    """A selector that can't be read; the message is what the server says about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One part of a selector: ``key op values``; op is one of ``in notin exists !exists = != gt lt``."""

    key: str
    op: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether ``labels`` meet this."""
        value = labels.get(self.key)
        match self.op:
            case "exists":
                return self.key in labels
            case "!exists":
                return self.key not in labels
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case _:
                return _compared(value, self.op, self.values[0])


def _compared(value: str | None, op: str, limit: str) -> bool:
    try:
        found, bound = int(value or ""), int(limit)
    except ValueError:
        return False
    return found > bound if op == "gt" else found < bound


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read a label selector: ``a=b,c!=d,e in (f,g),h,!i,j>1``. Raises SelectorError."""
    reader = _Reader(tokens=_TOKEN.findall(text))
    found: list[Requirement] = []
    while reader.next or found:
        if reader.next in {"", ",", "=", "==", "!=", "(", ")", ">", "<"}:
            raise _expected(reader.next, "identifier after ','" if found else _BEGINNING)
        found.append(_checked(_requirement(reader)))
        if not reader.next:
            break
        if reader.next != ",":
            raise _expected(reader.next, "',' or 'end of string'")
        reader.take()
    return tuple(found)


@dataclass(slots=True, kw_only=True)
class _Reader:
    """The tokens of a selector, and how far they have been read."""

    tokens: list[str]
    at: int = 0

    @property
    def next(self) -> str:
        """The next token, empty at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        """Return the next token and go past it."""
        token = self.next
        self.at += 1
        return token


def _expected(found: str, what: str) -> SelectorError:
    return SelectorError(f"unable to parse requirement: found '{found}', expected: {what}")


def _requirement(reader: _Reader) -> Requirement:
    if reader.next == "!":
        reader.take()
        if reader.next in _SIGNS:
            raise _expected(reader.next, "identifier")
        return Requirement(key=reader.take(), op="!exists")
    key, sign = reader.take(), reader.next
    if sign in {"", ","}:
        return Requirement(key=key, op="exists")
    if sign not in _OPERATORS:
        raise _expected(sign, "in, notin, =, ==, !=, gt, lt")
    reader.take()
    if sign in {"in", "notin"}:
        return Requirement(key=key, op=sign, values=_values(reader))
    # Nothing after the sign is the empty value.
    value = reader.take() if reader.next not in _SIGNS else ""
    return Requirement(key=key, op=_OPERATORS[sign], values=(value,))


def _values(reader: _Reader) -> tuple[str, ...]:
    if reader.next != "(":
        raise _expected(reader.next, "'('")
    reader.take()
    values: list[str] = []
    while True:
        values.append(reader.take() if reader.next not in _SIGNS else "")
        if reader.next == ")":
            reader.take()
            return tuple(values)
        if reader.next != ",":
            raise _expected(reader.next, "',' or ')'")
        reader.take()


def _checked(requirement: Requirement) -> Requirement:
    wrong = [(requirement.key, message) for message in names.qualified_name(requirement.key)]
    for value in requirement.values:
        wrong += [(value, message) for message in names.label_value(value)]
        if requirement.op in {"gt", "lt"} and not re.fullmatch(r"[-+]?\d+", value):
            wrong.append((value, "for 'Gt', 'Lt' operators, the value must be an integer"))
    if wrong:
        raise SelectorError('unable to parse requirement: <nil>: Invalid value: "{}": {}'.format(*wrong[0]))
    return requirement


def from_selector(selector: Object | None) -> tuple[Requirement, ...]:
    """Read a LabelSelector object (``matchLabels``, ``matchExpressions``)."""
    ops = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!exists"}
    selector = selector or {}
    equal = [
        Requirement(key=key, op="in", values=(value,))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    more = [
        Requirement(key=each["key"], op=ops[each["operator"]], values=tuple(each.get("values") or ()))
        for each in selector.get("matchExpressions") or []
    ]
    return (*equal, *more)


# plural with group -> the fields a list may select by, besides metadata.name and metadata.namespace
_FIELDS: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ),
    "events": (
        *(
            f"involvedObject.{field}"
            for field in ("apiVersion", "fieldPath", "kind", "name", "namespace", "uid")
        ),
        *("reason", "reportingComponent", "source", "type"),
    ),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
    "jobs.batch": ("status.successful",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTerm:
    """One part of a field selector."""

    path: str
    equal: bool
    value: str

    def matches(self, obj: Object) -> bool:
        """Return whether the object's field has (or has not) the value; a missing field is empty."""
        return (field_of(obj, self.path) == self.value) is self.equal


def field_of(obj: Object, path: str) -> str:
    """Return a field of an object as a selector sees it."""
    if path == "source":
        return str((obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "")
    value: Any = obj
    for part in path.replace("status.successful", "status.succeeded").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path in {"spec.unschedulable", "status.successful"}:
        return {"spec.unschedulable": "true" if value else "false"}.get(path, str(value or 0))
    return "" if value is None else str(value)


def parse_fields(text: str, resource: str) -> tuple[FieldTerm, ...]:
    """Read a field selector for ``resource`` (``pods``, ``jobs.batch``). Raises SelectorError."""
    known = {"metadata.name", "metadata.namespace", *_FIELDS.get(resource, ())}
    terms = []
    for part in (each for each in text.split(",") if each):
        found = re.fullmatch(r"([^=!]*)(!=|==|=)(.*)", part)
        if found is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        if found[1] not in known:
            raise SelectorError(_unknown_field(found[1], resource))
        terms.append(FieldTerm(path=found[1], equal=found[2] != "!=", value=found[3]))
    return tuple(terms)


def _unknown_field(path: str, resource: str) -> str:
    if resource in _FIELDS:  # the API server words its refusal in one of two ways
        return f"field label not supported: {path}"
    return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def matcher(
    labels: tuple[Requirement, ...], fields: tuple[FieldTerm, ...]
) -> Callable[[Object], bool] | None:
    """Return a test for objects, or None when everything matches."""
    if not labels and not fields:
        return None

    def matches(obj: Object) -> bool:
        own = obj["metadata"].get("labels") or {}
        return all(each.matches(own) for each in labels) and all(each.matches(obj) for each in fields)

    return matches
