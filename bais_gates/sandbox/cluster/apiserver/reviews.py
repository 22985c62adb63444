"""Reviews: questions to the authoriser, asked by a POST and kept nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver.authorization import Attributes
from bais_gates.sandbox.cluster.apiserver.config import User
from bais_gates.sandbox.cluster.apiserver.statuses import bad_request, invalid

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind

Object = dict[str, Any]
REVIEWS = frozenset(
    {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews", "selfsubjectreviews"}
)
_ATTRIBUTES = ("verb", "group", "version", "resource", "subresource", "namespace", "name")


def review(core: Core, kind: Kind, body: Object, user: User) -> Object:
    """Answer a review; raises 400 and 422 as the real server does."""
    spec = body.get("spec") or {}
    if not isinstance(spec, dict):
        raise bad_request("spec must be an object")
    match kind.plural:
        case "selfsubjectaccessreviews":
            status = _access(core, kind, user, spec)
        case "subjectaccessreviews":
            groups = tuple(str(group) for group in spec.get("groups") or ())
            other = User(name=str(spec.get("user") or ""), uid=str(spec.get("uid") or ""), groups=groups)
            status = _access(core, kind, other, spec)
        case "selfsubjectrulesreviews":
            status = _rules(core, user, spec)
        case _:
            status = {"userInfo": user_info(user)}
    metadata = {**(body.get("metadata") or {}), "creationTimestamp": None}
    return {**body, "metadata": metadata, "status": status}


def user_info(user: User) -> Object:
    """Return a user as reviews and audit events show it."""
    found: Object = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    return {key: value for key, value in found.items() if value}


def _access(core: Core, kind: Kind, user: User, spec: Object) -> Object:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(resource, dict) == isinstance(path, dict):
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = ("FieldValueInvalid", f"Invalid value: null: {why}", "spec.resourceAttributes")
        raise invalid(kind.group, kind.kind, "", [cause])
    if isinstance(path, dict):
        asked = Attributes(verb=str(path.get("verb") or ""), path=str(path.get("path") or ""))
    else:
        asked = Attributes(**{key: str((resource or {}).get(key) or "") for key in _ATTRIBUTES})
    decision = core.authorizer.decide(user, asked)
    status: Object = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return status


def _rules(core: Core, user: User, spec: Object) -> Object:
    namespace = str(spec.get("namespace") or "")
    if not namespace:
        raise bad_request("no namespace on request")
    resource_rules, other_rules = [], []
    for rule in core.authorizer.rules_of(user, namespace):
        if rule.get("resources"):
            kept = ("verbs", "apiGroups", "resources", "resourceNames")
            resource_rules.append({key: rule[key] for key in kept if rule.get(key)})
        if rule.get("nonResourceURLs"):
            other_rules.append({"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]})
    return {"resourceRules": resource_rules, "nonResourceRules": other_rules, "incomplete": False}
