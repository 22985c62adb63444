"""Parse PromQL with the ``promql-parser`` library, and say what an expression yields.

The library is a parser of Prometheus 2.45 in Rust. It crashes on deep nesting, so length and depth are
limited first; regular expressions and raw strings are taken out before it sees them, as it reads both by
Rust's rules: RE2 (the ``google-re2`` library) judges the former, and the latter are written with escapes.
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
MAX_DEPTH: Final = 80
MAX_OPERATORS: Final = 250
"""Both keep the parser, and what walks its tree by recursion, within the stack."""
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
      | (?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+(?:ms|[smhdwy]))+|\d*\.?\d+(?:[eE][+-]?\d+)?|\d+\.)
      | (?P<operator>=~|!~|==|!=|<=|>=|[-+*/%^<>=@(){}\[\],:.])
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_BRACKETS: Final = {"(": ")", "[": "]", "{": "}"}
_BINARY: Final = frozenset({*"+-*/%^<>", "==", "!=", "<=", ">=", "and", "or", "unless", "atan2"})
_GROUPING: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
SINCE: Final = {
    "clamp": (2, 26), "last_over_time": (2, 26), "sgn": (2, 26), "present_over_time": (2, 29),
    "acos": (2, 31), "asin": (2, 31), "atan": (2, 31), "cos": (2, 31), "sin": (2, 31), "tan": (2, 31),
    "acosh": (2, 31), "asinh": (2, 31), "atanh": (2, 31), "cosh": (2, 31), "sinh": (2, 31), "tanh": (2, 31),
    "deg": (2, 31), "rad": (2, 31), "pi": (2, 31), "day_of_year": (2, 38), "histogram_count": (2, 40),
    "histogram_sum": (2, 40), "histogram_fraction": (2, 40), "histogram_stddev": (2, 47),
    "histogram_stdvar": (2, 47), "mad_over_time": (2, 47), "sort_by_label": (2, 49),
    "sort_by_label_desc": (2, 49), "histogram_avg": (2, 50), "info": (3, 0),
    "double_exponential_smoothing": (3, 0), "ts_of_max_over_time": (3, 5), "ts_of_min_over_time": (3, 5),
    "ts_of_last_over_time": (3, 5), "ts_of_first_over_time": (3, 7), "first_over_time": (3, 7),
    "start": (3, 12), "end": (3, 12), "range": (3, 12), "step": (3, 12), "min_of": (3, 13), "max_of": (3, 13),
    "limitk": (2, 54), "limit_ratio": (2, 54), "histogram_quantiles": (3, 10),
    "histogram_avg_over_time": (3, 10),
}  # fmt: skip
"""The first version of Prometheus that knows a function or an aggregation."""
_RENAMED: Final = {"holt_winters": "double_exponential_smoothing"}
"""Functions that Prometheus 3.0 renamed, by their former names."""


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
        value = one.value if op in {"=", "!="} else _pattern(one.value)
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
        raise PromqlError(f"{len(text):,} characters; at most {MAX_LENGTH:,} are parsed")
    try:
        tree = promql_parser.parse(_prepare(text, version))
    except ValueError as error:
        raise PromqlError(str(error)) from None
    for node in walk(tree):
        kind = type(node).__name__
        if kind == "VectorSelector" and node.matchers.or_matchers:
            raise PromqlError('"or" between label matchers is not PromQL')
        if kind in {"Call", "AggregateExpr"}:
            name = node.func.name if kind == "Call" else str(node.op)
            if name not in _RENAMED.values():
                _check_version(name, version)
    return tree


def _check_version(function: str, version: tuple[int, int]) -> None:
    since = SINCE.get(function)
    if since is not None and since > version:
        was, came = (".".join(map(str, one)) for one in (version, since))
        raise PromqlError(f"Prometheus {was} has no {function}; it came with {came}")


def _prepare(text: str, version: tuple[int, int]) -> str:
    """Return the text without what the library reads wrongly; raise :class:`PromqlError`."""
    parts: list[str] = []
    brackets: list[str] = []
    previous, operators = ("", "", ""), 0
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "space":
            parts.append(" ")
            continue
        inside, last = brackets[-1] if brackets else "", previous[-1]
        if token in _BRACKETS:
            brackets.append("by" if last.lower() in _GROUPING else token)
        elif token in _BRACKETS.values() and brackets:
            brackets.pop()
        elif inside != "{" and token.lower() in _BINARY:
            operators += 1
        if len(brackets) > MAX_DEPTH or operators > MAX_OPERATORS:
            raise PromqlError(f"nested more than {MAX_DEPTH} deep, or more than {MAX_OPERATORS} operators")
        if version < (3, 0):
            _check_before_3(kind, token, previous, inside)
            token = _RENAMED.get(token, token)
        previous = (*previous[1:], token)
        if kind == "string":
            token = _string(token, is_pattern=inside == "{" and last in {"=~", "!~"})
        elif kind == "other":
            raise PromqlError(f"unexpected character {token!r}")
        parts.append(token)
    return "".join(parts)


def _check_before_3(kind: str | None, token: str, previous: tuple[str, str, str], inside: str) -> None:
    """Refuse what Prometheus 3.0 allowed: durations as numbers and the reverse, and quoted names."""
    if token in _RENAMED.values():
        _check_version(token, (2, 42))
    if kind == "string" and (inside == "by" or (inside == "{" and previous[-1] in {"{", ","})):
        raise PromqlError(f"the quoted name {token} needs Prometheus 3.0")
    if kind != "number":
        return
    has_unit = token[-1] in "smhdwy" and not token.lower().startswith("0x")
    of, offset = previous[:2] if previous[-1] == "-" else previous[1:]
    is_offset = offset.lower() == "offset" and of.lower() not in {
        "",
        "(",
        ",",
        *_BINARY,
    }  # else it is a metric
    is_duration = inside == "[" or is_offset
    if is_duration and not has_unit:
        raise PromqlError(f"the duration {token} needs a unit, as in {token}s, before Prometheus 3.0")
    if has_unit and not is_duration:
        raise PromqlError(f"the duration {token} is not a number before Prometheus 3.0")


def _string(token: str, *, is_pattern: bool) -> str:
    """Return a string token with escapes alone; of a pattern, which RE2 judges, one that Rust accepts.

    Whether a pattern matches the empty text counts for the parser, so that it keeps an empty alternative.
    """
    value = unquote(token)
    if not is_pattern:
        return quote(value) if token.startswith("`") else token
    escaped = "".join(f"\\x{{{ord(one):x}}}" if not one.isalnum() else one for one in value)
    return quote(escaped + "|" * check_pattern(value))


def _pattern(written: str) -> str:
    """Return the pattern that :func:`_string` rewrote."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), written.removesuffix("|"))


def unquote(token: str) -> str:
    """Return the value of a string token; raise :class:`PromqlError` for a wrong escape."""
    body = token[1:-1]
    if token.startswith("`"):
        return body
    other = "'" if token.startswith('"') else '"'  # only its own quote may be escaped
    if any(match[1] == other for match in _ESCAPE.finditer(body)):
        raise PromqlError(f"a wrong escape in {token}")
    try:
        return _ESCAPE.sub(_unescape, body)
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
    code = int(octal, 8) if octal else int(two or four or eight, 16)
    if 0xD800 <= code < 0xE000:
        raise ValueError
    return chr(code)


def quote(value: str) -> str:
    """Return a string token."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def check_pattern(pattern: str) -> bool:
    """Return whether a pattern matches the empty text.

    Raises :class:`PromqlError` if RE2, whose rules Go's regular expressions follow, refuses it.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(f"^(?:{pattern})$", options=options).search("") is not None
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


def metrics(expression: Any) -> set[str]:
    """Return the names of the metrics that an expression reads."""
    return {selector(one).metric for one in walk(expression) if type(one).__name__ == "VectorSelector"}


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
