"""Parse PromQL with the ``promql-parser`` library, and say what an expression yields.

The library is a parser of Prometheus 2.45 in Rust. It crashes on deep nesting, so length and depth are limited
first; regular expressions and raw strings are taken out before it sees them, as it reads both by Rust's
rules: RE2 (the ``google-re2`` library) judges the former, and the latter are written with escapes.
Source: the PromQL documentation ("Querying basics", "Operators", "Functions") and its grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bais_gates.extras import optional

promql_parser = optional("promql_parser", extra="monitoring")
re2 = optional("re2", extra="monitoring")

MAX_LENGTH: Final = 20_000
MAX_DEPTH: Final = 200
MAX_OPERATORS: Final = 1000
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
      | (?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+(?:ms|[smhdwy]))+|\d*\.?\d+(?:[eE][+-]?\d+)?|\d+\.)
      | (?P<operator>=~|!~|==|!=|<=|>=|[-+*/%^<>=@(){}\[\],:.])
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_BINARY: Final = frozenset({"+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">=", "=~"})
_WORDS: Final = frozenset({"and", "or", "unless", "atan2"})


class PromqlError(ValueError):
    """An expression that Prometheus would not accept."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A vector selector: the metric's name ("" without one) and its other label matchers."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    """Name, operator (``=``, ``!=``, ``=~``, ``!~``) and value."""


_OPERATORS: Final = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def selector(node: Any) -> Selector:
    """Return what a VectorSelector selects."""
    metric, matchers = node.name or "", []
    for one in node.matchers.matchers:
        op = _OPERATORS[str(one.op).rpartition(".")[2]]
        value = one.value if op in {"=", "!="} else _ESCAPED.sub(lambda m: chr(int(m[1], 16)), one.value)
        if one.name == "__name__" and op == "=":
            metric = value
        else:
            matchers.append((one.name, op, value))
    return Selector(metric=metric, matchers=tuple(matchers))


def parse(text: str, version: tuple[int, int] = (2, 42)) -> Any:
    """Return the syntax tree of an expression for a version of Prometheus; raise :class:`PromqlError`."""
    if not text.strip():
        raise PromqlError("the expression is empty")
    if len(text) > MAX_LENGTH:
        raise PromqlError(f"{len(text)} characters; at most {MAX_LENGTH} are parsed")
    try:
        return promql_parser.parse(_prepare(text, version))
    except ValueError as error:
        raise PromqlError(str(error)) from None


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind and text of each token, spaces and comments left out."""
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind != "space":
            yield kind, match.group()


def _prepare(text: str, version: tuple[int, int]) -> str:
    """Return the text without what the library reads wrongly; raise :class:`PromqlError`."""
    parts: list[str] = []
    depth = operators = 0
    previous = ("", "")
    brackets: list[str] = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "space":
            parts.append(" ")
            continue
        if kind == "other":
            raise PromqlError(f"unexpected character {token!r}")
        if token in {"(", "[", "{"}:
            depth += 1
            brackets.append(token)
        elif token in {")", "]", "}"}:
            depth -= 1
            if brackets:
                brackets.pop()
        elif kind == "operator" and token in _BINARY or token in _WORDS:
            operators += 1
        if depth > MAX_DEPTH or operators > MAX_OPERATORS:
            raise PromqlError(f"nested more than {MAX_DEPTH} deep, or more than {MAX_OPERATORS} operators")
        if token == "or" and brackets and brackets[-1] == "{":
            raise PromqlError('"or" between label matchers is not PromQL')
        if kind == "number" and version < (3, 0):
            _check_number(token, previous[1], in_range="[" in brackets)
        if kind == "string":
            token = _string(token, is_pattern=previous[1] in {"=~", "!~"} and "{" in brackets)
        parts.append(token)
        previous = (kind or "", match.group())
    return "".join(parts)


def _check_number(token: str, previous: str, *, in_range: bool) -> None:
    """Refuse a number where a duration is wanted, and the reverse, which Prometheus 3.0 allowed."""
    has_unit = token[-1] in "smhdwy" and not token.startswith("0x")
    if in_range and not has_unit:
        raise PromqlError(f"the range [{token}] needs a unit, as in [{token}s], before Prometheus 3.0")
    if has_unit and not in_range and previous.lower() not in {"offset", "-"}:
        raise PromqlError(f"the duration {token} is not a number before Prometheus 3.0")


def _string(token: str, *, is_pattern: bool) -> str:
    """Return a string token with escapes alone; of a pattern, which RE2 judges, one that Rust accepts."""
    value = unquote(token)
    if not is_pattern:
        return quote(value) if token.startswith("`") else token
    check_pattern(value)
    return quote("".join(f"\\x{{{ord(one):x}}}" if not one.isalnum() else one for one in value))


def unquote(token: str) -> str:
    """Return the value of a string token; raise :class:`PromqlError` for a wrong escape."""
    body = token[1:-1]
    if token.startswith("`"):
        return body
    try:
        return re.sub(_ESCAPE, _unescape, body)
    except (ValueError, OverflowError):
        raise PromqlError(f"a wrong escape in {token}") from None


_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.?))", re.DOTALL
)
_ESCAPED: Final = re.compile(r"\\x\{([0-9a-f]+)\}")
_SIMPLE: Final = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))


def _unescape(match: re.Match[str]) -> str:
    simple, two, four, eight, octal, wrong = match.groups()
    if wrong is not None:
        raise ValueError
    if simple:
        return _SIMPLE[simple]
    return chr(int(octal, 8) if octal else int(two or four or eight, 16))


def quote(value: str) -> str:
    """Return a string token."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def check_pattern(pattern: str) -> None:
    """Raise :class:`PromqlError` if RE2, whose rules Go's regular expressions follow, refuses a pattern."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(f"^(?:{pattern})$", options=options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        raise PromqlError(f"a wrong regular expression: {reason}") from None


def walk(expression: Any) -> Iterator[Any]:
    """Yield every node of a tree, the outer ones first."""
    stack = [expression]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def children(node: Any) -> list[Any]:
    """Return the direct parts of a node."""
    kind = type(node).__name__
    if kind == "BinaryExpr":
        return [node.lhs, node.rhs]
    if kind == "AggregateExpr":
        return [node.expr] + ([node.param] if node.param is not None else [])
    if kind == "Call":
        return list(node.args)
    if kind in {"ParenExpr", "UnaryExpr", "SubqueryExpr"}:
        return [node.expr]
    if kind == "MatrixSelector":
        return [node.vector_selector]
    return []


def bare(node: Any) -> Any:
    """Return a node without the parentheses around it."""
    while type(node).__name__ == "ParenExpr":
        node = node.expr
    return node
