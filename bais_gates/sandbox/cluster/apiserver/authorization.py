"""Who may do what: Roles, ClusterRoles and their bindings, as RBAC of a real cluster decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bais_gates.sandbox.cluster.apiserver.config import User
    from bais_gates.sandbox.cluster.apiserver.store import Store

Object = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What is asked for: a verb on a resource, or on a path that is no resource."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """The resource with its subresource: ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def refusal(self, user: User) -> str:
        """Return what is refused, in the authoriser's words."""
        if self.path:
            return f'User "{user.name}" cannot {self.verb} path "{self.path}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return (
            f'User "{user.name}" cannot {self.verb} resource "{self.full_resource}" '
            f'in API group "{self.group}" {where}'
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether it is allowed, and the authoriser's reason."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """RBAC over what is in the store now."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(self, user: User, asked: Attributes) -> Decision:
        """Return whether ``user`` may do what is asked."""
        if MASTERS in user.groups:
            return Decision(allowed=True)
        for rules, reason in self._rules(user, asked.namespace):
            if any(_allows(rule, asked) for rule in rules):
                return Decision(allowed=True, reason=reason)
        return Decision(allowed=False)

    def rules_of(self, user: User, namespace: str) -> list[Object]:
        """Return every rule that holds for ``user`` in ``namespace``."""
        if MASTERS in user.groups:
            return [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        return [rule for rules, _ in self._rules(user, namespace) for rule in rules]

    def _rules(self, user: User, namespace: str) -> Iterator[tuple[list[Object], str]]:
        for binding in self._store.items((GROUP, "clusterrolebindings")):
            if subject := _subject(binding, user, ""):
                yield self._resolved(binding, ""), _reason("ClusterRoleBinding", binding, subject)
        if namespace:
            for binding in self._store.items((GROUP, "rolebindings"), namespace):
                if subject := _subject(binding, user, namespace):
                    yield self._resolved(binding, namespace), _reason("RoleBinding", binding, subject)

    def _resolved(self, binding: Object, namespace: str) -> list[Object]:
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            role = self._store.get((GROUP, "clusterroles"), ("", reference["name"]))
        else:
            role = self._store.get((GROUP, "roles"), (namespace, reference["name"]))
        return (role or {}).get("rules") or []


def _subject(binding: Object, user: User, namespace: str) -> str:
    for subject in binding.get("subjects") or []:
        kind, name = subject.get("kind"), subject.get("name", "")
        if kind == "User" and name == user.name:
            return f'User "{name}"'
        if kind == "Group" and name in user.groups:
            return f'Group "{name}"'
        if kind == "ServiceAccount":
            where = subject.get("namespace") or namespace
            if user.name == f"system:serviceaccount:{where}:{name}":
                return f'ServiceAccount "{name}/{where}"'
    return ""


def _reason(kind: str, binding: Object, subject: str) -> str:
    metadata, reference = binding["metadata"], binding["roleRef"]
    name = metadata["name"] + (f"/{metadata['namespace']}" if metadata.get("namespace") else "")
    return f'RBAC: allowed by {kind} "{name}" of {reference["kind"]} "{reference["name"]}" to {subject}'


def _allows(rule: Object, asked: Attributes) -> bool:
    verbs = rule.get("verbs") or []
    if "*" not in verbs and asked.verb not in verbs:
        return False
    if asked.path:
        return any(_path_matches(each, asked.path) for each in rule.get("nonResourceURLs") or [])
    groups = rule.get("apiGroups") or []
    if "*" not in groups and asked.group not in groups:
        return False
    resources = rule.get("resources") or []
    wanted = {"*", asked.full_resource} | ({f"*/{asked.subresource}"} if asked.subresource else set())
    if not wanted & set(resources):
        return False
    names = rule.get("resourceNames") or []
    return not names or asked.name in names


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))
