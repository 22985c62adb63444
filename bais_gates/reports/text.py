r"""Text from outside, made safe to display: it can neither hide, move nor colour other text.

Messages, ids and evidence come from the target that is being judged. Whatever a report is written in, its
text goes through here first: control characters, ANSI sequences, bidirectional overrides, zero-width
characters and lone surrogates are written as ``\x1b``, ``\u202e`` and the like, and what is too long is cut.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bais_gates.verdict.model import JsonValue

# C0 but tab and newline, DEL, C1; soft hyphen, fillers, zero-width and bidirectional controls, line and
# paragraph separators, invisible operators, byte order mark, annotations; surrogates (always lone in a
# Python string); the non-characters that XML forbids; tag characters.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
_ASCII_FOR = str.maketrans(
    {
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2026": "...",
        "\u00a0": " ",
        "\u2192": "->",
        "\u2264": "<=",
        "\u2265": ">=",
        "\u00d7": "x",
        "\u00b5": "u",
        "\u03bc": "u",
    }
)


def visible(text: str) -> str:
    r"""Return the text with every hidden or steering character written out, as ``\x1b`` or ``\u202e``.

    Tabs and newlines stay; ``\r\n`` becomes a newline. The result is always encodable as UTF-8 and holds only
    characters that XML 1.0 allows.
    """
    if text.isascii() and text.isprintable():  # as most are, and quickly seen to be
        return text
    return _HIDDEN.sub(_escaped, text.replace("\r\n", "\n"))


def visible_value(value: JsonValue) -> JsonValue:
    """Return a JSON value with every text in it made visible."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [visible_value(item) for item in value]
    if isinstance(value, dict):
        return {visible(key): visible_value(item) for key, item in value.items()}
    return value


def one_line(text: str) -> str:
    """Return the visible text on one line: runs of white space become one space."""
    return " ".join(visible(text).split())


def cap(text: str, limit: int) -> str:
    """Cut the text after ``limit`` characters and append how many are missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]} [... {len(text) - limit:,} more characters, not shown here]"


def cap_middle(text: str, limit: int) -> str:
    """Cut the middle out of a text longer than ``limit`` characters: a log matters most at its ends."""
    if len(text) <= limit:
        return text
    head = limit // 3
    tail = limit - head
    return f"{text[:head]}\n[... {len(text) - limit:,} characters, not shown here ...]\n{text[-tail:]}"


def shorten(text: str, width: int) -> str:
    """Cut one line to ``width`` columns, ending in ``...`` when something is missing."""
    if columns(text) <= width:
        return text
    kept: list[str] = []
    room = max(width - 3, 0)
    for character in text:
        room -= columns(character)
        if room < 0:
            break
        kept.append(character)
    return ("".join(kept).rstrip() + "...")[: max(width, 0)]


def columns(text: str) -> int:
    """Count the terminal columns of a text: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(map(_column_width, text))


def ascii_only(text: str) -> str:
    """Return the text in ASCII: accents dropped, typographic marks replaced, everything else written out."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_ASCII_FOR))
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return plain.encode("ascii", "backslashreplace").decode("ascii")


def _column_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _escaped(found: re.Match[str]) -> str:
    point = ord(found.group())
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
