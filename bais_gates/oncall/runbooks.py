"""Read the runbooks of a folder: Markdown, a file for each alert, and general ones.

``AlertName.md``::

    # AlertName
    ## Meaning
    ## Impact
    ## Diagnosis        commands in ```sh blocks
    ## Mitigation       commands in ```sh blocks
    ## Owner            a team
    ## Last reviewed    2026-11-30

The names of general ones begin with a small letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bais_gates.errors import GateInputError
from bais_gates.extras import optional
from bais_gates.verdict.files import read_bytes

if TYPE_CHECKING:
    import markdown_it
else:
    markdown_it = optional("markdown_it", extra="oncall")

SECTIONS: Final = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Owner", "Last reviewed")
"""The parts of an alert's runbook, in the order in which they are read at night."""
MAX_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of code."""

    line: int
    """Of its first line of code."""
    language: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What stands below one heading of the second level."""

    title: str
    line: int
    text: str
    """As it is written, without the heading."""
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """One file."""

    path: Path
    title: str
    """Of its first heading; "" if that is not of the first level."""
    sections: tuple[Section, ...]
    text: str

    @property
    def name(self) -> str:
        """The alert's name, or that of a general runbook."""
        return self.path.stem

    @property
    def is_general(self) -> bool:
        """Whether it belongs to no alert."""
        return self.name[:1].islower()

    def section(self, title: str) -> Section | None:
        """Return the first section of this title."""
        return next((one for one in self.sections if one.title == title), None)


def parser() -> markdown_it.MarkdownIt:
    """Return a parser of CommonMark with tables; HTML in a document is text."""
    return markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table")


def read_runbooks(folder: Path) -> list[Runbook]:
    """Read the documents of a folder, by name; raise GateInputError for none, and for what can't be read."""
    paths = sorted(folder.glob("*.md"))
    if not paths:
        raise GateInputError(f"{folder}: no runbook. Give a folder with a file ALERT.md for each alert.")
    return [_read(path) for path in paths]


def _read(path: Path) -> Runbook:
    raw = read_bytes(path, limit=MAX_BYTES)
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise GateInputError(f"{path}:{line}: not UTF-8 text. Save the file as UTF-8.") from None
    tokens = parser().parse(text)
    return Runbook(
        path=path, title=_title(tokens), sections=tuple(_sections(tokens, text.split("\n"))), text=text
    )


def _title(tokens: list[Any]) -> str:
    starts = bool(tokens) and tokens[0].type == "heading_open" and tokens[0].tag == "h1"
    return str(tokens[1].content).strip() if starts else ""


def _sections(tokens: list[Any], lines: list[str]) -> Iterator[Section]:
    headings = [
        (number, token)
        for number, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag in {"h1", "h2"} and token.level == 0
    ]
    ends = [token.map[0] for _, token in headings[1:]] + [len(lines)]
    for (number, token), end in zip(headings, ends, strict=True):
        if token.tag == "h2":
            begin = token.map[1]
            yield Section(
                title=str(tokens[number + 1].content).strip(),
                line=token.map[0] + 1,
                text="\n".join(lines[begin:end]).strip(),
                blocks=tuple(
                    Block(line=one.map[0] + 2, language=one.info.strip(), text=one.content)
                    for one in tokens
                    if one.type == "fence" and begin <= one.map[0] < end
                ),
            )
