"""Success criteria: what people ask before they sign, each with the gates that prove it.

They judge nothing: a criterion is met or not by the results of its gates. The catalog lists them, and the
decision keeps them, so that its page shows what was in the catalog that was judged by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One line of a list: a sentence and the ids of the gates that prove it, at least one."""

    text: str
    gate_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CriteriaList:
    """One list of criteria, such as operational readiness, in the order of the page."""

    title: str
    criteria: tuple[Criterion, ...]


def criteria_from_json(lists: Iterable[Any]) -> tuple[CriteriaList, ...]:
    """Read the lists of a catalog or a decision that matches its schema."""
    return tuple(
        CriteriaList(
            title=each["title"].strip(),
            criteria=tuple(
                Criterion(text=line["criterion"].strip(), gate_ids=tuple(line["gates"]))
                for line in each["lines"]
            ),
        )
        for each in lists
    )


def criteria_to_json(lists: Iterable[CriteriaList]) -> list[Any]:
    """Return the lists as a decision has them."""
    return [
        {
            "title": each.title,
            "lines": [{"criterion": line.text, "gates": list(line.gate_ids)} for line in each.criteria],
        }
        for each in lists
    ]


def unknown_gates(
    lists: Iterable[CriteriaList], known: Iterable[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the place in a catalog and the id of each gate that proves a criterion and is not ``known``."""
    known = frozenset(known)
    for index, each in enumerate(lists):
        for line, criterion in enumerate(each.criteria):
            for position, gate_id in enumerate(criterion.gate_ids):
                if gate_id not in known:
                    yield ("criteria", index, "lines", line, "gates", position), gate_id


def without_text(lists: Iterable[CriteriaList]) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Return the gates of each criterion of each list alone: redaction may change the texts in a file."""
    return tuple(tuple(criterion.gate_ids for criterion in each.criteria) for each in lists)
