"""Whether what was just done stands in the platform's logs and figures: found by the request's own id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from bais_gates.rules.objects import dig, labels_of, selects

_REFUSED: Final = re.compile(r'^\w+(?:_total|_count)\{[^}]*="401"[^}]*\}\s+([0-9.eE+]+)', re.MULTILINE)


def lines_of(log: str, request_id: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of a log that carry a request's id; a prefix before the object is passed over."""
    for line in log.splitlines():
        start = line.find("{")
        if start < 0 or request_id not in line:
            continue
        try:
            found = json.loads(line[start:])
        except ValueError:
            continue
        if isinstance(found, dict) and request_id in {found.get("request_id"), found.get("requestId")}:
            yield found


def is_access(line: dict[str, Any]) -> bool:
    """Whether a line tells of a request: method, what was asked for, and how it was answered."""
    return bool(line.get("method")) and bool(line.get("route") or line.get("path")) and "status" in line


def is_audit(line: dict[str, Any]) -> bool:
    """Whether a line tells who did what, and whether that was allowed."""
    return bool(line.get("action")) and type(line.get("allowed")) is bool


def allowed_values(rows: Iterable[dict[str, Any]]) -> list[bool]:
    """Return what audit entries say of being allowed."""
    return sorted({row["allowed"] for row in rows if type(row.get("allowed")) is bool})


def refusals_counted(exposition: str) -> float:
    """Sum the requests that a Prometheus exposition counts as answered 401."""
    return sum(float(value) for value in _REFUSED.findall(exposition))


def monitor_faults(monitors: Iterable[dict[str, Any]], services: Iterable[dict[str, Any]]) -> list[str]:
    """Say why no ServiceMonitor leads to the API's metrics; [] if one selects a Service and a port it has."""
    every = list(services)
    faults = []
    for monitor in monitors:
        name = dig(monitor, "metadata", "name")
        chosen = [s for s in every if selects(dig(monitor, "spec", "selector"), labels_of(s))]
        ports = {port.get("name") for service in chosen for port in dig(service, "spec", "ports") or ()}
        ends = [end for end in dig(monitor, "spec", "endpoints") or () if end.get("port") in ports]
        if ends:
            return []
        faults.append(f"ServiceMonitor {name} selects {'no port of its Service' if chosen else 'no Service'}")
    return faults or ["there is no ServiceMonitor"]
