"""Kubernetes quantities ("250m", "1Gi", "2e3") and the sums that are made of them.

The official client's parser does the reading; what it lets through and the API server does not ("NaN",
"1_000", a space) is refused here first.
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
    """The text is no quantity. The message quotes it."""


def quantity(text: object) -> Decimal:
    """Give the number that a quantity stands for: cores, bytes or pieces. Raises :class:`QuantityError`."""
    if isinstance(text, int) and not isinstance(text, bool):
        return Decimal(text)
    if not isinstance(text, str) or not _QUANTITY.fullmatch(text):
        raise QuantityError(f"{text!r} is no Kubernetes quantity")
    return Decimal(kubernetes.utils.quantity.parse_quantity(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """An amount of processor (cores) and memory (bytes), and a number of pods."""

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

    def times(self, count: int) -> Resources:
        """Give ``count`` times this amount."""
        return Resources(cpu=self.cpu * count, memory=self.memory * count, pods=self.pods * count)

    def at_least(self, other: Resources) -> Resources:
        """Give the greater of the two, part by part."""
        return Resources(
            cpu=max(self.cpu, other.cpu),
            memory=max(self.memory, other.memory),
            pods=max(self.pods, other.pods),
        )

    def fits_into(self, room: Resources) -> bool:
        """Whether this amount is not above ``room`` in any part."""
        return self.cpu <= room.cpu and self.memory <= room.memory and self.pods <= room.pods

    @classmethod
    def of(cls, amounts: Mapping[str, Any] | None) -> Resources:
        """Read ``{cpu, memory, pods}`` as a container's requests or a node's allocatable has them."""
        amounts = amounts or {}
        return cls(
            cpu=quantity(amounts.get("cpu", 0)),
            memory=quantity(amounts.get("memory", 0)),
            pods=int(quantity(amounts.get("pods", 0))),
        )


def total(amounts: Iterable[Resources]) -> Resources:
    """Add up amounts; nothing when there are none."""
    return sum(amounts, Resources())


def pod_requests(spec: Mapping[str, Any]) -> Resources:
    """Give what the scheduler counts for a pod of ``spec``; ``pods`` is 1.

    The rule is the scheduler's: the containers and the sidecars (init containers that restart always)
    together, or the largest init container with the sidecars started before it if that is more; and the
    pod's overhead. Requests at the level of the pod take the place of the sum.
    """
    running = total(_requests(container) for container in spec.get("containers") or [])
    sidecars = largest = Resources()
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            sidecars += _requests(container)
            largest = largest.at_least(sidecars)
        else:
            largest = largest.at_least(sidecars + _requests(container))
    counted = (running + sidecars).at_least(largest)
    own = (spec.get("resources") or {}).get("requests") or {}
    stated = Resources.of(own)
    counted = Resources(
        cpu=stated.cpu if "cpu" in own else counted.cpu,
        memory=stated.memory if "memory" in own else counted.memory,
    )
    return counted + Resources.of(spec.get("overhead")) + Resources(pods=1)


def _requests(container: Mapping[str, Any]) -> Resources:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    # A limit without a request is the request, as the API server's defaults have it.
    return Resources.of({**limits, **(resources.get("requests") or {})})
