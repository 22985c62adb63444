"""Who is the same person in another spelling, and which texts name nobody clearly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.people import names_nobody, same_person, why_unclear

SAME = [
    ("alex", "ALEX"),
    ("Alex Smith", "  alex   SMITH "),
    ("Alex Smith", "Smith, Alex"),
    ("Alex Smith", "Alex Smith (release lead)"),
    ("José Núñez", "jose nunez"),
    ("Dr. Alex Smith", "Alex Smith, CISSP"),
    ("Alex M. Smith", "Alex Smith"),
    ("Anna Ek <anna@example.com>", "anna@example.com"),
    ("Jos\u00e9", "Jose\u0301"),
    ("Łukasz Ørsted", "lukasz orsted"),
    ("İpek Işık", "ipek isik"),
    ("ａｌｅｘ", "alex"),
    ("alex@example.com", "Alex Smith <alex@example.com>"),
    ("alex@example.com", "mailto:ALEX@Example.COM."),
    ("alex@example.com", "alex+approvals@example.com"),
    ("alex.smith@example.com", "alexsmith@example.com"),
    ("alex-smith@example.com", "alex_smith@example.com"),
    ("alex@example.com", "alex@mail.example.com"),
    ("Alex Smith <a@example.com>", "Alex Smith <b@example.org>"),
    ("Alex Smith", "alex.smith@example.com"),
    ("Alex Smith <a@example.com>", "alex.smith@example.org"),
    ("alex", "@alex"),
    ("alex", "alex@example.com"),
    ("alex", "aIex"),
    ("alex@example.com", "a1ex@example.com"),
    ("maria", "rnaria"),
    ("bob", "b0b"),
    ("coco", "\u0441\u043e\u0441\u043e <other@example.com>"),
    ("山田 <yamada@example.com>", "yamada@example.com"),
    ("Dana Smith, Alex Jones", "Alex Jones"),
    ("Dana Smith and Alex Jones", "Jones, Alex"),
    ("Dana Smith; Alex Jones", "alex.jones@example.com"),
    ("Dana Smith", "Dana Smith, CISO"),
    ("Dana Smith, auditor", "Dana Smith / security"),
    ("Dana & Alex", "Alex"),
    ("Dana Smith <dana@example.com>", "team leads (Dana, Robin)"),
    ("Dana Smith <dana@example.com>", "dana at example.com"),
    ("Dana Smith <dana@example.com>", "approved by Dana Smith"),
    ("Dana Smith <dana@example.com>", "Sir Dana Smith III - Security"),
    ("Dana Smith <dana@example.com>", "Alex Jones on behalf of Dana Smith"),
    ("Dana Smith <dana@example.com>", "D. Smith"),
    ("Dana Smith", "Dana S."),
    ("Dana Smith", "dana"),
    ("Dana Jane Smith", "dana.smith@example.com"),
    ("Jürgen Møller", "Juergen Moeller"),
    ("Ka\u02bbahumanu Ek", "Kaahumanu Ek"),
]
OTHERS = [
    ("dana", "alex"),
    ("dana@example.com", "alex@example.com"),
    ("alex@example.com", "alex@example.org"),
    ("Alex Smith", "Alex Jones"),
    ("A. Smith", "B. Smith"),
    ("Dr. Smith", "Dr. Jones"),
    ("Dr. A", "Dr. B"),
    ("mailto:dana@example.com", "mailto:alex@example.com"),
    ("Ian <ian@example.com>", "Dana <dana@example.com>"),
    ("山田太郎 <yamada@example.com>", "村上みどり <murakami@example.com>"),
    ("O'Brien", "O\u2019Neill"),
    ("Straße", "Strand"),
    ("Dana <dana@example.com>", "山田 <yamada@example.com>"),
    ("Smith, Dana", "Smith, Robin"),
    ("Dana Smith, Example Audits", "Alex Jones, Example Audits"),
    ("Dana Smith, CISSP", "Robin Jones, CISSP"),
    ("Mary Watson <mary@example.com>", "Mary Jane Watson <jane@example.com>"),
    ("Smith", "Alex Smith <alex@example.com>"),
    ("S. Smith", "B. Smith"),
    ("dependabot[bot] <49699333+dependabot[bot]@users.noreply.github.com>", "Dana <dana@example.com>"),
    ("Robin at Example", "Dana at Example"),
    ("Na Li <na.li@example.com>", "I. Petrov <i.petrov@example.com>"),
    ("Siobhán O'Neill <s.o'neill@example.com>", "Dana <dana-x_y@example.com>"),
]
UNCLEAR = [
    ("al\u200bex", "not shown"),
    ("al\u00adex", "not shown"),
    ("al\u2060ex", "not shown"),
    ("al\ufe0fex", "not shown"),
    ("al\u034fex", "not shown"),
    ("al\u3164ex", "not shown"),
    ("\u202exela", "not shown"),
    ("al\tex", "not shown"),
    ("al\u2028ex", "not shown"),
    ("al\ue000ex", "not shown"),
    ("al\u2800ex", "no name has"),
    ("alex\U0001f600", "no name has"),
    ("alex\u0661", "no name has"),
    ("\u0430lex", "several scripts"),
    ("\u03b1lex", "several scripts"),
    ("al\u13acx", "several scripts"),
    ("\u0430\u04cf\u0435\u0445", "needs an address"),
    ("山田", "needs an address"),
    ("...", "names nobody"),
    ("\u0251lex", "needs an address"),
    ("Alex <\u0430lex@example.com>", "not ASCII"),
    ("alex@ex\u0430mple.com", "not ASCII"),
    ('"dana"@example.com', "in two ways"),
    ("dana @example.com", "in two ways"),
    ("dana(alex)@example.com", "in two ways"),
    ("dana@(alex)example.com", "in two ways"),
    ("dana@[192.0.2.1]", "in two ways"),
    ("dana%example.com@example.org", "in two ways"),
    ("example.com!dana@example.org", "in two ways"),
    ("dana=example.com@example.org", "in two ways"),
    ("mailto:dana%40example.com", "in two ways"),
    ("mailto:dana@example.com?cc=alex@example.com", "in two ways"),
    ("tbd", "names nobody"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_person_in_another_spelling(one: str, other: str) -> None:
    """Case, marks, order, separators, tags, comments and lookalikes make no second person."""
    assert (why_unclear(one), why_unclear(other)) == (None, None)
    assert same_person(one, other)
    assert same_person(other, one)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_two_people(one: str, other: str) -> None:
    """Who differs in name and address is another person."""
    assert (why_unclear(one), why_unclear(other)) == (None, None)
    assert not same_person(one, other)


@pytest.mark.parametrize(("text", "why"), UNCLEAR)
def test_a_text_that_can_hide_another_is_unclear(text: str, why: str) -> None:
    """What is not shown, mixed or without an address to compare is refused, and counts as anybody."""
    assert why in (why_unclear(text) or "")
    assert same_person(text, "dana@example.com")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "?",
        "TBD",
        "tbd (Alex)",
        "nobody yet",
        "None.",
        "n/a",
        "to be decided",
        "pending approval",
        "xx",
        "not yet approved",
        "<your name>",
        "[name]",
        "{{ approver }}",
        "self",
        "unknown: the lead left",
        "T.B.D.",
        "(TBD)",
        '"none"',
        "\uff34\uff22\uff24",
        "N.N.",
        "same as above",
        "me",
        "NAME <address>",
    ],
)
def test_a_placeholder_names_nobody(text: str) -> None:
    """What a form or template has where a name is due is no name."""
    assert names_nobody(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Alex", "Nobody Jones", "None Smith", "Na Li", "<alex@example.com>", "Self, Will", "on-call lead"),
        *("I. Petrov", "X. Zhang", "x.zhang@example.com", "Name, Anna", "Tbilisi Ek"),
    ],
)
def test_a_name_is_no_placeholder(text: str) -> None:
    """Names that begin like a placeholder are names."""
    assert not names_nobody(text)


@given(one=st.text(max_size=20), other=st.text(max_size=20))
def test_it_is_symmetric_and_never_raises(one: str, other: str) -> None:
    """Whatever the texts are, each is its own person and the order makes no difference."""
    assert same_person(one, one)
    assert same_person(one, other) is same_person(other, one)
