"""Who owns which field: managedFields, ordinary writes and server-side apply."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from bais_gates.sandbox.cluster.apiserver.kinds.errors import ApplyConflict, Failed
from bais_gates.sandbox.cluster.apiserver.kinds.fieldsets import FieldSet, shown
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.omitted import zero_value
from bais_gates.sandbox.cluster.apiserver.kinds.typed import (
    compare,
    field_set,
    merge,
    problems,
    remove,
    with_named_fields,
)

BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
# Fields that every object has and nobody owns.
_UNOWNED = FieldSet()
for _path in (
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{_name}")
        for _name in (
            "clusterName",
            "creationTimestamp",
            "generation",
            "managedFields",
            "name",
            "namespace",
            "resourceVersion",
            "selfLink",
            "uid",
        )
    ),
):
    _UNOWNED.insert(_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One entry of managedFields: what a manager owns by one kind of operation."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""
    time: str = ""
    fields: FieldSet

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes two entries those of the same owner; of an applier the version doesn't count."""
        version = self.api_version if self.operation == "Update" else ""
        return (self.manager, self.operation, version, self.subresource)

    @property
    def label(self) -> str:
        """The owner as conflicts name it."""
        label = json.dumps(self.manager)
        if self.subresource:
            label += f' with subresource "{self.subresource}"'
        return f"{label} using {self.api_version}" if self.operation == "Update" else label

    def entry(self) -> Obj:
        """Return the entry as managedFields has it."""
        made: Obj = {"manager": self.manager, "operation": self.operation, "apiVersion": self.api_version}
        if self.time:
            made["time"] = self.time
        made |= {"fieldsType": "FieldsV1", "fieldsV1": self.fields.to_fields()}
        if self.subresource:
            made["subresource"] = self.subresource
        return made


def owners_of(entries: Any) -> list[Owner] | None:
    """Read managedFields; None if they are malformed."""
    made = []
    for entry in entries or ():
        if entry == {}:
            return []
        try:
            if entry.get("fieldsType") != "FieldsV1" or entry.get("operation") not in {"Apply", "Update"}:
                return None
            made.append(
                Owner(
                    manager=entry.get("manager", ""),
                    operation=entry["operation"],
                    api_version=entry.get("apiVersion", ""),
                    subresource=entry.get("subresource", ""),
                    time=entry.get("time") or "",
                    fields=FieldSet.from_fields(entry.get("fieldsV1") or {}),
                )
            )
        except (AttributeError, ValueError):
            return None
    return made


def _stored(obj: Obj, owners: list[Owner]) -> Obj:
    """Return the object with these owners as its managedFields, in the order the API server writes them."""
    kept = [replace(owner, fields=owner.fields.difference(_UNOWNED)) for owner in owners]
    kept = [owner for owner in kept if owner.fields]
    kept.sort(key=lambda item: (item.operation, item.time, item.manager, item.api_version, item.subresource))
    meta = {key: value for key, value in obj.get("metadata", {}).items() if key != "managedFields"}
    if kept:
        meta["managedFields"] = [owner.entry() for owner in kept]
    return {**obj, "metadata": meta}


def _bare(obj: Obj) -> Obj:
    meta = {key: value for key, value in obj.get("metadata", {}).items() if key != "managedFields"}
    return {**obj, "metadata": meta}


def _empty(kind: Kind) -> Obj:
    return {} if kind.custom else zero_value(kind.node.name)


def track_update(
    kind: Kind,
    old: Obj | None,
    new: Obj,
    *,
    manager: str,
    operation: Literal["Update"] = "Update",
    subresource: str | None = None,
    now: str,
    decoded: Obj | None = None,
) -> Obj:
    """Return ``new`` with the managedFields that an ordinary write leaves.

    ``decoded``: the object to reckon from instead of ``new`` (a fresh one before the server added parts).
    ``now``: the moment of the write, ``2026-01-01T00:00:00Z``.
    """
    given = new.get("metadata", {}).get("managedFields") if subresource is None else None
    owners = owners_of(given) if given else None
    if owners is None:
        owners = owners_of((old or {}).get("metadata", {}).get("managedFields")) or []
    if old is not None and not owners:
        return _stored(new, [])
    before = _empty(kind) if old is None else _bare(old)
    diff = compare(kind.node, before, _bare(decoded or new))
    taken = _reckoned(kind, diff.modified.union(diff.added), subresource)
    left = [
        replace(owner, fields=owner.fields.difference(taken).difference(diff.removed)) for owner in owners
    ]
    if taken:
        mine = Owner(
            manager=manager,
            operation=operation,
            api_version=kind.api_version,
            subresource=subresource or "",
            time=now,
            fields=taken,
        )
        for owner in [owner for owner in left if owner.identity == mine.identity]:
            left.remove(owner)
            mine = replace(mine, fields=mine.fields.union(owner.fields))
        left.append(mine)
    return _stored(new, left)


def _reckoned(kind: Kind, fields: FieldSet, subresource: str | None) -> FieldSet:
    """Return the fields that a write is noted for: a status is nobody's but who wrote it as such."""
    made = fields.difference(_UNOWNED)
    if subresource != "status" and "status" in kind.subresources:
        made.members.discard("f:status")
        made.children.pop("f:status", None)
    return made


def apply(
    kind: Kind,
    live: Obj | None,
    applied: Obj,
    *,
    manager: str,
    force: bool,
    subresource: str | None = None,
    now: str,
) -> Obj:
    """Return what an object becomes by a server-side apply, managedFields included.

    ``live``: None creates it. Without a change the live object itself comes back. Raises ApplyConflict
    for fields of others (unless ``force``), Failed for a configuration that doesn't fit the kind.
    """
    _refuse(kind, applied)
    config = _applicable(kind, applied, subresource)
    before = _bare(live) if live is not None else _empty(kind)
    owners = (owners_of(live["metadata"].get("managedFields")) or []) if live is not None else []
    if live is not None and not owners:
        everything = compare(kind.node, _empty(kind), before)
        first = Owner(
            manager=BEFORE_FIRST_APPLY,
            operation="Update",
            api_version=kind.api_version,
            time=now,
            fields=_reckoned(kind, everything.added.union(everything.modified), subresource),
        )
        owners = [first]
    named = Owner(
        manager=manager,
        operation="Apply",
        api_version=kind.api_version,
        subresource=subresource or "",
        time=now,
        fields=field_set(kind.node, config),
    )
    mine = replace(named, fields=named.fields.difference(_UNOWNED))
    last = next((owner for owner in owners if owner.identity == mine.identity), None)
    others = [owner for owner in owners if owner.identity != mine.identity]
    merged = merge(kind.node, before, config)
    if last is not None and last.fields:
        # With the name, which nobody owns: what stands beside it in the metadata stays only for its sake.
        merged = _pruned(kind, merged, [*others, named], last)
    diff = compare(kind.node, before, merged)
    taken = diff.modified.union(diff.added)
    conflicts = _conflicts(others, taken)
    if conflicts and not force:
        raise ApplyConflict(conflicts)
    left = [
        replace(owner, fields=owner.fields.difference(taken).difference(diff.removed)) for owner in others
    ]
    if diff.same and last is not None and last.fields == mine.fields and live is not None:
        return live
    return _stored(_with_annotation(live, merged, applied, manager), [*left, mine])


def _refuse(kind: Kind, applied: Obj) -> None:
    meta = applied["metadata"]
    violations = problems(kind.node, applied)
    if violations:
        name, namespace = meta.get("name", ""), meta.get("namespace", "")
        message = (
            violations[0]
            if len(violations) == 1
            else "errors:\n" + "\n".join(f"  {each}" for each in violations)
        )
        version = f"{kind.group}/{kind.version}" if kind.group else f"/{kind.version}"
        raise Failed(
            f"failed to create typed patch object ({namespace}/{name}; {version}, Kind={kind.kind}): "
            f"{message}"
        )


def _applicable(kind: Kind, applied: Obj, subresource: str | None) -> Obj:
    """Return what of a configuration this request may set: the status only through its subresource."""
    if subresource == "status":
        meta = applied.get("metadata") or {}
        named = {key: meta[key] for key in ("name", "namespace", "uid") if key in meta}
        kept: Obj = {key: applied[key] for key in ("apiVersion", "kind", "status") if key in applied}
        return {**kept, "metadata": named}
    if "status" in kind.subresources:
        return {key: value for key, value in applied.items() if key != "status"}
    return applied


def _conflicts(others: list[Owner], taken: FieldSet) -> list[tuple[str, str]]:
    found = []
    for owner in sorted(others, key=lambda item: item.label):
        found += [(owner.label, shown(path)) for path in owner.fields.intersection(taken).paths()]
    return found


def _pruned(kind: Kind, merged: Any, managers: list[Owner], last: Owner) -> Any:
    """Take out what this manager applied last time, doesn't now, and nobody else owns."""
    node = kind.node

    def whole(fields: FieldSet) -> FieldSet:
        return with_named_fields(node, fields)

    pruned = remove(node, merged, whole(last.fields)) or {}
    managed = FieldSet()
    for owner in managers:
        managed = managed.union(owner.fields)
    everything = whole(field_set(node, merged))
    kept = whole(field_set(node, pruned)).union(whole(managed))
    pruned = remove(node, merged, everything.difference(kept)) or {}
    gone = everything.difference(whole(field_set(node, pruned))).intersection(whole(last.fields))
    return remove(node, merged, gone) or {}


def _last_applied(obj: Obj | None) -> Any:
    return ((obj or {}).get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)


def _with_annotation(live: Obj | None, merged: Obj, applied: Obj, manager: str) -> Obj:
    """Keep kubectl's annotation of the last applied configuration up to date where there is one."""
    if manager != KUBECTL or not _last_applied(live):
        return merged
    meta = dict(merged.get("metadata") or {})
    metadata = applied.get("metadata") or {}
    if isinstance(metadata.get("annotations"), dict):
        notes = {key: value for key, value in metadata["annotations"].items() if key != LAST_APPLIED}
        applied = {**applied, "metadata": {**metadata, "annotations": notes}}
    text = json.dumps(applied, separators=(",", ":"), sort_keys=True) + "\n"
    meta["annotations"] = {**(meta.get("annotations") or {}), LAST_APPLIED: text}
    return {**merged, "metadata": meta}


def same_but_times(old: Obj, new: Obj) -> bool:
    """Whether two objects differ in nothing but the times in their managedFields: such a write is none."""
    return _timeless(old) == _timeless(new)


def _timeless(obj: Obj) -> Obj:
    entries = obj.get("metadata", {}).get("managedFields") or ()
    plain = [{key: value for key, value in entry.items() if key != "time"} for entry in entries]
    plain.sort(key=lambda item: str((item.get("operation"), item.get("manager"), item.get("subresource"))))
    return {**obj, "metadata": {**obj.get("metadata", {}), "managedFields": plain}}
