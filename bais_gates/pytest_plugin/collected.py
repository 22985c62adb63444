"""What a process collected, as the recorder hears of it: also across xdist, by the run directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bais_gates.verdict.model import Code, JsonValue, Reason

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.binding import Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The tests of gates that were found, and which of them were left to run."""

    bound: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    """nodeid: (gate id, case), before anything was deselected."""
    selected: tuple[str, ...] = ()
    """The nodeids of gates' tests that were left, in their order."""
    problems: tuple[Reason, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "bound": {nodeid: [gate_id, case] for nodeid, (gate_id, case) in self.bound.items()},
            "selected": list(self.selected),
            "problems": [
                [reason.code.value, reason.message, reason.gate_id, reason.remedy] for reason in self.problems
            ],
        }


def collected(bound: Bound, selected: tuple[str, ...]) -> Collected:
    """Return what was collected, with everything that is wrong with how gates are bound."""
    return Collected(
        bound={binding.nodeid: (binding.gate_id, binding.case) for binding in bound.bindings},
        selected=selected,
        problems=(*bound.problems, *bound.refused_marks),
    )


def from_json(data: Any) -> Collected | None:
    """Return what ``to_json`` gave; None for anything else."""
    try:
        return Collected(
            bound={nodeid: (gate_id, case) for nodeid, (gate_id, case) in data["bound"].items()},
            selected=tuple(data["selected"]),
            problems=tuple(
                Reason(code=Code(code), message=message, gate_id=gate_id, remedy=remedy)
                for code, message, gate_id, remedy in data["problems"]
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
