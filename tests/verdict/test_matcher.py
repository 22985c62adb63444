"""The quick yes of a schema: never where a full validation says no, and always for what people write."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.verdict import schema
from bais_gates.verdict.document import to_document
from bais_gates.verdict.matcher import compile_schema, matches
from bais_gates.verdict.strict_yaml import parse

if TYPE_CHECKING:
    from bais_gates.verdict.model import JsonValue
    from tests.verdict.conftest import World

GATES = Path(__file__).parents[2] / "gates"
WAIVERS = """
waivers:
  - {gate: a.b, reason: a reason of some length, ticket: T-1, requested_by: ann, approved_by: bob,
     environment: staging, approved_at: "2026-01-01T00:00:00Z", expires: "2026-01-02T00:00:00+01:00"}
"""
SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.sampled_from(["", "P1", "a.b", "x"])
)
VALUES = (
    SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text("ab_", max_size=2), SCALARS, max_size=2)
)


@pytest.fixture(scope="module")
def documents() -> dict[str, JsonValue]:
    """Read a document of each schema that people write."""
    texts = {
        "catalog": (GATES / "catalog.yaml").read_text(),
        "policy": (GATES / "policy.yaml").read_text(),
        "environment": (GATES / "environments" / "production.yaml").read_text(),
        "waivers": WAIVERS,
    }
    return {name: parse(text, name)[0] for name, text in texts.items()}


def _decision(world: World) -> JsonValue:
    check = world.check(observed=[1.5, {"a": None}], limit=[])
    return json.loads(json.dumps(to_document(world.decide(world.result(checks=(check,))))))  # type: ignore[no-any-return] # JSON


def _validator_agrees(name: str, value: JsonValue) -> bool:
    """Return whether the matcher's answer is the validator's, or leaves it to the validator."""
    return not matches(schema._matcher(name), value) or not list(schema._validator(name).iter_errors(value))


@pytest.mark.parametrize("name", ["catalog", "policy", "environment", "waivers"])
def test_valid_files_match_at_once(name: str, documents: dict[str, JsonValue]) -> None:
    """A file without a mistake needs no full validation."""
    assert matches(schema._matcher(name), documents[name])


def test_decision_matches_at_once(world: World) -> None:
    """A decision that was written needs no full validation."""
    assert matches(schema._matcher("decision"), _decision(world))


def _change(data: st.DataObject, value: Any) -> Any:
    """Return a value with one place in it replaced, removed or added to."""
    value = copy.deepcopy(value)
    place = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys)) if keys else None
        inner = place[key] if key is not None else None
        if key is not None and isinstance(inner, dict | list) and data.draw(st.integers(0, 3)):
            place = inner
            continue
        how = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if key is not None and how == "remove":
            del place[key]
        elif key is not None and how == "replace":
            place[key] = data.draw(VALUES)
        elif isinstance(place, dict):
            place[data.draw(st.sampled_from(["id", "more", "url", "P4"]))] = data.draw(VALUES)
        else:
            place.append(copy.deepcopy(place[0]) if place and data.draw(st.booleans()) else data.draw(VALUES))
        return value


@pytest.mark.parametrize("name", ["catalog", "policy", "environment", "waivers"])
@given(data=st.data())
def test_changed_files_match_only_if_valid(
    name: str, documents: dict[str, JsonValue], data: st.DataObject
) -> None:
    """Whatever is changed in a file, the matcher never accepts what the schema refuses."""
    assert _validator_agrees(name, _change(data, documents[name]))


@given(data=st.data())
def test_changed_decisions_match_only_if_valid(world: World, data: st.DataObject) -> None:
    """Whatever is changed in a decision, the matcher never accepts what the schema refuses."""
    assert _validator_agrees("decision", _change(data, _decision(world)))


@pytest.mark.parametrize(
    "unknown", [{"not": {}}, {"items": {"multipleOf": 2}}, {"oneOf": [{"type": "string"}, {}]}]
)
def test_unknown_keywords_are_refused(unknown: dict[str, Any]) -> None:
    """A schema with a keyword that the matcher would overlook cannot be compiled."""
    with pytest.raises(ValueError, match="no matcher"):
        compile_schema(unknown)
