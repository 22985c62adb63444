"""Prometheus metrics: requests by route template, and business events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from bais_gates.sandbox.api.config import Settings

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Contain the promised limits of 50, 200 and 500 ms, so that the share of requests within them is exact."""
_MAX_SOURCES = 1000
_OTHER = "other"


class Metrics:
    """The registry and its metrics; label values that are known beforehand start at 0."""

    def __init__(self, settings: Settings) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        build = Gauge(
            "bais_build_info", "The release that runs.", ["version", "environment"], registry=registry
        )
        build.labels(settings.version, settings.environment).set(1)
        self._requests = Histogram(
            "http_request_duration_seconds",
            "Requests by method, route template and status.",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}
        self.in_flight = Gauge("http_requests_in_flight", "Requests in progress.", registry=registry)
        self.payments = Counter("payments_total", "Payments by status.", ["status"], registry=registry)
        for status in ("completed", "declined", "failed", "pending"):
            self.payments.labels(status)
        self.payment_replays = Counter(
            "payment_idempotent_replays_total",
            "Repeats that received the stored response.",
            registry=registry,
        )
        self.sign_ins = Counter("auth_sign_ins_total", "Attempts to sign in.", ["result"], registry=registry)
        for result in ("success", "wrong", "closed"):
            self.sign_ins.labels(result)
        self.registrations = Counter("registrations_total", "Users that were registered.", registry=registry)
        self.audit_entries = Counter(
            "audit_entries_total", "Entries written to the audit log.", registry=registry
        )
        self._unauthorized = Counter(
            "http_unauthorized_total", "Responses 401 by the caller's network.", ["source"], registry=registry
        )
        self._unauthorized.labels(_OTHER)
        self._sources: set[str] = set()
        self.limited = Counter(
            "rate_limited_requests_total", "Requests refused.", ["scope"], registry=registry
        )
        for scope in ("token", "address"):
            self.limited.labels(scope)
        self.deliveries = Counter(
            "webhook_deliveries_total", "Attempts by result.", ["result"], registry=registry
        )
        for result in ("delivered", "retried", "failed", "disabled"):
            self.deliveries.labels(result)
        self.webhook_queue = Gauge("webhook_queue_depth", "Pending deliveries.", registry=registry)
        self.up = Gauge("bais_dependency_up", "1 while the dependency responds.", ["part"], registry=registry)
        self.log_lines_lost = Gauge(
            "log_lines_lost", "Lines that could not be written.", ["log"], registry=registry
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request that took ``seconds``."""
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._requests.labels(method, route, str(status))
        child.observe(seconds)

    def count_unauthorized(self, address: str) -> None:
        """Count one response 401 to an address, by its /24 (of IPv6 by its /64, which ``address`` is then).

        A caller with many addresses makes no more than a thousand series; the rest is one source together.
        """
        network, dot, _ = address.rpartition(".")
        source = f"{network}.0/24" if dot else address
        if source not in self._sources:
            if len(self._sources) >= _MAX_SOURCES:
                source = _OTHER
            else:
                self._sources.add(source)
        self._unauthorized.labels(source).inc()

    def exposition(self, accept: str) -> tuple[bytes, bytes]:
        """Return the content type and the text, in the format that the Accept header asks for."""
        encoder, content_type = choose_encoder(accept)
        return content_type.encode("ascii"), encoder(self.registry)
