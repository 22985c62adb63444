"""Expressions are judged as the named version of Prometheus judges them, whatever the library says."""

from __future__ import annotations

import pytest

from bais_gates.monitoring.promql import PromqlError, Selector, parse, selector, walk


@pytest.mark.parametrize(
    "text",
    [
        "up == 0 # a comment (",
        r'{a=~`\d+`}',
        r'{a=~"\\d+"}',
        r'{a=~"\\Qa.b\\E"}',
        '{a=~"{{x}}"}',
        '{or="b", and!="c"}',
        "sum by (or, by) (x)",
        "x OR y",
        "foo offset -5m",
        "foo offset 5m - 5",
        "rate(foo[5m:1m])",
        "x @ 1603774568.5 > 0x1F",
        "holt_winters(x[5m], 0.5, 0.5)",
        'x{a="\\u00e9\\x41\\101"}',
        '{a=~".*|b", c!=""}',
        '{a!~".*"}',
        "1e3 * +x ^ -2",
        "x{" + 'a!="b",' * 300 + "}",
        "(" * 70 + "x" + ")" * 70,
        "+".join("x" * 200),
    ],
)  # fmt: skip
def test_what_prometheus_parses(text: str) -> None:
    """What Prometheus 2.42 parses is parsed, by whatever rules the library reads strings and patterns."""
    parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n", "the expression is empty"),
        ("foo - 5m", "the duration 5m is not a number"),
        ("foo > 1h", "the duration 1h is not a number"),
        ("foo > offset -5m", "the duration 5m is not a number"),
        ("foo[5]", "the duration 5 needs a unit"),
        ("foo offset 5", "the duration 5 needs a unit"),
        ("foo offset -5", "the duration 5 needs a unit"),
        ('{a="b" or c="d"}', '"or" between label matchers'),
        ('{"foo"}', 'the quoted name "foo" needs Prometheus 3.0'),
        ('sum by (a, "c") (x)', 'the quoted name "c" needs Prometheus 3.0'),
        ('foo{a="b", "c"="d"}', 'the quoted name "c" needs Prometheus 3.0'),
        ('{a=~".*"}', "at least one non-empty matcher"),
        ('{a!~".+"}', "at least one non-empty matcher"),
        ('{a=~"a**"}', "a wrong regular expression: bad repetition operator"),
        ('{a=~"x{1001}"}', "a wrong regular expression: invalid repetition size"),
        ('{a=~"("}', "a wrong regular expression: missing )"),
        (r'{a="\d"}', "a wrong escape"),
        (r'{a="\ud800"}', "a wrong escape"),
        (r'{a="\'"}', "a wrong escape"),
        ("foo € 1", "unexpected character '€'"),
        ('foo{a="b', "unexpected character '\"'"),
        ("first_over_time(x[5m])", "Prometheus 2.42 has no first_over_time; it came with 3.7"),
        ("limitk(5, x)", "Prometheus 2.42 has no limitk"),
        ("double_exponential_smoothing(x[5m], 1, 1)", "Prometheus 2.42 has no double_exponential_smoothing"),
        ("start() > bool 1", "Prometheus 2.42 has no start"),
        ("nosuch(x)", "unknown function"),
        ("x +", "invalid"),
        ("(" * 81 + "x" + ")" * 81, "nested more than 80 deep"),
        ("(" * 100_000, "100,000 characters; at most 20,000"),
        ("[" * 5000, "nested more than 80 deep"),
        ("-" * 5000 + "x", "more than 250 operators"),
        ("+".join("x" * 5000), "more than 250 operators"),
        ("x" + " and x" * 2000, "more than 250 operators"),
        ("x" + " offset 5m" * 1500, "offset may not be set multiple times"),
        ('"' + "\\" * 15_000, "unexpected character"),
    ],
)  # fmt: skip
def test_what_prometheus_refuses(text: str, message: str) -> None:
    """What Prometheus 2.42 refuses, or what would crash the library, is refused with the reason."""
    with pytest.raises(PromqlError) as error:
        parse(text)

    assert message in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "foo - 5m",
        "foo[5]",
        '{"foo"}',
        'foo{"a.b"="c"}',
        "first_over_time(x[5m])",
        "limitk(5, x)",
        "start() + 1",
    ],
)
def test_what_newer_versions_parse(text: str) -> None:
    """The verdict is that of the version that is asked for."""
    parse(text, (3, 13))
    with pytest.raises(PromqlError):
        parse("holt_winters(x[5m], 0.5, 0.5)", (3, 13))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo", Selector("foo", ())),
        ('{__name__="foo", a!="b"}', Selector("foo", (("a", "!=", "b"),))),
        ('{__name__=~"foo.+"}', Selector("", (("__name__", "=~", "foo.+"),))),
        (r'foo{a=~`\d|`, b!~"x{1,2}"}', Selector("foo", (("a", "=~", r"\d|"), ("b", "!~", "x{1,2}")))),
        ('foo{a=~"é|"}', Selector("foo", (("a", "=~", "é|"),))),
    ],
)
def test_a_selector_keeps_its_patterns(text: str, expected: Selector) -> None:
    """What was rewritten for the library is read back as it was."""
    found = next(selector(node) for node in walk(parse(text)) if type(node).__name__ == "VectorSelector")

    assert (found.metric, sorted(found.matchers)) == (expected.metric, sorted(expected.matchers))
