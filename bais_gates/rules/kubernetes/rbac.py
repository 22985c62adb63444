"""Find RBAC bindings that grant too much: to everybody, to default accounts, or what leads to more.

Source: Kubernetes "RBAC Good Practices" (privilege escalation risks); CIS Kubernetes Benchmark 5.1.1-5.1.13;
Kubernetes "Using RBAC Authorization" (default roles, wildcards, EndpointSlices); kube-linter's
cluster-admin-role-binding, access-to-secrets, access-to-create-pods and wildcard-in-rules; Trivy KSV-0056
(network objects), CVE-2020-8554 and CVE-2021-25742 (Services divert traffic, Ingresses read Secrets).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from bais_gates.rules.kubernetes.objects import (
    Finding,
    Object,
    dig,
    labels_of,
    locate,
    name_of,
    namespace_of,
    of_kind,
    selects,
)

_WRITE: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_CHANGE: Final = frozenset({"create", "update", "patch"})
_READ: Final = frozenset({"get", "list", "watch"})
_RBAC: Final = "rbac.authorization.k8s.io"
_ROLES: Final = frozenset({"roles", "clusterroles"})
_WORKLOADS: Final = {
    "": frozenset({"pods", "replicationcontrollers"}),
    "apps": frozenset({"deployments", "statefulsets", "daemonsets", "replicasets"}),
    "batch": frozenset({"jobs", "cronjobs"}),
}
_ADMISSION: Final = frozenset(
    {
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    }
)
_IN_POD: Final = frozenset({"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy"})
RISKS: Final[tuple[tuple[str, str, frozenset[str], frozenset[str]], ...]] = (
    ("access-to-secrets", "", frozenset({"secrets"}), _READ | _WRITE),
    *(("access-to-create-pods", group, kinds, _CHANGE) for group, kinds in _WORKLOADS.items()),
    ("access-to-workloads", "apps", _WORKLOADS["apps"], frozenset({"delete", "deletecollection"})),
    ("access-to-workloads", "batch", frozenset({"cronjobs"}), frozenset({"delete", "deletecollection"})),
    ("access-to-workloads", "networking.k8s.io", frozenset({"networkpolicies"}), _WRITE),
    ("pod-exec", "", _IN_POD, frozenset({"create", "get"})),
    ("pod-exec", "", frozenset({"pods/ephemeralcontainers"}), frozenset({"update", "patch"})),
    ("access-to-tokens", "", frozenset({"serviceaccounts/token"}), frozenset({"create"})),
    ("access-to-volumes", "", frozenset({"persistentvolumes"}), _CHANGE),
    ("access-to-nodes", "", frozenset({"nodes/proxy"}), _READ | _WRITE),
    ("access-to-nodes", "", frozenset({"nodes"}), _WRITE),
    ("access-to-namespaces", "", frozenset({"namespaces"}), frozenset({"update", "patch", "delete"})),
    ("access-to-endpoints", "", frozenset({"endpoints"}), _CHANGE),
    ("access-to-endpoints", "discovery.k8s.io", frozenset({"endpointslices"}), _CHANGE),
    ("access-to-endpoints", "", frozenset({"services", "services/status"}), _CHANGE),
    ("access-to-endpoints", "networking.k8s.io", frozenset({"ingresses"}), _CHANGE),
    ("access-to-endpoints", "apiregistration.k8s.io", frozenset({"apiservices"}), _WRITE),
    ("escalation", "", frozenset({"users", "groups", "serviceaccounts"}), frozenset({"impersonate"})),
    ("escalation", _RBAC, _ROLES, frozenset({"escalate", "bind"})),
    ("escalation", _RBAC, _ROLES | {"rolebindings", "clusterrolebindings"}, _WRITE),
    ("access-to-certificates", "certificates.k8s.io", frozenset({"certificatesigningrequests"}), _CHANGE),
    (
        "access-to-certificates",
        "certificates.k8s.io",
        frozenset({"certificatesigningrequests/approval", "signers"}),
        frozenset({"update", "patch", "approve", "sign"}),
    ),
    ("access-to-admission", "admissionregistration.k8s.io", _ADMISSION, _WRITE),
)
"""Permissions that lead to more, as (rule, API group, resources, verbs)."""
_ALWAYS: Final = frozenset({"escalate", "bind", "impersonate"})
"""Verbs that lead to more whatever their resource."""
_SERVER_PATHS: Final = ("/logs", "/debug", "/configz", "/flagz", "/statusz")
"""Paths of the API server that show its logs, memory and configuration."""

ANONYMOUS: Final = frozenset({"User system:anonymous", "Group system:unauthenticated"})
EVERYBODY: Final = ANONYMOUS | {"Group system:authenticated", "Group system:serviceaccounts"}
_PUBLIC_PATHS: Final = frozenset(
    {"/healthz", "/livez", "/readyz", "/version", "/version/"}
    | {"/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks"}
    | {"/openid/v1/jwks/"}
)
_DISCOVERY_PATHS: Final = _PUBLIC_PATHS | {"/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"}
_SHOWN: Final = 3
"""Permissions of everybody that a finding lists."""
_SELF_REVIEWS: Final = frozenset(
    {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}
)
_EDIT: Final = (
    {
        "apiGroups": [""],
        "resources": ["secrets", "pods"],
        "verbs": ["get", "list", "watch", "create", "update"],
    },
)
_DEFAULT_ROLES: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = {
    "admin": _EDIT,
    "edit": _EDIT,
    "view": ({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},),
}
"""Roles for people that every cluster has, shortened; they count where they were not read."""
_SYSTEM_USERS: Final = ("User system:kube-controller-manager", "User system:kube-scheduler")
_ADMINISTRATORS: Final = frozenset({"Group system:masters", "Group kubeadm:cluster-admins"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The namespace whose accounts and objects are judged, and the subjects that it trusts."""

    namespace: str
    trusted: tuple[str, ...] = ()
    """Patterns such as ``ServiceAccount cert-manager/*`` or ``Group oidc:administrators``."""

    def is_own(self, subject: str) -> bool:
        """Return whether a subject is an account, or all accounts, of the namespace."""
        own = f"ServiceAccount {self.namespace}/"
        return subject.startswith(own) or subject == f"Group system:serviceaccounts:{self.namespace}"

    def trusts(self, subject: str) -> bool:
        """Return whether a subject is declared; nobody can declare everybody or the platform's accounts."""
        if subject in EVERYBODY or self.is_own(subject):
            return False
        return any(fnmatchcase(subject, pattern) for pattern in self.trusted)


def rule_faults(rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the excessive permissions in one rule of a role, as (rule name, detail)."""
    verbs, resources, groups = (set(rule.get(key) or ()) for key in ("verbs", "resources", "apiGroups"))
    faults = list(_path_faults(rule))
    if "*" in resources:
        of = "" if "*" in groups else f" of {_list(groups - {''}) or 'the core API group'}"
        return [*faults, ("wildcard-in-rules", f"{_verbs(verbs)} every resource{of}")]
    if resources and "*" in verbs:
        faults.append(("wildcard-in-rules", f"{_verbs(verbs)} {_list(resources)}"))
    if "*" in groups:
        faults.append(("wildcard-in-rules", f"{_verbs(verbs)} {_list(resources)} of every API group"))
    only = rule.get("resourceNames") or ()
    limit = f" {_list(only)}" if only else ""
    for name, group, risky, risky_verbs in RISKS:
        if groups and not groups & {group, "*"}:
            continue
        found = {each for each in resources if _covers(each, risky)}
        used = verbs & risky_verbs if "*" not in verbs else {"*"}
        if only and not any("/" in each for each in found):
            used -= {"create", "deletecollection"}  # a name cannot limit these: they are not granted
        if found and used:
            faults.append((name, f"{_verbs(used)} {_list(found)}{limit}"))
    if verbs & _ALWAYS and not any(name == "escalation" for name, _ in faults):
        faults.append(("escalation", f"{_list(verbs & _ALWAYS)} {_list(resources)}{limit}"))
    return faults


def _path_faults(rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    paths = [str(path) for path in rule.get("nonResourceURLs") or ()]
    risky = [p for p in paths if p in {"*", "/*"} or p.startswith(_SERVER_PATHS)]
    if risky:
        yield "wildcard-in-rules", f"{_verbs(rule.get('verbs') or ())} the API server's paths {_list(risky)}"


def _covers(resource: str, risky: frozenset[str]) -> bool:
    """Return whether a rule's resource is one of the risky: itself, ``*/exec`` or ``pods/*``."""
    return resource in risky or ("*" in resource and any(fnmatchcase(one, resource) for one in risky))


def _list(words: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, words)))


def _verbs(verbs: Iterable[object]) -> str:
    return "use every verb on" if "*" in set(verbs) else _list(verbs)


def binding_findings(
    objects: Iterable[Object], namespace: str | None = None, trusted: Iterable[str] = ()
) -> list[Finding]:
    """Return findings for bindings that grant too much, or refer to a role that does not exist.

    With a namespace, those that concern it are judged: its own, those for the whole cluster, and those of
    its accounts elsewhere. ``trusted`` are patterns of subjects that need their permissions
    (``ServiceAccount cert-manager/*``). The roles must be among the objects.
    """
    every = list(objects)
    roles = {_key(role): role for role in of_kind(every, "Role", "ClusterRole")}
    access = Access(namespace=namespace or "", trusted=tuple(trusted))
    findings: set[Finding] = set()
    for binding in of_kind(every, "RoleBinding", "ClusterRoleBinding"):
        subjects = [subject_of(one, namespace_of(binding)) for one in binding.get("subjects") or ()]
        if namespace is not None:
            subjects = [one for one in subjects if _concerns(binding, one, access)]
        for subject in subjects:
            faults = _subject_faults(binding, subject, roles, access)
            findings |= {Finding(rule=rule, where=_locate(binding), detail=detail) for rule, detail in faults}
    return sorted(findings)


def subject_of(subject: Mapping[str, Any], home: str) -> str:
    """Return a subject as ``User NAME``, ``Group NAME`` or ``ServiceAccount NAMESPACE/NAME``.

    A user or group by which an account is meant is returned as that account.
    """
    kind, name = str(subject.get("kind")), str(subject.get("name", ""))
    if kind == "ServiceAccount":
        return f"ServiceAccount {subject.get('namespace') or home}/{name}"
    if kind == "User" and name.startswith("system:serviceaccount:"):
        return f"ServiceAccount {name.removeprefix('system:serviceaccount:').replace(':', '/', 1)}"
    return f"{kind} {name}"


def _concerns(binding: Object, subject: str, access: Access) -> bool:
    return _is_here(binding, access) or access.is_own(subject) or subject in EVERYBODY


def _subject_faults(
    binding: Object, subject: str, roles: Mapping[tuple[str, str, str], Object], access: Access
) -> Iterator[tuple[str, str]]:
    ref = binding.get("roleRef") or {}
    kind, name = str(ref.get("kind")), str(ref.get("name"))
    role = roles.get((kind, namespace_of(binding) if kind == "Role" else "", name))
    if access.trusts(subject) or _is_built_in(binding, subject, name):
        return
    if kind == "ClusterRole" and name == "cluster-admin":
        yield "cluster-admin", f"{subject} has cluster-admin: it may do everything"
    elif role is None and not (kind == "ClusterRole" and name in _DEFAULT_ROLES):
        yield "dangling-binding", f"there is no {kind} {name}"
    else:
        rules = list(_effective_rules(role, roles)) if role is not None else _DEFAULT_ROLES[name]
        for fault, detail in _grant_faults(subject, rules, here=_is_here(binding, access)):
            yield fault, f"{detail} ({kind} {name})"


def _is_here(binding: Object, access: Access) -> bool:
    return binding.get("kind") == "ClusterRoleBinding" or namespace_of(binding) == access.namespace


def _grant_faults(
    subject: str, rules: Sequence[Mapping[str, Any]], *, here: bool
) -> Iterator[tuple[str, str]]:
    """Yield the faults of granting rules to a subject; ``here`` if they hold in the judged namespace."""
    if subject in EVERYBODY and here:
        who = "anybody without signing in" if subject in ANONYMOUS else "everybody"
        shown = sorted({_show(rule) for rule in rules if not _is_public(rule, subject)}, key=len)
        more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
        if shown:
            yield "public-access", f"{who} ({subject}) may {'; '.join(shown[:_SHOWN])}{more}"
        return
    if subject.startswith("ServiceAccount ") and subject.endswith("/default"):
        yield "default-service-account", f"{subject} has permissions: use another account"
    if subject.startswith("Group system:serviceaccounts:") and not all(_is_public(r, subject) for r in rules):
        detail = f"{subject} has permissions, and the account default is in it: bind an account"
        yield "default-service-account", detail
    for rule in rules:
        for fault, detail in rule_faults(rule):
            if not _is_cluster_component(subject) or fault in {"wildcard-in-rules", "escalation"}:
                yield fault, f"{subject} may {detail}"


def _is_built_in(binding: Object, subject: str, role: str) -> bool:
    """Return whether a binding is one that every cluster has for its own components and administrators."""
    if binding.get("kind") != "ClusterRoleBinding":
        return False
    if role == "cluster-admin":
        return subject in _ADMINISTRATORS
    if role == "system:node-bootstrapper":
        return subject.startswith("Group system:bootstrappers:")
    # Bootstrap bindings have their role's name: system:controller:X binds the account kube-system/X.
    if subject in _SYSTEM_USERS:
        return role.startswith("system:")
    if subject == "Group system:monitoring":
        return role == "system:monitoring"
    component = subject.removeprefix("ServiceAccount kube-system/")
    return role in {f"system:controller:{component}", f"system:{component}"}


def _is_cluster_component(subject: str) -> bool:
    """Return whether a subject is an account of the cluster's own components, which run in kube-system."""
    return subject.startswith("ServiceAccount kube-system/") and not subject.endswith("/default")


def _is_public(rule: Mapping[str, Any], subject: str) -> bool:
    """Return whether everybody may have a permission: health, version, discovery, reviews of oneself."""
    verbs, resources = set(rule.get("verbs") or ()), set(rule.get("resources") or ())
    if resources:
        return subject not in ANONYMOUS and resources <= _SELF_REVIEWS and verbs <= {"create"}
    allowed = _PUBLIC_PATHS if subject in ANONYMOUS else _DISCOVERY_PATHS
    return verbs <= {"get", "head"} and set(rule.get("nonResourceURLs") or ()) <= allowed


def _show(rule: Mapping[str, Any]) -> str:
    objects = rule.get("resources") or rule.get("nonResourceURLs") or ()
    shown = ["every resource" if one == "*" else str(one) for one in sorted(map(str, objects))]
    return f"{_verbs(rule.get('verbs') or ())} {', '.join(shown)}"


def _effective_rules(
    role: Object, roles: Mapping[tuple[str, str, str], Object]
) -> Iterator[Mapping[str, Any]]:
    """Yield a role's rules, and those of the roles that its aggregationRule adds."""
    pending, seen = [role], set()
    while pending:
        one = pending.pop()
        if _key(one) in seen:
            continue
        seen.add(_key(one))
        yield from one.get("rules") or ()
        for selector in dig(one, "aggregationRule", "clusterRoleSelectors") or ():
            pending += [
                other
                for (kind, _, _), other in roles.items()
                if kind == "ClusterRole" and selects(selector, labels_of(other))
            ]


def _key(role: Object) -> tuple[str, str, str]:
    kind = str(role.get("kind"))
    return kind, namespace_of(role) if kind == "Role" else "", name_of(role)


def _locate(binding: Object) -> str:
    return (
        locate(binding)
        if dig(binding, "metadata", "namespace")
        else f"{binding.get('kind')}/{name_of(binding)}"
    )
