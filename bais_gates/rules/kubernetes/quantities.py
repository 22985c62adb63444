"""Parse Kubernetes quantities ("250m", "1Gi", "2e3") and add up resource requests.

The official client parses them; text that it accepts and the API server rejects ("NaN", "1_000", a space) is
rejected here first. Source: Kubernetes documentation, "Quantity" and "Sidecar Containers".
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from bais_gates.extras import optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
    """An amount of CPU (cores), memory and ephemeral storage (bytes), and a number of pods."""

    cpu: Decimal = Decimal(0)
    memory: Decimal = Decimal(0)
    pods: int = 0
    storage: Decimal = Decimal(0)
    """Ephemeral storage."""

    def __str__(self) -> str:
        """Return CPU and memory as people write them."""
        return f"{self.cpu.normalize():f} CPUs and {self.memory / 2**20:.0f} MiB"

    def __add__(self, other: Resources) -> Resources:
        return self._each(operator.add, other)

    def __sub__(self, other: Resources) -> Resources:
        return self._each(operator.sub, other)

    def maximum(self, other: Resources) -> Resources:
        """Return the greater of the two amounts, resource by resource."""
        return self._each(max, other)

    def _each(self, combine: Callable[[Any, Any], Any], other: Resources) -> Resources:
        return Resources(
            cpu=combine(self.cpu, other.cpu),
            memory=combine(self.memory, other.memory),
            pods=combine(self.pods, other.pods),
            storage=combine(self.storage, other.storage),
        )

    def fits_into(self, free: Resources) -> bool:
        """Return whether no resource of this amount is above ``free``."""
        return (
            self.cpu <= free.cpu
            and self.memory <= free.memory
            and self.pods <= free.pods
            and self.storage <= free.storage
        )

    @classmethod
    def of(cls, amounts: Mapping[str, Any] | None) -> Resources:
        """Parse amounts by resource, such as a container's requests or a node's allocatable."""
        amounts = amounts or {}
        return cls(
            cpu=parse_quantity(amounts.get("cpu", 0)),
            memory=parse_quantity(amounts.get("memory", 0)),
            pods=int(parse_quantity(amounts.get("pods", 0))),
            storage=parse_quantity(amounts.get("ephemeral-storage", 0)),
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
    return _pod_amounts(spec, "requests") + Resources(pods=1)


def pod_limits(spec: Mapping[str, Any]) -> Resources:
    """Return the limits that a quota counts for a pod with this spec, added up as its requests are."""
    return _pod_amounts(spec, "limits")


def _pod_amounts(spec: Mapping[str, Any], kind: str) -> Resources:
    running = total(_amounts(container, kind) for container in spec.get("containers") or [])
    sidecars = largest = Resources()
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            sidecars += _amounts(container, kind)
            largest = largest.maximum(sidecars)
        else:
            largest = largest.maximum(sidecars + _amounts(container, kind))
    counted = (running + sidecars).maximum(largest)
    pod_level = (spec.get("resources") or {}).get(kind) or {}
    stated = Resources.of(pod_level)
    counted = Resources(
        cpu=stated.cpu if "cpu" in pod_level else counted.cpu,
        memory=stated.memory if "memory" in pod_level else counted.memory,
        storage=counted.storage,
    )
    return counted + Resources.of(spec.get("overhead"))


def _amounts(container: Mapping[str, Any], kind: str) -> Resources:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    # The API server sets a missing request to the limit.
    return Resources.of({**limits, **((resources.get("requests") or {}) if kind == "requests" else {})})
