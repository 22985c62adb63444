"""The metric catalogue: which metrics exist, of which type, with which labels, from which exporter.

``metrics.yaml``::

    jobs:
      bais-api: {exporter: the API, version: "1"}
    target_labels: [job, instance, namespace, pod]   # added by Prometheus when it scrapes
    metrics:
      - {name: http_request_duration_seconds, type: histogram, labels: [method, route, status], job: bais-api}

A metric may state the ``range`` of its values, as in ``[0, 1]`` for ``pg_up``, ``optional``: those of its
labels that are empty most of the time, and ``absent``: the environments that can't have it, each with the
reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bais_gates.monitoring.analysis import NOT_NEGATIVE, WIDE, Labels, Range
from bais_gates.verdict.files import load_document

_HISTOGRAM: Final = (("_bucket", ("le",)), ("_sum", ()), ("_count", ()))
_SCRAPES: Final = {
    "up": Range(0.0, 1.0),
    "scrape_duration_seconds": NOT_NEGATIVE,
    "scrape_samples_scraped": NOT_NEGATIVE,
    "scrape_samples_post_metric_relabeling": NOT_NEGATIVE,
    "scrape_series_added": NOT_NEGATIVE,
}
"""What Prometheus writes about each scrape."""
_SUMMARY: Final = (("", ("quantile",)), ("_sum", ()), ("_count", ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The series of one name, as a selector names them."""

    name: str
    type: str
    """``counter`` or ``gauge``: whether its values only grow."""
    labels: frozenset[str] = frozenset()
    range: Range
    job: str = ""
    """The scrape job that has it; empty for what Prometheus itself writes about every scrape."""
    optional: frozenset[str] = frozenset()
    """Labels that its series may lack: those whose values are empty most of the time."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Environments that can't have it, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All metrics of a platform."""

    path: Path
    series: Mapping[str, Series]
    target_labels: frozenset[str]

    def labels(self, name: str) -> Labels | None:
        """Return the labels of a series' name, those of its target included; None if it is unknown."""
        found = self.series.get(name)
        return None if found is None else Labels(found.labels | self.target_labels)

    def range_of(self, name: str) -> Range:
        """Return the range of a series' samples."""
        found = self.series.get(name)
        return WIDE if found is None else found.range

    def is_counter(self, name: str) -> bool | None:
        """Return whether a series only grows; None if it is unknown or its type is."""
        found = self.series.get(name)
        return None if found is None or found.type == "unknown" else found.type == "counter"


def load_catalogue(path: Path) -> Catalogue:
    """Read a catalogue; raise GateInputError with file, line, key and remedy."""
    document = load_document(path, "metrics")
    data: Any = document.data
    series = {name: Series(name=name, type="gauge", range=limits) for name, limits in _SCRAPES.items()}
    for number, metric in enumerate(data["metrics"]):
        if metric["job"] not in data["jobs"]:
            raise document.error(("metrics", number, "job"), f"jobs has no {metric['job']}. Add it there.")
        for one in _series(metric):
            if one.name in series:
                raise document.error(("metrics", number, "name"), f"{one.name} is listed twice. Keep one.")
            series[one.name] = one
    return Catalogue(path=path, series=series, target_labels=frozenset(data["target_labels"]))


def _series(metric: Mapping[str, Any]) -> list[Series]:
    """Return the series that a metric of its type consists of."""
    kind, name = metric["type"], metric["name"]
    parts = {"histogram": _HISTOGRAM, "summary": _SUMMARY}.get(kind, (("", ()),))
    found = []
    for suffix, more in parts:
        counts = kind == "counter" or bool(suffix)
        default = NOT_NEGATIVE if counts else WIDE
        found.append(
            Series(
                name=name + suffix,
                type="counter" if counts else "unknown" if kind == "unknown" else "gauge",
                labels=frozenset(metric.get("labels", ())) | frozenset(more),
                range=Range(*metric["range"]) if "range" in metric else default,
                job=metric["job"],
                optional=frozenset(metric.get("optional", ())),
                absent=metric.get("absent", {}),
            )
        )
    return found
