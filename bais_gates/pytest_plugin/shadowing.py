"""Tests that Python never hands to pytest, read from the source of the files that were collected.

A later definition, import or assignment of the same name takes the place of a gate, silently, e.g. by a bad
merge. What does so at run time (``setattr``, an overridden method, ``__test__ = False``) shows in what was
collected: a definition with a gate mark is the code of no test. An ``assert`` of a tuple is always true;
pytest warns of it only when it compiles the file anew.
"""

from __future__ import annotations

import ast
import fnmatch
import gc
import inspect
import re
import types
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest

from bais_gates.verdict.model import Code, Reason

_DEFINITION = re.compile(r"^([ \t]*)(?:async\s+)?(def|class)\s+(\w+)", re.MULTILINE)
_GATE = re.compile(r"^[ \t]*@[\w.]*\bgate\(", re.MULTILINE)
_MAX_REFERENTS = 1000
_RENAME = "Rename one of the two, or remove it."
_TUPLE_ASSERT = re.compile(r"\bassert\s*\(")
_OWN_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class _Binding(NamedTuple):
    """What binds a name, and in which branch of the ``if`` statements around it."""

    node: ast.AST
    branches: frozenset[tuple[int, bool]]

    def excludes(self, other: _Binding) -> bool:
        """Return whether at most one of the two is run: they are in the two branches of an ``if``."""
        return any((number, not taken) in other.branches for number, taken in self.branches)


_Scopes = dict[tuple[str, ...], dict[str, list[_Binding]]]
"""By the names of the classes around: each name that is bound there, with what binds it, in order."""


def hidden_tests(
    files: Iterable[Path], items: Sequence[pytest.Item], config: pytest.Config
) -> tuple[Reason, ...]:
    """Return a reason for each test that another definition hides, and each assert that is always true."""
    patterns = (*config.getini("python_functions"), "test")  # the latter is unittest's own
    by_file: dict[Path, list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function):
            by_file[item.path].append(item)
    return tuple(
        Reason(code=Code.COLLECTION_ERROR, message=f"{_shown(path, config)}: {text}", remedy=remedy)
        for path in dict.fromkeys(files)
        for text, remedy in _findings(path, by_file[path], patterns, config)
    )


def _shown(path: Path, config: pytest.Config) -> Path:
    return path.relative_to(config.rootpath) if path.is_relative_to(config.rootpath) else path


def _findings(
    path: Path, items: list[pytest.Function], patterns: Sequence[str], config: pytest.Config
) -> Iterator[tuple[str, str]]:
    try:
        content = path.read_bytes()
    except OSError:
        return
    text = content.decode("utf-8", "replace")
    from_elsewhere = [item for item in items if _is_from_elsewhere(item)]
    may_hide = bool(items) and not _is_partial(config) and _may_hide_a_gate(text, items)
    if "gate" not in text or not (
        from_elsewhere or may_hide or _TUPLE_ASSERT.search(text) or _may_bind_twice(text, patterns)
    ):
        return
    tree = ast.parse(content)
    scopes: _Scopes = defaultdict(lambda: defaultdict(list))
    _collect(tree.body, (), scopes)
    yield from _bound_again(scopes, patterns)
    yield from _not_collected(scopes, items) if may_hide else ()
    yield from _taken_from_elsewhere(scopes, from_elsewhere)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Tuple) and node.test.elts:
            text = f"the assert in line {node.lineno} is of a tuple, which is always true."
            yield text, "Remove its parentheses."


def _bound_again(scopes: _Scopes, patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    for names in scopes.values():
        for name, bound in names.items():
            is_test = any(_is_test(node, patterns) for node, _ in bound)
            if is_test and not all(one.excludes(other) for one, other in combinations(bound, 2)):
                lines = " and ".join(str(getattr(node, "lineno", 0)) for node, _ in bound)
                yield f"{name} is bound in lines {lines}: the last one hides what is before it.", _RENAME


def _not_collected(scopes: _Scopes, items: Sequence[pytest.Function]) -> Iterator[tuple[str, str]]:
    known = {(code.co_name, code.co_firstlineno) for item in items for code in _codes(item.function)}
    # Of what is imported, _taken_from_elsewhere says where it is from.
    imported = {item.originalname for item in items if _is_from_elsewhere(item)}
    for node in _marked(scopes):
        if node.name not in imported and (node.name, _first_line(node)) not in known:
            text = f"{node.name} in line {node.lineno} has a gate mark, and is not what pytest collected."
            yield text, "Give it a name of its own that pytest collects, or remove it."


def _taken_from_elsewhere(scopes: _Scopes, items: Sequence[pytest.Function]) -> Iterator[tuple[str, str]]:
    for item in items:
        code = inspect.unwrap(item.function).__code__
        classes = tuple(item.cls.__qualname__.split(".")) if item.cls is not None else ()
        own = [node for node, _ in scopes.get(classes, {}).get(code.co_name, ())]
        # The same lines: compiled when the file was elsewhere.
        same = any(_first_line(node) == code.co_firstlineno for node in own)
        if own and not same and Path(code.co_filename).is_file():
            elsewhere = f"{code.co_filename}:{code.co_firstlineno}"
            yield f"{code.co_name} in line {own[0].lineno} is hidden by the one of {elsewhere}.", _RENAME  # type: ignore[attr-defined]  # statements have one


def _may_hide_a_gate(text: str, items: Sequence[pytest.Function]) -> bool:
    """Return whether there are more gate marks in a file than decorated definitions that were collected."""
    lines = text.splitlines()
    first = {code.co_firstlineno for item in items if (code := _code(item)) is not None and _has_gate(item)}
    decorated = [line for line in first if "@" in "".join(lines[line - 1 : line])]
    return len(_GATE.findall(text)) > len(decorated)


def _is_partial(config: pytest.Config) -> bool:
    """Return whether tests of a file may be left out as they were not asked for."""
    return bool(config.getoption("lf", None)) or any("::" in argument for argument in config.args)


def _has_gate(item: pytest.Function) -> bool:
    return item.get_closest_marker("gate") is not None


def _code(item: pytest.Function) -> types.CodeType | None:
    return getattr(inspect.unwrap(item.function), "__code__", None)


def _codes(function: object) -> Iterator[types.CodeType]:
    """Yield the code of a function and of what it wraps, however a decorator keeps that."""
    reached = [function]
    seen = {id(function)}
    for thing in reached:  # which grows
        parts: list[object] = []
        if isinstance(thing, types.FunctionType):
            yield thing.__code__
            parts = [thing.__closure__, thing.__defaults__, thing.__kwdefaults__, vars(thing)]
        elif not isinstance(thing, types.ModuleType | type) and len(reached) < _MAX_REFERENTS:
            parts = gc.get_referents(thing)
        reached += [part for part in parts if id(part) not in seen]
        seen.update(map(id, parts))


def _marked(scopes: _Scopes) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the definitions with a gate mark, but those whose name is bound again, which are known."""
    for names in scopes.values():
        for [(node, _), *again] in names.values():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not again:
                marks = (getattr(call, "func", None) for call in node.decorator_list)
                if any("gate" in (getattr(mark, "attr", ""), getattr(mark, "id", "")) for mark in marks):
                    yield node


def _may_bind_twice(text: str, patterns: Sequence[str]) -> bool:
    """Return whether the name of a test, or of a class with tests, stands more than once in a file."""
    text = unicodedata.normalize("NFKC", text)  # as Python reads identifiers
    definitions = _DEFINITION.findall(text)
    tests = [
        (indent, name) for indent, kind, name in definitions if kind == "def" and _matches(name, patterns)
    ]
    names = {name for _, name in tests}
    begins = {re.escape(re.split(r"\W", pattern)[0]) for pattern in patterns}
    if any(indent for indent, _ in tests):
        classes = {name for _, kind, name in definitions if kind == "class"}
        names, begins = names | classes, begins | classes
    words = Counter(re.findall(rf"\b(?:{'|'.join(begins)})\w*", text))
    return any(words[name] > 1 for name in names)


def _is_from_elsewhere(item: pytest.Function) -> bool:
    """Return whether the code of a test is not from the file that it was collected from."""
    code = _code(item)
    return code is not None and code.co_name == item.originalname and code.co_filename != str(item.path)


def _collect(
    body: Iterable[ast.AST],
    scope: tuple[str, ...],
    scopes: _Scopes,
    branches: frozenset[tuple[int, bool]] = frozenset(),
) -> None:
    """Record what binds a name in a module or class, under an ``if`` or ``try``, too, and in its classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            scopes[scope][node.name].append(_Binding(node, branches))
            if isinstance(node, ast.ClassDef):
                _collect(node.body, (*scope, node.name), scopes)
        elif isinstance(node, ast.alias):
            name = (node.asname or node.name).partition(".")[0]
            scopes[scope][name].append(_Binding(node, branches))
        elif isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                scopes[scope][node.id].append(_Binding(node, branches))
        elif isinstance(node, ast.If):
            _collect([node.test], scope, scopes, branches)
            _collect(node.body, scope, scopes, branches | {(id(node), True)})
            _collect(node.orelse, scope, scopes, branches | {(id(node), False)})
        elif not isinstance(node, _OWN_SCOPES) and not _decorates(node):
            _collect(ast.iter_child_nodes(node), scope, scopes, branches)


def _decorates(node: ast.AST) -> bool:
    """Return whether a statement is a decorator written out, as ``test_a = mark(test_a)``."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(args=[ast.Name(id=argument)])):
            return bool(name == argument)
    return False


def _is_test(node: ast.AST, patterns: Sequence[str]) -> bool:
    if isinstance(node, ast.ClassDef):
        return any(_is_test(part, patterns) for part in node.body)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _matches(node.name, patterns)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(name.startswith(pattern) or fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _first_line(node: ast.AST) -> int:
    """Return the line in which the code of a definition begins: that of its first decorator."""
    lines = [part.lineno for part in (node, *getattr(node, "decorator_list", ())) if hasattr(part, "lineno")]
    return min(lines, default=0)
