"""JSON and YAML without what two readers understand differently."""

from __future__ import annotations

import pytest

from bais_gates.strict import parse_json, parse_yaml


def test_plain_documents_are_read() -> None:
    """As the libraries read them, YAML with its times."""
    assert parse_json(b'{"a": [1, {"a": 2}]}') == {"a": [1, {"a": 2}]}
    assert parse_yaml("a: [1, {a: 2}]") == {"a": [1, {"a": 2}]}
    assert parse_yaml("2026-01-01").year == 2026


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "duplicate key c"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "Infinity is not a JSON number"),
        ("{", "line 1, column 2"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_ambiguous_json_is_refused(text: str | bytes, reason: str) -> None:
    """The reason names the key or the place."""
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: {c: 1, c: 2}", "duplicate key c"),
        ("a: [", "not valid YAML in line"),
        ("!!python/object:os.x {}", "not valid YAML"),
        ("[" * 5_000, "not valid YAML"),
        ("a: &x [1]\nb: [*x, *x]", "in line 2 .an alias"),
        ("&x [*x]", "an alias"),
        ("a: {b: 1}\n<<: *a", "an alias"),
        ("a: 2026-02-30", "a date, number or tag"),
        ("a: " + "9" * 5_000, "a date, number or tag"),
        ("a: !!bool x", "a date, number or tag"),
        ("!!map [a]", "a date, number or tag"),
    ],
)
def test_ambiguous_yaml_is_refused(text: str, reason: str) -> None:
    """The reason names the key or the line; no short text stands for a huge value."""
    with pytest.raises(ValueError, match=reason):
        parse_yaml(text)
