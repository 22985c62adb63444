"""Gates that do not apply: by the catalog, or by a declaration that is dated and approved."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.verdict.exemptions import not_applicable
from bais_gates.verdict.model import Code, Verdict

if TYPE_CHECKING:
    from bais_gates.verdict.model import Decision
    from tests.verdict.conftest import World

DAY = timedelta(days=1)
DECLARED = (("acceptance.a", "No such part here."),)


def decide(world: World, severity: str = "P1", gate: dict[str, Any] | None = None, **target: Any) -> Decision:
    """Judge gate a, which reports NOT_APPLICABLE, beside gate b, which passed."""
    gates = (world.gate("a", severity, **(gate or {})), world.gate("b"))
    results = world.result("a", "NOT_APPLICABLE", checks=()), world.result("b")
    return world.decide(*results, gates=gates, target=world.target(**target))


def codes(decision: Decision) -> list[Code]:
    """List the codes of a decision's reasons."""
    return [reason.code for reason in decision.reasons]


def test_a_p1_declaration_is_dated_and_approved(world: World) -> None:
    """A sentence is enough for P2; for P1 it takes a date and an approval, which limit the decision."""
    expires = world.now + timedelta(hours=1)
    dated = world.waiver(expires=expires)

    assert codes(decide(world, "P2", not_applicable=DECLARED)) == []
    assert codes(decide(world, not_applicable=DECLARED)) == [Code.NOT_APPLICABLE_UNDATED]
    decision = decide(world, not_applicable=DECLARED, exemptions=(dated,))
    assert (decision.verdict, decision.valid_until) == (Verdict.DEPLOY, expires)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"expires": 0 * DAY}, Code.WAIVER_EXPIRED),
        ({"approved_at": DAY}, Code.WAIVER_NOT_YET_VALID),
        ({"approved_at": -28 * DAY}, Code.WAIVER_TOO_LONG),
        ({"requested_by": "Alex <alex@example.com>"}, Code.WAIVER_SELF_APPROVED),
    ],
)
@pytest.mark.parametrize("severity", ["P1", "P2"])
def test_a_wrong_declaration_blocks(
    world: World, fields: dict[str, timedelta | str], code: Code, severity: str
) -> None:
    """One that is expired, of the future, too long or self-approved blocks as a waiver does."""
    moments = {key: world.now + value for key, value in fields.items() if isinstance(value, timedelta)}
    given: dict[str, Any] = fields | moments  # Any: texts and moments
    decision = decide(world, severity, not_applicable=DECLARED, exemptions=(world.waiver(**given),))

    assert code in codes(decision)
    assert "declaration of not applicable" in decision.reasons[0].message


def test_a_gate_of_other_environments_does_not_apply(world: World) -> None:
    """The catalog's `environments` needs no declaration; where the gate belongs, it must run."""
    elsewhere: dict[str, Any] = {"environments": ("sandbox", "test")}

    assert codes(decide(world, gate=elsewhere)) == []
    assert codes(decide(world, gate={"environments": ("sandbox", "staging")})) == [
        Code.NOT_APPLICABLE_UNDECLARED
    ]
    reason = not_applicable(world.gate(**elsewhere), world.target())
    assert reason == "it belongs to sandbox, test (environments in the catalog)"
    assert codes(decide(world, gate=elsewhere, not_applicable=DECLARED)) == [Code.NOT_APPLICABLE_UNDATED]


def test_production_without_a_test_tenant(world: World) -> None:
    """A gate that writes does not apply where production names no test tenant; one that reads does."""
    assert codes(decide(world, gate={"mutates": True}, without_tenant=True)) == []
    assert codes(decide(world, gate={"mutates": True})) == [Code.NOT_APPLICABLE_UNDECLARED]
    assert codes(decide(world, without_tenant=True)) == [Code.NOT_APPLICABLE_UNDECLARED]


def test_a_gate_that_sends_to_people(world: World) -> None:
    """It applies only where the environment file allows what it sends."""
    sends: dict[str, Any] = {"sends": "synthetic_alert"}

    assert codes(decide(world, gate=sends)) == []
    assert codes(decide(world, gate=sends, allow=("synthetic_alert",))) == [Code.NOT_APPLICABLE_UNDECLARED]
    reason = not_applicable(world.gate(**sends), world.target())
    assert reason == "it sends a synthetic alert, and the environment file has no `allow: [synthetic_alert]`"
