"""Each check finds its one broken rule at the right place, and leaves what only looks like it alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from bais_gates.errors import GateInputError
from bais_gates.monitoring import promql
from bais_gates.monitoring.catalogue import load_catalogue
from bais_gates.monitoring.context import Settings
from bais_gates.monitoring.findings import show
from bais_gates.monitoring.project import check
from tests.monitoring.rules import TODAY, alert, catalogue, findings, load, places

SHIPPED = Path(__file__).parents[2] / "gates" / "monitoring"
GONE = {"severity": "critical"}
SHOWN = "{{ $labels.scale }} {{ $labels.instance }}"
TEXTS = {"summary": "s", "description": "{{ $value }}", "runbook_url": "https://r.example/a"}


@pytest.mark.parametrize(
    ("name", "text", "at"),
    [
        ("promql-syntax", alert("rate(x[5m]"), ""),
        ("template-syntax", alert("x > 1", annotations=TEXTS | {"summary": "{{ $valu }}"}), '"{{ $valu }}"'),
        ("load", alert("x > 1", **{"for": "5 minutes"}), '"5 minutes"'),
        ("load", alert("x > 1", labels={"1st": "a"}), '"a"'),
        ("unknown-metric", alert("request_total > 1"), ""),
        ("unknown-metric", alert('{job="shop"} > 1'), ""),
        ("unknown-label", alert('rate(requests_total{code="500"}[5m]) > 1'), ""),
        ("unknown-label", alert('sum(rate(request_seconds_count{le="1"}[5m])) > 1'), ""),
        ("rate-of-gauge", alert("rate(queue_depth[5m]) > 1"), ""),
        ("rate-window", alert("rate(requests_total[15s]) > 1"), ""),
        ("rate-of-aggregate", alert("rate(sum(requests_total)[5m:]) > 1"), ""),
        ("counter-compared", alert("requests_total > 5"), ""),
        ("counter-compared", alert("5 < sum by (job) (requests_total)"), ""),
        ("counter-compared", alert("request_seconds_count >= 5"), ""),
        ("evaluation-fails", alert("weight[5m]").replace("Broken", "Watchdog"), ""),
        ("matching-never", alert("sum by (job) (weight) / sum by (scale) (weight) > 1"), ""),
        ("matching-never", alert("sum by (job) (weight) > on (scale) weight"), ""),
        ("matching-never", alert("weight > 1 and sum(queue_depth) > 1"), ""),
        ("function-experimental", alert("mad_over_time(weight[5m]) > 1"), ""),
        ("evaluation-fails", alert('label_replace(weight, "a", "$1", "job", "(") > 1'), ""),
        ("evaluation-fails", alert('label_replace(weight, "1st", "$1", "job", "(.*)") > 1'), ""),
        ("nan-trap", alert("sum by (job) (oddity / queue_depth) > 1"), ""),
        ("no-condition", alert("weight"), ""),
        ("no-condition", alert("weight > bool 1"), ""),
        ("no-condition", alert("weight > 1 or vector(0)"), ""),
        ("no-condition", alert("sum by (job) (weight) * 2"), ""),
        ("always-fires", alert("rate(requests_total[5m]) >= 0"), ""),
        ("always-fires", alert("count by (job) (weight) > 0"), ""),
        ("never-fires", alert("rate(requests_total[5m]) < 0"), ""),
        ("never-fires", alert("queue_depth > 1000"), ""),
        ("never-fires", alert("1.5 < up"), ""),
        ("never-fires", alert('count by (job) (up{job="shop"} == 1) < 1'), ""),
        ("never-fires", alert("hour() > 23 and on () weight > 1"), ""),
        ("never-fires", alert("weight > 1 and on (job) queue_depth < 0"), ""),
        ("ratio-without-for", alert("oddity / queue_depth > 0.1", **{"for": None}), ""),
        ("absent-without-for", alert('absent(up{job="shop"})', **{"for": None}), ""),
        ("label-missing", alert("weight > 1", labels={"team": "a"}), "Broken"),
        ("unknown-severity", alert("weight > 1", labels={"severity": "urgent"}), '"urgent"'),
        ("unknown-priority", alert("weight > 1", labels=GONE | {"priority": "P0"}), '"P0"'),
        ("value-in-label", alert("weight > 1", labels=GONE | {"at": "{{ $value }}"}), '"{{ $value }}"'),
        ("annotation-missing", alert("weight > 1", annotations=TEXTS | {"summary": " "}), '" "'),
        ("annotation-malformed", alert("weight > 1", annotations=TEXTS | {"runbook_url": "wiki"}), '"wiki"'),
        ("annotation-malformed", alert("weight > 1", annotations=TEXTS | {"description": "x"}), '"x"'),
        ("template-label", alert("sum(weight) > 1", labels=GONE | {"at": "{{ $labels.job }}"}), '"{{ $l'),
        ("template-label", alert("weight > 1", labels=GONE | {"at": "{{ $labels.severity }}"}), '"{{ $l'),
    ],
)  # fmt: skip
def test_a_broken_rule_is_found(tmp_path: Path, name: str, text: str, at: str) -> None:
    """The finding names file, line and column of the text that is wrong, and nothing else is found."""
    found = findings(text, Settings(catalogue=catalogue(tmp_path), version=(3, 13)))

    assert [one.check for one in found] == [name], show(found, "text")
    line, column = found[0].place.line, found[0].place.column
    assert (line, column) == (5, 15) if not at else text.splitlines()[line - 1][column - 1 :].startswith(at)


@pytest.mark.parametrize(
    "text",
    [
        alert("weight > 1"),
        alert("rate(oddity[5m]) > 1"),
        alert("rate(requests_total[30s]) > 1"),
        alert("sum(rate(requests_total[5m])) > 1"),
        alert("sum by (le) (rate(request_seconds_bucket[5m])) > 1"),
        alert("histogram_quantile(0.9, sum by (job, le) (rate(request_seconds_bucket[5m]))) > 1"),
        alert("requests_total == 0"),
        alert("delta(queue_depth[5m]) > 1"),
        alert("sum by (job) (weight) / on (job) group_left () sum by (job) (queue_depth) > 1"),
        alert("weight > 1 and on () sum(queue_depth) > 1"),
        alert("weight / ignoring (scale) queue_depth > 1"),
        alert("sum by (job) (oddity / (queue_depth > 0)) > 1"),
        alert("sum by (job) (weight / 1000) > 1"),
        alert("queue_depth >= 1000"),
        alert("rate(requests_total[5m]) == 0"),
        alert("weight > 1 or weight < -1"),
        alert("weight unless on (job) up"),
        alert("absent(weight) or weight > 1"),
        alert("(weight > bool 1) == 1"),
        alert("quantile(2, queue_depth) > 1000"),
        alert("ALERTS{alertname=\"Other\"} == 1"),
        alert("vector(1)").replace("Broken", "Watchdog"),
        alert("weight > 1", **{"for": None}),
        alert("weight / 1000 > 0.1", **{"for": None}),
        alert("weight > 1", labels={"severity": "{{ if true }}critical{{ end }}"}),
        alert("weight > 1", annotations=TEXTS | {"description": SHOWN}),
        alert('absent(up{job="shop"})', annotations=TEXTS | {"description": "{{ $labels.job }}"}),
        alert("label_join(sum(weight), 'a', '') > 1", annotations=TEXTS | {"summary": "{{ $labels.a }}"}),
        alert("round(weight, scalar(sum(queue_depth))) > 1", annotations=TEXTS | {"description": SHOWN}),
        alert("weight > 1", annotations=TEXTS | {"runbook_url": "{{ $externalURL }}/x"}),
    ],
)  # fmt: skip
def test_what_only_looks_broken_is_left_alone(tmp_path: Path, text: str) -> None:
    """A rule near the border of a check, but right, has no finding."""
    found = findings(text, Settings(catalogue=catalogue(tmp_path)))

    assert show(found, "text") == ""


@pytest.mark.parametrize("expr", ["x_total > 5", "max by (job) (x_bucket) > 5"])
def test_a_counter_is_known_by_its_name(expr: str) -> None:
    """Without a catalogue a counter is what is named like one, and nothing else."""
    assert places(alert(expr)) == [("counter-compared", 5, 15)]
    assert (
        places(alert(re.sub("_[a-z]+", "_count", expr, count=1).replace("x_count", "pg_stat_activity_count")))
        == []
    )


def test_rules_of_the_same_name_or_condition() -> None:
    """A rule that is there twice, and an alert on the condition of another, are found where they stand."""
    text = """\
        groups:
          - name: a
            rules:
              - {record: "a:b", expr: sum(x)}
              - {record: "a:b", expr: sum(x), labels: {of: x}}
              - {record: "a:b", expr: sum(y)}
              - {alert: A, expr: x > 1, labels: {severity: info}, annotations: &a
                  {summary: s, description: "{{ $value }}", runbook_url: "https://r.example/a"}}
              - {alert: B, expr: x>1, labels: {severity: info}, annotations: *a}
              - {alert: C, expr: x>1, for: 1h, labels: {severity: info}, annotations: *a}
        """

    assert places(text) == [("duplicate-rule", 6, 18), ("overlapping-alert", 9, 17)]


def test_what_recording_rules_make_is_known(tmp_path: Path) -> None:
    """Labels and values of a recorded series are those of its expression, in whatever order rules stand."""
    text = """\
        groups:
          - name: a
            rules:
              - alert: Broken
                expr: job:used:ratio > 80
                for: 5m
                labels: {severity: info}
                annotations:
                  summary: "{{ $labels.instance }}"
                  description: "{{ $labels.job }} {{ $labels.of }}"
                  runbook_url: https://r.example/a
              - {record: "job:used:ratio", expr: 1 - job:free:ratio}
              - {record: "job:free:ratio", expr: sum by (job) (queue_depth), labels: {of: all}}
        """

    assert places(text, Settings(catalogue=catalogue(tmp_path))) == [
        ("never-fires", 5, 15),
        ("template-label", 9, 20),
    ]


def test_labels_of_a_group_are_those_of_its_rules() -> None:
    """From 3.0 on a group may have labels, which its alerts carry."""
    text = alert("weight > 1", labels=None).replace("name: shop", "name: shop\n    labels: {severity: info}")

    assert places(text)[0][0] == "load"
    assert "label-missing" not in str(findings(text, Settings(version=(3, 0))))


def test_required_labels() -> None:
    """A label by which alerts are routed is asked for where --require-label names it."""
    settings = Settings(required_labels=("team",))

    assert places(alert("weight > 1"), settings) == [("label-missing", 4, 16)]
    assert places(alert("sum by (team) (weight) > 1"), settings) == []


def test_the_shipped_rules_are_clean(tmp_path: Path) -> None:
    """The suite's rules have no finding by its catalogue, and a metric that is renamed there is missed."""
    settings = Settings(required_labels=("component", "priority", "team"))
    checked = check([SHIPPED], settings, today=TODAY)

    assert show(checked.findings, "text") == ""
    assert checked.files == 8
    assert checked.alerts >= 50
    renamed = tmp_path / "metrics.yaml"
    text = (SHIPPED / "metrics.yaml").read_text(encoding="utf-8")
    renamed.write_text(text.replace("payments_total", "payment_count_total"), encoding="utf-8")
    found = check([SHIPPED / "rules", renamed], settings, today=TODAY).findings
    assert {one.check for one in found} == {"unknown-metric"}
    assert {Path(one.place.path).name for one in found} == {"business.yaml"}


def test_the_shipped_catalogue_has_no_metric_too_many() -> None:
    """Each metric of the suite's catalogue is read by one of its rules."""
    read = {
        promql.selector(node).metric
        for path in (SHIPPED / "rules").iterdir()
        for rule in load(path.read_text(encoding="utf-8")).rules
        for node in promql.walk(rule.tree)
        if type(node).__name__ == "VectorSelector"
    }
    listed = yaml.safe_load((SHIPPED / "metrics.yaml").read_text(encoding="utf-8"))["metrics"]
    names = {one["name"] for one in listed}

    assert {name for name in names if not {name, f"{name}_count", f"{name}_bucket"} & read} == set()


def test_a_catalogue_is_held_to_its_schema(tmp_path: Path) -> None:
    """A metric of an unknown job, a metric that is listed twice and an unknown type name their line."""
    text = 'jobs: {a: {exporter: a, version: "1"}}\ntarget_labels: []\nmetrics:\n'
    cases = {
        "  - {name: x, type: gauge, job: b}": "4: metrics[0].job: jobs has no b",
        "  - {name: x, type: gauge, job: a}\n" * 2: "5: metrics[1].name: x is listed twice",
        "  - {name: x, type: gage, job: a}": "4: metrics[0].type",
    }
    for metrics, message in cases.items():
        path = tmp_path / "metrics.yaml"
        path.write_text(text + metrics, encoding="utf-8")
        with pytest.raises(GateInputError) as error:
            load_catalogue(path)
        assert f"{path}:{message}" in str(error.value)
