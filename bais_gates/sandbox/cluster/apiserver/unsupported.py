"""What a real API server does and this one does not: the one list, for its refusals and for ``--help``.

Each sentence continues "the sandbox's API server", names the kubectl command that asks for it, and what to do
instead, if there is something.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SUBRESOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pods/exec": "runs no commands in containers (kubectl exec, kubectl cp): they are processes of the "
        "sandbox, whose output `kubectl logs` shows",
        "pods/attach": "attaches to no containers (kubectl attach): use `kubectl logs --follow`",
        "pods/portforward": "forwards no ports (kubectl port-forward): connect to the address in the pod's "
        "annotation sandbox.bais-gates/address",
        "pods/proxy": "passes no requests on to pods (kubectl proxy): connect to the address in the pod's "
        "annotation sandbox.bais-gates/address",
        "services/proxy": "passes no requests on to Services (kubectl proxy): connect to the addresses in "
        "the annotations of its pods",
        "nodes/proxy": "passes no requests on to nodes: there is no kubelet",
        "pods/ephemeralcontainers": "adds no containers to running pods (kubectl debug)",
        "pods/resize": "resizes no running pods: change the workload's template",
        "serviceaccounts/token": "issues no tokens of service accounts (kubectl create token): the users are "
        "those of its kubeconfig, and `kubectl --as` acts as any other",
    }
)
"""By resource and subresource."""

GROUPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "metrics.k8s.io": "measures no CPU and memory (kubectl top)",
        "certificates.k8s.io": "signs no certificate requests (kubectl certificate)",
        "admissionregistration.k8s.io": "calls no admission webhooks, and evaluates no admission policies",
        "apiregistration.k8s.io": "aggregates no other API servers",
    }
)
"""By API group."""

PROTOBUF: Final = (
    "decodes protobuf of reviews, namespaces, ConfigMaps, Secrets, service accounts and RBAC only (not other "
    "kinds of `kubectl create KIND`): use `kubectl apply -f` or `kubectl create -f` with a manifest"
)
_WITHOUT_REFUSAL: Final = (
    "enforces no ResourceQuotas (it counts what they limit) and no NetworkPolicies",
    "publishes no schemas (kubectl explain)",
    "keeps nothing when it ends",
)


def refusal(what: str) -> str:
    """Return the sentence for a resource with subresource, such as ``pods/exec``, or for an API group."""
    known = SUBRESOURCES.get(what) or GROUPS.get(what) or f"does not serve {what}"
    return f"the sandbox's API server {known}"


def sentences() -> tuple[str, ...]:
    """Return everything that the server does not do."""
    return (*SUBRESOURCES.values(), *GROUPS.values(), PROTOBUF, *_WITHOUT_REFUSAL)
