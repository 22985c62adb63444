"""Find a request in the platform's logs by its id, and refused requests in its metrics.

Source: PCI DSS 10.2 (audit logs) and 10.4.1.1 (automated log review); the Prometheus text exposition format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from bais_gates.rules.kubernetes.exposure import covers
from bais_gates.rules.kubernetes.objects import Object, dig, name_of, namespace_of, of_kind
from bais_gates.rules.kubernetes.wiring import monitors_service

_UNAUTHORIZED: Final = re.compile(r'^\w+(?:_total|_count)\{[^}]*="401"[^}]*\}\s+([0-9.eE+]+)', re.MULTILINE)

_RELABELINGS: Final = ("relabelings", "metricRelabelings")
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
STALE_S: Final = 300
"""Seconds after which a sample is stale: a longer interval leaves gaps."""


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


def monitor_faults(objects: Iterable[Object], name: str, path: str = "/metrics") -> list[str]:
    """Return why no ServiceMonitor scrapes a Service; [] if an endpoint of one does, and verifies its TLS.

    The objects are Services, ServiceMonitors and Certificates; ``path`` is that of the metrics' URL.
    Source: Prometheus operator, API reference of ServiceMonitor; Prometheus documentation, "Staleness".
    """
    every, faults = list(objects), []
    service = next((one for one in of_kind(every, "Service") if name_of(one) == name), None)
    if service is None:
        return [f"there is no Service {name} to scrape"]
    certified = [
        str(host) for one in of_kind(every, "Certificate") for host in dig(one, "spec", "dnsNames") or ()
    ]
    for monitor in of_kind(every, "ServiceMonitor"):
        title = f"ServiceMonitor {name_of(monitor)}"
        if not monitors_service(monitor, service):
            faults.append(f"{title} does not select Service {name} in {namespace_of(service)}")
            continue
        found = [
            list(_endpoint_faults(endpoint, service, path, certified))
            for endpoint in dig(monitor, "spec", "endpoints") or ()
        ]
        if not all(found):
            return []
        faults += [f"{title} {fault}" for one in found for fault in one] or [f"{title} has no endpoints"]
    return faults or [f"no ServiceMonitor selects Service {name}"]


def _endpoint_faults(endpoint: Object, service: Object, path: str, names: Collection[str]) -> Iterator[str]:
    ports = dig(service, "spec", "ports") or ()
    chosen = [one for one in ports if _is_port(endpoint, one)]
    given = endpoint.get("port") or endpoint.get("targetPort")
    if not chosen:
        yield f"scrapes port {given}, which Service {name_of(service)} has not"
    if not path.endswith(scraped := str(endpoint.get("path") or "/metrics")):
        yield f"scrapes {scraped}, the metrics are at {path}"
    https, config = endpoint.get("scheme") == "https", endpoint.get("tlsConfig") or {}
    if not https and any("https" in {one.get("name"), one.get("appProtocol")} for one in chosen):
        yield f"scrapes port {given} by http instead of https"
    if config.get("insecureSkipVerify"):
        yield "does not verify the certificate (insecureSkipVerify)"
    elif https and not (server := str(config.get("serverName") or "")):
        yield "has no tlsConfig.serverName: pods' addresses are not in the certificate"
    elif https and names and not any(covers(name, server) for name in names):
        yield f"expects {server}, which is in no Certificate of the namespace"
    if any(_drops_all(one) for key in _RELABELINGS for one in endpoint.get(key) or ()):
        yield "drops everything that it scrapes (relabelings)"
    if _seconds(endpoint.get("interval")) > STALE_S:
        yield f"scrapes every {endpoint['interval']}, a sample is stale after {STALE_S} s"


def _is_port(endpoint: Object, port: Object) -> bool:
    if endpoint.get("port"):
        return bool(port.get("name") == endpoint["port"])
    return endpoint.get("targetPort") in {port.get("targetPort"), port.get("port")} - {None}


def _drops_all(relabeling: Object) -> bool:
    """Return whether a relabeling drops whatever it is: its regex, ``(.*)`` if none is set, matches all."""
    anything = str(relabeling.get("regex") or "(.*)").strip("()^$") in {".*", ".+"}
    return str(relabeling.get("action")).lower() == "drop" and anything


def _seconds(duration: object) -> float:
    """Return a Prometheus duration such as ``1m30s`` in seconds; 0 for none."""
    parts = re.findall(r"(\d+)(ms|[ywdhms])", str(duration or ""))
    return sum(int(number) * _UNITS[unit] for number, unit in parts)
