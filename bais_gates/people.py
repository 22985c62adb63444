"""Whether a text names a person, and two name the same: who asks for an exception may not approve it.

No table of lookalikes is needed, as texts that could hide one are refused: characters that are not shown,
words of several scripts, an address that is not ASCII, a name without Latin letters and without an address.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ADDRESS: Final = re.compile(r"(?:mailto:)?([^\s<>()\[\],;:\"']+)@([^\s<>()\[\],;:\"'@]+)", re.IGNORECASE)
_NOT_SHOWN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""What Unicode calls default-ignorable, besides the format characters (category Cf)."""
_EAST_ASIAN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"})
"""Scripts that names mix."""
_LATIN: Final = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "þ": "th", "ı": "i"}
    | {"ŋ": "n", "ə": "e"}
)
"""The small letters of Latin alphabets that are no ASCII letter with a mark."""
_TITLES: Final = frozenset(
    {"dr", "prof", "mr", "mrs", "ms", "mx", "herr", "frau", "dipl", "ing", "phd", "md", "msc", "bsc", "mba"}
    | {"cissp", "cisa", "cism", "oscp"}
)
_FULL_NAME: Final = 2
"""Words of a name that is left when titles and initials are taken away."""
_COMMENT: Final = re.compile(r"\([^()]*\)")
_SEPARATOR: Final = re.compile(r"[,;/&|+\n]|\b(?:and|und|et)\b", re.IGNORECASE)
_PLACEHOLDER: Final = re.compile(
    r"(?:(?:tb[acd]|to be \w+|todo|fixme|n/?a|not|none|nil|null|no ?one|nobody|(?:some|any)(?:one|body)"
    r"|unknown|unassigned|undefined|pending|placeholder|anonymous|changeme|self|ditto|auditor|approver"
    r"|(?:your|full) name|x+)(?: (?:yet|applicable|assigned|approved|approval|decided|available)){0,2}"
    r"(?:\s*[(:;.!?].*)?|\W*|<[^@]*>|\{.*\}|\[[^@]*\])",
    re.IGNORECASE | re.DOTALL,
)
"""What forms and templates have where a name is due, alone or with a comment behind punctuation."""


@dataclass(frozen=True, slots=True)
class _Person:
    names: frozenset[str]
    """What the text calls the person, folded; of an address the part before the @."""
    shown: frozenset[str]
    """The names in front of or behind an address, or the whole text where there is none."""
    addresses: frozenset[tuple[str, str]]


def names_nobody(text: str) -> bool:
    """Return whether a text is a placeholder, such as TBD, instead of a name."""
    return _PLACEHOLDER.fullmatch(text.strip()) is not None


def why_unclear(text: str) -> str | None:
    """Return why a text does not name a person clearly, with the remedy; None if it does."""
    return next(_problems(text), None)


def _problems(text: str) -> Iterator[str]:
    for character in text:
        category = unicodedata.category(character)
        if category[0] == "C" or category in {"Zl", "Zp"} or _NOT_SHOWN.match(character):
            yield f"has a character that is not shown (U+{ord(character):04X}). Type the name anew."
    plain = unicodedata.normalize("NFKC", text)
    for character in plain:
        if not character.isascii() and unicodedata.category(character)[0] in "NSZ":
            yield f"has a character that no name has (U+{ord(character):04X}). Write letters."
    addresses = _ADDRESS.findall(plain)
    if not "".join(local + domain for local, domain in addresses).isascii():
        yield "has an address with letters that are not ASCII. Write the address in ASCII."
    words = re.findall(r"[^\W\d_]+", plain)
    scripts = [{_script(letter) for letter in word if letter.isalpha()} for word in words]
    if any(len(each) > 1 for each in scripts):
        yield "mixes letters of several scripts in one word. Write the word in one script."
    if not addresses and not ("".join(words) and _folded("".join(words)).isascii()):
        yield "needs an address: its letters can look like others. Write NAME <address>."


def same_person(one: str, other: str) -> bool:
    """Return whether two texts name the same person, as far as can be told; True where one is unclear.

    Names are compared without case, marks, separators, order of words, titles, further initials and comments
    in brackets; addresses without case, separators and plus-tag, also those of a domain and its subdomain; a
    name with the part of an address before the @; all of it once more with the ASCII characters that look
    alike made one. Of a list of names, or a name with a role behind a comma, each part is compared, too.
    """
    if why_unclear(one) is not None or why_unclear(other) is not None:
        return True
    return any(
        _same(_read(fold(a)), _read(fold(b))) for a, b in _pairs(one, other) for fold in (str, _skeleton)
    )


def _pairs(one: str, other: str) -> Iterator[tuple[str, str]]:
    """Return what to compare: the texts, each part of a list with the other text, and with its first name.

    Later parts are not compared with each other, as two people can have the same role or employer.
    """
    yield one, other
    parts, others = ([p for p in _SEPARATOR.split(text) if _words(p)] for text in (one, other))
    yield from ((part, other) for part in parts[: len(parts) * (len(parts) > 1)])
    yield from ((one, part) for part in others[: len(others) * (len(others) > 1)])
    pairs = [*((p, others[0]) for p in parts if others), *((parts[0], p) for p in others if parts)]
    yield from (pair for pair in pairs if all("@" in p or len(_words(p)) >= _FULL_NAME for p in pair))


def _same(one: _Person, other: _Person) -> bool:
    if one.shown & other.names or other.shown & one.names:
        return True
    if not (one.addresses and other.addresses) and not "".join(one.shown | other.shown).isascii():
        return True  # letters of two scripts can look alike, and there are no two addresses to compare
    return any(
        local == same and _related(domain, its_domain)
        for local, domain in one.addresses
        for same, its_domain in other.addresses
    )


def _read(text: str) -> _Person:
    plain = unicodedata.normalize("NFKC", text)
    addresses = set()
    names: set[str] = set()
    for box, domain in _ADDRESS.findall(plain):
        local = box.partition("+")[0] or box
        addresses.add((_joined(_words(local)), domain.casefold().rstrip(".")))
        names |= _keys(local)
    rest = _ADDRESS.sub(" ", plain)
    shown = _keys(rest) | _keys(_COMMENT.sub(" ", rest))
    return _Person(frozenset(names | shown), frozenset(shown), frozenset(addresses))


def _keys(text: str) -> set[str]:
    """Return the words of a name in their order and sorted, each as one word; none for no words.

    A first and a last name are returned without titles and further initials, too.
    """
    words = _words(text)
    plain = [word for word in words if len(word) > 1 and word not in _TITLES]
    if len(plain) < _FULL_NAME:
        plain = words
    return {_joined(each) for each in (words, sorted(words), plain, sorted(plain))} - {""}


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", _folded(text))


def _joined(words: list[str]) -> str:
    return "".join(words)


def _folded(text: str) -> str:
    """Return a text in small letters without marks, Latin letters as ASCII."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for c in apart if unicodedata.category(c)[0] != "M").translate(_LATIN)


def _skeleton(text: str) -> str:
    """Return a text with the ASCII characters that look alike made one: l for I, 1 and |, o for 0."""
    text = re.sub(r"(?<=[^\W_])I(?=[a-z])", "l", unicodedata.normalize("NFKC", text))
    return text.translate(str.maketrans("1|0", "llo")).replace("rn", "m").replace("vv", "w")


def _related(one: str, other: str) -> bool:
    """Return whether two domains are one, or one is a subdomain of the other."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _script(letter: str) -> str:
    """Return the script of a letter: the first word of its name in Unicode."""
    script = unicodedata.name(letter, "").partition(" ")[0]
    return "CJK" if script in _EAST_ASIAN else script
