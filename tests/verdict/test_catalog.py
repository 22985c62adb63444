"""The catalog file and its rules."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bais_gates.errors import GateInputError
from bais_gates.verdict.catalog import Catalog, load_catalog
from bais_gates.verdict.model import Phase, Severity

if TYPE_CHECKING:
    from tests.verdict.conftest import World, Write

ENTRY = """\
  - id: {id}
    title: A title
    phase: {phase}
    severity: P2
    requirement: It holds.
    remedy: Mend it.
"""


def entry(gate_id: str = "acceptance.a", phase: str = "acceptance", more: str = "") -> str:
    """Write one entry of a catalog."""
    return ENTRY.format(id=gate_id, phase=phase) + (f"    {more}\n" if more else "")


def load(write: Write, *entries: str) -> Catalog:
    """Load a catalog of entries."""
    return load_catalog(write("gates:\n" + "".join(entries)))


def refusal(write: Write, *entries: str) -> str:
    """Return the message that a catalog is refused with."""
    with pytest.raises(GateInputError) as caught:
        load(write, *entries)
    return str(caught.value)


def test_gates_in_file_order_with_defaults(write: Write) -> None:
    """Gates keep the order of the file; their phase is a scope of theirs."""
    catalog = load(
        write, entry("load.z", "load", "scopes: [golive]"), entry(more="cases: [x, z]"), entry("acceptance.b")
    )
    first, second, _ = catalog.gates

    assert [gate.id for gate in catalog.gates] == ["load.z", "acceptance.a", "acceptance.b"]
    assert (first.scopes, first.phase, first.severity) == (("golive", "load"), Phase.LOAD, Severity.P2)
    assert (second.cases, second.needs, second.exclusive, second.mutates) == (("x", "z"), (), False, False)
    assert catalog.by_id["load.z"] is first
    assert catalog.digest.startswith("sha256:")


def test_scopes(write: Write) -> None:
    """A scope has the gates that list it; a phase has its own; an unknown scope has none."""
    catalog = load(write, entry(more="scopes: [golive]"), entry("load.z", "load"))

    assert [gate.id for gate in catalog.for_scope("golive")] == ["acceptance.a"]
    assert [gate.id for gate in catalog.for_scope("load")] == ["load.z"]
    assert catalog.for_scope("everything") == ()


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([entry(), entry()], ":8: gates[1].id: duplicate id acceptance.a, first in line 2"),
        ([entry("load.a")], ":2: gates[0].id: the gate's phase is acceptance"),
        ([entry("acceptance.CamelCase")], "A gate id is <phase>.<snake_case>"),
        ([entry("acceptance.a-b")], "A gate id is <phase>.<snake_case>"),
        ([entry("nophase.a", "nophase")], "must be staging, acceptance, load"),
        ([entry(more="scopes: [everything]")], "gates[0].scopes[0]: must be golive, staging"),
        ([entry(more="severety: P1")], "gates[0].severety: unknown key. Did you mean severity?"),
        ([entry(more="needs: [acceptance.b]")], ":8: gates[0].needs[0]: acceptance.b is not in the catalog"),
        ([entry(more="needs: [acceptance.a]")], "a cycle: acceptance.a needs acceptance.a"),
        ([entry(more="cases: []")], "gates[0].cases: must not be empty"),
        ([entry(more="cases: [x, x]")], "has a duplicate item"),
        ([entry(more="exclusive: 'yes'")], "exclusive: must be true or false."),
        ([entry().replace("A title", '"  "')], "gates[0].title"),
        ([entry().replace("    remedy: Mend it.\n", "")], ":2: gates[0]: remedy is missing"),
        ([" []\n"], "must not be empty"),
    ],
)
def test_wrong_catalogs_are_refused(write: Write, entries: list[str], words: str) -> None:
    """A catalog that breaks a rule is refused with line, key and remedy."""
    assert words in refusal(write, *entries)


def test_circle_is_told_whole(write: Write) -> None:
    """Gates that need each other in a circle are named in its order."""
    message = refusal(
        write,
        entry("acceptance.d", more="needs: [acceptance.a]"),
        entry("acceptance.a", more="needs: [acceptance.b]"),
        entry("acceptance.b", more="needs: [acceptance.c]"),
        entry("acceptance.c", more="needs: [acceptance.a]"),
    )
    assert "acceptance.a needs acceptance.b needs acceptance.c needs acceptance.a" in message


def test_golive_gate_needs_only_golive_gates(write: Write) -> None:
    """A need that the scope golive does not have would never run, so it is refused."""
    message = refusal(write, entry(more="scopes: [golive]\n    needs: [acceptance.b]"), entry("acceptance.b"))
    assert "acceptance.b is not in the scope golive" in message


CRITERIA = "criteria:\n  - title: Readiness\n    lines:\n      - {criterion: It is ready., gates: [%s]}\n"


def test_criteria_keep_their_order(write: Write) -> None:
    """A list has its lines, each with its gates; a catalog without the key has none."""
    catalog = load_catalog(
        write(CRITERIA % "acceptance.b, acceptance.a" + "gates:\n" + entry() + entry("acceptance.b"))
    )
    ((title, (criterion,)),) = [(each.title, each.criteria) for each in catalog.criteria]

    assert (title, criterion.text, criterion.gate_ids) == (
        "Readiness",
        "It is ready.",
        ("acceptance.b", "acceptance.a"),
    )
    assert load(write, entry()).criteria == ()


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ("", ":4: criteria[0].lines[0].gates: must not be empty"),
        (
            "acceptance.a, load.z",
            ":4: criteria[0].lines[0].gates[1]: load.z is not in the catalog. Add the gate",
        ),
        ("acceptance.a, acceptance.a", "criteria[0].lines[0].gates"),
        ("rate_limiting", "A gate id is <phase>.<snake_case>"),
    ],
)
def test_criteria_without_a_gate_are_refused(write: Write, gates: str, words: str) -> None:
    """A criterion that nothing proves is an error with file, line and key."""
    with pytest.raises(GateInputError) as caught:
        load_catalog(write(CRITERIA % gates + "gates:\n" + entry()))

    assert words in str(caught.value)


def test_two_gates_of_one_id_are_no_catalog(world: World) -> None:
    """Nobody can make a catalog in which one id stands for two gates."""
    with pytest.raises(ValueError, match="duplicate gate id"):
        Catalog(gates=(world.gate(), world.gate()), digest="sha256:0", path=Path("c"))


def test_large_catalog_is_read_in_time(write: Write) -> None:
    """A catalog of 1,000 gates in one long chain of needs is read in seconds."""
    chain = [
        entry(f"acceptance.g{index}", more=f"needs: [acceptance.g{index + 1}]" if index < 999 else "")
        for index in range(1000)
    ]
    begun = time.monotonic()
    assert len(load(write, *chain).gates) == 1000
    assert time.monotonic() - begun < 15


def test_environments_and_contract_are_named_exactly(write: Write, tmp_path: Path) -> None:
    """A misspelt environment, which would exempt the gate everywhere, and an absent contract are refused."""
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "staging.yaml").write_text("name: staging\n")
    (tmp_path / "api.yaml").write_text("openapi: 3.1.0\n")
    catalog = load_catalog(
        write("contract: api.yaml\ngates:\n" + entry(more="environments: [sandbox, staging]"))
    )

    assert catalog.gates[0].environments == ("sandbox", "staging")
    assert (catalog.contract or "").startswith("sha256:")
    for key in ("environments", "evidence_from"):
        assert f":8: gates[0].{key}[0]: there is no environments/stagin.yaml" in refusal(
            write, entry(more=f"{key}: [stagin]")
        )
    with pytest.raises(GateInputError, match=r":1: contract: .*no such file"):
        load_catalog(write("contract: no.yaml\ngates:\n" + entry()))
