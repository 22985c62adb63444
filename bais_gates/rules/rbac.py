"""Which permissions reach the platform's accounts, and which of them are too much for a payments API.

A permission counts when a binding gives it to someone: to an account of the namespace, or to everyone.
Source: CIS Kubernetes Benchmark 5.1 (cluster-admin, secrets, wildcards, pods, escalate/bind/impersonate);
kube-linter's cluster-admin-role-binding, access-to-secrets, access-to-create-pods, wildcard-in-rules;
Polaris' pod exec checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bais_gates.rules.objects import Finding, Object, dig, name_of, namespace_of, of_kind, where

TOUCHING = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*"})
MAKING_PODS = frozenset(
    {
        "pods",
        "deployments",
        "statefulsets",
        "replicasets",
        "daemonsets",
        "jobs",
        "cronjobs",
        "replicationcontrollers",
        "*",
    }
)
EVERYONE = frozenset({"system:authenticated", "system:unauthenticated", "system:serviceaccounts"})
WRITING_RBAC = frozenset({"escalate", "bind", "impersonate"})


def rule_faults(rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is too much in one rule of a role, as (rule name, detail)."""
    verbs = set(rule.get("verbs") or ())
    resources = set(rule.get("resources") or ())
    groups = set(rule.get("apiGroups") or ())
    found = []
    if "*" in verbs and resources:
        found.append(("wildcard-in-rules", "every verb"))
    if "*" in resources:
        found.append(("wildcard-in-rules", "every resource"))
    if "*" in groups:
        found.append(("wildcard-in-rules", "every API group"))
    core = bool(groups & {"", "*"}) or not groups
    if core and resources & {"secrets", "*"} and verbs & TOUCHING:
        found.append(("access-to-secrets", "may read or write Secrets"))
    if (
        core
        and resources & {"pods/exec", "pods/attach", "pods/*", "*/exec", "*/*", "*"}
        and verbs & {"create", "get", "*"}
    ):
        found.append(("pod-exec", "may run commands in pods"))
    makes = (core or groups & {"apps", "batch"}) and resources & MAKING_PODS
    if makes and verbs & {"create", "*"}:
        found.append(("access-to-create-pods", "may create pods"))
    if core and resources & {"serviceaccounts/token", "*"} and verbs & {"create", "*"}:
        found.append(("access-to-tokens", "may make tokens of other accounts"))
    if verbs & WRITING_RBAC:
        found.append(("escalation", f"may {', '.join(sorted(verbs & WRITING_RBAC))}"))
    return found


def role_findings(role: Object) -> list[Finding]:
    """Return what is too much in a Role or ClusterRole."""
    return [
        Finding(rule=rule, where=where(role), detail=detail)
        for entry in role.get("rules") or ()
        for rule, detail in rule_faults(entry)
    ]


def concerns(binding: Object, namespace: str) -> bool:
    """Whether a binding gives something to a namespace's accounts, to everyone, or within the namespace."""
    if binding.get("kind") == "RoleBinding" and namespace_of(binding) == namespace:
        return True
    return any(
        _is_ours(subject, namespace, namespace_of(binding)) for subject in binding.get("subjects") or ()
    )


def _is_ours(subject: Mapping[str, Any], namespace: str, home: str) -> bool:
    kind, name = subject.get("kind"), str(subject.get("name", ""))
    if kind == "ServiceAccount":
        return (subject.get("namespace") or home) == namespace
    if kind == "Group":
        return name in EVERYONE or name == f"system:serviceaccounts:{namespace}"
    return name == "system:anonymous" or name.startswith(f"system:serviceaccount:{namespace}:")


def binding_findings(objects: Iterable[Object], namespace: str | None = None) -> list[Finding]:
    """Return what bindings give too much of, by the roles among the objects.

    With a namespace, only bindings that concern it; without one, all of them. A binding to cluster-admin is
    named whatever the role says; one to a role that is not there is named as dangling.
    """
    every = list(objects)
    roles = {_key(role): role for role in of_kind(every, "Role", "ClusterRole")}
    found = []
    for binding in of_kind(every, "RoleBinding", "ClusterRoleBinding"):
        if namespace is not None and not concerns(binding, namespace):
            continue
        ref = binding.get("roleRef") or {}
        if ref.get("name") == "cluster-admin" and ref.get("kind") == "ClusterRole":
            found.append(Finding(rule="cluster-admin", where=_where(binding), detail="binds cluster-admin"))
            continue
        space = namespace_of(binding) if ref.get("kind") == "Role" else ""
        role = roles.get((str(ref.get("kind")), space, str(ref.get("name"))))
        if role is None:
            detail = f"{ref.get('kind')} {ref.get('name')} is not there to be looked at"
            found.append(Finding(rule="dangling-binding", where=_where(binding), detail=detail))
            continue
        found += [
            Finding(rule=finding.rule, where=_where(binding), detail=f"{finding.detail} ({name_of(role)})")
            for finding in role_findings(role)
        ]
    return sorted(set(found))


def _key(role: Object) -> tuple[str, str, str]:
    kind = str(role.get("kind"))
    return kind, namespace_of(role) if kind == "Role" else "", name_of(role)


def _where(binding: Object) -> str:
    return (
        where(binding)
        if dig(binding, "metadata", "namespace")
        else f"{binding.get('kind')}/{name_of(binding)}"
    )
