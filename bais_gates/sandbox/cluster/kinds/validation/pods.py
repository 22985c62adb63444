"""What holds for pods and for the templates of pods."""

from __future__ import annotations

from typing import Any

from bais_gates.sandbox.cluster.kinds.errors import Cause, duplicate, forbidden, invalid, required
from bais_gates.sandbox.cluster.kinds.kind import Obj
from bais_gates.sandbox.cluster.kinds.validation import containers, meta, names

RESTART = ("Always", "OnFailure", "Never")
DNS = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
SOURCES_WITH_NAME = {"secret": "secretName", "configMap": "name", "persistentVolumeClaim": "claimName"}
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def template(value: Obj, field: str, claims: Any = ()) -> list[Cause]:
    """Return what is wrong with a pod template; ``claims``: volumes that the workload itself brings."""
    about = value.get("metadata") or {}
    found = meta.label_causes(about.get("labels"), f"{field}.labels")
    found += meta.annotation_causes(about.get("annotations"), f"{field}.annotations")
    return found + spec_causes(value.get("spec") or {}, f"{field}.spec", claims)


def spec_causes(spec: Obj, field: str, claims: Any = ()) -> list[Cause]:
    """Return what is wrong with the specification of a pod."""
    volumes, found = _volumes(spec.get("volumes") or [], f"{field}.volumes")
    volumes |= {claim: {} for claim in claims}
    found += containers.all_causes(spec, volumes, field)
    found += meta.one_of(spec.get("restartPolicy"), RESTART, f"{field}.restartPolicy")
    found += meta.one_of(spec.get("dnsPolicy"), DNS, f"{field}.dnsPolicy")
    found += meta.label_causes(spec.get("nodeSelector"), f"{field}.nodeSelector")
    grace = spec.get("terminationGracePeriodSeconds")
    found += meta.not_negative(grace, f"{field}.terminationGracePeriodSeconds")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline < 2**31:
        said = "must be between 1 and 2147483647, inclusive"
        found.append(invalid(f"{field}.activeDeadlineSeconds", deadline, said))
    for key, rule in (
        ("serviceAccountName", names.dns_subdomain),
        ("nodeName", names.dns_subdomain),
        ("priorityClassName", names.dns_subdomain),
        ("hostname", names.dns_label),
        ("subdomain", names.dns_label),
    ):
        if spec.get(key):
            found += [invalid(f"{field}.{key}", spec[key], said) for said in rule(spec[key])]
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            found.append(required(f"{field}.imagePullSecrets[{index}].name"))
    found += _tolerations(spec.get("tolerations") or (), f"{field}.tolerations")
    found += _spread(spec.get("topologySpreadConstraints") or (), f"{field}.topologySpreadConstraints")
    context = spec.get("securityContext") or {}
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        number = context.get(key)
        if number is not None and not 0 <= number < 2**31:
            said = "must be between 0 and 2147483647, inclusive"
            found.append(invalid(f"{field}.securityContext.{key}", number, said))
    return found


def _volumes(volumes: list[Obj], field: str) -> tuple[dict[str, Obj], list[Cause]]:
    known: dict[str, Obj] = {}
    found: list[Cause] = []
    for index, volume in enumerate(volumes):
        here = f"{field}[{index}]"
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        said = "may not specify more than 1 volume type"
        found += [forbidden(f"{here}.{extra}", said) for extra in sources[1:]]
        found += _source(volume, here)
        name = volume.get("name", "")
        if not name:
            found.append(required(f"{here}.name"))
        else:
            found += [invalid(f"{here}.name", name, said) for said in names.dns_label(name)]
        if name and name in known:
            found.append(duplicate(f"{here}.name", name))
        known[name] = volume
    return known, found


def _source(volume: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    for source, key in SOURCES_WITH_NAME.items():
        given = volume.get(source)
        if given is None:
            continue
        if not given.get(key):
            found.append(required(f"{here}.{source}.{key}"))
        mode = given.get("defaultMode")
        if mode is not None and not 0 <= mode <= 0o777:
            found.append(invalid(f"{here}.{source}.defaultMode", mode, MODE_TEXT))
        for index, item in enumerate(given.get("items") or ()):
            at = f"{here}.{source}.items[{index}]"
            found += [required(f"{at}.{part}") for part in ("key", "path") if not item.get(part)]
    if volume.get("hostPath") is not None and not volume["hostPath"].get("path"):
        found.append(required(f"{here}.hostPath.path"))
    return found


def _tolerations(items: Any, field: str) -> list[Cause]:
    found: list[Cause] = []
    for index, item in enumerate(items):
        here = f"{field}[{index}]"
        key, operator = item.get("key", ""), item.get("operator", "")
        if key:
            found += [invalid(f"{here}.key", key, said) for said in names.qualified_name(key)]
        elif operator != "Exists":
            said = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.append(invalid(f"{here}.operator", operator, said))
        if "tolerationSeconds" in item and item.get("effect") != "NoExecute":
            said = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            found.append(invalid(f"{here}.effect", item.get("effect", ""), said))
        if operator == "Exists" and item.get("value"):
            found.append(invalid(f"{here}.operator", item, "value must be empty when `operator` is 'Exists'"))
        found += meta.one_of(operator or None, ("Equal", "Exists"), f"{here}.operator")
        found += meta.one_of(item.get("effect") or None, TAINT_EFFECTS, f"{here}.effect")
    return found


def _spread(items: Any, field: str) -> list[Cause]:
    found: list[Cause] = []
    for index, item in enumerate(items):
        here = f"{field}[{index}]"
        if item.get("maxSkew", 0) <= 0:
            found.append(invalid(f"{here}.maxSkew", item.get("maxSkew", 0), "must be greater than zero"))
        if not item.get("topologyKey"):
            found.append(required(f"{here}.topologyKey", "can not be empty"))
        action = item.get("whenUnsatisfiable")
        found += meta.one_of(action, ("DoNotSchedule", "ScheduleAnyway"), f"{here}.whenUnsatisfiable")
        found += meta.selector(item.get("labelSelector"), f"{here}.labelSelector")
    return found


def update_causes(old: Obj, new: Obj) -> list[Cause]:  # field after field, as the rule lists them
    """Return what an update of a pod changes though it may not."""
    before, after = dict(old.get("spec") or {}), dict(new.get("spec") or {})
    for group in ("containers", "initContainers"):
        had, has = before.get(group) or [], after.get(group) or []
        if len(had) != len(has):
            return [forbidden(f"spec.{group}", "pod updates may not add or remove containers")]
        for index, container in enumerate(has):
            if not container.get("image"):
                return [required(f"spec.{group}[{index}].image")]
        if has:
            after[group] = [{**item, "image": was.get("image")} for item, was in zip(has, had, strict=True)]
    found = _kept_tolerations(before.get("tolerations") or [], after.get("tolerations") or [])
    deadline, was = after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if deadline is None and was is not None:
        said = "must not update from a positive integer to nil value"
        found.append(invalid("spec.activeDeadlineSeconds", None, said))
    elif deadline is not None and was is not None and was < deadline:
        said = "must be less than or equal to previous value"
        found.append(invalid("spec.activeDeadlineSeconds", deadline, said))
    for key in ("tolerations", "activeDeadlineSeconds"):
        before.pop(key, None)
        after.pop(key, None)
    if before != after:
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        found.append(forbidden("spec", f"{UPDATABLE}\n  changed: {', '.join(changed)}\n"))
    return found


def _kept_tolerations(before: list[Obj], after: list[Obj]) -> list[Cause]:
    if all(any(_same(item, other) for other in after) for item in before):
        return []
    said = "existing toleration can not be modified except its tolerationSeconds"
    return [forbidden("spec.tolerations", said)]


def _same(one: Obj, other: Obj) -> bool:
    return {**one, "tolerationSeconds": 0} == {**other, "tolerationSeconds": 0}
