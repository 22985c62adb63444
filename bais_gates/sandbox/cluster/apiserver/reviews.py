"""Reviews: questions to the authoriser and the authenticator, asked by a POST and kept nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver.authorization import Attributes
from bais_gates.sandbox.cluster.apiserver.config import User
from bais_gates.sandbox.cluster.apiserver.statuses import bad_request, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind

Object = dict[str, Any]
REVIEWS = frozenset(
    {
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "subjectaccessreviews",
        "localsubjectaccessreviews",
        "tokenreviews",
        "selfsubjectreviews",
    }
)


def review(
    core: Core, kind: Kind, body: Object, user: User, *, tokens: Mapping[str, User], namespace: str
) -> Object:
    """Answer a review; raises 400 and 422 as the real server does."""
    spec = body.get("spec") or {}
    if not isinstance(spec, dict):
        raise bad_request("spec must be an object")
    answer = {**body, "metadata": {**(body.get("metadata") or {}), "creationTimestamp": None}}
    match kind.plural:
        case "selfsubjectaccessreviews":
            status = _access(core, kind, user, spec)
        case "subjectaccessreviews" | "localsubjectaccessreviews":
            status = _access(core, kind, _asked_user(kind, spec), spec, namespace)
        case "selfsubjectrulesreviews":
            status = _rules(core, user, spec)
        case "tokenreviews":
            status = _token(tokens, spec)
        case _:
            status = {"userInfo": user_info(user)}
    return {**answer, "status": status}


def user_info(user: User) -> Object:
    """Give a user as reviews and audit events show it."""
    found: Object = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    return {key: value for key, value in found.items() if value}


def _asked_user(kind: Kind, spec: Object) -> User:
    if not spec.get("user") and not spec.get("groups"):
        message = 'Invalid value: "": at least one of user or group must be specified'
        raise invalid(kind.group, kind.kind, "", [("FieldValueInvalid", message, "spec.user")])
    return User(
        name=str(spec.get("user") or ""),
        uid=str(spec.get("uid") or ""),
        groups=tuple(str(group) for group in spec.get("groups") or ()),
    )


def _access(core: Core, kind: Kind, user: User, spec: Object, namespace: str = "") -> Object:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        if resource is not None:
            message = "Invalid value: {}: cannot be specified in combination with resourceAttributes"
            cause = ("FieldValueInvalid", message, "spec.nonResourceAttributes")
        else:
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            message = f"Invalid value: null: {why}"
            cause = ("FieldValueInvalid", message, "spec.resourceAttributes")
        raise invalid(kind.group, kind.kind, "", [cause])
    if path is not None:
        asked = Attributes(verb=str(path.get("verb") or ""), path=str(path.get("path") or ""))
    else:
        resource = resource or {}
        if kind.plural == "localsubjectaccessreviews" and resource.get("namespace") != namespace:
            message = f'Invalid value: "{resource.get("namespace") or ""}": must match metadata.namespace'
            cause = ("FieldValueInvalid", message, "spec.resourceAttributes.namespace")
            raise invalid(kind.group, kind.kind, "", [cause])
        asked = Attributes(
            verb=str(resource.get("verb") or ""),
            group=str(resource.get("group") or ""),
            version=str(resource.get("version") or ""),
            resource=str(resource.get("resource") or ""),
            subresource=str(resource.get("subresource") or ""),
            namespace=str(resource.get("namespace") or ""),
            name=str(resource.get("name") or ""),
        )
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


def _token(tokens: Mapping[str, User], spec: Object) -> Object:
    token = spec.get("token")
    if not token:
        raise bad_request("token is required for TokenReview in authentication")
    user = tokens.get(str(token))
    if user is None:
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": user_info(user), "audiences": ["https://kubernetes.default.svc"]}
