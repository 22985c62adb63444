"""What a fault of the platform is, and the objects that faults create."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.faults import Fault

if TYPE_CHECKING:
    from bais_gates.sandbox.platform_faults.changes import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformFault(Fault):
    """One fault of the platform: what a :class:`Fault` has, and the changes that it consists of."""

    changes: tuple[Change, ...]
    """Each of another object. They are undone in the same order: a restart follows its configuration."""

    @property
    def staged(self) -> bool:
        """Whether it changes the namespace of staging, and so can't be made before that is provisioned."""
        return self.name.startswith("staging_")

    @property
    def monitored(self) -> bool:
        """Whether it changes the monitoring or what stands in for on-call, which must be up first."""
        return self.name.startswith(("monitoring_", "oncall_"))


def fault(name: str, description: str, gates: str, *changes: Change) -> PlatformFault:
    """Return a fault; ``gates`` are ids with spaces between them."""
    return PlatformFault(name=name, description=description, gates=tuple(gates.split()), changes=changes)


def pod_spec(memory: str) -> dict[str, Any]:
    """Return the specification of a pod that the namespace admits."""
    container = {
        "name": "report",
        "image": "registry.bais.example/report@sha256:" + "1" * 64,
        "resources": {field: {"cpu": "100m", "memory": memory} for field in ("requests", "limits")},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    context = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "serviceAccountName": "bais-api",
        "automountServiceAccountToken": False,
        "securityContext": context,
        "containers": [container],
    }
