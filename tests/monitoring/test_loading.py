"""Files are read as Prometheus reads them: YAML, keys, durations and names, version by version."""

from __future__ import annotations

import pytest

from bais_gates.monitoring.rulefiles import parse_duration
from tests.monitoring.rules import load, problems

RULE = "groups:\n- name: a\n  rules:\n  - {{alert: A, expr: up == 0, {}}}\n"
GROUP = "groups:\n- name: a\n  {}\n"
GROUP_2 = GROUP + "- name: b\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "groups:\n",
        "groups: []\n",
        RULE.format("labels: {a: yes, b: 5, c: null, d: 2024-01-01, e: 0x10, f: 00:05:00}"),
        RULE.format("labels: {a: !!int 3, b: !!str 3}"),
        RULE.format("for: ~, keep_firing_for: 0, annotations: , labels: null"),
        RULE.format("for: 1h30m"),
        RULE.format("'annotations': {'a': text}"),
        RULE.format('annotations: {a: "{{ with query \\"up\\" }}{{ . | first | value }}{{ end }}"}'),
        GROUP.format("rules: ~"),
        GROUP.format("limit: 5"),
        GROUP_2.format("rules: &r [{<<: &base {expr: up, for: 5m}, alert: A, for: 1m}]") + "  rules: *r\n",
        "groups: [{name: a}]\n---\nnot: {read: at all}\n",
        "groups: [{name: a, rules: [{record: 'a:b', expr: vector(1), labels: {a: '{{ not a template'}}]}]",
        "{\"groups\": [{\"name\": \"a\"}]}",
    ],
)  # fmt: skip
def test_what_prometheus_loads(text: str) -> None:
    """A file that Prometheus loads has no finding, odd as it may look."""
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("group: []\n", "1:1: unknown key group in the file"),
        ("groups: []\ngroups: []\n", "2:1: duplicate key groups"),
        ("- groups: []\n", "1:1: the file must be a mapping"),
        ("groups: {}\n", "1:9: groups must be a list"),
        ("groups: [a]\n", "1:10: a group must be a mapping, not text"),
        ("groups: [{name: }]\n", "1:10: a group needs a name"),
        ("groups: [{name: a}, {name: a}]\n", "1:28: duplicate group a"),
        ("groups: [{name: a, limit: few}]\n", "1:27: limit must be a whole number"),
        ("groups: [{name: a, interval: 5}]\n", "1:30: interval: '5' is not a duration"),
        ("groups: [{name: a, rules: [{expr: up}]}]\n", "1:28: a rule needs exactly one of record and alert"),
        ("groups: [{name: a, rules: [{alert: A}]}]\n", "1:28: A has no expr"),
        ("groups: [{name: a, rules: [{record: a-b, expr: up}]}]\n", "1:37: 'a-b' is not a metric name"),
        ("groups: [{name: a, rules: [{record: a, expr: up, for: 5m}]}]", "1:55: a: a recording rule has no"),
        (RULE.format("for: 00:05:00"), "4:36: for: '00:05:00' is not a duration"),
        (RULE.format("for: -5m"), "4:36: for: '-5m' is not a duration"),
        (RULE.format("for: [5m]"), "4:36: for must be text, not a list"),
        (RULE.format("labels: {a: 1, a: 2}"), "4:46: duplicate key a"),
        (RULE.format("labels: {a-b: c}"), "4:45: A: 'a-b' is not a valid label name"),
        (RULE.format("labels: {__name__: c}"), "4:50: A: '__name__' is not a valid label name"),
        (RULE.format("annotations: {a: {{ $value }}}"), "4:48: annotations.a must be text, not a mapping"),
        (RULE.format("labels: {? [a] : b}"), "4:42: a key must be text, not a list"),
        (RULE.format("fro: 5m"), "4:31: unknown key fro in a rule"),
        (RULE.format("'<<': {for: 5m}"), "4:31: unknown key << in a rule"),
        (RULE.format("<<: {fro: 5m}"), "4:41: unknown key fro in a rule"),
        (RULE.format("labels: *none"), "4:39: not YAML: "),
        ("groups: &a [*a]\n", "1:13: not YAML: the value of the anchor a contains itself"),
        ("groups: [\n", "2:1: not YAML: "),
        ("groups:\n\t- name: a\n", "2:1: not YAML: "),
        ("groups: []\x00\n", "1:11: not YAML: the character '\\x00'"),
        (GROUP.format("query_offset: 5m"), "3:3: unknown key query_offset in a group"),
        ("apiVersion: v1\nkind: PrometheusRule\n", "1:1: the PrometheusRule has no spec"),
        ("apiVersion: v1\nkind: PrometheusRule\nspec: {group: []}\n", "3:8: unknown key group in spec"),
    ],
)  # fmt: skip
def test_what_prometheus_refuses(text: str, problem: str) -> None:
    """A file that Prometheus refuses has one error, at the line and column of its cause."""
    found = problems(text)

    assert len(found) == 1
    assert found[0].startswith(problem)


def test_one_wrong_rule_hides_no_other() -> None:
    """Every rule that is refused has its finding, and the others are read."""
    text = """\
groups:
- name: a
  rules:
  - {alert: A, expr: up ==}
  - {alert: B, expr: up == 0}
  - {alert: C, exp: up == 0}
"""
    assert [one.split(" ")[0] for one in problems(text)] == ["4:22:", "6:16:"]
    assert [rule.name.value for rule in load(text).rules] == ["B"]


def test_rules_inside_objects() -> None:
    """PrometheusRule objects are read from every document and list of a file; others are left alone."""
    spec = "spec: {groups: [{name: %s, partial_response_strategy: warn, rules: [{alert: A, expr: up == 0}]}]}"
    rule = f"apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n{spec}\n"
    item = rule.replace("\n", ", ").rstrip(", ")
    items = f"apiVersion: v1\nkind: List\nitems: [{{{item % 'c'}}}]\n"
    text = f"{rule % 'a'}---\napiVersion: v1\nkind: Secret\ngroups: 5\n---\n{items}---\n{rule % 'b'}"

    assert problems(text) == []
    assert [rule.group for rule in load(text).rules] == ["a", "c", "b"]


def test_keys_of_newer_versions() -> None:
    """A key is known from its version on."""
    assert problems(GROUP.format("query_offset: 5m"), (2, 53)) == []
    assert problems(GROUP.format("labels: {a: b}"), (3, 0)) == []
    assert problems(GROUP.format("labels: {a-b: c}"), (3, 0)) == ["3:17: a-b is not a label name"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("1h30m", 5400), ("1d", 86400), ("5ms", 0.005), ("1y", 31536000)]
)
def test_durations(text: str, seconds: float) -> None:
    """A duration is the sum of its parts, the largest first."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "1m1h", "-5m", "1.5h", "5M", "٥m"])
def test_what_is_no_duration(text: str) -> None:
    """What Prometheus does not read as a duration is refused, with an example."""
    with pytest.raises(ValueError, match="is not a duration; write it as 5m"):
        parse_duration(text)
