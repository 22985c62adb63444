"""How text from outside is made safe to look at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.reports.text import ascii_only, cap, cap_middle, columns, one_line, shorten, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\x00b", "a\\x00b"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\U000e0041", "\\U000e0041"),
        ("one\r\ntwo\rthree\tfour", "one\ntwo\\x0dthree\tfour"),
        ("caf\u00e9 \u6771\u4eac \U0001f680", "caf\u00e9 \u6771\u4eac \U0001f680"),
    ],
)
def test_hidden_and_steering_characters_are_written_out(text: str, shown: str) -> None:
    """Control, bidirectional, zero-width and surrogate characters appear as escapes; ordinary text stays."""
    assert visible(text) == shown


@given(st.text())
def test_visible_text_can_be_encoded_and_steers_nothing(text: str) -> None:
    """Whatever the text, the result is UTF-8, without escape characters, and stable."""
    shown = visible(text)
    shown.encode("utf-8")
    assert "\x1b" not in shown
    assert "\x00" not in shown
    assert visible(shown) == shown


@given(st.text())
def test_ascii_is_ascii(text: str) -> None:
    """A plain terminal gets nothing but printable ASCII on one line."""
    plain = ascii_only(one_line(text))
    assert plain.isascii()
    assert plain == "" or plain.isprintable()


def test_accents_are_dropped_rather_than_escaped() -> None:
    """A name stays readable on a plain terminal."""
    assert ascii_only("Jos\u00e9 \u2013 \u201cok\u201d \u2026") == 'Jose - "ok" ...'


def test_a_cut_is_told() -> None:
    """Text that is too long is cut, with the number of characters that are missing."""
    assert cap("x" * 1_000_000, 100) == "x" * 100 + " [... 999,900 more characters, not shown here]"
    assert "999,700 characters" in cap_middle("x" * 1_000_000, 300)
    assert cap_middle("begin" + "x" * 1000 + "end", 90).endswith("end")


@given(st.text(), st.integers(min_value=0, max_value=60))
def test_a_shortened_line_fits(text: str, width: int) -> None:
    """A line never takes more columns than it is given, wide characters included."""
    assert columns(shorten(one_line(text), width)) <= width
