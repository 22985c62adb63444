"""Split the commands of a runbook as a shell does, and refuse what nobody should paste at night.

A command is one line, or several joined by a backslash: programs with their words, joined by pipes. Quotes,
the variables ``$NAME`` and ``${NAME}``, comments, and redirections (to a file, from /dev/null, of stderr) are
read. Refused: lists (``;``, ``&&``, ``||``), background jobs, subshells and command substitution, here
documents, assignments, globs that are not quoted (another shell expands them otherwise), and an open quote.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


class ShellError(Exception):
    """A command that is not read; the message says why, and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One command line."""

    line: int
    """Where it starts."""
    commands: tuple[tuple[str, ...], ...] = ()
    """The words of each program, quotes removed and variables left as they are written."""
    variables: frozenset[str] = frozenset()
    """Those that our shell would expand: not the ones in single quotes."""
    fault: str = ""
    """Why it was not read; then it has no commands."""


_PIECE: Final = re.compile(
    r"""(?P<single>'[^']*')
    | (?P<double>"(?:\\.|[^"\\])*")
    | (?P<escape>\\.)
    | (?P<comment>(?:(?<=\s)|(?<![\s\S]))\#[^\n]*)
    | (?P<redirect>(?:(?<=\s)[0-2])?(?:>&[12]\b|>>?[ ]*(?!\#)[\w./-]+|<[ ]*/dev/null\b))
    | (?P<end>\n)
    | (?P<pipe>\|(?![|&]))
    | (?P<bare>[^'"\\\n])""",
    re.VERBOSE | re.DOTALL,
)
_REFUSED: Final = {
    ";": "; joins two commands; write one a line",
    "&": "& joins commands or leaves one in the background; write one a line",
    "|": "|| hides that a command failed; write one command a line",
    "(": "a subshell, or $(...), hides what is run; write its command on a line of its own",
    ")": "a subshell hides what is run; write one command a line",
    "`": "`...` hides what is run; write its command on a line of its own",
    "<": "a placeholder or a redirection; only </dev/null is read",
    ">": "a redirection to what is no plain file name",
    **dict.fromkeys("*?[", "a pattern without quotes, which shells expand differently; quote the word"),
}
_VARIABLE: Final = re.compile(r"(?<!\\)\$(?:(\w+)|\{(\w+)\}|(.?))", re.DOTALL)
_LINE_END: Final = re.compile(r"(?<!\\)\n")
_ASSIGNMENT: Final = re.compile(r"\w+=.*", re.DOTALL)


def pipelines(text: str, line: int) -> Iterator[Pipeline]:
    """Yield the commands of a text that starts at a line of its file."""
    scanner = _Scanner(text, line)
    while scanner.position < len(text):
        try:
            found = scanner.next()
        except ShellError as error:
            found = Pipeline(line=scanner.line, fault=str(error))
            scanner.skip()
        if found is not None:
            yield found


class _Scanner:
    """The place in a text up to which commands were read."""

    def __init__(self, text: str, line: int) -> None:
        self.position = 0
        self._text = text
        self._begin = 0
        self._line = line

    @property
    def line(self) -> int:
        """Line of the command that is read."""
        return self._line + self._text.count("\n", 0, self._begin)

    def next(self) -> Pipeline | None:
        """Return the command up to the next line end; None for an empty line."""
        self._begin = self.position
        parts, variables = self._parts()
        if not parts[0].strip() and len(parts) == 1:
            return None
        commands = tuple(tuple(shlex.split(part)) for part in parts)
        if not all(commands):
            raise ShellError("a pipe without a command on one of its sides")
        if any(_ASSIGNMENT.fullmatch(words[0]) for words in commands):
            raise ShellError("an assignment before a command; use a variable of the runbooks' list")
        return Pipeline(line=self.line, commands=commands, variables=variables)

    def _parts(self) -> tuple[list[str], frozenset[str]]:
        """Return the text of each program of a command, and the variables that the shell expands."""
        parts, live = [""], ""
        while self.position < len(self._text):
            piece = _PIECE.match(self._text, self.position)
            if piece is None:
                raise ShellError("a quote is not closed, or a backslash ends the block")
            kind, found = piece.lastgroup, piece.group()
            if kind == "bare" and found in _REFUSED:
                raise ShellError(_REFUSED[found])
            self.position = piece.end()
            if kind == "end":
                break
            if kind == "pipe":
                parts.append("")
            elif kind in {"redirect", "comment"} or found == "\\\n":
                parts[-1] += " "
            else:
                parts[-1] += found
            live += found if kind in {"double", "bare"} else "'"
        return parts, _variables(live)

    def skip(self) -> None:
        """Go on behind the command with the fault."""
        end = _LINE_END.search(self._text, self.position)
        self.position = len(self._text) if end is None else end.end()


def _variables(text: str) -> frozenset[str]:
    """Return the variables that a text expands; raise ShellError for what is more than a variable."""
    if re.search(r"(?<!\\)`", text):
        raise ShellError(_REFUSED["`"])
    names = set()
    for plain, braced, other in _VARIABLE.findall(text):
        if other == "(":
            raise ShellError(_REFUSED["("])
        if other and not other.isspace() and other not in "\"'/.,|)":
            raise ShellError("only $NAME and ${NAME} are read; write ' around a text with another $")
        names |= {plain or braced} - {""}
    return frozenset(names)
