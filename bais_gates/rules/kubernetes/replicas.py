"""Count the requests that each pod served, from its own metrics or from its log.

Metrics are read from the pod's own address, as the Service would route to any pod. That address is its IP and
port, or the annotation ``sandbox.bais-gates/address`` where all pods are on one machine. For a pod that
cannot be reached, its log is searched for request ids. Source: the Prometheus text exposition format.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ADDRESS: Final = "sandbox.bais-gates/address"
_SAMPLE: Final = re.compile(
    r"^(http_request_duration_seconds_count|http_requests_total)"
    r'\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\} (\S+)'
)


def pod_address(pod: Mapping[str, Any], port_name: str = "https") -> str | None:
    """Return the pod's own ``host:port``; None without an IP or a port of that name."""
    annotated = (pod["metadata"].get("annotations") or {}).get(ADDRESS)
    if annotated:
        return str(annotated)
    ip = (pod.get("status") or {}).get("podIP")
    ports = [port for one in pod["spec"].get("containers") or [] for port in one.get("ports") or []]
    for port in ports:
        if ip and port.get("name") == port_name:
            return f"[{ip}]:{port['containerPort']}" if ":" in str(ip) else f"{ip}:{port['containerPort']}"
    return None


def count_requests(exposition: str, route: str) -> float | None:
    """Return the requests to ``route`` in a Prometheus exposition; None if it has no request counter.

    The counter is ``http_request_duration_seconds_count`` or else ``http_requests_total``, with the route in
    any label.
    """
    counts: dict[str, float] = {}
    for line in exposition.splitlines():
        if match := _SAMPLE.match(line):
            name, labels, value = match.groups()
            counts.setdefault(name, 0.0)
            if f'="{route}"' in labels:
                counts[name] += float(value)
    return next((counts[name] for name in sorted(counts)), None)


def count_ids(log: str, ids: Iterable[str]) -> int:
    """Return how many of ``ids`` occur in a log."""
    return sum(1 for request_id in ids if request_id in log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The requests that were sent, and how many each pod served: (pod, requests)."""

    sent: int
    served: tuple[tuple[str, int], ...]

    @property
    def _minimum(self) -> float:
        """A quarter of an even share, at least one request."""
        return max(1.0, self.sent / len(self.served) / 4)

    @property
    def active(self) -> int:
        """The number of pods that served at least a quarter of an even share."""
        return sum(1 for _, count in self.served if count >= self._minimum)

    @property
    def idle(self) -> list[str]:
        """The pods that served less than a quarter of an even share."""
        return [f"{name}: {count}" for name, count in self.served if count < self._minimum]
