"""Parse the templates of alerts and receivers, and say which labels they print.

A template is Go's ``text/template`` with Prometheus' functions. It is parsed, not evaluated: a real
Prometheus expands it. Source: Go's documentation of ``text/template`` and Prometheus' "Template reference".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bais_gates.monitoring import promql

# fmt: off
BUILT_IN: Final = frozenset({
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
})
FUNCTIONS: Final = BUILT_IN | {
    "args", "externalURL", "first", "graphLink", "humanize", "humanize1024", "humanizeDuration",
    "humanizePercentage", "humanizeTimestamp", "label", "match", "now", "parseDuration", "parseDurationTime",
    "pathPrefix", "query", "reReplaceAll", "safeHtml", "sortByLabel", "stripDomain", "stripPort", "strvalue",
    "tableLink", "title", "toDuration", "toLower", "toTime", "toUpper", "urlQueryEscape", "value",
}
_OF_RECEIVERS: Final = {
    "join": 25, "match": 25, "reReplaceAll": 25, "safeHtml": 25, "stringSlice": 25, "title": 25,
    "toLower": 25, "toUpper": 25, "trimSpace": 26, "date": 28, "humanizeDuration": 28, "since": 28, "tz": 28,
    "safeUrl": 30, "toJson": 30, "urlUnescape": 30, "append": 32, "dict": 32, "list": 32, "now": 33,
}
"""Alertmanager's functions, and the minor version of 0.x that brought each."""
# fmt: on
_PREDEFINED: Final = frozenset({"$", "$labels", "$value", "$externalLabels", "$externalURL"})
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
      | (?P<character>'(?:[^'\\\n]|\\.[^'\n]*)')
      | (?P<number>[-+]?(?:0[xXbBoO][0-9a-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d+)?)
          i?(?![A-Za-z_]))
      | (?P<variable>\$[A-Za-z0-9_]*)
      | (?P<field>\.[A-Za-z_][A-Za-z0-9_]*)
      | (?P<dot>\.)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<operator>:=|=|\||\(|\)|,)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_CONSTANTS: Final = frozenset({"true", "false", "nil"})
_NOT_CALLED: Final = frozenset({"string", "number", "character", "dot"})
_BLOCKS: Final = frozenset({"if", "range", "with", "define", "block"})
_AFTER_COMMENT: Final = re.compile(r"[ \t\r\n]-\}\}|\}\}")
_TERMINATOR: Final = re.compile(r"[ \t\r\n.,|:()]|\}\}|$")
MAX_TOKENS: Final = 10_000
MAX_DEPTH: Final = 100


class TemplateError(ValueError):
    """A template that Go would not parse."""


@dataclass(frozen=True, slots=True)
class Template:
    """What a template refers to."""

    labels: frozenset[str]
    """The labels it prints: ``$labels.name`` and ``index $labels "name"``."""
    uses_value: bool
    defined: frozenset[str] = frozenset()
    """Names of the templates that it defines."""
    named: frozenset[str] = frozenset()
    """Names of the templates that it calls."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word, text, operator or the like of an action."""

    kind: str
    text: str
    spaced: bool
    """Whether a space stands before it."""


def receiver_functions(version: tuple[int, int]) -> frozenset[str]:
    """Return the functions that a version of Alertmanager knows in the templates of receivers."""
    return BUILT_IN | {name for name, since in _OF_RECEIVERS.items() if (0, since) <= version}


def parse(text: str, functions: frozenset[str] | None = None) -> Template:
    """Parse a template; raise :class:`TemplateError`.

    Without ``functions`` it is one of an alert, with Prometheus' functions and variables.
    """
    parser = _Parser(functions)
    for _start, _end, tokens in actions(text):
        if tokens is not None:
            parser.action(tokens)
    parser.end()
    return Template(
        labels=frozenset(parser.labels),
        uses_value=parser.uses_value,
        defined=frozenset(parser.defined),
        named=frozenset(parser.named),
    )


def problem(text: str) -> str:
    """Return why a template that has Go's own functions alone can't be parsed; "" if it can."""
    try:
        parse(text, BUILT_IN)
    except TemplateError as error:
        return str(error)
    return ""


def actions(text: str) -> Iterator[tuple[int, int, list[Token] | None]]:
    """Yield start, end and tokens of each action from {{ to }}; a comment has None."""
    position = 0
    while (start := text.find("{{", position)) >= 0:
        inside = start + 2
        if text.startswith(("- ", "-\t", "-\r", "-\n"), inside):
            inside += 2
        if text.startswith("/*", inside):
            close = text.find("*/", inside)
            ended = _AFTER_COMMENT.match(text, close + 2) if close >= 0 else None
            if ended is None:
                raise TemplateError("a comment is not closed")
            position = ended.end()
            yield start, position, None
            continue
        tokens, position = _action(text, inside)
        yield start, position, tokens


def _action(text: str, position: int) -> tuple[list[Token], int]:
    """Return the tokens of one action, and the position after its }}."""
    tokens: list[Token] = []
    spaced = False
    while True:
        if text.startswith("}}", position):
            return tokens, position + 2
        if spaced and text.startswith("-}}", position):
            return tokens, position + 3
        match = _TOKEN.match(text, position)
        if match is None:
            raise TemplateError("an action {{ is not closed")
        kind, found = match.lastgroup or "other", match.group()
        if kind == "other":
            raise TemplateError(f"unexpected {found!r} in an action")
        if kind != "space":
            tokens.append(Token(kind, found, spaced))
            if len(tokens) > MAX_TOKENS:
                raise TemplateError(f"more than {MAX_TOKENS} tokens in an action")
        spaced = kind == "space"
        position = match.end()
        if kind in {"variable", "field", "word"} and not _TERMINATOR.match(text, position):
            raise TemplateError(f"unexpected {text[position]!r} after {found}")


def _check_string(token: str) -> None:
    try:
        promql.unquote(token)
    except promql.PromqlError as error:
        raise TemplateError(str(error)) from None


class _Parser:
    """Checks the actions of a template one after the other."""

    def __init__(self, functions: frozenset[str] | None) -> None:
        self._functions = FUNCTIONS if functions is None else functions
        self._open: list[tuple[str, bool]] = []
        """The open blocks, and whether their else was seen."""
        self._scopes: list[set[str]] = [set(_PREDEFINED if functions is None else "$")]
        self._tokens: list[Token] = []
        self._at = 0
        self._depth = 0
        self.labels: set[str] = set()
        self.defined: set[str] = set()
        self.named: set[str] = set()
        self.uses_value = False

    def end(self) -> None:
        """Raise :class:`TemplateError` if a block is still open."""
        if self._open:
            raise TemplateError(f"{{{{ {self._open[-1][0]} }}}} without an {{{{ end }}}}")

    def action(self, tokens: list[Token]) -> None:
        """Check one action."""
        if not tokens:
            raise TemplateError("an empty action {{ }}")
        self._tokens, self._at = tokens, 0
        word = tokens[0].text if tokens[0].kind == "word" else ""
        if word in _BLOCKS or word == "template":
            self._at = 1
            self._block(word)
        elif word == "else":
            self._at = 1
            self._else()
        elif word == "end":
            self._at = 1
            if not self._open:
                raise TemplateError("{{ end }} without a block")
            self._open.pop()
            self._scopes.pop()
        elif word in {"break", "continue"}:
            self._at = 1
            if not any(name == "range" for name, _ in self._open):
                raise TemplateError(f"{{{{ {word} }}}} outside a range")
        else:
            self._pipeline(may_declare=True)
        if self._at != len(tokens):
            raise TemplateError(f"unexpected {tokens[self._at].text!r} in an action")

    def _block(self, word: str) -> None:
        if word in {"define", "block", "template"}:
            name = self._next()
            if name is None or name.kind != "string":
                raise TemplateError(f"{{{{ {word} }}}} needs the name of a template in quotes")
            (self.named if word == "template" else self.defined).add(name.text[1:-1])
        if word == "template":
            if self._peek() is not None:
                self._pipeline(may_declare=True)
            return
        self._scopes.append({"$"} if word == "define" else set())
        self._open.append((word, False))
        if word != "define":
            self._pipeline(may_declare=True, two=word == "range")

    def _else(self) -> None:
        if not self._open or self._open[-1][0] in {"define", "block"} or self._open[-1][1]:
            raise TemplateError("{{ else }} without an if, range or with")
        word = self._open[-1][0]
        self._scopes[-1] = set()
        following = self._peek()
        if following is None:
            self._open[-1] = (word, True)
        elif following.text in {"if", "with"} and following.text == word:
            self._at += 1
            self._pipeline(may_declare=True)
        else:
            raise TemplateError(f"unexpected {following.text!r} after else")

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> Token | None:
        token = self._peek()
        self._at += token is not None
        return token

    def _pipeline(self, *, may_declare: bool = False, two: bool = False) -> None:
        """Check ``[$x :=] command | command ...`` up to a closing parenthesis or the end."""
        if may_declare:
            self._declaration(two=two)
        self._command()
        while (token := self._peek()) is not None and token.text == "|":
            self._at += 1
            following = self._peek()
            if following is None or following.text == ")":  # Go lets a pipeline end with one
                return
            if following.kind in _NOT_CALLED or following.text in _CONSTANTS:
                raise TemplateError(f"{following.text} can't be given a value by a pipe")
            self._command()

    def _declaration(self, *, two: bool) -> None:
        """Check variables that are declared or assigned in front of a pipeline."""
        names, at = [], self._at
        while at < len(self._tokens) and self._tokens[at].kind == "variable":
            names.append(self._tokens[at].text)
            at += 1
            if not (two and at < len(self._tokens) and self._tokens[at].text == ","):
                break
            at += 1
        if not names or at >= len(self._tokens) or self._tokens[at].text not in {":=", "="}:
            return
        self._scopes[-1].update(names)  # Go lets "=" introduce a variable, too
        self._at = at + 1

    def _command(self) -> None:
        """Check one command: a function and its arguments, or one operand."""
        first = self._peek()
        if first is None or first.text in {"|", ")"}:
            raise TemplateError("a missing value in an action")
        start, count = self._at, 0
        while (token := self._peek()) is not None and token.text not in {"|", ")"}:
            if count and not token.spaced and token.text != "(":
                raise TemplateError(f"unexpected {token.text!r} in an action")
            self._operand()
            count += 1
        self._note_label(self._tokens[start : self._at])

    def _operand(self) -> None:
        token = self._next()
        if token is None:
            raise TemplateError("a missing value in an action")
        if token.kind == "variable":
            self._known(token.text)
            self.uses_value = self.uses_value or token.text == "$value"
            self._fields(token.text)
        elif token.kind in {"field", "dot"}:
            self.uses_value = self.uses_value or token.text == ".Value"
            self._fields(token.text)
        elif token.kind == "word":
            self._word(token.text)
        elif token.text == "(":
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise TemplateError(f"nested more than {MAX_DEPTH} deep")
            self._pipeline(may_declare=True)
            closing = self._next()
            if closing is None or closing.text != ")":
                raise TemplateError("a parenthesis is not closed")
            self._depth -= 1
            self._fields("")
        elif token.kind == "string":
            _check_string(token.text)
        elif token.kind not in {"number", "character"}:
            raise TemplateError(f"unexpected {token.text!r} in an action")

    def _word(self, name: str) -> None:
        if name in self._functions:
            self._fields("")
        elif name not in _CONSTANTS:
            raise TemplateError(f"function {name!r} is not defined")

    def _fields(self, owner: str) -> None:
        """Take the fields that follow a value without a space, as in ``$labels.instance``."""
        while (token := self._peek()) is not None and token.kind == "field" and not token.spaced:
            if owner == "$labels" or (owner == ".Labels" and not self._open):
                self.labels.add(token.text[1:])
            owner = token.text if owner in {"$", "."} else ""
            self._at += 1

    def _note_label(self, tokens: list[Token]) -> None:
        """Note the label of ``index $labels "name"``."""
        if (
            len(tokens) == 3
            and tokens[0].text == "index"
            and tokens[1].text == "$labels"
            and tokens[2].kind == "string"
        ):
            self.labels.add(tokens[2].text[1:-1])

    def _known(self, name: str) -> None:
        if not any(name in scope for scope in self._scopes):
            raise TemplateError(f"undefined variable {name}")
