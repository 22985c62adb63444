"""Which test proves which gate: read from the marks at collection, before anything is deselected."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from bais_gates.verdict.model import Code, Gate, Reason

if TYPE_CHECKING:
    from bais_gates.verdict.catalog import Catalog

REFUSED_MARKS = {
    "xfail": "A gate that is expected to fail proves nothing. Remove the mark; ask for a waiver instead.",
    "flaky": "A gate has one attempt. Remove the mark and see why it is not steady.",
}

binding_key: pytest.StashKey[Binding] = pytest.StashKey()
"""On an item: the gate (and case) that the test is bound to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What one test proves."""

    gate_id: str
    case: str | None
    """The parametrize id, for a gate of the catalog that has cases."""
    gate: Gate | None
    """The catalog's entry; None for an id that the catalog does not have."""
    nodeid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """All tests of gates that were collected, and what is wrong with how they are bound."""

    bindings: tuple[Binding, ...]
    problems: tuple[Reason, ...]
    """Unknown ids and gates bound twice: a run that decides nothing must not start with them either."""
    refused_marks: tuple[Reason, ...]
    """Marks that hide failures; they matter to a decision only."""


def bind(items: Sequence[pytest.Item], catalog: Catalog) -> Bound:
    """Bind every test with a ``gate`` mark, and give it the marks of its gate: scopes, phase, severity."""
    bindings: list[Binding] = []
    problems: list[Reason] = []
    refused: list[Reason] = []
    for item in items:
        found = list(item.iter_markers())
        marks = [mark for mark in found if mark.name == "gate"]
        if not marks:
            continue
        gate_id = _gate_id(marks[0])
        gate = catalog.by_id.get(gate_id)
        if gate is None or len({_gate_id(mark) for mark in marks}) > 1:
            problems.append(_wrong_mark(item, marks, catalog))
        callspec = getattr(item, "callspec", None)
        case = _case(str(callspec.id), gate.cases) if callspec is not None and gate and gate.cases else None
        binding = Binding(gate_id=gate_id, case=case, gate=gate, nodeid=item.nodeid)
        item.stash[binding_key] = binding
        bindings.append(binding)
        if gate is not None:
            for name in dict.fromkeys((*gate.scopes, gate.phase.value, gate.severity.value)):
                item.add_marker(_mark(name))
        names = {mark.name for mark in found}
        refused += [_refused_mark(item, gate_id, name) for name in REFUSED_MARKS if name in names]
    problems += _bound_twice(bindings)
    return Bound(bindings=tuple(bindings), problems=tuple(problems), refused_marks=tuple(refused))


@functools.cache
def _mark(name: str) -> pytest.MarkDecorator:
    """Return the mark of a scope, phase or severity: one for all gates, however many there are."""
    return getattr(pytest.mark, name)  # type: ignore[no-any-return] # of pytest.mark, whatever its name


def _case(parameters: str, cases: Sequence[str]) -> str:
    """Return a parametrize id as the catalog spells it: pytest escapes what is not ASCII, and backslashes."""
    escaped = {case.encode("unicode_escape").decode("ascii"): case for case in cases}
    return parameters if parameters in cases else escaped.get(parameters, parameters)


def _gate_id(mark: pytest.Mark) -> str:
    if len(mark.args) == 1 and not mark.kwargs and type(mark.args[0]) is str:
        return str(mark.args[0])
    return ""


def _wrong_mark(item: pytest.Item, marks: Sequence[pytest.Mark], catalog: Catalog) -> Reason:
    ids = sorted({_gate_id(mark) for mark in marks})
    if len(ids) > 1:
        return Reason(
            code=Code.GATE_BOUND_TWICE,
            message=f"{item.nodeid} is marked as more than one gate: {', '.join(ids)}.",
            remedy="Give each gate a test of its own.",
        )
    if not ids[0]:
        return Reason(
            code=Code.GATE_UNKNOWN,
            message=f"{item.nodeid}: the gate mark takes one argument, the gate's id as text.",
            remedy='Write @pytest.mark.gate("phase.name").',
        )
    return Reason(
        code=Code.GATE_UNKNOWN,
        gate_id=ids[0],
        message=f"{item.nodeid} is marked as gate {ids[0]}, which {catalog.path} does not have.",
        remedy="Add the gate to the catalog, or correct the id in the mark.",
    )


def _refused_mark(item: pytest.Item, gate_id: str, mark: str) -> Reason:
    return Reason(
        code=Code.REFUSED_OPTION,
        gate_id=gate_id,
        message=f"{item.nodeid} has a {mark} mark.",
        remedy=REFUSED_MARKS[mark],
    )


def _bound_twice(bindings: Sequence[Binding]) -> list[Reason]:
    tests: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for binding in bindings:
        tests[binding.gate_id, binding.case].append(binding.nodeid)
    return [
        Reason(
            code=Code.GATE_BOUND_TWICE,
            gate_id=gate_id,
            message=f"{_named(gate_id, case)} is bound to {len(nodeids)} tests: {', '.join(nodeids[:5])}.",
            remedy="Bind a gate to one test; list the ids of a parametrized one under cases in the catalog.",
        )
        for (gate_id, case), nodeids in tests.items()
        if gate_id and len(nodeids) > 1
    ]


def _named(gate_id: str, case: str | None) -> str:
    return gate_id if case is None else f"{gate_id} (case {case})"
