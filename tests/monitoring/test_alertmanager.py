"""Alertmanager configurations: what Alertmanager would refuse, each at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from bais_gates.monitoring.alertmanager import AlertmanagerFile, load_alertmanager
from bais_gates.monitoring.documents import RefusedError, read_documents

GOOD = """\
global: {slack_api_url_file: /s, opsgenie_api_key_file: /o}
route:
  receiver: chat
  group_by: [alertname]
  routes:
    - matchers: ['a="b"', c=~d|e]
      receiver: page
      mute_time_intervals: [night]
time_intervals:
  - name: night
    time_intervals:
      - {times: [{start_time: '00:00', end_time: '07:00'}], weekdays: ['monday:friday'], location: UTC}
inhibit_rules:
  - {source_match: {a: b}, target_match_re: {c: d}, equal: [e]}
receivers:
  - name: chat
    slack_configs: [{channel: '#a', send_resolved: yes}]
  - name: page
    pagerduty_configs: [{routing_key_file: /k}]
"""


def load(text: str, version: tuple[int, int] = (0, 25)) -> AlertmanagerFile:
    """Return what a text holds."""
    return load_alertmanager(read_documents(text, "am.yaml"), "am.yaml", version)


def problems(text: str, version: tuple[int, int] = (0, 25)) -> list[str]:
    """Return why a text would not be loaded, each as ``line:column: message``."""
    try:
        found = load(text, version).findings
    except RefusedError as error:
        found = (error.finding,)
    return [f"{one.place.line}:{one.place.column}: {one.message}" for one in found]


def test_what_is_loaded() -> None:
    """A valid file is loaded with its routes, receivers, inhibitions and what routes take over."""
    config = load(GOOD).config

    assert problems(GOOD) == []
    assert config is not None
    page = config.root.routes[0]
    assert [str(one) for one in page.matchers] == ['a="b"', 'c=~"d|e"']
    assert (page.receiver, page.mutes, page.repeat_interval_s) == ("page", ("night",), 14_400)
    assert [one.kind for one in config.receivers["page"].integrations] == ["pagerduty"]
    assert config.inhibitions[0].equal == ("e",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("receiver: chat", "receiver: nobody", "3:13: the receiver nobody is not defined"),
        ("  receiver: chat\n", "", "3:3: the root route needs a receiver"),
        ("  receiver: chat", "  receiver: chat\n  continue: yes", "4:13: the root route can't have continue"),
        ("  receiver: chat", "  receiver: chat\n  match: {a: b}", "4:10: the root route can't have match"),
        ("[alertname]", "[a-b]", "4:14: 'a-b' is not a label name"),
        ("[alertname]", "[a, a]", "4:17: group_by: a is there twice"),
        ("[alertname]", "[a, '...']", "4:17: group_by: ... stands for every label"),
        ("c=~d|e", "'c=~\"(\"'", "6:27: a wrong regular expression"),
        ("c=~d|e", "c", "6:27: 'c' is not a matcher"),
        ("c=~d|e", "'c=d\"e'", "6:27: a lone quote"),
        ("[night]", "[day]", "8:29: the time interval day is not defined"),
        ("receiver: page", "group_interval: 0s", "7:23: group_interval can't be 0"),
        ("receiver: page", "repeat_interval: 1.5h", "7:24: repeat_interval: '1.5h' is not a duration"),
        ("receiver: page", "recevier: page", "7:7: unknown key recevier in route"),
        ("receiver: page", "receiver: page\n      receiver: page", "8:7: duplicate key receiver"),
        ("'07:00'", "'7:00'", "12:50: '7:00' is not a time such as 08:00"),
        ("'07:00'", "'00:00'", "12:50: end_time must be after start_time"),
        ("monday:friday", "friday:monday", "12:72: weekdays: 'friday:monday' is not a range"),
        ("UTC", "Moon", "12:100: location: 'Moon' is not a time zone"),
        ("equal: [e]", "equals: [e]", "14:53: unknown key equals in inhibition"),
        ("{c: d}", "{c: '('}", "14:49: c: a wrong regular expression"),
        ("- name: page", "- name: chat\n  - name: page", "18:5: duplicate receiver chat"),
        ("yes", "'yes'", "17:52: send_resolved: 'yes' is not true or false"),
        ("slack_api_url_file: /s", "smtp_hello: h", "17:21: slack: neither api_url"),
        ("routing_key_file: /k", "client: c", "19:25: pagerduty: routing_key or routing_key_file"),
        ("file: /k", "file: /k, routing_key: k", "19:44: pagerduty: at most one of routing_key and"),
        ("{routing_key_file: /k}", "null", "19:25: an empty element in pagerduty_configs"),
        ("file: /k", "file: /k, url: 'ftp://a'", "19:53: url: not a URL: it must begin with http"),
        ("file: /k", "file: /k, timeout: 5s", "19:57: timeout in pagerduty_configs needs Alertmanager 0.30"),
        ("pagerduty_configs", "msteams_configs",
         "19:22: msteams_configs in receiver needs Alertmanager 0.26"),
        ("pagerduty_configs: [{routing_key_file: /k}]", "webhook_configs: [{}]",
         "19:23: webhook: url or url_file"),
        ("pagerduty_configs: [{routing_key_file: /k}]", "telegram_configs: [{bot_token: t, chat_id: 0}]",
         "19:48: telegram: chat_id must not be 0"),
        ("pagerduty_configs: [{routing_key_file: /k}]", "sns_configs: [{message: m}]",
         "19:19: sns: exactly one of"),
        ("pagerduty_configs: [{routing_key_file: /k}]", "email_configs: [{to: a, smarthost: b, from: c}]",
         "19:40: smarthost: 'b' is not HOST:PORT"),
        ("pagerduty_configs: [{routing_key_file: /k}]",
         "webhook_configs: [{url: http://a, http_config: {authorization: {type: basic}}}]",
         '19:75: authorization: type can\'t be "basic"'),
        ("pagerduty_configs: [{routing_key_file: /k}]",
         "opsgenie_configs: [{responders: [{id: a, type: boss}]}]", "19:52: responder: type must be team"),
    ],
)  # fmt: skip
def test_what_is_refused(old: str, new: str, message: str) -> None:
    """One change to a valid file is one finding, at the place of the change."""
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))

    assert len(found) == 1
    assert found[0].startswith(message)


@pytest.mark.parametrize(
    "text", ["", "# nothing", "a", "- a", "route: [", "route: " + "[" * 200_000, "\0", "a: *b"]
)
def test_what_is_no_configuration(text: str) -> None:
    """Text that is no configuration is one finding."""
    assert len(problems(text)) == 1


def test_newer_versions() -> None:
    """What a newer Alertmanager brought is accepted for it: keys, and labels with any characters."""
    text = GOOD.replace("file: /k", "file: /k, timeout: 5s").replace("c=~d|e", "'\"a b\"!=c'")

    assert problems(text, (0, 33)) == []
    assert len(problems(text)) == 2


def test_template_files(tmp_path: Path) -> None:
    """A template file is read from beside the configuration; one that can't be parsed refuses it."""
    (tmp_path / "a.tmpl").write_text('{{ define "mine" }}{{ .Status | toUpper }}{{ end }}', encoding="utf-8")
    path = str(tmp_path / "am.yaml")
    text = GOOD + "templates: ['*.tmpl']\n"
    config = load_alertmanager(read_documents(text, path), path).config
    assert config is not None
    assert config.templates == frozenset({"mine"})

    (tmp_path / "b.tmpl").write_text("{{ humanize 1 }}", encoding="utf-8")
    (finding,) = load_alertmanager(read_documents(text, path), path).findings
    assert (finding.check, finding.place.line) == ("template-syntax", 20)
    assert "b.tmpl: function 'humanize' is not defined" in finding.message
