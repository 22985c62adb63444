"""The parts that an environment file can describe, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError

if TYPE_CHECKING:
    from pathlib import Path


def missing(path: Path, key: str) -> GateInputError:
    """Make the error for a part that a gate needs and the file does not describe; the caller raises it."""
    return GateInputError(
        f"{path}: {key} is missing, and a gate asks for it. Describe it in this file (its keys are in "
        "environment.schema.json), or declare the gate under not_applicable with the reason."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPart:
    """Where the API is, whom to trust there, and what it must say of itself."""

    url: str
    ca_file: Path | None = None
    environment: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Requests let in per window of ``window_s`` seconds, per token and per client address."""

    per_token: int
    per_address: int
    window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePart:
    """A role that can only read, and the queries that find a payment in this release's tables."""

    url: str
    payment_query: str | None = None
    workflow_payments_query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePart:
    """The platform's Redis."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhooksPart:
    """Where a gate listens for deliveries, and under which address the platform reaches it."""

    listen_host: str
    listen_port: int = 0
    advertise_url: str | None = None
    deadline_s: float = 15.0
    """Seconds within which a delivery, or its next attempt, must arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentsPart:
    """How this platform settles payments."""

    settled_within_s: float = 10.0
    """Seconds within which a payment must be completed or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPart:
    """The platform's Prometheus exposition."""

    url: str
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestTenant:
    """The account that a gate may write with in production."""

    __test__ = False  # no test class, whatever pytest makes of the name

    email: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The figures that this target is held to; asking for one that the file does not state is an error."""

    path: Path
    values: tuple[tuple[str, float], ...] = ()

    def _need(self, key: str) -> float:
        for name, value in self.values:
            if name == key:
                return value
        raise missing(self.path, f"limits.{key}")

    @property
    def health_p95_ms(self) -> float:
        """Milliseconds that 95 of 100 answers of /health may take at most."""
        return self._need("health_p95_ms")

    @property
    def api_p95_ms(self) -> float:
        """Milliseconds that 95 of 100 answers of an API endpoint may take at most."""
        return self._need("api_p95_ms")

    @property
    def query_mean_ms(self) -> float:
        """Milliseconds that a database query may take on average."""
        return self._need("query_mean_ms")

    @property
    def cache_operation_ms(self) -> float:
        """Milliseconds that one cache operation may take."""
        return self._need("cache_operation_ms")

    @property
    def concurrency(self) -> int:
        """How many requests at once the target must bear."""
        return int(self._need("concurrency"))
