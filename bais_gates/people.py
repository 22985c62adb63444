"""Whether a text names a person, and two name the same: who asks for an exception may not approve it.

No table of lookalikes is needed, as texts that could hide one are refused: characters that are not shown,
words of several scripts, an address that is not ASCII or not written plainly, a name without Latin letters
and without an address.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ADDRESS: Final = re.compile(r"(?:mailto:)?([^\s<>()\[\],;:\"']+)@([^\s<>()\[\],;:\"'@]+)", re.IGNORECASE)
_PLAIN: Final = re.compile(
    r"""(?<![^\s<>(),;:/|&"])[\w.'+-]+(?:\[bot\])?@[\w-]+(?:\.[\w-]+)*\.?(?![^\s<>(),;/|&"'])"""
)
"""An address without what RFC 5322 and relays allow besides: quotes, comments, routes, literals.

Only the bots of GitHub have brackets in theirs, as release authors."""
_HANDLE: Final = re.compile(r"(?<![^\s(,;/])@[\w-]+(?![\w.@-])")
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
_TWO_LETTERS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
"""As their languages write them where there are only ASCII letters."""
_TITLES: Final = frozenset(
    {"dr", "prof", "mr", "mrs", "ms", "mx", "herr", "frau", "dipl", "ing", "phd", "md", "msc", "bsc", "mba"}
    | {"cissp", "cisa", "cism", "oscp", "sir", "dame", "jr", "sr", "ii", "iii"}
)
_MARKS: Final = frozenset({"Mn", "Mc", "Me", "Lm"})
_FULL_NAME: Final = 2
"""Words of a name that is left when titles and initials are taken away."""
_COMMENT: Final = re.compile(r"\([^()]*\)")
_SEPARATOR: Final = re.compile(r"[,;/&|+\n()\[\]{}]|\b(?:and|und|et|at)\b", re.IGNORECASE)
_PLACEHOLDER: Final = re.compile(
    r"(?:(?:t\.?b\.?[acd]|to be \w+|to[ -]?do|fixme|n[/.]?a|n\.? ?n|not|none|nil|null|no[ -]?one|nobody"
    r"|(?:some|any)(?:one|body)(?: else)?|unknown|unassigned|undefined|pending|placeholder|anonymous|changeme"
    r"|self|myself|me|i|(?:the )?same(?: as above)?|see above|ditto|auditor|approver|requester"
    r"|(?:(?:your|full|first|last) )?name|x+)"
    r"(?: (?:yet|applicable|assigned|approved|approval|decided|available)){0,2}"
    r"(?:[.!?]+|\s*(?:[(:;].*|<[^@]*>))?|\W*|<[^@]*>|\{.*\}|\[[^@]*\])",
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
    words: Counter[str]
    """Of the names in front of or behind an address, of the part before the @ where there are none."""


def names_nobody(text: str) -> bool:
    """Return whether a text is a placeholder, such as TBD, instead of a name."""
    plain = re.sub(r"^[\s\"'“”„‘’«»()*_-]+|[\s\"'“”„‘’«»()*_-]+$", "", unicodedata.normalize("NFKC", text))
    return _PLACEHOLDER.fullmatch(plain) is not None


def why_unclear(text: str) -> str | None:
    """Return why a text does not name a person clearly, with the remedy; None if it does."""
    return next(_problems(text), None)


def _problems(text: str) -> Iterator[str]:
    if names_nobody(text):
        yield "names nobody. Write the person's name."
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
    if "%" in plain or "@" in _HANDLE.sub("", _PLAIN.sub("", plain)):
        yield "has an address that can be read in two ways. Write it as name@example.com."
    words = re.findall(r"[^\W\d_]+", plain)
    scripts = [{_script(c) for c in word if unicodedata.category(c) != "Lm"} for word in words]
    if any(len(each) > 1 for each in scripts):
        yield "mixes letters of several scripts in one word. Write the word in one script."
    if not addresses and not ("".join(words) and _folded("".join(words)).isascii()):
        yield "needs an address: its letters can look like others. Write NAME <address>."


def same_person(one: str, other: str) -> bool:
    """Return whether two texts name the same person, as far as can be told; True where one is unclear.

    Names are compared without case, marks, separators, order of words, titles, further initials and comments
    in brackets; addresses without case, separators and plus-tag, also those of a domain and its subdomain; a
    name with the part of an address before the @; all of it once more with the ASCII characters that look
    alike made one, and with umlauts as two letters. Of a list of names, or a name with a role behind a comma,
    each part is compared, too. Where there are no two addresses to tell them apart, a name is also the same
    as one that has more words, or is shorter by initials.
    """
    if why_unclear(one) is not None or why_unclear(other) is not None:
        return True
    folds = (str, _skeleton, _two_letters)
    whole = [(one, other), (other, one)]
    if any(_shorter(_read(fold(a)), _read(fold(b))) for a, b in whole for fold in folds):
        return True
    return any(_same(_read(fold(a)), _read(fold(b))) for a, b in _pairs(one, other) for fold in folds)


def _shorter(one: _Person, other: _Person) -> bool:
    """Return whether the words of one name are all in the other, be it as initials.

    A single word tells too little beside an address: many people have it.
    """
    addressed = bool(one.addresses) + bool(other.addresses)
    if addressed > 1 or one.words.total() < (_FULL_NAME if addressed else 1):
        return False
    left, right = one.words - other.words, other.words - one.words
    return all(len(word) == 1 for word in left) and _initials(left) <= _initials(right)


def _initials(words: Counter[str]) -> Counter[str]:
    return Counter(word[0] for word in words.elements())


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
    words: Counter[str] = Counter()
    for box, domain in _ADDRESS.findall(plain):
        local = box.partition("+")[0] or box
        addresses.add((_joined(_words(local)), domain.casefold().rstrip(".")))
        names |= _keys(local)
        words.update(_words(local))
    rest = _ADDRESS.sub(" ", plain)
    shown = _keys(rest) | _keys(_COMMENT.sub(" ", rest))
    words = Counter(_words(rest)) or words
    words = Counter({word: count for word, count in words.items() if word not in _TITLES})
    return _Person(frozenset(names | shown), frozenset(shown), frozenset(addresses), words)


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
    """Return a text in small letters without marks and modifier letters, Latin letters as ASCII."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for c in apart if unicodedata.category(c) not in _MARKS).translate(_LATIN)


def _skeleton(text: str) -> str:
    """Return a text with the ASCII characters that look alike made one: l for I, 1 and |, o for 0."""
    text = re.sub(r"(?<=[^\W_])I(?=[a-z])", "l", unicodedata.normalize("NFKC", text))
    return text.translate(str.maketrans("1|0", "llo")).replace("rn", "m").replace("vv", "w")


def _two_letters(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().translate(_TWO_LETTERS)


def _related(one: str, other: str) -> bool:
    """Return whether two domains are one, or one is a subdomain of the other."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _script(letter: str) -> str:
    """Return the script of a letter: the first word of its name in Unicode."""
    script = unicodedata.name(letter, "").partition(" ")[0]
    return "CJK" if script in _EAST_ASIAN else script
