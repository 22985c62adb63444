"""What a check compares, records and keeps."""

from __future__ import annotations

import json
from enum import IntEnum, StrEnum
from typing import Any

import pytest

from bais_gates.pytest_plugin.evidence import Evidence, GateFailure, format_failures
from bais_gates.redaction import register


class Liar(str):
    """Text that claims to equal everything."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


class LyingNumber(float):
    """A number that claims to be below everything."""

    __slots__ = ()

    def __le__(self, other: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("observed", "op", "limit", "expected"),
    [
        (200, "<=", 200, True),
        (200.1, "<=", 200, False),
        (1, "<", 1, False),
        (2, ">", 1, True),
        (1, ">=", 2, False),
        ("250", "<=", 300, False),
        (True, "<=", 5, False),
        (1, "==", 1.0, True),
        (1, "==", True, False),
        ("a", "==", "a", True),
        ([1, {"a": 2}], "==", [1, {"a": 2}], True),
        ((1, 2), "==", [1, 2], True),
        ({"b", "a"}, "==", ["a", "b"], True),
        (None, "==", None, False),
        (200, "in", [200, 201], True),
        (True, "in", [1], False),
        ("Traceback", "not in", "all is well", True),
        ("Traceback", "not in", "Traceback (most recent", False),
        ("EUR", "matches", "[A-Z]{3}", True),
        ("EUR\n", "matches", "^[A-Z]{3}$", False),
        ("xEUR", "matches", "[A-Z]{3}", False),
        (5, "matches", ".+", False),
        (Liar("a"), "==", "b", False),
        (Liar("a"), "!=", "b", True),
        (LyingNumber(9.0), "<=", 1, False),
        (StrEnum("Colour", {"RED": "red"}).RED, "==", "red", True),  # type: ignore[attr-defined]  # made just here
        (IntEnum("Status", {"OK": 200}).OK, "==", 200, True),  # type: ignore[attr-defined]  # made just here
    ],
)
def test_comparisons(observed: object, op: str, limit: object, expected: bool) -> None:
    """A check holds only when the plain values behind it do."""
    evidence = Evidence()

    assert evidence.check("x", observed, op, limit) is expected


@pytest.mark.parametrize(
    ("observed", "more"),
    [
        (None, {}),
        (float("nan"), {}),
        (float("inf"), {}),
        (float("-inf"), {}),
        ([1, (2, {"a": float("nan")})], {}),
        ({"a": {None}}, {}),
        (1, {"n": 0}),
        (1, {"n": 9, "n_min": 10}),
        (1, {"n_min": 10}),
    ],
)
def test_no_data(observed: object, more: dict[str, Any]) -> None:
    """Nothing observed, or too little, is neither true nor false, and the gate cannot pass."""
    evidence = Evidence()

    assert evidence.check("x", observed, "<=", 5, **more) is False
    assert evidence.recorded().checks[0].ok is None
    assert format_failures(evidence.recorded()).startswith("x: ")
    with pytest.raises(GateFailure):
        evidence.require("x", observed, "<=", 5, **more)


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        ((1, "=<", 1), {}),
        ((1, "<=", "1"), {}),
        ((1, "<=", True), {}),
        ((1, "<=", float("nan")), {}),
        ((1, "<=", float("inf")), {}),
        ((object(), "==", 1), {}),
        ((1, "==", object()), {}),
        (({1: 2}, "==", {}), {}),
        (("a", "matches", "("), {}),
        ((1, "in", 5), {}),
        ((1, "<=", 2), {"n": 1.5}),
        ((1, "<=", 2), {"n": -1}),
        ((1, "<=", 2), {"n": True}),
        (("", "in", "text"), {}),
        ((3, "!=", None), {}),
        ((3, "not in", []), {}),
    ],
)
def test_senseless_comparisons(arguments: tuple[Any, ...], more: dict[str, Any]) -> None:
    """A comparison that makes no sense is an error in the gate, and stays recorded as one without data."""
    evidence = Evidence()

    with pytest.raises((TypeError, ValueError)):
        evidence.check("x", *arguments, **more)

    assert [check.ok for check in evidence.recorded().checks] == [None]


def test_what_is_recorded_is_redacted_and_journaled_at_once() -> None:
    """Names, values, limits, sources and attachments are clean before anything else sees them."""
    register("s3cr3t-value")
    lines: list[str] = []
    evidence = Evidence(case="one", journal=lambda kind, record: lines.append(json.dumps([kind, record])))

    evidence.check("s3cr3t-value", ["s3cr3t-value"], "==", {"password": "x1y2z3"}, source="?t=s3cr3t-value")
    evidence.attach("body", {"card": "4111 1111 1111 1111", "note": "s3cr3t-value"}, "application/json")
    evidence.attach("bytes", b"\xff" + b"a" * 1_000_000)

    recorded = evidence.recorded()
    assert "s3cr3t-value" not in repr(recorded) + "".join(lines)
    assert "x1y2z3" not in repr(recorded)
    assert "[card ending 1111]" in recorded.attachments[0].text
    assert recorded.attachments[1].truncated
    assert len(recorded.attachments[1].text) == 256 * 1024
    assert [json.loads(line)[0] for line in lines] == ["check", "attachment", "attachment"]
    assert recorded.checks[0].case == "one"


def test_the_message_names_every_check_that_did_not_hold() -> None:
    """One line a check: name, observed, limit, unit."""
    evidence = Evidence()
    evidence.check("p95", 250, "<=", 200, unit="ms")
    evidence.check("fine", 1, "==", 1)
    evidence.check("body", "x" * 5000, "==", "y")
    evidence.check("id", "5", "matches", "[a-z]+")

    lines = format_failures(evidence.recorded()).splitlines()

    assert lines[0] == "p95: 250 ms (limit 200 ms)"
    assert len(lines[1]) < 500
    assert lines[2] == "id: 5 (must match [a-z]+)"


def test_a_name_that_cannot_be_said() -> None:
    """A check whose name raises when it is read is recorded all the same."""

    class Unreadable:
        def __str__(self) -> str:
            raise OSError("gone")

    evidence = Evidence()
    assert not evidence.check(Unreadable(), 2, "==", 1)  # type: ignore[arg-type]

    [check] = evidence.recorded().false
    assert check.name == "(no text: its __str__ raised OSError)"
