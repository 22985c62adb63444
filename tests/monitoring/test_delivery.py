"""Whether alerts reach whom they should: what Alertmanager loads and a person would not want."""

from __future__ import annotations

from pathlib import Path

import pytest

from bais_gates.errors import GateInputError
from bais_gates.monitoring import rendering
from bais_gates.monitoring.context import Settings
from bais_gates.monitoring.delivery import check_delivery
from bais_gates.monitoring.routing import receivers_of
from tests.launch import run_command
from tests.monitoring.rules import alert
from tests.monitoring.rules import load as load_rules
from tests.monitoring.test_alertmanager import load

SHIPPED = Path(__file__).parents[2] / "gates" / "monitoring" / "alertmanager.yaml"
GOOD = """\
global: {slack_api_url_file: /s}
route:
  receiver: chat
  routes:
    - matchers: [priority="P1"]
      receiver: page
      continue: true
    - matchers: [team="shop"]
inhibit_rules:
  - {source_matchers: [severity="critical"], target_matchers: [severity="info"], equal: [job]}
receivers:
  - name: chat
    slack_configs: [{channel: '#a', title: '{{ .Status }}'}]
  - name: page
    pagerduty_configs: [{routing_key_file: /k}]
"""
LABELS = {"severity": "critical", "priority": "P1", "team": "shop"}


def found(text: str, labels: dict[str, str] | None = None, expr: str = "sum(x) > 1") -> list[str]:
    """Return what is found in a configuration with one alert's rule, each as ``check:line``."""
    rules = load_rules(alert(expr, labels=labels or LABELS)).rules
    file = load(text)
    assert file.findings == ()
    return [f"{one.check}:{one.place.line}" for one in check_delivery([file], rules, Settings())]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("pagerduty_configs: [{routing_key_file: /k}]", "", ["receiver-empty:14", "alert-not-delivered:7"]),
        ("inhibit_rules", "time_intervals: []\ninhibit_rules", []),
        ("  - name: page", "  - name: spare\n    webhook_configs: [{url: http://a}]\n  - name: page",
         ["receiver-unused:14"]),
        ("  - name: page", "  - name: 'null'\n  - name: page", ["receiver-unused:14"]),
        ("    - matchers: [priority", "    - receiver: chat\n    - matchers: [priority",
         ["route-shadowed:6", "route-shadowed:9", "alert-not-delivered:7"]),
        ('[team="shop"]', '[team=~"shop|bank"]\n    - matchers: [team="bank"]', ["route-shadowed:9"]),
        ('[team="shop"]', '[team="shpo"]', ["route-unreached:8"]),
        ('[team="shop"]', '[taem="shop"]', ["matcher-label:8"]),
        ('[team="shop"]', '[synthetic="true"]', []),
        ('priority="P1"', 'priority="P2"', ["alert-not-delivered:7", "route-unreached:5"]),
        ("routing_key_file: /k", "routing_key: 0123", ["secret-as-text:15"]),
        ("routing_key_file: /k", "routing_key: YOUR_PAGERDUTY_KEY", ["placeholder:15"]),
        ("routing_key_file: /k", "routing_key: '${PAGERDUTY_KEY}'", ["placeholder:15"]),
        ("routing_key_file: /k", "routing_key_file: /k, client: ", ["empty-value:15"]),
        ("{{ .Status }}", "{{ .Status", ["template-syntax:13"]),
        ("{{ .Status }}", "{{ humanize 1 }}", ["template-syntax:13"]),
        ("{{ .Status }}", '{{ template "mine" . }}', ["template-undefined:13"]),
        ("{{ .Status }}", '{{ template "slack.default.title" . }}', []),
        (", equal: [job]", "", ["inhibition-without-equal:10"]),
        ('severity="info"', 'severity=~"critical|info"', ["inhibition-of-itself:10"]),
        ('severity="info"', "", ["inhibition-too-wide:10"]),
        ("continue: true", "continue: true\n      repeat_interval: 1m", ["repeat-too-short:5"]),
    ],
)  # fmt: skip
def test_what_is_found(old: str, new: str, finding: list[str]) -> None:
    """One change to a good configuration is found by its check, at its line."""
    assert old in GOOD
    assert found(GOOD.replace(old, new, 1)) == finding


def test_a_comment_for_a_channel() -> None:
    """A channel that YAML reads as a comment is an empty value."""
    text = GOOD.replace(
        "[{channel: '#a', title: '{{ .Status }}'}]", "\n      - channel: #a\n        title: t"
    )
    assert found(text) == ["empty-value:14"]


def test_a_page_that_is_mute_at_times() -> None:
    """A page whose only route is mute at times is found."""
    text = GOOD.replace("continue: true", "mute_time_intervals: [night]\n      continue: true")
    assert found(text + "time_intervals: [{name: night}]\n") == ["alert-muted:7"]


def test_labels_that_an_expression_may_have() -> None:
    """A label that the series may have is no reason to say that no alert comes to a route."""
    text = GOOD.replace('team="shop"', 'region="eu"')
    assert found(text, expr="x > 1") == []
    assert found(text, expr="sum by (region) (x) > 1") == []
    assert found(text) == ["matcher-label:8"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"priority": "P1", "team": "platform"}, ["pagerduty", "slack"]),
        ({"priority": "P2", "team": "security"}, ["pagerduty", "security"]),
        ({"priority": "P3", "team": "security"}, ["security"]),
        ({"priority": "P4", "team": "payments"}, ["slack"]),
        ({"alertname": "Watchdog", "priority": "P4"}, ["watchdog"]),
        ({}, ["slack"]),
    ],
)
def test_the_shipped_routes(labels: dict[str, str], expected: list[str]) -> None:
    """Each priority reaches its receivers; a synthetic alert reaches the same ones."""
    config = load(SHIPPED.read_text(encoding="utf-8")).config

    assert config is not None
    assert receivers_of(config.root, labels) == expected
    assert receivers_of(config.root, labels | {"synthetic": "true"}) == expected


def test_rendered_with_other_addresses(tmp_path: Path) -> None:
    """The copy has the folder and addresses that are named, keeps its comments, and is clean."""
    words = (
        "--secrets=/run/am",
        "--pagerduty-url=http://127.0.0.1:9/v2/enqueue",
        "--watchdog-url=http://127.0.0.1:9/w",
    )
    done = run_command(
        "monitoring",
        "render",
        str(SHIPPED),
        "--out=out",
        "--runbooks=https://r.example",
        *words,
        folder=tmp_path,
    )

    assert done.stdout == "out/alertmanager.yaml\n", done.stderr
    text = (tmp_path / "out" / "alertmanager.yaml").read_text(encoding="utf-8")
    assert text.count("/run/am/") == 3
    assert "/etc/" not in text
    assert "events.pagerduty.com" not in text
    assert "url: http://127.0.0.1:9/w\n" in text
    assert text.startswith("# Whom an alert reaches.")
    assert run_command("monitoring", "check", "--strict", "out", folder=tmp_path).returncode == 0
    with pytest.raises(GateInputError, match=r"no global.pagerduty_url in it to replace"):
        rendering.with_addresses(load(GOOD), GOOD, pagerduty_url="http://a")


def test_the_command(tmp_path: Path) -> None:
    """The command checks rules and configuration together; a comment suppresses a warning in either."""
    reason = '# bais-gates: disable=route-unreached until=2999-12-31 reason="the team starts in May"'
    text = GOOD.replace('[team="shop"]', f'[team="later"] {reason}')
    (tmp_path / "am.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(alert("sum(x) > 1", labels=LABELS), encoding="utf-8")
    assert run_command("monitoring", "check", "--strict", ".", folder=tmp_path).returncode == 0

    done = run_command("monitoring", "check", "--require-integration=P1=webhook", ".", folder=tmp_path)
    assert "rules.yaml:7:" in done.stdout
    assert "none with webhook (alert-not-delivered)" in done.stdout
