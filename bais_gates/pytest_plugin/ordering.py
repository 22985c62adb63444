"""The order of a run: a gate after those it needs, exclusive ones last, else as collected."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bais_gates.pytest_plugin.keys import binding_key

if TYPE_CHECKING:
    import pytest

    from bais_gates.verdict.model import Gate


def put_in_order(items: list[pytest.Item]) -> None:
    """Sort ``items`` in place; the same order in every worker that collected the same."""
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
