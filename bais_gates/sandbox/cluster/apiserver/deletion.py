"""DELETE: finalizers, grace periods, and how dependents are to fare.

The garbage collector and the namespace controller are clients; what the server does for them is to keep an
object, with a deletion time and finalizers, until they are through (``registry/rest/delete.go``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import bodies
from bais_gates.sandbox.cluster.apiserver.admission import UNDELETABLE
from bais_gates.sandbox.cluster.apiserver.core import key_of, now, resource_of, type_of
from bais_gates.sandbox.cluster.apiserver.effects import after_write
from bais_gates.sandbox.cluster.apiserver.reading import get
from bais_gates.sandbox.cluster.apiserver.statuses import (
    Resource,
    bad_request,
    conflict,
    forbidden,
    invalid,
    success,
)

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.request import Request

Object = dict[str, Any]
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = ("Background", "Foreground", "Orphan")
# A deletion that is done is answered with the object itself, for these kinds; with a Status for all others.
_GIVEN_BACK = frozenset(
    {
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumes",
        "persistentvolumeclaims",
        "resourcequotas",
        "storageclasses",
    }
)
_DEFAULT_GRACE_S = 30
_ORPHANS_UNLESS_TOLD = frozenset({"jobs"})
"""batch/v1 keeps a Job's pods when the deletion says nothing about dependents, since it always did."""
_JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove "
    "them or set propagationPolicy=Orphan to suppress this warning"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """What a deletion asks for."""

    dry_run: bool = False
    grace_s: int | None = None
    policy: str = ""
    uid: str = ""
    version: str = ""


def delete_options(request: Request) -> DeleteOptions:
    """Read the options from the body, or, without one, from the query; raises 400 and 422."""
    found = bodies.read_options(request)
    if not found:
        found = {
            "dryRun": request.query.get("dryRun") or [],
            "propagationPolicy": request.option("propagationPolicy"),
        }
        if grace := request.option("gracePeriodSeconds"):
            found["gracePeriodSeconds"] = int(grace) if grace.lstrip("-").isdecimal() else grace
        if "orphanDependents" in request.query:
            found["orphanDependents"] = request.flag("orphanDependents")
    _check_types(found)
    policy, orphan = found.get("propagationPolicy") or "", found.get("orphanDependents")
    dry_run = found.get("dryRun") or []
    _check(policy, orphan, dry_run)
    if orphan is not None and not policy:
        policy = "Orphan" if orphan else "Background"
    preconditions = found.get("preconditions") or {}
    return DeleteOptions(
        dry_run=bool(dry_run),
        grace_s=found.get("gracePeriodSeconds"),
        policy=policy,
        uid=preconditions.get("uid") or "",
        version=preconditions.get("resourceVersion") or "",
    )


def _check_types(found: Object) -> None:
    """Refuse options of a wrong type: a request that was misread must delete nothing."""
    preconditions = found.get("preconditions")
    preconditions = {} if preconditions is None else preconditions
    wanted = [
        (found.get("gracePeriodSeconds"), int, "gracePeriodSeconds", "int64"),
        (found.get("propagationPolicy"), str, "propagationPolicy", "v1.DeletionPropagation"),
        (found.get("orphanDependents"), bool, "orphanDependents", "bool"),
        (found.get("dryRun"), list, "dryRun", "[]string"),
        (preconditions, dict, "preconditions", "v1.Preconditions"),
    ]
    if isinstance(preconditions, dict):
        wanted += [
            (preconditions.get(key), str, f"preconditions.{key}", "string")
            for key in ("uid", "resourceVersion")
        ]
    for value, type_, field, go_type in wanted:
        if value is not None and (not isinstance(value, type_) or (type_ is int and isinstance(value, bool))):
            raise bad_request(
                'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot unmarshal '
                f"{bodies.go_type(value)} into Go struct field DeleteOptions.{field} of type {go_type}"
            )


def _check(policy: str, orphan: bool | None, dry_run: list[str]) -> None:  # noqa: FBT001 - as JSON has it
    causes = []
    if policy and orphan is not None:
        message = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(("FieldValueInvalid", message, "propagationPolicy"))
    if policy and policy not in _POLICIES:
        listed = '"Foreground", "Background", "Orphan", "nil"'
        message = f'Unsupported value: "{policy}": supported values: {listed}'
        causes.append(("FieldValueNotSupported", message, "propagationPolicy"))
    if any(value != "All" for value in dry_run):
        listed = ",".join(f'"{value}"' for value in dry_run)
        message = f'Unsupported value: [{listed}]: supported values: "All"'
        causes.append(("FieldValueNotSupported", message, "dryRun"))
    if causes:
        raise invalid("meta.k8s.io", "DeleteOptions", "", causes)


def delete(core: Core, request: Request, kind: Kind, namespace: str, name: str) -> Object:
    """Delete one object, or begin to; returns the object or a Status, as the real server does."""
    options = delete_options(request)
    if kind.plural == "jobs" and not options.policy:
        request.warnings.append(_JOB_WARNING)
    if kind.plural == "namespaces" and not kind.group and name in UNDELETABLE:
        raise forbidden(resource_of(kind), name, "this namespace may not be deleted")
    return delete_object(core, kind, get(core, kind, namespace, name), options)


def delete_object(core: Core, kind: Kind, obj: Object, options: DeleteOptions) -> Object:
    """Delete ``obj`` by the options, or note that it is to go."""
    metadata = obj["metadata"]
    _check_preconditions(kind, metadata, options)
    grace = _grace(kind, obj, options)
    finalizers = _finalizers(kind, metadata, options)
    waits = bool(finalizers) or (
        kind.plural == "namespaces" and bool((obj.get("spec") or {}).get("finalizers"))
    )
    if metadata.get("deletionTimestamp"):
        return _again(core, kind, obj, options, grace, finalizers=finalizers, waits=waits)
    if grace or waits:
        marked = _marked(kind, obj, grace, finalizers)
        return marked if options.dry_run else _kept(core, kind, obj, marked)
    return _removed(core, kind, obj, options)


def _check_preconditions(kind: Kind, metadata: Object, options: DeleteOptions) -> None:
    if options.uid and options.uid != metadata["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record "
            f"({metadata['uid']}). The object might have been deleted and then recreated"
        )
        raise conflict(_by_kind(kind), metadata["name"], why)
    if options.version and options.version != metadata["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.version}) does not match the ResourceVersion "
            f"in record ({metadata['resourceVersion']}). The object might have been modified"
        )
        raise conflict(_by_kind(kind), metadata["name"], why)


def _by_kind(kind: Kind) -> Resource:
    """Return the kind as these messages, unlike all others, name it: ConfigMap instead of configmaps."""
    return Resource(group=kind.group, plural=kind.kind)


def _grace(kind: Kind, obj: Object, options: DeleteOptions) -> int:
    """Return the seconds that are left to it: none but for a Pod that is on a node and not at its end."""
    if kind.plural != "pods" or kind.group:
        return 0
    spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
    asked = options.grace_s
    if asked is None:
        asked = spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_S)
    if not spec.get("nodeName") or phase in {"Failed", "Succeeded"}:
        return 0
    return 1 if asked < 0 else int(asked)


def _finalizers(kind: Kind, metadata: Object, options: DeleteOptions) -> list[str]:
    known = list(metadata.get("finalizers") or [])
    policy = options.policy
    if not policy:
        if ORPHAN in known:
            policy = "Orphan"
        elif FOREGROUND in known:
            policy = "Foreground"
        elif kind.plural in _ORPHANS_UNLESS_TOLD and kind.group == "batch":
            policy = "Orphan"
    kept = [each for each in known if each not in {ORPHAN, FOREGROUND}]
    if policy == "Orphan":
        kept.append(ORPHAN)
    elif policy == "Foreground":
        kept.append(FOREGROUND)
    return kept


def _marked(kind: Kind, obj: Object, grace: int, finalizers: list[str]) -> Object:
    metadata = {**obj["metadata"]}
    metadata["deletionTimestamp"] = _later(grace)
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    marked = {**obj, "metadata": metadata}
    if kind.plural == "namespaces" and not kind.group:
        metadata.pop("deletionGracePeriodSeconds")
        marked["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return marked


def _later(seconds: int) -> str:
    if not seconds:
        return now()
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _again(
    core: Core,
    kind: Kind,
    obj: Object,
    options: DeleteOptions,
    grace: int,
    *,
    finalizers: list[str],
    waits: bool,
) -> Object:
    """Delete what is being deleted: a shorter grace period counts, a longer one doesn't."""
    metadata = obj["metadata"]
    left = metadata.get("deletionGracePeriodSeconds") or 0
    if not waits and (grace == 0 and (kind.plural != "pods" or options.grace_s == 0 or left == 0)):
        return _removed(core, kind, obj, options)
    shorter = options.grace_s is not None and grace < left
    if not shorter and finalizers == (metadata.get("finalizers") or []):
        return obj
    changed = {**metadata}
    if shorter:
        changed |= {"deletionTimestamp": _later(grace), "deletionGracePeriodSeconds": grace}
    if finalizers:
        changed["finalizers"] = finalizers
    marked = {**obj, "metadata": changed}
    return marked if options.dry_run else _kept(core, kind, obj, marked)


def _kept(core: Core, kind: Kind, obj: Object, marked: Object) -> Object:
    metadata = obj["metadata"]
    key = key_of(kind, metadata.get("namespace", ""), metadata["name"])
    return after_write(core, kind, obj, core.store.put(type_of(kind), key, marked))


def _removed(core: Core, kind: Kind, obj: Object, options: DeleteOptions) -> Object:
    metadata = obj["metadata"]
    if not options.dry_run:
        core.store.remove(type_of(kind), key_of(kind, metadata.get("namespace", ""), metadata["name"]))
        after_write(core, kind, obj, None)
    if kind.plural == "pods" and not kind.group:
        gone = {**metadata, "deletionTimestamp": now(), "deletionGracePeriodSeconds": 0}
        return {**obj, "metadata": gone}
    if kind.plural in _GIVEN_BACK and not kind.custom:
        return obj
    return success(metadata["name"], resource_of(kind), metadata["uid"])


def delete_collection(core: Core, kind: Kind, found: list[Object], options: DeleteOptions) -> None:
    """Delete all of ``found``, each by the same options."""
    for obj in found:
        delete_object(core, kind, obj, options)
