"""The API's metrics: what the alerts read is there, from the first scrape on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from bais_gates.sandbox.api.metrics import Metrics

if TYPE_CHECKING:
    from tests.sandbox_api.conftest import Platform

CATALOGUE = Path(__file__).parents[2] / "gates" / "monitoring" / "metrics.yaml"
_PARTS = {"le", "quantile"}


def _families(text: str) -> dict[str, Any]:
    """Return the families of an exposition, by the names that a selector uses."""
    found = {}
    for family in text_string_to_metric_families(text):
        found[family.name + ("_total" if family.type == "counter" else "")] = family
    return found


def test_every_catalogued_metric_is_exposed(platform: Platform) -> None:
    """Each metric of the catalogue that the API exports has a series with the catalogued type and labels."""
    platform.client.get("/health")
    families = _families(platform.client.get("/metrics").text)
    wanted = [one for one in yaml.safe_load(CATALOGUE.read_text())["metrics"] if one["job"] == "bais-api"]

    assert len(wanted) == 16
    for metric in wanted:
        family = families[metric["name"]]
        assert family.type == metric["type"]
        assert {frozenset(one.labels) - _PARTS for one in family.samples} == {
            frozenset(metric.get("labels", ()))
        }


def test_registrations_audit_entries_and_refusals_are_counted(platform: Platform) -> None:
    """A registration, the audit entries that it makes, and a 401 by the caller's network are counted."""
    path, source = "/api/v1/payments/pay_unknown", 'http_unauthorized_total{source="127.0.0.0/24"}'

    def values() -> list[float]:
        lines = dict(line.rsplit(" ", 1) for line in platform.client.get("/metrics").text.splitlines())
        return [float(lines.get(name, 0)) for name in ("registrations_total", "audit_entries_total", source)]

    before = values()
    platform.business()
    assert platform.client.get(path).status_code == 401
    after = values()

    assert after[0] == before[0] + 1
    assert after[1] > before[1]
    assert after[2] == before[2] + 1


def test_one_attacker_makes_no_endless_series() -> None:
    """Sources are networks, and beyond a thousand of them one source together."""
    settings: Any = SimpleNamespace(version="1", environment="test")
    metrics = Metrics(settings)
    for number in range(1500):
        metrics.count_unauthorized(f"10.{number // 256}.{number % 256}.7")
        metrics.count_unauthorized(f"10.{number // 256}.{number % 256}.8")
    metrics.count_unauthorized("2001:db8::/64")

    family = _families(metrics.exposition("text/plain")[1].decode())["http_unauthorized_total"]
    counts = {one.labels["source"]: one.value for one in family.samples if one.name.endswith("_total")}
    assert len(counts) == 1001
    assert counts["10.0.0.0/24"] == 2
    assert counts["other"] == 1001
