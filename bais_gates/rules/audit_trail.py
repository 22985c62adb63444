"""Find a request in the platform's logs by its id, and refused requests in its metrics.

Source: PCI DSS 10.2 (audit logs) and 10.4.1.1 (automated log review); the Prometheus text exposition format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from bais_gates.rules.kubernetes.objects import dig, labels_of, selects

_UNAUTHORIZED: Final = re.compile(r'^\w+(?:_total|_count)\{[^}]*="401"[^}]*\}\s+([0-9.eE+]+)', re.MULTILINE)


def find_entries(log: str, request_id: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON log entries that carry a request id; text before the JSON object is ignored."""
    for line in log.splitlines():
        start = line.find("{")
        if start < 0 or request_id not in line:
            continue
        try:
            entry = json.loads(line[start:])
        except ValueError:
            continue
        if isinstance(entry, dict) and request_id in {entry.get("request_id"), entry.get("requestId")}:
            yield entry


def is_access_entry(entry: dict[str, Any]) -> bool:
    """Return whether a log entry has the method, the route or path, and the status of a request."""
    return bool(entry.get("method")) and bool(entry.get("route") or entry.get("path")) and "status" in entry


def is_audit_entry(entry: dict[str, Any]) -> bool:
    """Return whether a log entry has an action and whether it was allowed."""
    return bool(entry.get("action")) and type(entry.get("allowed")) is bool


def allowed_values(entries: Iterable[dict[str, Any]]) -> list[bool]:
    """Return the different values of ``allowed`` in audit entries."""
    return sorted({entry["allowed"] for entry in entries if type(entry.get("allowed")) is bool})


def count_unauthorized(exposition: str) -> float:
    """Return how many responses with status 401 a Prometheus exposition counts."""
    return sum(float(value) for value in _UNAUTHORIZED.findall(exposition))


def monitor_faults(monitors: Iterable[dict[str, Any]], services: Iterable[dict[str, Any]]) -> list[str]:
    """Return why no ServiceMonitor scrapes the API; [] if one selects a Service and one of its ports."""
    every = list(services)
    faults = []
    for monitor in monitors:
        name = dig(monitor, "metadata", "name")
        selected = [s for s in every if selects(dig(monitor, "spec", "selector"), labels_of(s))]
        ports = {port.get("name") for service in selected for port in dig(service, "spec", "ports") or ()}
        if any(endpoint.get("port") in ports for endpoint in dig(monitor, "spec", "endpoints") or ()):
            return []
        missing = "no port of its Service" if selected else "no Service"
        faults.append(f"ServiceMonitor {name} selects {missing}")
    return faults or ["there is no ServiceMonitor"]
