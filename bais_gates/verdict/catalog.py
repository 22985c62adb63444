"""The catalog: the list of all gates, the source of truth for what must be proven."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bais_gates.verdict.files import Document, load_document
from bais_gates.verdict.model import GOLIVE, Gate, Phase, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All gates, in the order in which reports show them. Raises ValueError when two have one id."""

    gates: tuple[Gate, ...]
    digest: str
    """``sha256:...`` of the file's bytes."""
    path: Path
    by_id: Mapping[str, Gate] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id = {gate.id: gate for gate in self.gates}
        if len(by_id) != len(self.gates):
            raise ValueError("two gates of a catalog have one id")
        object.__setattr__(self, "by_id", by_id)

    def for_scope(self, scope: str) -> tuple[Gate, ...]:
        """Give the gates that a decision about ``scope`` needs; none for a scope that does not exist."""
        return tuple(gate for gate in self.gates if scope in gate.scopes or scope == gate.phase.value)


def load_catalog(path: Path) -> Catalog:
    """Read a catalog file.

    Ids are unique and begin with their phase; ``needs`` name other gates, in no circle, and a gate of the
    scope golive needs only such gates, as the others would not run. Raises GateInputError with file, line
    and key.
    """
    document = load_document(path, "catalog")
    entries = cast("list[dict[str, Any]]", document.data["gates"])
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        gate_id = entry["id"]
        if gate_id in seen:
            first = document.line_of(("gates", seen[gate_id]))
            raise document.error(
                ("gates", index, "id"), f"{gate_id} is already in line {first}. Keep one of them."
            )
        seen[gate_id] = index
        if not gate_id.startswith(entry["phase"] + "."):
            text = f"the gate is of the phase {entry['phase']}. Begin its id with that."
            raise document.error(("gates", index, "id"), text)
    gates = tuple(_gate(entry) for entry in entries)
    _check_needs(document, gates, seen)
    return Catalog(gates=gates, digest=document.digest, path=document.path)


def _gate(entry: dict[str, Any]) -> Gate:
    phase = Phase(entry["phase"])
    others = [scope for scope in entry.get("scopes", ()) if scope != phase.value]
    return Gate(
        id=entry["id"],
        title=entry["title"].strip(),
        phase=phase,
        severity=Severity(entry["severity"]),
        scopes=(*others, phase.value),
        requirement=entry["requirement"].strip(),
        remedy=entry["remedy"].strip(),
        cases=tuple(entry.get("cases", ())),
        needs=tuple(entry.get("needs", ())),
        exclusive=entry.get("exclusive", False),
        mutates=entry.get("mutates", False),
        deadline_s=float(entry["deadline_s"]) if "deadline_s" in entry else None,
        rolls_up=Phase(entry["rolls_up"]) if "rolls_up" in entry else None,
    )


def _check_needs(document: Document, gates: tuple[Gate, ...], index_of: Mapping[str, int]) -> None:
    for index, gate in enumerate(gates):
        if gate.rolls_up is gate.phase:
            raise document.error(
                ("gates", index, "rolls_up"), "its own phase. Name the phase that it judges."
            )
        for position, need in enumerate(gate.needs):
            at = ("gates", index, "needs", position)
            if need not in index_of:
                raise document.error(at, f"no gate {need} in the catalog. Add it, or correct the id.")
            if GOLIVE in gate.scopes and GOLIVE not in gates[index_of[need]].scopes:
                text = f"{need} is not of the scope {GOLIVE}, so it would never run. Add the scope to it."
                raise document.error(at, text)
    _check_circles(document, gates, index_of)


def _check_circles(document: Document, gates: tuple[Gate, ...], index_of: Mapping[str, int]) -> None:
    """Take away gates whose needs are all taken away, again and again; what is left is in a circle."""
    dependents: dict[str, list[int]] = {gate.id: [] for gate in gates}
    of_phase: dict[Phase, list[str]] = defaultdict(list)
    for gate in gates:
        of_phase[gate.phase].append(gate.id)
    awaited = [(*gate.needs, *(of_phase[gate.rolls_up] if gate.rolls_up else ())) for gate in gates]
    open_needs = [len(ids) for ids in awaited]
    for index, ids in enumerate(awaited):
        for need in ids:
            dependents[need].append(index)
    ready = [index for index, count in enumerate(open_needs) if count == 0]
    while ready:
        for dependent in dependents[gates[ready.pop()].id]:
            open_needs[dependent] -= 1
            if open_needs[dependent] == 0:
                ready.append(dependent)
    for index, count in enumerate(open_needs):
        if count:
            circle = _circle(gates, awaited, index_of, index, open_needs)
            raise document.error(
                ("gates", index_of[circle[0]], "needs"), f"a circle: {' needs '.join(circle)}. Take one out."
            )


def _circle(
    gates: tuple[Gate, ...],
    awaited: Sequence[Sequence[str]],
    index_of: Mapping[str, int],
    start: int,
    open_needs: list[int],
) -> list[str]:
    """Follow open needs from a gate until one comes up again."""
    path: list[str] = []
    gate_id = gates[start].id
    while gate_id not in path:
        path.append(gate_id)
        gate_id = next(need for need in awaited[index_of[gate_id]] if open_needs[index_of[need]])
    return [*path[path.index(gate_id) :], gate_id]
