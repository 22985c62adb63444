"""Figures over a stretch of time, by a real Prometheus; alerts that began since; and broken limits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.monitoring.ruletests.server import Server, start_server
from bais_gates.probes.prometheus import Alert, Point, Prometheus, PrometheusError
from bais_gates.rollout.figures import Figures, alerts_since, problems, read_figures
from bais_gates.targets.rollout import WatchPart

NOW = 1_700_000_000  # in the past: a Prometheus takes no samples of the future
GOOD = Figures(requests=1000, errors=0, p95_ms=50, payments=100, payments_succeeded=100)
LIMITS = WatchPart()


class Written:
    """A Prometheus with samples that a test writes: each counter a series of its own, scraped every 10 s."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def query(self, expression: str) -> tuple[Point, ...]:
        """Answer as the client does, at ``NOW``."""
        found = self._server.query(expression, NOW)
        return tuple(Point(labels=dict(labels), value=value) for labels, value in found.items())

    def write(self, name: str, first_s: int, values: list[float], **labels: str) -> None:
        """Write the values of a series, the first one at ``NOW - first_s``."""
        key = tuple(sorted({"__name__": name, "job": "bais-api", **labels}.items()))
        samples = [((NOW - first_s + 10 * number) * 1000, value) for number, value in enumerate(values)]
        self._server.write([(key, samples)])

    def figures(self, over_s: float, before_s: float = 0) -> Figures:
        """Return the figures of a stretch that ends ``before_s`` before ``NOW``."""
        return read_figures(cast("Prometheus", self), over_s=over_s, ends_at=NOW - before_s)


@pytest.fixture
def written() -> Iterator[Written]:
    """Yield an empty Prometheus."""
    with start_server() as server:
        yield Written(server)


def test_a_rollout_loses_no_request_and_no_error(written: Written) -> None:
    """New replicas and their first errors count from 0, ended ones to their last value, a restart anew."""
    count, route = "http_request_duration_seconds_count", "/payments"
    written.write(count, 60, [100, 110, 120], instance="old", route=route, status="200")  # until -40
    written.write(count, 40, [30, 40, 50, 60, 70], instance="new", route=route, status="200")  # from -40
    written.write(count, 10, [2, 3], instance="new", route=route, status="500")
    written.write(count, 60, [500, 510, 520, 5, 6, 7, 8], instance="restarted", route=route, status="200")
    written.write(count, 60, [9, 99, 999, 9999, 99999, 999999, 999999], instance="a", route="/health")
    written.write("payments_total", 60, [5, 6, 7, 8, 9, 10, 11], instance="a", status="completed")
    written.write("payments_total", 20, [1, 1, 1], instance="a", status="declined")
    written.write("payments_total", 60, [1, 2, 3, 4, 5, 6, 7], instance="a", status="pending")
    stretches = [written.figures(20, before) for before in (40, 20, 0)]

    old, new, again = 120, 70, 520 - 500 + 8  # what each did after the first scrape of all
    assert [one.errors for one in stretches] == [0, 0, 3]
    assert sum(one.requests for one in stretches) == (old - 100) + new + 3 + again
    assert stretches[1].requests == 20 + 6
    assert (stretches[2].payments, stretches[2].payments_succeeded) == (2, 2)
    assert (stretches[1].payments, stretches[1].payments_succeeded) == (3, 2)


def test_the_p95_is_of_all_replicas(written: Written) -> None:
    """It is read from the buckets of the stretch alone; without requests there is none."""
    bucket, count = "http_request_duration_seconds_bucket", "http_request_duration_seconds_count"
    for le, ended in (("0.1", 900), ("0.2", 990), ("+Inf", 1000)):
        written.write(bucket, 40, [5000, 5000, 5000, 5000 + ended], instance="a", route="/p", le=le)
    written.write(count, 40, [5000, 5000, 5000, 6000], instance="a", route="/p")

    p95_ms = written.figures(20).p95_ms

    assert p95_ms is not None
    assert math.isclose(p95_ms, 100 + 100 * 50 / 90)
    assert written.figures(10, 20) == Figures(
        requests=0, errors=0, p95_ms=None, payments=0, payments_succeeded=0
    )


class Told:
    """A Prometheus whose time, value and alerts a test sets."""

    def __init__(self, value: float, *alerts: Alert) -> None:
        self._value, self._alerts = value, alerts

    def query(self, _expression: str) -> tuple[Point, ...]:
        """Return the value, whatever is asked."""
        return (Point(labels={}, value=self._value),)

    def alerts(self) -> tuple[Alert, ...]:
        """Return the alerts."""
        return self._alerts


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_an_error(value: float) -> None:
    """A figure is never NaN or infinite: a comparison with it would be false, and pass."""
    with pytest.raises(PrometheusError, match="not a number"):
        read_figures(cast("Prometheus", Told(value)), over_s=30)


def test_alerts_that_began_since() -> None:
    """Those that fire and began after, by Prometheus' clock, which is another one; none that is pending."""

    def alert(name: str, active_at: float, *, firing: bool = True, severity: str = "critical") -> Alert:
        return Alert(labels={"alertname": name, "severity": severity}, firing=firing, active_at=active_at)

    told = Told(
        NOW,
        alert("Before", NOW - 70),
        alert("Since", NOW - 50),
        alert("Since", NOW - 40),
        alert("Pending", NOW - 50, firing=False),
        alert("Watchdog", NOW - 50, severity="info"),
        Alert(labels={}, firing=True, active_at=NOW),
    )

    found = alerts_since(cast("Prometheus", told), datetime.now(UTC) - timedelta(seconds=60))

    assert found == ("Since (critical)", "an alert (no severity)")


def test_each_limit_has_its_sentence() -> None:
    """A figure at its limit is within it; one past it is named with both."""
    at = Figures(requests=1000, errors=10, p95_ms=200, payments=100, payments_succeeded=95)
    past = Figures(requests=1000, errors=11, p95_ms=201, payments=100, payments_succeeded=94)

    assert problems(GOOD, LIMITS) == problems(at, LIMITS) == ()
    assert problems(past, LIMITS) == (
        "11 of 1000 requests ended in a 5xx (1.10%); the limit is 1.00%",
        "p95 latency is 201 ms; the limit is 200 ms",
        "94 of 100 payments succeeded (94.0%); the limit is 95.0%",
    )


def test_few_payments_are_not_judged() -> None:
    """One of 19 that was declined is more than 5 %, by chance; with a limit of 100 % each one counts."""
    one_declined = replace(GOOD, payments=19, payments_succeeded=18)

    assert problems(one_declined, LIMITS) == ()
    assert problems(replace(one_declined, payments=20, payments_succeeded=18), LIMITS) != ()
    assert problems(one_declined, replace(LIMITS, payments_min=1.0)) != ()


@given(st.floats(0, 1e6), st.floats(0, 1), st.none() | st.floats(0, 1e5), st.floats(20, 1e5), st.floats(0, 1))
def test_more_of_a_fault_mends_nothing(
    requests: float, errors: float, p95: float | None, payments: float, paid: float
) -> None:
    """Figures that break a limit still do so with more errors, a higher p95 and fewer paid payments."""
    figures = Figures(
        requests=requests,
        errors=errors * requests,
        p95_ms=p95,
        payments=payments,
        payments_succeeded=paid * payments,
    )
    worse = Figures(
        requests=requests,
        errors=requests,
        p95_ms=None if p95 is None else p95 * 2,
        payments=payments,
        payments_succeeded=0,
    )

    assert len(problems(figures, LIMITS)) <= len(problems(worse, LIMITS))


def test_the_answer_of_prometheus_about_alerts_is_read() -> None:
    """The documented shape, with nanoseconds; anything else is an error (see tests/probes)."""
    from tests.probes.test_prometheus import answering, ok  # noqa: PLC0415 - a server for one test

    row = {"labels": {"alertname": "A"}, "state": "firing", "activeAt": "2026-07-30T10:11:12.123456789Z"}
    with answering(ok({"alerts": [row]})) as (url, _), Prometheus(url) as prometheus:
        (found,) = prometheus.alerts()
    assert (found.firing, found.labels["alertname"]) == (True, "A")
    assert datetime.fromtimestamp(found.active_at, UTC).second == 12
    for broken in ('{"alerts": {}}', json.dumps({"alerts": [{**row, "activeAt": "yesterday"}]}), "[]"):
        with (
            answering(ok(json.loads(broken))) as (url, _),
            Prometheus(url) as prometheus,
            pytest.raises(PrometheusError, match="another shape"),
        ):
            prometheus.alerts()
