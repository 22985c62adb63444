"""Find excessive RBAC permissions of the platform's service accounts.

A permission counts when a binding grants it to a service account of the namespace, or to a public group.
Source: CIS Kubernetes Benchmark 5.1 (cluster-admin, secrets, wildcards, pods, escalate/bind/impersonate);
kube-linter's cluster-admin-role-binding, access-to-secrets, access-to-create-pods, wildcard-in-rules;
Polaris' pod exec checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bais_gates.rules.kubernetes.objects import Finding, Object, dig, locate, name_of, namespace_of, of_kind

SECRET_VERBS = frozenset(
    {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*"}
)
POD_CREATING_RESOURCES = frozenset(
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
PUBLIC_GROUPS = frozenset({"system:authenticated", "system:unauthenticated", "system:serviceaccounts"})
ESCALATION_VERBS = frozenset({"escalate", "bind", "impersonate"})


def rule_faults(rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the excessive permissions in one rule of a role, as (rule name, detail)."""
    verbs = set(rule.get("verbs") or ())
    resources = set(rule.get("resources") or ())
    groups = set(rule.get("apiGroups") or ())
    findings = []
    if "*" in verbs and resources:
        findings.append(("wildcard-in-rules", "grants every verb"))
    if "*" in resources:
        findings.append(("wildcard-in-rules", "grants every resource"))
    if "*" in groups:
        findings.append(("wildcard-in-rules", "grants every API group"))
    core = bool(groups & {"", "*"}) or not groups
    if core and resources & {"secrets", "*"} and verbs & SECRET_VERBS:
        findings.append(("access-to-secrets", "may read or write Secrets"))
    if (
        core
        and resources & {"pods/exec", "pods/attach", "pods/*", "*/exec", "*/*", "*"}
        and verbs & {"create", "get", "*"}
    ):
        findings.append(("pod-exec", "may run commands in pods"))
    creates_pods = (core or groups & {"apps", "batch"}) and resources & POD_CREATING_RESOURCES
    if creates_pods and verbs & {"create", "*"}:
        findings.append(("access-to-create-pods", "may create pods"))
    if core and resources & {"serviceaccounts/token", "*"} and verbs & {"create", "*"}:
        findings.append(("access-to-tokens", "may create tokens for other service accounts"))
    if verbs & ESCALATION_VERBS:
        findings.append(("escalation", f"may {', '.join(sorted(verbs & ESCALATION_VERBS))}"))
    return findings


def role_findings(role: Object) -> list[Finding]:
    """Return findings for excessive permissions in a Role or ClusterRole."""
    return [
        Finding(rule=rule, where=locate(role), detail=detail)
        for entry in role.get("rules") or ()
        for rule, detail in rule_faults(entry)
    ]


def applies_to(binding: Object, namespace: str) -> bool:
    """Return whether a binding is in a namespace, or its subjects include the namespace's accounts."""
    if binding.get("kind") == "RoleBinding" and namespace_of(binding) == namespace:
        return True
    return any(
        _is_in_namespace(subject, namespace, namespace_of(binding))
        for subject in binding.get("subjects") or ()
    )


def _is_in_namespace(subject: Mapping[str, Any], namespace: str, home: str) -> bool:
    kind, name = subject.get("kind"), str(subject.get("name", ""))
    if kind == "ServiceAccount":
        return (subject.get("namespace") or home) == namespace
    if kind == "Group":
        return name in PUBLIC_GROUPS or name == f"system:serviceaccounts:{namespace}"
    return name == "system:anonymous" or name.startswith(f"system:serviceaccount:{namespace}:")


def binding_findings(objects: Iterable[Object], namespace: str | None = None) -> list[Finding]:
    """Return findings for bindings to roles with excessive permissions, cluster-admin or a missing role.

    With a namespace, only bindings that apply to it are checked. The roles must be among the objects.
    """
    every = list(objects)
    roles = {_key(role): role for role in of_kind(every, "Role", "ClusterRole")}
    findings = []
    for binding in of_kind(every, "RoleBinding", "ClusterRoleBinding"):
        if namespace is not None and not applies_to(binding, namespace):
            continue
        ref = binding.get("roleRef") or {}
        if ref.get("name") == "cluster-admin" and ref.get("kind") == "ClusterRole":
            findings.append(
                Finding(rule="cluster-admin", where=_locate(binding), detail="binds cluster-admin")
            )
            continue
        space = namespace_of(binding) if ref.get("kind") == "Role" else ""
        role = roles.get((str(ref.get("kind")), space, str(ref.get("name"))))
        if role is None:
            detail = f"there is no {ref.get('kind')} {ref.get('name')}"
            findings.append(Finding(rule="dangling-binding", where=_locate(binding), detail=detail))
            continue
        findings += [
            Finding(rule=finding.rule, where=_locate(binding), detail=f"{finding.detail} ({name_of(role)})")
            for finding in role_findings(role)
        ]
    return sorted(set(findings))


def _key(role: Object) -> tuple[str, str, str]:
    kind = str(role.get("kind"))
    return kind, namespace_of(role) if kind == "Role" else "", name_of(role)


def _locate(binding: Object) -> str:
    return (
        locate(binding)
        if dig(binding, "metadata", "namespace")
        else f"{binding.get('kind')}/{name_of(binding)}"
    )
