"""`bais-gates monitoring test`: rule tests in promtool's format, held to a real Prometheus."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from bais_gates.errors import GateInputError
from bais_gates.monitoring.ruletests import RuleTestResult, run_rule_tests
from bais_gates.servers import find_server
from tests.launch import run_command

RULES = """\
groups:
- name: alerts
  rules:
  - alert: Busy
    expr: job:load > 80
    for: 2m
    keep_firing_for: 2m
    labels: {severity: warning, band: '{{ if gt $value 90.0 }}high{{ else }}low{{ end }}'}
    annotations: {summary: 'Load of {{ $labels.job }} is <{{ $value | humanize }}>.', at: '{{ query "up" }}'}
  - alert: Old
    expr: time() - made > 600
  - alert: Quiet
    expr: ALERTS{alertname="Busy", alertstate="firing"} unless on () load{job="b"}
- name: records
  rules:
  - {record: 'job:load', expr: 'sum by (job) (load)'}
"""
TESTS = """\
rule_files: [rules.yaml]
evaluation_interval: 1m
group_eval_order: [records, alerts]
tests:
- name: load
  interval: 1m
  input_series:
  - {series: 'load{job="a", instance="yes"}', values: '80x4 81x5 stale'}
  - {series: 'made', values: '0x20'}
  alert_rule_test:
  - {eval_time: 4m, alertname: Busy}
  - {eval_time: 6m30s, alertname: Busy}
  - {eval_time: 7m, alertname: Busy, exp_alerts: &busy [{exp_labels: {job: a, severity: warning, band: low},
      exp_annotations: {summary: Load of a is <81>., at: not compared}}]}
  - {eval_time: 12m, alertname: Busy, exp_alerts: *busy}
  - {eval_time: 13m, alertname: Busy}
  - {eval_time: 10m, alertname: Old}
  - {eval_time: 11m, alertname: Old, exp_alerts: [{}]}
  promql_expr_test:
  - {expr: 'job:load + 1', eval_time: 5m, exp_samples: [{labels: '{job="a"}', value: 82}]}
  - {expr: 'count(job:load) or vector(0)', eval_time: 11m, exp_samples: [{labels: '{}', value: 0}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with rules and their tests; skip where there is no Prometheus."""
    try:
        find_server("prometheus")
    except GateInputError as error:
        pytest.skip(str(error))
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    (tmp_path / "tests.yaml").write_text(TESTS, encoding="utf-8")
    return tmp_path


def run(folder: Path, old: str = "", new: str = "") -> RuleTestResult:
    """Return the result of the tests after a change of their text."""
    assert old in TESTS
    (folder / "tests.yaml").write_text(TESTS.replace(old, new, 1), encoding="utf-8")
    return run_rule_tests([folder / "tests.yaml"], required_labels=["severity"])


def test_alerts_records_and_time(folder: Path) -> None:
    """`for`, `keep_firing_for`, recorded series, staleness, templates and time() are as in Prometheus."""
    result = run(folder)

    assert result.passed, result.failed
    assert len(result.assertions) == 9
    assert {name for one in result.assertions for name in one.not_compared} == {"at"}
    assert [one.message.partition(":")[0] for one in result.uncovered] == ["Old", "Quiet"]
    assert "fires without the label severity" in result.uncovered[0].message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("alertname: Busy}", "alertname: Bussy}", "no rule file has an alert Bussy"),
        ("80x4", "81x4", ""),
        ("band: low", "band: high", ""),
        ("is <81>", "is <82>", ""),
        ("value: 82", "value: 82.00000000000001", ""),
        ("[{}]", "[]", ""),
        ("'job:load + 1'", "'job:load + on () {__name__=~\".+\"}'", "found duplicate series"),
    ],
)
def test_what_does_not_hold(folder: Path, old: str, new: str, message: str) -> None:
    """A wrong name, value, label or annotation fails its assertion."""
    result = run(folder, old, new)

    assert result.failed
    assert message in result.failed[0].problem


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[rules.yaml]", "[rule*s.yml]", "1:14: error: rule_files: no file matches rule*s.yml"),
        ("values: '0x20'", "values: '{{schema:1}}x20'", "native histograms are not supported"),
        ("values: '0x20'", "values: '0y20'", "'0y20' is not a value"),
        ("eval_time: 4m", "eval_tim: 4m", "unknown key eval_tim in an alert test"),
        ("eval_time: 13m", "eval_time: 900y", "at most 200,000"),
        ("series: 'made'", "series: 'made{'", "is not a series"),
        ("tests:", "tests: []\nx:", "unknown key x"),
    ],
)
def test_files_that_are_refused(folder: Path, old: str, new: str, message: str) -> None:
    """A file that promtool would not take, or that can't be evaluated, is an error at its place."""
    (folder / "tests.yaml").write_text(TESTS.replace(old, new, 1), encoding="utf-8")

    done = run_command("monitoring", "test", "tests.yaml", folder=folder)

    assert done.returncode == 1
    assert done.stdout.startswith("tests.yaml:")
    assert message in done.stdout


def test_what_is_printed(folder: Path) -> None:
    """Differences stand side by side, the last line counts; JSON has every assertion."""
    (folder / "tests.yaml").write_text(TESTS.replace("band: low", "band: high", 1), encoding="utf-8")

    text = run_command("monitoring", "test", ".", folder=folder)
    plain = json.loads(run_command("monitoring", "test", ".", "--format=json", folder=folder).stdout)

    assert text.returncode == 1
    assert "tests.yaml:13:5: Busy at 7m (load): not what is expected" in text.stdout
    assert any(line.split() == ["band", "'high'", "'low'"] for line in text.stdout.splitlines())
    assert "not compared in 2 assertions: at " in text.stdout
    assert "9 assertions in 1 test of 1 file: 2 failed" in text.stdout.splitlines()[-1]
    assert [one["eval_time"] for one in plain["assertions"] if not one["passed"]] == ["7m", "12m"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo out of order >&2; exit 1", "did not start: out of order"),
        ("exec python3 -m http.server -b 127.0.0.1 ${3##*:}", "did not start"),
    ],
)
def test_a_prometheus_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    """A server that ends at once, or never becomes ready, is one paragraph with a remedy, and no pass."""
    program = tmp_path / "prometheus"
    program.write_text(f"#!/bin/sh\n[ $1 = --help ] && exit 0\n{script}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "tests.yaml").write_text(TESTS, encoding="utf-8")
    monkeypatch.setenv("BAIS_GATES_PROMETHEUS", str(program))
    monkeypatch.setattr("bais_gates.monitoring.ruletests.server.READY_S", 1.0)

    with pytest.raises(GateInputError, match=message):
        run_rule_tests([tmp_path / "tests.yaml"])


@pytest.mark.usefixtures("folder")
def test_shipped_alerts_are_covered() -> None:
    """Every shipped alert has a test where it fires with its route's labels, and one where it is silent."""
    shipped = Path(__file__).parents[2] / "gates" / "monitoring"

    result = run_rule_tests([shipped], required_labels=["priority", "severity", "component", "team"])

    assert result.passed, result.failed
    assert result.alerts >= 50
    assert not result.uncovered
