"""The readiness of on-call as Prometheus metrics: what the gates judge, watched after the sign-off, too.

The figures are those of :mod:`bais_gates.oncall.readiness` and :mod:`bais_gates.oncall.records`. Source of
the format: prometheus.io/docs/instrumenting/exposition_formats (text, version 0.0.4).
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.oncall import readiness
from bais_gates.oncall.records import Record, read_records

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.oncall.provider import Provider, Service, Shift
    from bais_gates.oncall.readiness import Coverage, Reach
    from bais_gates.oncall.rotation import Rotation
    from bais_gates.oncall.shifts import Difference


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric: its help, and its values by labels."""

    name: str
    help: str
    values: list[tuple[dict[str, str], float]] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield its lines in the text format."""
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} gauge"
        for labels, value in self.values:
            text = ",".join(f'{key}="{_escaped(one)}"' for key, one in labels.items())
            yield f"{self.name}{{{text}}} {value:.15g}" if text else f"{self.name} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def measure(
    rotation: Rotation, provider: Provider, records: Path | None, now: datetime, window: timedelta
) -> list[Gauge]:
    """Return all metrics; raise OncallError or GateInputError where one can't be had: no metric is a guess.

    ``window``: how far ahead maintenance of the services counts. Without a folder of records those are left
    out.
    """
    coverage = readiness.read_coverage(rotation, provider, now)
    emails = [rotation.email_of[name] for name in readiness.names_of(rotation)]
    reach = readiness.judge_people(rotation, provider.people(emails))
    services = provider.services([one.name for one in rotation.services])
    found = [*_of_coverage(coverage), *_of_people(reach), _of_services(rotation, services, now, window)]
    if records is not None:
        found += _of_records(records, now)
    found.append(
        Gauge(
            "bais_oncall_measured_timestamp_seconds",
            "When these metrics were measured.",
            [({}, now.timestamp())],
        )
    )
    return found


def _of_coverage(coverage: Coverage) -> Iterable[Gauge]:
    tiers = coverage.rotation.tiers
    overlap_s = sum((one.end - one.start).total_seconds() for one in coverage.overlaps)
    return (
        Gauge(
            "bais_oncall_gap_seconds",
            "Seconds of the next 90 days in which nobody of a tier is on call.",
            [({"tier": tier.name}, coverage.gap_s(tier)) for tier in tiers],
        ),
        Gauge(
            "bais_oncall_overlap_seconds",
            "Seconds of the next 90 days in which one person is on call on two tiers.",
            [({}, overlap_s)],
        ),
        Gauge(
            "bais_oncall_absent_seconds",
            "Seconds of the next 90 days in which somebody is on call who is absent.",
            [({"tier": tier.name}, _seconds(coverage.absent(tier))) for tier in tiers],
        ),
        Gauge(
            "bais_oncall_different_seconds",
            "Seconds of the next 90 days in which another person is on call than by the rotation file.",
            [({"tier": tier.name}, _seconds(coverage.differences(tier))) for tier in tiers],
        ),
    )


def _seconds(spans: Sequence[Shift | Difference]) -> float:
    return sum((one.end - one.start).total_seconds() for one in spans)


def _of_people(reach: Reach) -> Iterable[Gauge]:
    kinds = {
        "account": reach.without_account,
        "role": reach.not_on_call,
        "contact": reach.without_contact,
        "rule": reach.without_rule,
    }
    return (
        Gauge(
            "bais_oncall_people_unreachable",
            "People who take turns or cover and can't be woken.",
            [({}, len(reach.unreachable))],
        ),
        Gauge(
            "bais_oncall_people_without",
            "People without an account, a role that may be on call, a phone, or an immediate rule.",
            [({"lack": kind}, len(lines)) for kind, lines in kinds.items()],
        ),
    )


def _of_services(rotation: Rotation, services: Sequence[Service], now: datetime, window: timedelta) -> Gauge:
    faults = readiness.judge_services(rotation, services, now, window)
    return Gauge(
        "bais_oncall_service_faults",
        "Reasons for which a service pages nobody, or not by the rotation's policy.",
        [({}, len(faults))],
    )


def _of_records(folder: Path, now: datetime) -> Iterable[Gauge]:
    records, malformed = read_records(folder)
    newest: dict[str, Record] = {}
    for one in records:
        newest[one.kind] = max(newest.get(one.kind, one), one, key=lambda record: record.valid_until)
    today = now.date()
    return (
        Gauge(
            "bais_oncall_record_days_left",
            "Days until the last record of a kind counts no more; negative afterwards.",
            [({"kind": kind}, one.days_left(today)) for kind, one in sorted(newest.items())],
        ),
        Gauge(
            "bais_oncall_record_faults",
            "Records that are malformed or do not count.",
            [({}, len(malformed) + sum(bool(one.faults(today)) for one in records))],
        ),
    )


def show(gauges: Iterable[Gauge]) -> str:
    """Return metrics in the text format."""
    return "".join(f"{line}\n" for gauge in gauges for line in gauge.lines())


def write(path: Path, text: str) -> None:
    """Replace a file at once, as node_exporter's textfile collector needs; raise GateInputError."""
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as stream:
            temporary = stream.name
            stream.write(text)
        Path(temporary).chmod(0o644)  # another user's node_exporter reads it
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise GateInputError(
            f"{path}: can't be written ({error.strerror}). Give a file in a folder that exists."
        ) from None
