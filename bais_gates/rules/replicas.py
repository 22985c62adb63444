"""Which replica answered: counted at each pod, from its own metrics or from its own log.

A pod's own address is its IP and port, or where a cluster stands on one machine the annotation
``sandbox.bais-gates/address``. Its metrics are asked for there, not through the Service, which would answer
for any of them. Where a pod can not be reached so, its log is read for the ids that the requests carried.
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


def own_address(pod: Mapping[str, Any], port_name: str = "https") -> str | None:
    """Give ``host:port`` of the pod itself; None while it has none."""
    annotated = (pod["metadata"].get("annotations") or {}).get(ADDRESS)
    if annotated:
        return str(annotated)
    ip = (pod.get("status") or {}).get("podIP")
    ports = [port for one in pod["spec"].get("containers") or [] for port in one.get("ports") or []]
    for port in ports:
        if ip and port.get("name") == port_name:
            return f"[{ip}]:{port['containerPort']}" if ":" in str(ip) else f"{ip}:{port['containerPort']}"
    return None


def requests_counted(exposition: str, route: str) -> float | None:
    """Give the requests to ``route`` that a Prometheus exposition counts; None if it counts no requests.

    Read are ``http_request_duration_seconds_count`` and, where there is none, ``http_requests_total``, with
    the route in any label.
    """
    counted: dict[str, float] = {}
    for line in exposition.splitlines():
        if found := _SAMPLE.match(line):
            name, labels, value = found.groups()
            counted.setdefault(name, 0.0)
            if f'="{route}"' in labels:
                counted[name] += float(value)
    return next((counted[name] for name in sorted(counted)), None)


def ids_in_log(log: str, ids: Iterable[str]) -> int:
    """Count how many of ``ids`` a log has."""
    return sum(1 for one in ids if one in log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How the requests of a burst fell to the pods: (pod, requests), in the pods' order."""

    sent: int
    answered: tuple[tuple[str, int], ...]

    @property
    def reached(self) -> int:
        """Pods that answered at least a quarter of their even share, at least one request."""
        return sum(1 for _, count in self.answered if count >= max(1.0, self.even / 4))

    @property
    def even(self) -> float:
        """Requests that fall to each pod when all get the same; 0 without pods."""
        return self.sent / len(self.answered) if self.answered else 0.0

    @property
    def idle(self) -> list[str]:
        """The pods that answered less than a quarter of their even share."""
        return [f"{name}: {count}" for name, count in self.answered if count < max(1.0, self.even / 4)]
