"""The CI summary: most important first, bounded, and deaf to Markdown and HTML in what it shows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from bais_gates.reports import summary
from bais_gates.verdict.model import Decision


def test_the_order_is_verdict_reasons_gates(block: Decision) -> None:
    """Verdict, reasons, changes, blocking gates, gates without a run, waived ones, passes, in this order."""
    text = summary.render(block)
    headings = re.findall(r"^#+ (.*)$|<summary>(.*)</summary>", text, re.MULTILINE)
    assert [one or other for one, other in headings] == [
        "BLOCK: golive on staging",
        "6 reasons to block",
        "Since run 20261119-173002-0c11d2 (BLOCK)",
        "Blocking (3)",
        "Did not run (2)",
        "Waived (1)",
        "Advisory, not passed (1)",
        "2 passed",
    ]


def test_nothing_empty_is_printed(deploy: Decision) -> None:
    """A DEPLOY without changes shows no section about reasons, failures or changes."""
    text = summary.render(dataclasses.replace(deploy, previous=None))
    assert "reason" not in text
    assert "Not proven" not in text
    assert "Since run" not in text


@given(st.text())
def test_plain_text_starts_no_markup(text: str) -> None:
    """What comes from outside holds no character that Markdown or HTML could act on."""
    shown = summary.plain(text)
    assert not re.search(r"[<>`*_|\[\]!@\\~$]", shown)
    assert not re.search(r"&(?!#\d+;)", shown)
    assert not re.search(r"[./:](?!\d)", shown)
    assert "\n" not in shown


@given(data=st.data())
def test_hostile_text_stays_text(data: st.DataObject, decisions: st.SearchStrategy[Decision]) -> None:
    """No canary of a hostile decision reaches the summary as markup, and tables keep their columns."""
    text = summary.render(data.draw(decisions))
    for canary in ("<script", "<img", "](", "javascript:", "</style", "\x1b", "\u202e", "@team"):
        assert canary not in text
    for row in text.splitlines():
        if row.startswith("|"):
            assert row.count("|") == 5


def test_it_is_cut_at_its_limit(many: Callable[[int], Decision]) -> None:
    """A summary never has more bytes than it may, keeps the verdict, and has a note that it was cut."""
    decision = many(1000)
    for limit in (3_000, 20_000, summary.DEFAULT_LIMIT):
        text = summary.render(decision, limit=limit)
        assert len(text.encode()) <= limit
        assert "BLOCK" in text
    assert "Cut here" in summary.render(decision, limit=3_000)


def test_long_lists_say_how_much_is_missing(many: Callable[[int], Decision]) -> None:
    """Of thousands of failed gates the first two hundred are listed, and the rest is counted."""
    text = summary.render(many(7500))
    assert "and 100 more" in text
    assert len(text.encode()) < summary.DEFAULT_LIMIT
