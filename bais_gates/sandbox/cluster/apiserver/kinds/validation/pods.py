"""What holds for pods and for the templates of pods."""

from __future__ import annotations

import ipaddress
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import Cause, forbidden, invalid, required
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.validation import (
    containers,
    meta,
    names,
    placement,
    volumes,
)

RESTART = ("Always", "OnFailure", "Never")
DNS = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
ADDRESS_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
MOST_SERVERS = 3
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
    known, found = volumes.volumes(spec.get("volumes") or [], f"{field}.volumes")
    known |= {claim: {} for claim in claims}
    found += containers.all_causes(spec, known, field)
    found += meta.one_of(spec.get("restartPolicy"), RESTART, f"{field}.restartPolicy")
    found += meta.one_of(spec.get("dnsPolicy"), DNS, f"{field}.dnsPolicy")
    found += meta.label_causes(spec.get("nodeSelector"), f"{field}.nodeSelector")
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
    found += placement.tolerations(spec.get("tolerations"), f"{field}.tolerations")
    found += placement.spread(spec.get("topologySpreadConstraints"), f"{field}.topologySpreadConstraints")
    found += placement.affinity(spec.get("affinity"), f"{field}.affinity")
    found += _names(spec, field) + _security(spec, field)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        name = gate.get("conditionType") or ""
        at = f"{field}.readinessGates[{index}].conditionType"
        found += [invalid(at, name, said) for said in names.qualified_name(name)]
    return found


def _names(spec: Obj, field: str) -> list[Cause]:
    """Judge the addresses that a pod asks for beside those of the cluster."""
    found: list[Cause] = []
    servers = (spec.get("dnsConfig") or {}).get("nameservers") or []
    if spec.get("dnsPolicy") == "None" and spec.get("dnsConfig") is None:
        found.append(required(f"{field}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None"))
    elif spec.get("dnsPolicy") == "None" and not servers:
        said = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        found.append(required(f"{field}.dnsConfig.nameservers", said))
    if len(servers) > MOST_SERVERS:
        said = f"must not have more than {MOST_SERVERS} nameservers"
        found.append(invalid(f"{field}.dnsConfig.nameservers", servers, said))
    for index, server in enumerate(servers):
        if not _is_address(server):
            found.append(invalid(f"{field}.dnsConfig.nameservers[{index}]", server, ADDRESS_TEXT))
    for alias in spec.get("hostAliases") or ():
        if not _is_address(alias.get("ip") or ""):
            found.append(invalid(f"{field}.hostAliases.ip", alias.get("ip") or "", ADDRESS_TEXT))
        for name in alias.get("hostnames") or ():
            at = f"{field}.hostAliases.hostnames"
            found += [invalid(at, name, said) for said in names.dns_subdomain(name)]
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _security(spec: Obj, field: str) -> list[Cause]:
    """Judge the security context of the whole pod."""
    context = spec.get("securityContext") or {}
    here = f"{field}.securityContext"
    found: list[Cause] = []
    numbers = [(key, context.get(key)) for key in ("fsGroup", "runAsUser", "runAsGroup")]
    numbers += [
        (f"supplementalGroups[{index}]", number)
        for index, number in enumerate(context.get("supplementalGroups") or ())
    ]
    for key, number in numbers:
        if number is not None and not 0 <= number < 2**31:
            said = "must be between 0 and 2147483647, inclusive"
            found.append(invalid(f"{here}.{key}", number, said))
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        said = "ShareProcessNamespace and HostPID cannot both be enabled"
        found.append(invalid(f"{field}.shareProcessNamespace", value=True, detail=said))
    policy = context.get("fsGroupChangePolicy")
    found += meta.one_of(policy, ("Always", "OnRootMismatch"), f"{here}.fsGroupChangePolicy")
    return found + containers.seccomp(context.get("seccompProfile"), f"{here}.seccompProfile")


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
