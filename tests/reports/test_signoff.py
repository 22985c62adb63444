"""The sign-off page as text: order, nothing empty, and nothing from outside that becomes markup."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from bais_gates.reports import signoff, templating
from bais_gates.verdict.model import Decision, Digests, GateResult, Outcome

_TEMPLATES = "".join(templating.template_text(name) for name in ("signoff.html", "macros.html"))
_VOID = frozenset({"meta", "br", "circle", "rect", "path"})
_KNOWN = frozenset(re.findall(r"<(\w+)", _TEMPLATES))
_ATTRIBUTES = frozenset(name.lower() for name in re.findall(r'\s([A-Za-z-]+)="', _TEMPLATES))


class _Page(HTMLParser):
    """The parts of a page; fails for elements and attributes that the template does not have."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _KNOWN
        for name, value in attrs:
            assert name in _ATTRIBUTES, name
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        self.text.append(data)


@given(data=st.data())
def test_hostile_text_stays_text(data: st.DataObject, decisions: st.SearchStrategy[Decision]) -> None:
    """Whatever the texts, the page has only the templates' elements, well nested, and no link out."""
    text = signoff.render(data.draw(decisions))
    page = _Page(text)
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b\ud800-\udfff]", text)


def test_links_lead_somewhere(block: Decision) -> None:
    """Every link has its target, and no id is there twice."""
    page = _Page(signoff.render(block))
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert "gate-acceptance.rate_limiting" in page.ids


def test_the_order_is_that_of_a_reader(block: Decision) -> None:
    """Reasons, changes, criteria, failures, what did not run, waivers, advisory, passes, and the rest."""
    assert _Page(signoff.render(block)).headings == [
        "6 reasons to block",
        "What changed",
        "Success criteria",
        "Blocking (3)",
        "Did not run (2)",
        "Waived (1)",
        "Waivers (1)",
        "Advisory (1)",
        "Passed",
        "Not applicable (1)",
        "What was decided, and from what",
        "Signatures",
    ]


def test_nothing_empty_is_printed(deploy: Decision) -> None:
    """A decision that has only passes shows no section, list or line without content."""
    gates = tuple(judged for judged in deploy.gates if judged.result.outcome is Outcome.PASS)
    bare = dataclasses.replace(
        deploy,
        gates=gates,
        waivers=(),
        previous=None,
        criteria=(),
        subject=None,
        digests=Digests(catalog=None, policy=None, waivers=None),
        target=dataclasses.replace(deploy.target, facts=(), environment_digest=""),
        run=dataclasses.replace(deploy.run, versions=(), ledger_digest=None, finished_at=None, command=()),
    )
    text = signoff.render(bare)
    assert _Page(text).headings == ["Passed", "What was decided, and from what", "Signatures"]
    assert "Digests" not in text
    assert "Versions" not in text
    assert "Command" not in text
    assert not re.search(r"<(dd|dt|p|li|h\d|caption)[^>]*>\s*</\1>", text)


def test_a_gate_with_next_to_nothing_is_shown(block: Decision) -> None:
    """A gate whose result holds only its outcome gives a page, too."""
    gates = tuple(
        dataclasses.replace(judged, result=GateResult(gate_id=judged.gate.id, outcome=judged.result.outcome))
        for judged in block.gates
    )
    text = signoff.render(dataclasses.replace(block, gates=gates))
    assert not re.search(r"<(dd|dt|p|li|h\d|caption)[^>]*>\s*</\1>", text)


def test_the_policy_allows_the_own_style_and_nothing_else(block: Decision) -> None:
    """The page's policy names the hash of its style sheet; there is no script and no style attribute."""
    text = signoff.render(block)
    style = re.search(r"<style>(.*)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in text
    assert "<script" not in text
    assert " style=" not in text
    assert "url(" not in style.group(1)
    assert "@import" not in style.group(1)


def test_a_rehearsal_cannot_be_taken_for_a_release(deploy: Decision) -> None:
    """A rehearsal is named beside the verdict, in the title, in a banner, and at the signatures."""
    target = dataclasses.replace(deploy.target, name="sandbox", rehearsal=True)
    text = signoff.render(dataclasses.replace(deploy, target=target))
    assert '<span class="stamp">rehearsal</span>' in text
    assert "<title>DEPLOY (rehearsal): golive on sandbox</title>" in text
    assert "this decision never deploys anything." in text
    assert "it does not approve a release" in text
    assert "ehearsal" not in signoff.render(deploy).partition("</style>")[2]


def test_a_waiver_shows_who_answers_for_it(block: Decision) -> None:
    """A waiver is listed with ticket, both people, its end, and the outcome that it covers."""
    text = signoff.render(block)
    row = next(line for line in text.splitlines() if "BAIS-4127" in line)
    for part in ("Jonas Weber", "Maria Lindqvist", "2026-11-25 14:03:11 UTC", "FAIL", "applied"):
        assert part in row


def test_no_data_is_shown_as_such(block: Decision) -> None:
    """A check with too few samples is marked, shows how many there were and are needed, and has no bar."""
    line = next(line for line in signoff.render(block).splitlines() if "delay of the delivery, p95" in line)
    assert "no data</span>" in line
    assert "0 of 20 samples (limit 5 s)" in line
    assert 'class="bar"' not in line


def test_megabytes_are_cut_with_a_note(block: Decision) -> None:
    """Messages, logs and attachments of a megabyte each make no page of megabytes."""
    huge = "x" * 1_000_000
    gates = tuple(
        dataclasses.replace(
            judged,
            result=dataclasses.replace(
                judged.result,
                message=huge,
                log=huge,
                summary=huge,
                checks=tuple(
                    dataclasses.replace(check, observed=huge, source=huge, name=huge, unit=huge)
                    for check in judged.result.checks
                ),
                attachments=tuple(
                    dataclasses.replace(each, text=huge, name=huge, content_type=huge)
                    for each in judged.result.attachments
                ),
            ),
        )
        for judged in block.gates
    )
    reasons = tuple(dataclasses.replace(reason, message=huge, remedy=huge) for reason in block.reasons)
    facts = tuple((huge, huge) for _ in range(3))
    target = dataclasses.replace(block.target, facts=facts)
    text = signoff.render(dataclasses.replace(block, gates=gates, reasons=reasons, target=target))
    assert len(text) < 700_000
    assert "not shown here" in text


def test_many_reasons_are_folded(many: Callable[[int], Decision]) -> None:
    """Of forty reasons the first twenty are open, the rest are one fold away."""
    text = signoff.render(many(1000))
    assert "40 reasons to block" in text
    assert "20 more reasons" in text
