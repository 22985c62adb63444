"""What holds for Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs."""

from __future__ import annotations

import zoneinfo
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.cron import schedule_error
from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    Cause,
    forbidden,
    invalid,
    not_supported,
    required,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.validation import meta, pods, storage

NO_MATCH = "`selector` does not match template `labels`"
NO_DEADLINE = "activeDeadlineSeconds in {} is not Supported"
SET_UPDATABLE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
SET_FREE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
CRON_NAME_LIMIT = 52


def deployment(obj: Obj) -> list[Cause]:
    """Return what is wrong with a Deployment's specification."""
    spec = obj["spec"]
    found = meta.not_negative(spec.get("replicas"), "spec.replicas")
    found += _selector(spec, "deployment")
    found += _template(spec, "ReplicaSet")
    found += _strategy(spec.get("strategy") or {})
    for key in ("minReadySeconds", "revisionHistoryLimit"):
        found += meta.not_negative(spec.get(key), f"spec.{key}")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        found += meta.not_negative(deadline, "spec.progressDeadlineSeconds")
        if deadline <= spec.get("minReadySeconds", 0):
            said = "must be greater than minReadySeconds"
            found.append(invalid("spec.progressDeadlineSeconds", deadline, said))
    return found


def replica_set(obj: Obj) -> list[Cause]:
    """Return what is wrong with a ReplicaSet's specification."""
    spec = obj["spec"]
    found = meta.not_negative(spec.get("replicas"), "spec.replicas")
    found += meta.not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    return found + _selector(spec, "deployment") + _template(spec, "ReplicaSet")


def daemon_set(obj: Obj) -> list[Cause]:
    """Return what is wrong with a DaemonSet's specification."""
    spec = obj["spec"]
    found = _selector(spec, "daemonset") + _template(spec, "DaemonSet")
    kind = (spec.get("updateStrategy") or {}).get("type")
    return found + meta.one_of(kind, ("OnDelete", "RollingUpdate"), "spec.updateStrategy")


def stateful_set(obj: Obj) -> list[Cause]:
    """Return what is wrong with a StatefulSet's specification."""
    spec = obj["spec"]
    found: list[Cause] = []
    policy = spec.get("podManagementPolicy")
    if policy not in {"OrderedReady", "Parallel"}:
        said = "must be 'OrderedReady' or 'Parallel'"
        found.append(invalid("spec.podManagementPolicy", policy, said))
    strategy = spec.get("updateStrategy") or {}
    match strategy.get("type"):
        case "RollingUpdate":
            partition = (strategy.get("rollingUpdate") or {}).get("partition")
            found += meta.not_negative(partition, "spec.updateStrategy.rollingUpdate.partition")
        case "OnDelete":
            if "rollingUpdate" in strategy:
                said = "only allowed for updateStrategy 'RollingUpdate'"
                found.append(invalid("spec.updateStrategy.rollingUpdate", strategy["rollingUpdate"], said))
        case _:
            said = "must be 'RollingUpdate' or 'OnDelete'"
            found.append(invalid("spec.updateStrategy", strategy, said))
    for key in ("whenDeleted", "whenScaled"):
        value = (spec.get("persistentVolumeClaimRetentionPolicy") or {}).get(key)
        if value not in {None, "Retain", "Delete"}:
            field = f"spec.persistentVolumeClaimRetentionPolicy.{key}"
            found.append(not_supported(field, value, ("Delete", "Retain")))
    for key in ("replicas", "minReadySeconds"):
        found += meta.not_negative(spec.get(key), f"spec.{key}")
    found += _selector(spec, "statefulset")
    claims = [(claim.get("metadata") or {}).get("name") for claim in spec.get("volumeClaimTemplates") or ()]
    found += _template(spec, "StatefulSet", claims)
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        found += storage.claim_spec(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")
    return found


def _selector(spec: Obj, kind: str) -> list[Cause]:
    value = spec.get("selector")
    if value is None:
        return [required("spec.selector")]
    found = meta.selector(value, "spec.selector")
    if not value.get("matchLabels") and not value.get("matchExpressions"):
        text = f"empty selector is invalid for {kind}"
        found.append(invalid("spec.selector", value, text))
    return found


def _template(spec: Obj, kind: str, claims: Any = ()) -> list[Cause]:
    """Judge the template of a workload whose pods are always restarted."""
    value, found = spec["template"], []
    chosen = spec.get("selector")
    given = (value.get("metadata") or {}).get("labels") or {}
    # No selector chooses nothing, and so not the template either; an empty one chooses everything.
    fits = chosen is not None and (bool(meta.selector(chosen, "")) or meta.matches(chosen, given))
    if not fits:
        found.append(invalid("spec.template.metadata.labels", given or None, NO_MATCH))
    found += pods.template(value, "spec.template", claims)
    policy = value["spec"].get("restartPolicy")
    if policy != "Always":
        found.append(not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if "activeDeadlineSeconds" in value["spec"]:
        field = "spec.template.spec.activeDeadlineSeconds"
        found.append(forbidden(field, NO_DEADLINE.format(kind)))
    return found


def _strategy(strategy: Obj) -> list[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in {"RollingUpdate", "Recreate"}:
        return [not_supported("spec.strategy.type", kind, ("Recreate", "RollingUpdate"))]
    if kind == "Recreate":
        if rolling is not None:
            said = "may not be specified when strategy `type` is 'Recreate'"
            return [forbidden("spec.strategy.rollingUpdate", said)]
        return []
    field = "spec.strategy.rollingUpdate"
    found = meta.int_or_percent(rolling.get("maxUnavailable"), f"{field}.maxUnavailable") if rolling else []
    if rolling:
        found += meta.int_or_percent(rolling.get("maxSurge"), f"{field}.maxSurge")
        if rolling.get("maxUnavailable") in {0, "0%"} and rolling.get("maxSurge") in {0, "0%"}:
            said = "may not be 0 when `maxSurge` is 0"
            found.append(invalid(f"{field}.maxUnavailable", rolling["maxUnavailable"], said))
        unavailable = rolling.get("maxUnavailable")
        if isinstance(unavailable, str) and unavailable[:-1].isdigit() and int(unavailable[:-1]) > 100:
            found.append(invalid(f"{field}.maxUnavailable", unavailable, "must not be greater than 100%"))
    return found


def job(obj: Obj) -> list[Cause]:
    """Return what is wrong with a Job's specification."""
    spec = obj["spec"]
    found: list[Cause] = []
    chosen = spec.get("selector")
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if chosen is None:
        found.append(required("spec.selector"))
    found += _job_spec(spec, "spec")
    if chosen is not None:
        found += meta.selector(chosen, "spec.selector")
        if not meta.matches(chosen, labels):
            found.append(invalid("spec.template.metadata.labels", labels, NO_MATCH))
        if not spec.get("manualSelector"):
            uid = obj["metadata"].get("uid")
            wanted = {
                "batch.kubernetes.io/controller-uid": uid,
                "controller-uid": uid,
                "batch.kubernetes.io/job-name": obj["metadata"].get("name"),
                "job-name": obj["metadata"].get("name"),
            }
            if not meta.matches(chosen, wanted):
                found.append(invalid("spec.selector", chosen, "`selector` not auto-generated"))
    return found


def _job_spec(spec: Obj, field: str) -> list[Cause]:
    found: list[Cause] = []
    for key in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        found += meta.not_negative(spec.get(key), f"{field}.{key}")
    mode = spec.get("completionMode")
    found += meta.one_of(mode, ("NonIndexed", "Indexed"), f"{field}.completionMode")
    if mode == "Indexed" and spec.get("completions") is None:
        said = "when completion mode is Indexed"
        found.append(required(f"{field}.completions", said))
    policy = spec.get("podReplacementPolicy")
    found += meta.one_of(policy, ("Failed", "TerminatingOrFailed"), f"{field}.podReplacementPolicy")
    found += pods.template(spec["template"], f"{field}.template")
    restart = spec["template"]["spec"].get("restartPolicy")
    if restart == "Always":
        here = f"{field}.template.spec.restartPolicy"
        found.append(required(here, 'valid values: "OnFailure", "Never"'))
    elif restart not in {"OnFailure", "Never"}:
        here = f"{field}.template.spec.restartPolicy"
        found.append(not_supported(here, restart, ("OnFailure", "Never")))
    return found


def cron_job(obj: Obj) -> list[Cause]:
    """Return what is wrong with a CronJob."""
    spec = obj["spec"]
    found: list[Cause] = []
    schedule = spec.get("schedule", "")
    if not schedule:
        found.append(required("spec.schedule"))
    else:
        if wrong := schedule_error(schedule):
            found.append(invalid("spec.schedule", schedule, wrong))
        if "TZ" in schedule:
            said = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            found.append(invalid("spec.schedule", schedule, said))
    for key in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        found += meta.not_negative(spec.get(key), f"spec.{key}")
    zone = spec.get("timeZone")
    if zone is not None:
        found += _time_zone(zone)
    policy = spec.get("concurrencyPolicy")
    found += meta.one_of(policy, ("Allow", "Forbid", "Replace"), "spec.concurrencyPolicy")
    inner = spec["jobTemplate"]["spec"]
    found += _job_spec(inner, "spec.jobTemplate.spec")
    if "selector" in inner:
        said = "`selector` will be auto-generated"
        found.append(invalid("spec.jobTemplate.spec.selector", inner["selector"], said))
    if inner.get("manualSelector"):
        field = "spec.jobTemplate.spec.manualSelector"
        found.append(not_supported(field, value=True, values=("nil", "false")))
    if len(obj["metadata"].get("name") or "") > CRON_NAME_LIMIT:
        said = "must be no more than 52 characters"
        found.append(invalid("metadata.name", obj["metadata"]["name"], said))
    return found


def _time_zone(zone: str) -> list[Cause]:
    if not zone:
        return [invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        return [
            invalid(
                "spec.timeZone",
                zone,
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            )
        ]
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [invalid("spec.timeZone", zone, f"unknown time zone {zone}")]
    return []


def updated(kind: str, old: Obj, new: Obj) -> list[Cause]:
    """Return what an update changes of a workload though it never changes."""
    before, after = old["spec"], new["spec"]
    if kind in {"Deployment", "ReplicaSet", "DaemonSet"}:
        return meta.unchanged(before.get("selector"), after.get("selector"), "spec.selector")
    if kind == "StatefulSet":
        left = {key: value for key, value in before.items() if key not in SET_FREE}
        right = {key: value for key, value in after.items() if key not in SET_FREE}
        return [] if left == right else [forbidden("spec", SET_UPDATABLE)]
    if kind == "Job":
        return _updated_job(old, new)
    return []


def _updated_job(old: Obj, new: Obj) -> list[Cause]:
    before, after = old["spec"], new["spec"]
    found: list[Cause] = []
    if before.get("completionMode") != "Indexed" or after.get("completions") != after.get("parallelism"):
        found += meta.unchanged(before.get("completions"), after.get("completions"), "spec.completions")
    found += meta.unchanged(before.get("selector"), after.get("selector"), "spec.selector")
    found += _updated_template(old, before.get("template"), after.get("template"))
    for key in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        found += meta.unchanged(before.get(key), after.get(key), f"spec.{key}")
    return found


def _updated_template(old: Obj, before: Any, after: Any) -> list[Cause]:
    """Return a cause if the template changed; where pods go may, while a Job waits to start at all."""
    if before == after:
        return []
    if old["spec"].get("suspend") and not (old.get("status") or {}).get("startTime"):
        free = ("affinity", "nodeSelector", "tolerations", "schedulingGates")
        left = {**before["spec"]}
        right = {**after["spec"]}
        for key in free:
            left.pop(key, None)
            right.pop(key, None)
        if left == right:
            return []
    return [invalid("spec.template", after, meta.IMMUTABLE)]
