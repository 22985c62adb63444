"""Parse Kubernetes quantities ("250m", "1Gi", "2e3") and add up resource requests.

The official client parses them; text that it accepts and the API server rejects ("NaN", "1_000", a space) is
rejected here first. Source: Kubernetes documentation, "Quantity" and "Sidecar Containers".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from bais_gates.extras import optional

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

kubernetes = optional("kubernetes", extra="cluster")

_QUANTITY: Final = re.compile(
    r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?"
)  # apimachinery, resource/quantity.go


class QuantityError(ValueError):
    """The text is not a quantity. The message quotes it."""


def parse_quantity(text: object) -> Decimal:
    """Return a quantity as a number of cores, bytes or items; raise :class:`QuantityError`."""
    if isinstance(text, int) and not isinstance(text, bool):
        return Decimal(text)
    if not isinstance(text, str) or not _QUANTITY.fullmatch(text):
        raise QuantityError(f"{text!r} is not a Kubernetes quantity")
    return Decimal(kubernetes.utils.quantity.parse_quantity(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """An amount of CPU (cores) and memory (bytes), and a number of pods."""

    cpu: Decimal = Decimal(0)
    memory: Decimal = Decimal(0)
    pods: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            cpu=self.cpu + other.cpu, memory=self.memory + other.memory, pods=self.pods + other.pods
        )

    def __sub__(self, other: Resources) -> Resources:
        return Resources(
            cpu=self.cpu - other.cpu, memory=self.memory - other.memory, pods=self.pods - other.pods
        )

    def maximum(self, other: Resources) -> Resources:
        """Return the greater of the two amounts, resource by resource."""
        return Resources(
            cpu=max(self.cpu, other.cpu),
            memory=max(self.memory, other.memory),
            pods=max(self.pods, other.pods),
        )

    def fits_into(self, free: Resources) -> bool:
        """Return whether no resource of this amount is above ``free``."""
        return self.cpu <= free.cpu and self.memory <= free.memory and self.pods <= free.pods

    @classmethod
    def of(cls, amounts: Mapping[str, Any] | None) -> Resources:
        """Parse ``{cpu, memory, pods}``, such as a container's requests or a node's allocatable."""
        amounts = amounts or {}
        return cls(
            cpu=parse_quantity(amounts.get("cpu", 0)),
            memory=parse_quantity(amounts.get("memory", 0)),
            pods=int(parse_quantity(amounts.get("pods", 0))),
        )


def total(amounts: Iterable[Resources]) -> Resources:
    """Return the sum of amounts; zero when there are none."""
    return sum(amounts, Resources())


def pod_requests(spec: Mapping[str, Any]) -> Resources:
    """Return the requests that the scheduler counts for a pod with this spec; ``pods`` is 1.

    These are the sum of containers and sidecars (init containers with restartPolicy Always), or the largest
    init container plus the sidecars started before it if that is more, plus the pod's overhead. Pod-level
    requests replace the sum.
    """
    running = total(_requests(container) for container in spec.get("containers") or [])
    sidecars = largest = Resources()
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            sidecars += _requests(container)
            largest = largest.maximum(sidecars)
        else:
            largest = largest.maximum(sidecars + _requests(container))
    counted = (running + sidecars).maximum(largest)
    pod_level = (spec.get("resources") or {}).get("requests") or {}
    requests = Resources.of(pod_level)
    counted = Resources(
        cpu=requests.cpu if "cpu" in pod_level else counted.cpu,
        memory=requests.memory if "memory" in pod_level else counted.memory,
    )
    return counted + Resources.of(spec.get("overhead")) + Resources(pods=1)


def _requests(container: Mapping[str, Any]) -> Resources:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    # The API server sets a missing request to the limit.
    return Resources.of({**limits, **(resources.get("requests") or {})})
