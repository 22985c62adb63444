"""Dashboards: what Grafana would show, and whether its queries and lines are those of the platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.monitoring import Settings, live, load_shipped, project
from bais_gates.monitoring.dashboards import Dashboard, holds_dashboard, load_dashboard, with_variables
from bais_gates.monitoring.documents import read_documents
from tests.launch import run_command
from tests.monitoring.rules import CATALOGUE, TODAY, alert

SHIPPED = Path(__file__).parents[2] / "gates" / "monitoring"
PROMETHEUS = {"type": "prometheus", "uid": "${source}"}
RATIO = 'sum(rate(requests_total{status="5"}[5m])) / sum(rate(requests_total[5m]))'


def panel(expr: str, *lines: tuple[str, float | None], **keys: Any) -> dict[str, Any]:
    """Return a panel with one query and a line at each threshold but the first."""
    steps = [{"color": color, "value": value} for color, value in lines]
    defaults = {
        "unit": "s",
        "custom": {"thresholdsStyle": {"mode": "line"}},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    return {
        "title": "Errors",
        "type": "timeseries",
        "datasource": PROMETHEUS,
        "fieldConfig": {"defaults": defaults},
        "targets": [{"expr": expr, "legendFormat": "{{route}}"}],
    } | keys


def dashboard(*panels: object, **keys: Any) -> str:
    """Return the JSON of a dashboard."""
    return json.dumps({"title": "Shop", "schemaVersion": 36, "panels": panels} | keys, indent=1)


def load(text: str) -> Dashboard:
    """Return what a text holds."""
    return load_dashboard(read_documents(text, "d.json"), "d.json", Settings())


def queries(text: str) -> list[str]:
    """Return the queries of a text as Prometheus evaluates them."""
    loaded = load(text)
    assert loaded.findings == ()
    return [query.expr.value for one in loaded.panels for query in one.queries]


def findings(folder: Path, text: str, rules: str = "") -> list[tuple[str, str]]:
    """Return check and message of what is found in a dashboard beside rules and a catalogue."""
    (folder / "d.json").write_text(text, encoding="utf-8")
    (folder / "metrics.yaml").write_text(CATALOGUE, encoding="utf-8")
    if rules:
        (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    found = project.check([folder], Settings(), today=TODAY).findings
    return [(one.check, one.message) for one in found if one.place.path.endswith("d.json")]


def test_what_is_loaded() -> None:
    """A panel has its unit, its queries and both lines; red begins or ends at the line of the alert."""
    high = panel("up", ("green", None), ("orange", 0.1), ("red", 1))
    low = panel("up", ("dark-red", None), ("orange", 0.7), ("green", 0.9))
    bare = panel("up", ("green", None), ("red", 80))
    bare["fieldConfig"]["defaults"]["custom"] = {}

    panels = load(dashboard(high, low, bare)).panels

    assert [(one.unit, one.alert, one.target) for one in panels] == [
        ("s", 1.0, 0.1),
        ("s", 0.7, 0.9),
        ("s", None, None),
    ]
    assert panels[0].queries[0].legend == "{{route}}"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: {"dashboard": model, "meta": {}},
        lambda model: {"apiVersion": "dashboard.grafana.app/v1beta1", "kind": "Dashboard", "spec": model},
    ],
    ids=["plain", "exported", "resource"],
)
def test_where_the_model_is(wrap: Any) -> None:
    """A dashboard is read plain, as the HTTP API exports it and as a V1 resource; panels in rows, too."""
    row = {"type": "row", "panels": [panel("a")]}
    model = json.loads(dashboard(row, panel("b"), rows=[{"panels": [panel("c")]}]))

    assert queries(json.dumps(wrap(model))) == ["a", "b", "c"]


def test_what_is_no_dashboard() -> None:
    """Other JSON is none; a V2 dashboard is one that can't be checked, and the finding says what to do."""
    for text in ("[]", '{"panels": 1}', '{"apiVersion": "v1", "spec": {"title": "x", "panels": []}}', "{}"):
        assert not holds_dashboard(read_documents(text, "d.json")), text
    v2 = '{"apiVersion": "dashboard.grafana.app/v2", "spec": {"elements": {}, "layout": {}}}'
    assert "export the dashboard as the classic" in load(v2).findings[0].message


def test_only_prometheus_is_asked() -> None:
    """Queries to another data source are left out, whether it is named, typed or behind a variable."""
    listed = [
        {"name": "source", "type": "datasource", "query": "prometheus"},
        {"name": "logs", "type": "datasource", "query": "loki"},
    ]
    cases = {
        "a": None, "b": "Prometheus", "c": "$source", "d": PROMETHEUS, "e": {"uid": "x"},
        "no1": "Loki", "no2": "$logs", "no3": {"type": "loki"},
    }  # fmt: skip
    text = dashboard(
        *(panel(name, datasource=one) for name, one in cases.items()), templating={"list": listed}
    )

    assert queries(text) == ["a", "b", "c", "d", "e"]
    other = panel("f", targets=[{"expr": '{app="x"} |= "e"', "datasource": {"type": "loki"}}])
    assert queries(dashboard(other)) == []


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("rate(x[$__rate_interval])", "rate(x[60s])"),
        ("rate(x[${window:text}])", "rate(x[60s])"),
        ("max_over_time(x[1h:$step])", "max_over_time(x[1h:60s])"),
        ('x{a=~"$job|[[old]]", b="a$"}', 'x{a=~"x|x", b="a$"}'),
        ("topk($n, x)", "topk(3, x)"),
        ("x * $__range_s", "x * 60"),
        ("sum by ($group) (x)", None),
    ],
)
def test_variables(expr: str, expected: str | None) -> None:
    """Variables become what Grafana would put there; where the syntax depends on one, nothing is judged."""
    assert with_variables(expr, {"n": "3"}, 60.0) == expected


@given(st.text())
def test_a_query_without_variables_stays(text: str) -> None:
    """Nothing is changed in a query that has neither $ nor brackets of a variable."""
    plain = text.replace("$", "").replace("[[", "")
    assert with_variables(plain, {}, 60.0) == plain


@pytest.mark.parametrize(
    ("expr", "check"),
    [
        ("sum(", "promql-syntax"),
        ("nosuch", "unknown-metric"),
        ('requests_total{code="5"}', "unknown-label"),
        ("rate(queue_depth[5m])", "rate-of-gauge"),
        ("rate(requests_total[10s])", "rate-window"),
    ],
)
def test_wrong_queries(tmp_path: Path, expr: str, check: str) -> None:
    """A query that fails or shows nothing is found with its panel's title, as in a rule."""
    (found,) = findings(tmp_path, dashboard(panel(expr)))

    assert found[0] == check
    assert "Errors: " in found[1]


LINES: list[tuple[list[tuple[str, float | None]], list[str]]] = [
    ([("green", None), ("orange", 0.001), ("red", 0.01)], []),
    ([("green", None), ("orange", 0.001), ("red", 0.02)], ["a line at 0.02 for the alert"]),
    ([("green", None), ("orange", 0.002), ("red", 0.01)], ["a line at 0.002 for the target"]),
    ([("green", None), ("red", 0.01)], ["no line for the target"]),
    ([], ["no line for the alert", "no line for the target"]),
]


@pytest.mark.parametrize(("lines", "expected"), LINES)
def test_lines(tmp_path: Path, lines: list[tuple[str, float | None]], expected: list[str]) -> None:
    """A panel of what an alert judges has lines at its limit and its target, whatever the layout."""
    texts = {"summary": "S.", "description": "{{ $value }}", "runbook_url": "https://r.example/Broken"}
    rules = alert(
        f"{RATIO} > 0.01 and sum(rate(requests_total[5m])) > 7", annotations=texts | {"target": "0.001"}
    )

    found = findings(tmp_path, dashboard(panel(RATIO.replace(" / ", "\n /"), *lines)), rules)

    assert [check for check, _ in found] == ["line-differs"] * len(expected)
    assert all(text in message for text, (_, message) in zip(expected, sorted(found), strict=True))


def test_a_line_of_no_alert(tmp_path: Path) -> None:
    """A line for an alert where none judges what is shown is found; without rules nothing is known of it."""
    text = dashboard(panel("queue_depth", ("green", None), ("red", 5)))

    assert findings(tmp_path, text) == []
    assert [check for check, _ in findings(tmp_path, text, alert("weight > 1"))] == ["line-differs"]


def test_json_that_yaml_reads_otherwise(tmp_path: Path) -> None:
    """Tabs between values and characters as two escapes are read; a wrong threshold has its place."""
    text = dashboard(panel("queue_depth", title="\U0001f600")).replace("\n ", "\n\t")
    assert "\\ud83d" in text
    assert findings(tmp_path, text) == []
    wrong = dashboard(panel("queue_depth", ("green", None), ("red", None))).replace("null\n", '"x"\n')
    assert [check for check, _ in findings(tmp_path, wrong)] == ["load"]


JSON = st.recursive(
    st.none() | st.integers() | st.text("ab$[", max_size=3) | st.just("red"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    *("panels", "targets", "expr", "datasource", "uid", "type", "title", "value", "color"),
                    *("fieldConfig", "defaults", "custom", "thresholds", "thresholdsStyle", "steps", "mode"),
                )
            ),
            inner,
        )
    ),
)


@given(JSON, JSON)
def test_whatever_a_panel_is(one: object, other: object) -> None:
    """A panel of any shape is loaded, left out or found; it hides no other, and nothing is raised."""
    loaded = load(
        dashboard(one, panel("up"), templating={"list": [other]} if isinstance(other, dict) else {})
    )

    assert loaded.findings or "up" in [query.expr.value for one in loaded.panels for query in one.queries]


@pytest.mark.parametrize("text", ['{"title": "x", "title": "y", "panels": []}', "groups: []\ngroups: []\n"])
def test_a_duplicate_key_at_the_top(tmp_path: Path, text: str) -> None:
    """A file whose kind its duplicate key tells is found, not a crash."""
    (tmp_path / "d.json").write_text(text, encoding="utf-8")

    (found,) = project.check([tmp_path], Settings(), today=TODAY).findings
    assert found.message.startswith("duplicate key")


def test_the_shipped_dashboard(tmp_path: Path) -> None:
    """Each panel has a query and the runbook of a shipped alert; rendered, at the platform's address."""
    shipped = load_shipped(SHIPPED)
    assert len(shipped.dashboards[0].panels) == 20

    done = run_command(
        "monitoring",
        "render",
        str(SHIPPED),
        "--out=out",
        "--runbooks=https://wiki.example/r",
        folder=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    model = json.loads((tmp_path / "out" / "dashboards" / "dashboard.json").read_text(encoding="utf-8"))
    links = [link["url"] for one in model["panels"] for link in one.get("links", ())]
    alerts = {rule.name.value for file in shipped.rules for rule in file.rules if rule.is_alert}
    assert len(links) == 20
    assert {link.rpartition("/")[::2] for link in links} <= {
        ("https://wiki.example/r", one) for one in alerts
    }


def test_queries_without_series() -> None:
    """Named are the queries that return nothing; what the environment can't have is left out."""
    shipped = load_shipped(SHIPPED)

    assert live.empty_queries(shipped, lambda _expr: True, "sandbox", ()) == []
    empty = live.empty_queries(
        shipped, lambda expr: "redis" not in expr, "sandbox", ["redis_evicted_keys_total"]
    )
    assert [one.partition(":")[0] for one in empty] == ["Cache memory", "Cache hit ratio"]
