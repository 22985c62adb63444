"""From collection to selection: tests are bound to gates, put in order, and reported to the recorder."""

from __future__ import annotations

import heapq
import json
import os
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates.errors import GateInputError
from bais_gates.pytest_plugin.binding import Bound, bind, binding_key
from bais_gates.pytest_plugin.execution import not_applicable
from bais_gates.pytest_plugin.refusals import interpreter_refusals
from bais_gates.pytest_plugin.shadowing import hidden_tests
from bais_gates.verdict.model import Code, JsonValue, Reason

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.run_state import RunState
    from bais_gates.verdict.model import Gate


FIXTURES: Final = {
    "target": ("target",),
    "limits": ("limits",),
    "kubernetes": ("cluster", "cluster_writer"),
    "staging": ("staging",),
    "database": ("database",),
    "cache": ("cache",),
    "webhooks": ("webhook_listener",),
    "monitoring": ("prometheus", "alertmanager"),
    "oncall": ("oncall_part",),
}
"""The fixtures of gates that need a part of the target, by the part's key in an environment file."""
NEEDS_VARIABLE: Final = "BAIS_GATES_NEEDS"
"""Names the file for what gates need, where this module is a plugin of its own (`bais-gates validate`)."""


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Write which parts of the target the collected gates need."""
    (collection,) = (
        plugin for plugin in session.config.pluginmanager.get_plugins() if isinstance(plugin, Collection)
    )
    Path(os.environ[NEEDS_VARIABLE]).write_text(json.dumps(sorted(collection.collected.needing)), "utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The tests of gates that were found, and which of them were left to run."""

    bound: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    """nodeid: (gate id, case), before anything was deselected."""
    selected: tuple[str, ...] = ()
    """The nodeids of gates' tests that were left, in their order."""
    problems: tuple[Reason, ...] = ()
    """Everything that is wrong with how gates are bound."""
    needing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The selected gates that need a part of the target, by its key in the environment file."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object: what an xdist worker leaves in the run directory."""
        return {
            "bound": {nodeid: [gate_id, case] for nodeid, (gate_id, case) in self.bound.items()},
            "selected": list(self.selected),
            "problems": [
                [reason.code.value, reason.message, reason.gate_id, reason.remedy] for reason in self.problems
            ],
            "needing": {part: list(gates) for part, gates in self.needing.items()},
        }

    @classmethod
    def from_json(cls, data: Any) -> Collected | None:
        """Return what ``to_json`` made; None for anything else."""
        try:
            return cls(
                bound={nodeid: (gate_id, case) for nodeid, (gate_id, case) in data["bound"].items()},
                selected=tuple(data["selected"]),
                problems=tuple(
                    Reason(code=Code(code), message=message, gate_id=gate_id, remedy=remedy)
                    for code, message, gate_id, remedy in data["problems"]
                ),
                needing={part: tuple(gates) for part, gates in data["needing"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


class Collection:
    """Binds tests to gates, before ``-m`` looks at the marks, and puts what is left in order."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self.bound = Bound(bindings=(), problems=(), refused_marks=())
        self.collected = Collected()
        self.finished = False
        self._files: list[Path] = []
        self._hidden: tuple[Reason, ...] = ()
        self._late: tuple[Reason, ...] = ()

    def pytest_pycollect_makemodule(self, module_path: Path) -> None:
        """Record which files are collected."""
        self._files.append(module_path)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Bind, let all others select, then order."""
        if any(item.get_closest_marker("gate") is not None for item in items):
            self._bind(session, config, items)
        if self._state.settings.deciding:
            self._hidden = hidden_tests(self._files, items, config)
        found = list(items)
        yield
        self._late = tuple(_marked_late(item) for item in found if _is_marked_late(item))
        self._leave_out_proven(config, items)
        sort_items(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Report what will run; under xdist before the controller learns that collection ended."""
        selected = tuple(item.nodeid for item in session.items if binding_key in item.stash)
        # The controller answers for its own; `--tx popen//python=...` names another one for its workers.
        interpreter = () if self._state.worker is None else interpreter_refusals()
        self.collected = Collected(
            bound={binding.nodeid: (binding.gate_id, binding.case) for binding in self.bound.bindings},
            selected=selected,
            problems=(
                *self.bound.problems,
                *self.bound.refused_marks,
                *interpreter,
                *self._hidden,
                *self._late,
            ),
            needing=self._needing(session),
        )
        self.finished = True
        if self._state.worker is not None and self._state.settings.deciding:
            self._state.shared().put_collection(self._state.worker, self.collected.to_json())

    def _needing(self, session: pytest.Session) -> dict[str, tuple[str, ...]]:
        """Return, by part of the target, the gates that will run and whose fixtures need it."""
        needing: dict[str, dict[str, None]] = defaultdict(dict)
        for item in session.items:
            binding = item.stash.get(binding_key, None)
            if binding is None or binding.gate is None or not_applicable(self._state, binding.gate):
                continue
            for part, fixtures in FIXTURES.items():
                if any(_asks_ours(item, name) for name in fixtures):
                    needing[part][binding.gate_id] = None
        return {part: tuple(gates) for part, gates in needing.items()}

    def _bind(self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
        try:
            catalog = self._state.catalog()
        except GateInputError as error:
            self._refuse(session, config, items, [str(error)])
            return
        self.bound = bind(items, catalog)
        if self.bound.problems and not self._state.settings.deciding:
            self._refuse(session, config, items, [_format(problem) for problem in self.bound.problems])

    def _leave_out_proven(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect the gates that were proven on another target, so that this one is spared them."""
        elsewhere = self._state.proven_elsewhere
        bindings = [(item, item.stash.get(binding_key, None)) for item in items]
        proven = [item for item, binding in bindings if binding is not None and binding.gate_id in elsewhere]
        if proven:
            config.hook.pytest_deselected(items=proven)
            left_out = set(proven)
            items[:] = [item for item in items if item not in left_out]

    @staticmethod
    def _refuse(
        session: pytest.Session, config: pytest.Config, items: list[pytest.Item], texts: list[str]
    ) -> None:
        """Report errors of collection, so that no test runs; the same with and without xdist."""
        for text in texts:
            report = pytest.CollectReport(
                nodeid=session.nodeid or "gates", outcome="failed", longrepr=text, result=[]
            )
            config.hook.pytest_collectreport(report=report)
        items.clear()


def _asks_ours(item: pytest.Item, name: str) -> bool:
    """Return whether a test asks for a fixture of ours, and not for a project's own of the same name."""
    # There is no public way to a test's fixtures before it runs; pytest-asyncio and pytest-bdd use this one.
    found = getattr(item, "_fixtureinfo", None)
    for fixture in reversed(found.name2fixturedefs.get(name, ()) if found is not None else ()):
        if getattr(fixture.func, "__module__", "").startswith("bais_gates."):
            return True
        if name not in fixture.argnames:  # the project's own does not build on what it replaces
            return False
    return False


def _is_marked_late(item: pytest.Item) -> bool:
    """Return whether a test got its gate mark only after the tests had been bound to gates."""
    return binding_key not in item.stash and item.get_closest_marker("gate") is not None


def _marked_late(item: pytest.Item) -> Reason:
    return Reason(
        code=Code.GATE_UNBOUND,
        message=f"{item.nodeid} got its gate mark in pytest_collection_modifyitems, after gates were bound.",
        remedy="Write the mark at the test, or add it in pytest_itemcollected.",
    )


def _format(problem: Reason) -> str:
    return f"{problem.code.value}: {problem.message} {problem.remedy}"


def sort_items(items: list[pytest.Item]) -> None:
    """Sort ``items`` in place: a gate after those it needs, exclusive ones last, else as collected.

    The order is the same in every worker that collected the same.
    """
    bindings = [item.stash.get(binding_key, None) for item in items]
    gates = [binding.gate if binding is not None else None for binding in bindings]
    followers, waiting_for = _edges(gates)

    def place(index: int) -> tuple[bool, int]:
        gate = gates[index]
        return gate is not None and gate.exclusive, index

    ready = [place(index) for index, count in enumerate(waiting_for) if count == 0]
    heapq.heapify(ready)
    ordered: list[pytest.Item] = []
    while ready:
        _, index = heapq.heappop(ready)
        ordered.append(items[index])
        for follower in followers[index]:
            waiting_for[follower] -= 1
            if waiting_for[follower] == 0:
                heapq.heappush(ready, place(follower))
    if len(ordered) == len(items):  # the catalog has no circles; were there one, the order stays as collected
        items[:] = ordered


def _edges(gates: Sequence[Gate | None]) -> tuple[list[list[int]], list[int]]:
    """Return, by index, which tests come after each one, and how many each one comes after."""
    tests_of: dict[str, list[int]] = defaultdict(list)
    of_phase: dict[str, dict[str, None]] = defaultdict(dict)
    for index, gate in enumerate(gates):
        if gate is not None:
            tests_of[gate.id].append(index)
            of_phase[gate.phase.value][gate.id] = None
    followers: list[list[int]] = [[] for _ in gates]
    waiting_for = [0] * len(gates)
    for index, gate in enumerate(gates):
        rolled_up = of_phase[gate.rolls_up.value] if gate is not None and gate.rolls_up else ()
        for need in dict.fromkeys((*gate.needs, *rolled_up) if gate is not None else ()):
            for needed in tests_of.get(need, ()):
                followers[needed].append(index)
                waiting_for[index] += 1
    return followers, waiting_for
