"""Ask Prometheus and Alertmanager over their HTTP APIs.

Sources: prometheus.io/docs/prometheus/latest/querying/api, and Alertmanager's api/v2/openapi.yaml.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from bais_gates.probes.http import HttpClient, Response, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

BODY_CAP: Final = 32 * 1024 * 1024
"""Bytes of an answer that are read; ten thousand rules take about ten million."""
_FEW: Final = 200
"""Characters of an answer in a message."""


class PrometheusError(Exception):
    """Prometheus or Alertmanager gave no usable answer. The message names the address and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One series at one time."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series over time: pairs of Unix seconds and value."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert that is pending or fires."""

    labels: Mapping[str, str]
    firing: bool
    active_at: float
    """Since when its condition holds, in Unix seconds; it was pending at first if its rule says so."""


class _Server:
    """One of the two servers; ``key`` is the environment file's key of its address."""

    key: str

    def __init__(
        self,
        url: str,
        *,
        ca_file: Path | None = None,
        token: str | None = None,
        deadline_s: float = 10.0,
    ) -> None:
        self._http = HttpClient(url, ca_file=ca_file, deadline_s=deadline_s, body_cap=BODY_CAP)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _ask(self, method: str, path: str, **options: Any) -> Response:
        try:
            answer = self._http.request(method, path, headers=self._headers, **options)
        except Unreachable as e:
            raise PrometheusError(f"{e}. Check {self.key}, and that this machine may reach it.") from None
        if answer.status in {401, 403}:
            raise PrometheusError(
                f"{method} {self._http.base_url}{path} answered {answer.status}. Check monitoring.token."
            )
        return answer

    def _refuse(self, answer: Response, what: str) -> PrometheusError:
        return PrometheusError(
            f"{answer.describe(_FEW)} {what}. Check that {self.key} is the address of the server itself."
        )


class Prometheus(_Server):
    """Reads one Prometheus."""

    key = "monitoring.prometheus_url"

    def query(self, expression: str) -> tuple[Point, ...]:
        """Return the series that an expression has now; a scalar is one without labels."""
        data = self._data("/api/v1/query", {"query": expression})
        with self._shaped("/api/v1/query"):
            scalar = data["resultType"] == "scalar"
            _require_list(data["result"])
            rows = [{"metric": {}, "value": data["result"]}] if scalar else data["result"]
            return tuple(Point(labels=dict(row["metric"]), value=float(row["value"][1])) for row in rows)

    def query_range(self, expression: str, *, start: float, end: float, step_s: float) -> tuple[Line, ...]:
        """Return the series that an expression has between two times (Unix seconds)."""
        asked = {"query": expression, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_s:g}"}
        data = self._data("/api/v1/query_range", asked)
        with self._shaped("/api/v1/query_range"):
            _require_list(data["result"])
            return tuple(
                Line(
                    labels=dict(row["metric"]),
                    points=tuple((float(at), float(value)) for at, value in row["values"]),
                )
                for row in data["result"]
            )

    def rule_groups(self) -> list[dict[str, Any]]:
        """Return the groups of rules that are loaded, as ``/api/v1/rules`` has them."""
        data = self._data("/api/v1/rules")
        with self._shaped("/api/v1/rules"):
            groups: list[dict[str, Any]] = _require_list(data["groups"])
            for group in groups:
                _ = float(group["interval"]), group["name"]
                for rule in group["rules"]:
                    _ = [rule[key] for key in ("name", "type", "query", "health", "lastEvaluation")]
            return groups

    def targets(self) -> list[dict[str, Any]]:
        """Return the active scrape targets, as ``/api/v1/targets`` has them."""
        data = self._data("/api/v1/targets", {"state": "active"})
        with self._shaped("/api/v1/targets"):
            targets: list[dict[str, Any]] = _require_list(data["activeTargets"])
            for target in targets:
                _ = [target[key] for key in ("health", "lastScrape")], target["labels"]["job"]
            return targets

    def alerts(self) -> tuple[Alert, ...]:
        """Return the alerts that are pending or fire."""
        data = self._data("/api/v1/alerts")
        with self._shaped("/api/v1/alerts"):
            return tuple(
                Alert(
                    labels=dict(one["labels"]),
                    firing=one["state"] == "firing",
                    active_at=datetime.fromisoformat(one["activeAt"]).timestamp(),
                )
                for one in _require_list(data["alerts"])
            )

    def alertmanagers(self) -> tuple[str, ...]:
        """Return the URLs of the Alertmanagers that alerts are sent to."""
        data = self._data("/api/v1/alertmanagers")
        with self._shaped("/api/v1/alertmanagers"):
            return tuple(str(one["url"]) for one in _require_list(data["activeAlertmanagers"]))

    def formatted(self, expression: str) -> str:
        """Return an expression as Prometheus itself writes it."""
        return str(self._data("/api/v1/format_query", {"query": expression}))

    def labels_of(self, series: str) -> frozenset[str]:
        """Return the names of the labels that the current series of a name have; none without a series."""
        rows = self.query(series)
        return frozenset(label for row in rows for label in row.labels)

    def _data(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        answer = self._ask("GET", path, params=parameters)
        if answer.status in {400, 422} and isinstance(error := answer.field("error"), str):
            raise PrometheusError(f"Prometheus refuses {parameters}: {error}. Mend the expression.")
        data = answer.field("data")
        if answer.status != 200 or answer.field("status") != "success" or data is None:
            raise self._refuse(answer, "instead of Prometheus' JSON")
        return data

    @contextmanager
    def _shaped(self, path: str) -> Iterator[None]:
        """Raise PrometheusError where an answer has another shape than the documented one."""
        try:
            yield
        except (KeyError, TypeError, ValueError, IndexError) as e:
            raise PrometheusError(
                f"{self._http.base_url}{path} answered in another shape than documented ({type(e).__name__}: "
                f"{str(e)[:80]}). Check that {self.key} is the address of Prometheus itself."
            ) from None


class Alertmanager(_Server):
    """Reads one Alertmanager, and sends alerts to it."""

    key = "monitoring.alertmanager_url"

    def configuration(self) -> str:
        """Return the configuration that is loaded, with its secrets hidden by Alertmanager."""
        answer = self._ask("GET", "/api/v2/status")
        text = answer.field("config", "original")
        if answer.status != 200 or not isinstance(text, str):
            raise self._refuse(answer, "instead of Alertmanager's status")
        return text

    def send(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """Send alerts (labels, annotations, startsAt, endsAt) as Prometheus does."""
        answer = self._ask("POST", "/api/v2/alerts", json=list(alerts))
        if answer.status != 200:
            raise self._refuse(answer, "and took no alert")


def _require_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value
