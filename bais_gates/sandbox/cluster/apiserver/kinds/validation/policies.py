"""What holds for autoscalers, disruption budgets, roles, bindings, leases and priority classes."""

from __future__ import annotations

from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    Cause,
    forbidden,
    invalid,
    not_supported,
    required,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.quantity import value_of
from bais_gates.sandbox.cluster.apiserver.kinds.validation import meta, names

RBAC_GROUP = "rbac.authorization.k8s.io"
METRICS = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
POSITIVE = "must be greater than 0"
_SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def autoscaler(obj: Obj) -> list[Cause]:
    """Return what is wrong with a HorizontalPodAutoscaler's specification."""
    spec = obj["spec"]
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    found: list[Cause] = []
    if low is not None and low < 1:
        found.append(invalid("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        found.append(invalid("spec.maxReplicas", high, POSITIVE))
    if low is not None and high < low:
        found.append(invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    found += _target_ref(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    for index, metric in enumerate(spec.get("metrics") or ()):
        found += _metric(metric, f"spec.metrics[{index}]")
    for side in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(side)
        if rules is not None:
            found += _scaling(rules, f"spec.behavior.{side}")
    return found


def _scaling(rules: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        found.append(
            invalid(f"{here}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
        )
    if window is not None and window > 3600:
        said = "must be less than or equal to 3600"
        found.append(invalid(f"{here}.stabilizationWindowSeconds", window, said))
    found += meta.one_of(rules.get("selectPolicy"), ("Disabled", "Max", "Min"), f"{here}.selectPolicy")
    if not rules.get("policies"):
        found.append(required(f"{here}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(rules.get("policies") or ()):
        place = f"{here}.policies[{index}]"
        found += meta.one_of(policy.get("type"), ("Percent", "Pods"), f"{place}.type")
        if policy.get("value", 0) <= 0:
            found.append(invalid(f"{place}.value", policy.get("value", 0), "must be greater than zero"))
        period = policy.get("periodSeconds", 0)
        if period <= 0:
            found.append(invalid(f"{place}.periodSeconds", period, "must be greater than zero"))
        elif period > 1800:
            found.append(invalid(f"{place}.periodSeconds", period, "must be less than or equal to 1800"))
    return found


def _target_ref(ref: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    for key in ("kind", "name"):
        value = ref.get(key, "")
        if not value:
            found.append(required(f"{here}.{key}"))
        else:
            found += [invalid(f"{here}.{key}", value, said) for said in names.path_segment(value)]
    return found


def _metric(metric: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    kind = metric.get("type", "")
    if not kind:
        found.append(required(f"{here}.type", "must specify a metric source type"))
    if kind not in METRICS:
        found.append(not_supported(f"{here}.type", kind, METRICS))
    given = [field for field in METRICS.values() if metric.get(field) is not None]
    for field in given[:1]:
        found += _metric_source(metric[field], f"{here}.{field}", field)
    expected = METRICS.get(kind, kind[:1].lower() + kind[1:])
    if expected not in given:
        said = "must populate information for the given metric source"
        found.append(required(f"{here}.{expected}", said))
    if len(given) != 1:
        found += [
            forbidden(f"{here}.{field}", "must populate the given metric source only")
            for field in given
            if field != expected
        ]
    return found


def _metric_source(source: Obj, here: str, kind: str) -> list[Cause]:
    found: list[Cause] = []
    if kind in {"resource", "containerResource"} and not source.get("name"):
        found.append(required(f"{here}.name", "must specify a resource name"))
    if kind in {"pods", "object", "external"} and not (source.get("metric") or {}).get("name"):
        found.append(required(f"{here}.metric.name", "must specify a metric name"))
    target = source.get("target") or {}
    choices = ("Utilization", "Value", "AverageValue")
    if not target.get("type"):
        found.append(required(f"{here}.target.type", "must specify a metric target type"))
    found += meta.one_of(target.get("type"), choices, f"{here}.target.type")
    use = target.get("averageUtilization")
    if use is not None and use < 1:
        found.append(invalid(f"{here}.target.averageUtilization", use, POSITIVE))
    for key in ("value", "averageValue"):
        amount = target.get(key)
        if amount is not None and (value_of(str(amount)) or 0) <= 0:
            found.append(invalid(f"{here}.target.{key}", amount, "must be positive"))
    if kind == "resource":
        if use is None and target.get("averageValue") is None:
            said = "must set either a target raw value or a target utilization"
            found.append(required(f"{here}.target.averageUtilization", said))
        if use is not None and target.get("averageValue") is not None:
            said = "may not set both a target raw value and a target utilization"
            found.append(forbidden(f"{here}.target.averageValue", said))
    return found


def disruption_budget(obj: Obj) -> list[Cause]:
    """Return what is wrong with a PodDisruptionBudget's specification."""
    spec = obj["spec"]
    found: list[Cause] = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        said = "minAvailable and maxUnavailable cannot be both set"
        found.append(invalid("spec", spec, said))
    for key in ("minAvailable", "maxUnavailable"):
        if key in spec:
            found += meta.int_or_percent(spec[key], f"spec.{key}")
            value = spec[key]
            if isinstance(value, str) and value[:-1].isdigit() and int(value[:-1]) > 100:
                found.append(invalid(f"spec.{key}", value, "must not be greater than 100%"))
    found += meta.selector(spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    choices = ("AlwaysAllow", "IfHealthyBudget")
    return found + meta.one_of(policy, choices, "spec.unhealthyPodEvictionPolicy")


def role(obj: Obj, *, namespaced: bool) -> list[Cause]:
    """Return what is wrong with the rules of a Role or ClusterRole."""
    found: list[Cause] = []
    for index, rule in enumerate(obj.get("rules") or ()):
        here = f"rules[{index}]"
        if not rule.get("verbs"):
            found.append(required(f"{here}.verbs", "verbs must contain at least one value"))
        if rule.get("nonResourceURLs"):
            if namespaced:
                said = "namespaced rules cannot apply to non-resource URLs"
                found.append(invalid(f"{here}.nonResourceURLs", rule["nonResourceURLs"], said))
            elif rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                said = "rules cannot apply to both regular resources and non-resource URLs"
                found.append(invalid(f"{here}.nonResourceURLs", rule["nonResourceURLs"], said))
            continue
        if not rule.get("apiGroups"):
            said = "resource rules must supply at least one api group"
            found.append(required(f"{here}.apiGroups", said))
        if not rule.get("resources"):
            said = "resource rules must supply at least one resource"
            found.append(required(f"{here}.resources", said))
    return found


def cluster_role(obj: Obj) -> list[Cause]:
    """Return what is wrong with a ClusterRole."""
    found = role(obj, namespaced=False)
    rule = obj.get("aggregationRule")
    if rule is not None and not rule.get("clusterRoleSelectors"):
        said = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        found.append(required("aggregationRule.clusterRoleSelectors", said))
    for index, chosen in enumerate((obj.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()):
        found += meta.selector(chosen, f"aggregationRule.clusterRoleSelectors[{index}]")
    return found


def binding(obj: Obj) -> list[Cause]:
    """Return what is wrong with a RoleBinding or ClusterRoleBinding."""
    ref = obj.get("roleRef") or {}
    found: list[Cause] = []
    if ref.get("apiGroup") != RBAC_GROUP:
        found.append(not_supported("roleRef.apiGroup", ref.get("apiGroup", ""), (RBAC_GROUP,)))
    choices = ("ClusterRole",) if obj.get("kind") == "ClusterRoleBinding" else ("Role", "ClusterRole")
    if ref.get("kind") not in choices:
        found.append(not_supported("roleRef.kind", ref.get("kind", ""), choices))
    name = ref.get("name", "")
    if not name:
        found.append(required("roleRef.name"))
    else:
        found += [invalid("roleRef.name", name, said) for said in names.path_segment(name)]
    for index, subject in enumerate(obj.get("subjects") or ()):
        found += _subject(subject, f"subjects[{index}]", namespaced=obj.get("kind") == "RoleBinding")
    return found


def _subject(subject: Obj, here: str, *, namespaced: bool) -> list[Cause]:
    found: list[Cause] = []
    kind, name, group = subject.get("kind", ""), subject.get("name", ""), subject.get("apiGroup", "")
    if not name:
        found.append(required(f"{here}.name"))
    if kind == "ServiceAccount":
        if name:
            found += [invalid(f"{here}.name", name, said) for said in names.dns_subdomain(name)]
        if group:
            found.append(not_supported(f"{here}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            found.append(required(f"{here}.namespace"))
    elif kind in {"User", "Group"}:
        if group != RBAC_GROUP:
            found.append(not_supported(f"{here}.apiGroup", group, (RBAC_GROUP,)))
    else:
        found.append(not_supported(f"{here}.kind", kind, ("ServiceAccount", "User", "Group")))
    return found


def updated_binding(old: Obj, new: Obj) -> list[Cause]:
    """Return a cause if an update changes the role that a binding is about."""
    if old.get("roleRef") == new.get("roleRef"):
        return []
    return [invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]


def priority_class(obj: Obj) -> list[Cause]:
    """Return what is wrong with a PriorityClass."""
    name, value = obj["metadata"].get("name", ""), obj.get("value", 0)
    found: list[Cause] = []
    if _SYSTEM_CLASSES.get(name) == value and not obj.get("globalDefault"):
        pass  # one of the two that the server makes for itself
    elif name.startswith("system-"):
        said = (
            "priority class names with 'system-' prefix are reserved for system use only. error: "
            f"{name} is not a known system priority class"
        )
        found.append(forbidden("metadata.name", said))
    elif value > 1_000_000_000:
        found.append(forbidden("value", "maximum allowed value of a user defined priority is 1000000000"))
    choices = ("Never", "PreemptLowerPriority")
    return found + meta.one_of(obj.get("preemptionPolicy"), choices, "preemptionPolicy")


def updated_priority_class(old: Obj, new: Obj) -> list[Cause]:
    """Return what an update of a PriorityClass changes though it never changes."""
    found: list[Cause] = []
    if old.get("value") != new.get("value"):
        found.append(forbidden("value", "may not be changed in an update."))
    return found + meta.unchanged(
        old.get("preemptionPolicy"), new.get("preemptionPolicy"), "preemptionPolicy"
    )


def lease(obj: Obj) -> list[Cause]:
    """Return what is wrong with a Lease."""
    spec = obj.get("spec") or {}
    found: list[Cause] = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        found.append(invalid("spec.leaseDurationSeconds", seconds, POSITIVE))
    if (spec.get("leaseTransitions") or 0) < 0:
        said = "must be greater than or equal to 0"
        found.append(invalid("spec.leaseTransitions", spec["leaseTransitions"], said))
    return found


def event(obj: Obj) -> list[Cause]:
    """Return what is wrong with an Event: it lives where what it is about lives."""
    about = (obj.get("involvedObject") or {}).get("namespace", "")
    namespace = obj["metadata"].get("namespace", "")
    if about != namespace and not (not about and namespace == "default"):
        return [invalid("involvedObject.namespace", about, "does not match event.namespace")]
    return []


def ingress_class(obj: Obj) -> list[Cause]:
    """Return what is wrong with an IngressClass."""
    name = (obj.get("spec") or {}).get("controller", "")
    if not name:
        return [required("spec.controller")]
    domain, _, rest = name.partition("/")
    wrong = [] if rest else ['must be a domain-prefixed path (such as "acme.io/foo")']
    return [invalid("spec.controller", name, said) for said in wrong or names.dns_subdomain(domain)]


def quota(obj: Obj) -> list[Cause]:
    """Return what is wrong with a ResourceQuota."""
    found: list[Cause] = []
    for name, amount in sorted(((obj.get("spec") or {}).get("hard") or {}).items()):
        if (value_of(str(amount)) or 0) < 0:
            found.append(invalid(f"spec.hard[{name}]", amount, meta.NOT_NEGATIVE))
    return found
