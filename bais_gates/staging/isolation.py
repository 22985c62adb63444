"""Whether a staged namespace is isolated: pure functions over its objects and those of production.

Sources: Pod Security Standards (namespace labels), CIS Kubernetes Benchmark 5.2.1 and 5.3.2, and the rule
that staging shares no secret with production.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bais_gates.rules.kubernetes.network_policies import DIRECTIONS, open_rules
from bais_gates.rules.kubernetes.rbac import subject_of
from bais_gates.staging import credentials

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bais_gates.staging.readiness import Object, Objects

MODES: Final = ("enforce", "audit", "warn")
NOT_SECRET: Final = frozenset(
    {"DB_USER", "AGE_RECIPIENT", "PAGERDUTY_API_KEY", "SLACK_WEBHOOK_URL", "CERT_MANAGER_EMAIL"}
)
"""Keys whose values may be equal in both: names, public keys, and external accounts that serve both."""


def pod_security(namespace: Object) -> dict[str, str]:
    """Return the Pod Security level of each mode in the namespace's labels."""
    labels = (namespace.get("metadata") or {}).get("labels") or {}
    levels = {mode: labels.get(f"pod-security.kubernetes.io/{mode}") for mode in MODES}
    return {mode: str(level) for mode, level in levels.items() if level is not None}


def default_deny_directions(policies: Iterable[Object]) -> list[str]:
    """Return the directions that a policy denies by default for every pod, sorted."""
    denied: set[str] = set()
    for policy in policies:
        spec = policy.get("spec") or {}
        selector = spec.get("podSelector") or {}
        if selector.get("matchLabels") or selector.get("matchExpressions"):
            continue
        # Without policyTypes they are Ingress, and Egress if there is an egress section.
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
        denied.update(one for one in types if not spec.get(one.lower()))
    return sorted(denied)


def open_policies(policies: Iterable[Object]) -> list[str]:
    """Return the policies with a rule that admits every namespace or any address, by name and direction.

    Egress to the world is open only if it includes private ranges or the metadata service.
    """
    return sorted(
        f"{one['metadata']['name']} ({direction})"
        for one in policies
        for direction in DIRECTIONS
        if open_rules(one, direction)
    )


def foreign_subjects(bindings: Iterable[Object], namespace: str) -> list[str]:
    """Return the accounts of other namespaces, or groups of them, that RoleBindings grant rights in this one.

    An account may also be named as a User. Source: Kubernetes "Using RBAC Authorization", subjects.
    """
    own = (f"ServiceAccount {namespace}/", f"Group system:serviceaccounts:{namespace}")
    return sorted(
        f"{binding['metadata']['name']}: {who}"
        for binding in bindings
        for subject in binding.get("subjects") or []
        if (who := subject_of(subject, namespace)).startswith(
            ("ServiceAccount ", "Group system:serviceaccounts")
        )
        and not (who.startswith(own[0]) or who == own[1])
    )


def shared_values(own: Objects, others: Objects) -> list[str]:
    """Return the keys of own Secrets whose value another namespace's Secrets have, too; never the value.

    Keys in :data:`NOT_SECRET`, TLS certificates, account tokens and image pull credentials are left out.
    """
    known = {
        value
        for secret in others
        for key, value in _values(secret).items()
        if key not in NOT_SECRET and value
    }
    return sorted(
        f"{secret['metadata']['name']}.{key}"
        for secret in own
        for key, value in _values(secret).items()
        if key not in NOT_SECRET and value in known
    )


def _values(secret: Object) -> dict[str, str]:
    return credentials.decode(secret) if secret.get("type", "Opaque") == "Opaque" else {}


def exposed_services(services: Iterable[Object]) -> list[str]:
    """Return the Services that can be reached from outside without the Ingress, or lead out."""
    return sorted(
        f"{one['metadata']['name']} ({_exposure(one.get('spec') or {})})"
        for one in services
        if _exposure(one.get("spec") or {})
    )


def _exposure(spec: Object) -> str:
    kind = spec.get("type") if spec.get("type") in {"LoadBalancer", "NodePort"} else None
    if spec.get("type") == "ExternalName":
        kind = f"ExternalName of {spec.get('externalName')}"
    return ", ".join(filter(None, [kind, *(f"external IP {ip}" for ip in spec.get("externalIPs") or ())]))


def unowned(objects: Iterable[Object], owner_label: str, owner: str) -> list[str]:
    """Return the names of the objects without the owner's label."""
    return sorted(
        f"{one.get('kind')} {one['metadata']['name']}"
        for one in objects
        if ((one["metadata"].get("labels") or {}).get(owner_label)) != owner
    )
