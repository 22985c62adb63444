"""Read rule tests in promtool's own file format, as strictly as promtool does.

Source: Prometheus' documentation, "Unit testing for rules". Native histograms are refused, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bais_gates.monitoring import promql
from bais_gates.monitoring.documents import RefusedError, Value, texts
from bais_gates.monitoring.findings import Place
from bais_gates.monitoring.rulefiles import duration_of

Labels = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""
STALE: Final = None
"""A sample that says that its series has ended."""
MAX_STEPS: Final = 200_000
"""Of a test: evaluations, or samples of one series."""
_FILE: Final = frozenset({"rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests"})
_TEST: Final = frozenset(
    {"name", "interval", "input_series", "alert_rule_test", "promql_expr_test"}
    | {"external_labels", "external_url", "start_timestamp"}
)
_NUMBER: Final = r"(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|[iI][nN][fF]|[nN][aA][nN])"
_ITEM: Final = re.compile(
    rf"(?:(?P<blank>_)|(?P<stale>stale)|(?P<first>[+-]?{_NUMBER})(?P<more>[+-]{_NUMBER}(?=x))?)"
    r"(?:x(?P<times>\d+))?",
    re.ASCII,
)
_PAIR: Final = re.compile(
    r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*("(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`[^`]*`)\s*(,|$)',
    re.ASCII,
)
_METRIC: Final = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*(?:\{(.*)\})?\s*", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """An input series: its samples are ``interval`` apart and begin with the test."""

    labels: Labels
    runs: tuple[tuple[bool, float | None, float, int], ...]
    """Of each item: whether there are samples, the first value, what is added each time, and the count."""

    def samples(self, limit: int) -> Iterator[tuple[int, float | None]]:
        """Yield number and value of the samples among the first ``limit`` places."""
        return ((at, value) for at, (there, value) in enumerate(islice(self._places(), limit)) if there)

    def _places(self) -> Iterator[tuple[bool, float | None]]:
        for there, first, step, count in self.runs:
            value = first
            for _ in range(count):
                yield there, value
                if value is not None and step:
                    value += step  # not first + n * step: promtool adds them up, too


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAlert:
    """Labels (with ``alertname``) and annotations of an alert that must fire."""

    labels: Labels
    annotations: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTest:
    """Exactly these alerts of a name fire at a time (seconds after the test's beginning)."""

    place: Place
    at_s: float
    alert: str
    expected: tuple[ExpectedAlert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionTest:
    """An expression yields exactly these samples at a time (seconds after the test's beginning)."""

    place: Place
    at_s: float
    expr: str
    tree: Any
    expected: tuple[tuple[Labels, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTest:
    """Series, and what must be true of them."""

    place: Place
    name: str
    interval_s: float
    start_s: float | None
    """Unix time at which it begins; None where that does not matter or is 0."""
    series: tuple[Series, ...]
    alerts: tuple[AlertTest, ...]
    expressions: tuple[ExpressionTest, ...]
    external_labels: Labels
    external_url: str

    @property
    def length_s(self) -> float:
        """The time of its last assertion."""
        return max([one.at_s for one in self.alerts] + [one.at_s for one in self.expressions], default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTestFile:
    """The tests of a file, and the rules they are about."""

    path: str
    patterns: tuple[tuple[str, Place], ...]
    """Of rule files, relative to this one."""
    interval_s: float
    group_order: tuple[str, ...]
    fuzzy: bool
    tests: tuple[RuleTest, ...]

    def rule_paths(self) -> list[Path]:
        """Return the rule files; raise :class:`RefusedError` for a pattern that matches none."""
        found: list[Path] = []
        for pattern, place in self.patterns:
            folder = Path("/") if pattern.startswith("/") else Path(self.path).parent
            try:
                matches = sorted(folder.glob(pattern.lstrip("/")))
            except (ValueError, NotImplementedError, OSError):
                matches = []
            if not matches:
                raise RefusedError(f"rule_files: no file matches {pattern}", place)
            found += [one for one in matches if one not in found]
        return found


def holds_tests(documents: list[Value]) -> bool:
    """Return whether a file is one of rule tests."""
    if not documents or documents[0].kind != "mapping":
        return False
    keys = {key.raw for key in documents[0].parts[::2]}
    return ("tests" in keys and bool(keys & {"rule_files", "evaluation_interval"})) or keys == {"tests"}


def load_tests(documents: list[Value], path: str, version: tuple[int, int]) -> RuleTestFile:
    """Return the tests of a file for a version of Prometheus; raise :class:`RefusedError`."""
    if not documents:
        raise RefusedError("the file is empty", Place(path=path, line=1, column=1))
    top = documents[0].mapping("the file", _FILE)
    patterns = top["rule_files"].items("rule_files") if "rule_files" in top else []
    order = top["group_eval_order"].items("group_eval_order") if "group_eval_order" in top else []
    interval = duration_of(top.get("evaluation_interval"), "evaluation_interval") or 60.0
    names = [one.text("a group's name") for one in order]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise order[number].refuse(f"group_eval_order: {name} is there twice")
    tests = top["tests"].items("tests") if "tests" in top else []
    if not tests:
        raise documents[0].refuse("there are no tests")
    fuzzy = top["fuzzy_compare"].text("fuzzy_compare") if "fuzzy_compare" in top else "false"
    return RuleTestFile(
        path=path,
        patterns=tuple((one.text("a rule file"), one.place) for one in patterns),
        interval_s=interval,
        group_order=tuple(names),
        fuzzy=fuzzy.lower() == "true",
        tests=tuple(_test(one, interval, version) for one in tests),
    )


def _test(value: Value, interval: float, version: tuple[int, int]) -> RuleTest:
    keys = value.mapping("a test", _TEST)

    def items(name: str) -> list[Value]:
        return keys[name].items(name) if name in keys else []

    start = keys["start_timestamp"].text("start_timestamp") if "start_timestamp" in keys else ""
    if start and not re.fullmatch(r"\d+(\.\d+)?", start, re.ASCII):
        raise keys["start_timestamp"].refuse("start_timestamp: write it in seconds since 1970")
    test = RuleTest(
        place=value.place,
        name=keys["name"].text("name") if "name" in keys else "",
        interval_s=duration_of(keys.get("interval"), "interval") or interval,
        start_s=float(start) if start else None,
        series=tuple(_series(one) for one in items("input_series")),
        alerts=tuple(_alert_test(one) for one in items("alert_rule_test")),
        expressions=tuple(_expression_test(one, version) for one in items("promql_expr_test")),
        external_labels=_labels_of(texts(keys.get("external_labels"), "external_labels")),
        external_url=keys["external_url"].text("external_url") if "external_url" in keys else "",
    )
    steps = test.length_s / min(interval, test.interval_s)
    if steps > MAX_STEPS:
        raise value.refuse(f"{steps:,.0f} evaluations or samples; at most {MAX_STEPS:,} are made")
    if not test.alerts and not test.expressions:
        raise value.refuse("the test asserts nothing: it has neither alert_rule_test nor promql_expr_test")
    return test


def _series(value: Value) -> Series:
    keys = value.mapping("an input series", frozenset({"series", "values"}))
    for name in ("series", "values"):
        if name not in keys:
            raise value.refuse(f"an input series needs {name}")
    labels = parse_metric(keys["series"].text("series"), keys["series"])
    runs = tuple(_run(item, keys["values"]) for item in keys["values"].text("values").split())
    return Series(labels=labels, runs=runs)


def _run(item: str, value: Value) -> tuple[bool, float | None, float, int]:
    if item.startswith("{{"):
        raise value.refuse("values: native histograms are not supported; test this rule with promtool")
    match = _ITEM.fullmatch(item)
    if match is None:
        raise value.refuse(f"values: {item!r} is not a value; write 1, 0+2x10, 5x3, _, _x4 or stale")
    times = match["times"]
    if times is not None and len(times) > 18:
        raise value.refuse(f"values: {item[:40]}... is too often")
    if match["blank"]:
        return False, None, 0.0, int(times or 1)
    count = 1 if times is None else int(times) + 1
    if match["stale"]:
        return True, STALE, 0.0, count
    return True, _number(match["first"]), _number(match["more"] or "0"), count


def _number(text: str) -> float:
    """Return a number as Prometheus reads it: an integer with a leading 0 is octal."""
    digits = text.lstrip("+-")
    if len(digits) > 1 and re.fullmatch("0[0-7]+", digits, re.ASCII):
        return float(int(digits, 8)) * (-1 if text.startswith("-") else 1)
    return float(text)


def parse_metric(text: str, value: Value) -> Labels:
    """Return the labels of ``name{label="value"}``; raise :class:`RefusedError`."""
    match = _METRIC.fullmatch(text)
    if match is None or (match[1] is None and match[2] is None):
        raise value.refuse(f'{text!r} is not a series; write it as name{{label="value"}}')
    labels = {"__name__": match[1]} if match[1] else {}
    inside = (match[2] or "").strip()
    while inside:
        pair = _PAIR.match(inside)
        if pair is None or (pair[1] == "__name__" and match[1]):
            raise value.refuse(f'{text!r}: write labels as name="value", with commas between them')
        try:
            labels[pair[1]] = promql.unquote(pair[2])
        except promql.PromqlError as error:
            raise value.refuse(f"{text!r}: {error}") from None
        inside = inside[pair.end() :].strip()
    return tuple(sorted((name, one) for name, one in labels.items() if one))


def _alert_test(value: Value) -> AlertTest:
    keys = value.mapping("an alert test", frozenset({"eval_time", "alertname", "exp_alerts"}))
    name = keys["alertname"].text("alertname") if "alertname" in keys else ""
    if not name:
        raise value.refuse("an item of alert_rule_test needs alertname")
    expected = []
    for one in keys["exp_alerts"].items("exp_alerts") if "exp_alerts" in keys else []:
        parts = one.mapping("an expected alert", frozenset({"exp_labels", "exp_annotations"}))
        labels = texts(parts.get("exp_labels"), "exp_labels")
        annotations = texts(parts.get("exp_annotations"), "exp_annotations")
        wanted = dict(_labels_of(labels)) | {"alertname": name}
        expected.append(
            ExpectedAlert(labels=tuple(sorted(wanted.items())), annotations=_labels_of(annotations))
        )
    at_s = duration_of(keys.get("eval_time"), "eval_time")
    return AlertTest(place=value.place, at_s=at_s, alert=name, expected=tuple(expected))


def _expression_test(value: Value, version: tuple[int, int]) -> ExpressionTest:
    keys = value.mapping("an expression test", frozenset({"expr", "eval_time", "exp_samples"}))
    expr = keys["expr"].text("expr") if "expr" in keys else ""
    try:
        tree = promql.parse(expr, version)
    except promql.PromqlError as error:
        raise keys.get("expr", value).refuse(f"expr: {error}") from None
    expected = []
    for one in keys["exp_samples"].items("exp_samples") if "exp_samples" in keys else []:
        parts = one.mapping("an expected sample", frozenset({"labels", "value", "histogram"}))
        if "histogram" in parts and parts["histogram"].text("histogram"):
            raise one.refuse("histogram: native histograms are not supported; test this with promtool")
        if "labels" not in parts:
            raise one.refuse("an expected sample needs labels, {} where there are none")
        labels = parse_metric(parts["labels"].text("labels"), parts["labels"])
        expected.append((labels, _value(parts.get("value"))))
    at_s = duration_of(keys.get("eval_time"), "eval_time")
    return ExpressionTest(place=value.place, at_s=at_s, expr=expr, tree=tree, expected=tuple(expected))


def _value(value: Value | None) -> float:
    text = value.text("value") if value is not None else ""
    try:
        return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".nan", "nan") or 0)
    except ValueError:
        raise (value or _NO_VALUE).refuse(f"value: {text!r} is not a number") from None


_NO_VALUE: Final = Value(kind="text", place=Place(path="", line=1, column=1), parts=[])


def _labels_of(found: Mapping[str, Value]) -> Labels:
    return tuple(sorted((name, one.text(name)) for name, one in found.items()))
