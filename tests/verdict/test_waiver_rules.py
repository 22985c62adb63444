"""What a waiver covers, and what is wrong with one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from bais_gates.verdict.model import Code, Outcome, Verdict

if TYPE_CHECKING:
    from bais_gates.verdict.model import Decision, Waiver
    from tests.verdict.conftest import World

DAY = timedelta(days=1)


class Judge(Protocol):
    """What the fixture ``judge`` gives."""

    def __call__(
        self, *waivers: Waiver, outcome: str = "FAIL", severity: str = "P2", **fields: Any
    ) -> Decision:
        """Judge gate a with waivers."""


def codes(decision: Decision) -> list[Code]:
    """List the codes of a decision's reasons."""
    return [reason.code for reason in decision.reasons]


@pytest.fixture
def judge(world: World) -> Judge:
    """Judge gate a, failed by default, beside a gate b that passed, with waivers."""

    def judge(*waivers: Waiver, outcome: str = "FAIL", severity: str = "P2", **fields: Any) -> Decision:
        gates = (world.gate("a", severity), world.gate("b"))
        return world.decide(
            world.result("a", outcome), world.result("b"), gates=gates, waivers=waivers, **fields
        )

    return judge


@pytest.mark.parametrize("outcome", ["FAIL", "ERROR", "NO_DATA", "FLAKY"])
def test_waiver_covers_a_gate_that_ran(judge: Judge, world: World, outcome: str) -> None:
    """A waiver covers a gate that ran and did not pass; its outcome stays visible."""
    waiver = world.waiver()
    decision = judge(waiver, outcome=outcome)

    assert decision.verdict is Verdict.DEPLOY
    assert (decision.gates[0].result.outcome, decision.gates[0].waiver) == (outcome, waiver)
    assert decision.valid_until <= waiver.expires


@pytest.mark.parametrize("outcome", ["NOT_RUN", "SKIPPED", "VACUOUS", "XFAIL", "XPASS"])
def test_waiver_does_not_cover_what_was_not_seen(judge: Judge, world: World, outcome: str) -> None:
    """A waived gate still runs: what did not run, or showed nothing, is not covered."""
    decision = judge(world.waiver(), outcome=outcome)

    assert decision.gates[0].waiver is None
    assert codes(decision) == [Code(outcome)]


def test_waiver_does_not_cover_missing_cases(world: World) -> None:
    """A waived gate with cases must still report every one of them."""
    result = world.result(outcome="FAIL", cases=("x",))
    decision = world.decide(
        result,
        world.result("b"),
        gates=(world.gate(cases=("x", "y")), world.gate("b")),
        waivers=[world.waiver()],
    )
    assert codes(decision) == [Code.CASES_MISSING]


def test_decision_is_valid_no_longer_than_its_waivers(judge: Judge, world: World) -> None:
    """A decision ends with the first of the waivers that it rests on."""
    expires = world.now + timedelta(minutes=5)
    assert judge(world.waiver(expires=expires)).valid_until == expires


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"expires": timedelta(0)}, Code.WAIVER_EXPIRED),
        ({"approved_at": timedelta(seconds=1)}, Code.WAIVER_NOT_YET_VALID),
        ({"approved_at": -5 * DAY}, Code.WAIVER_TOO_LONG),
        ({"requested_by": " ALEX@example.com "}, Code.WAIVER_SELF_APPROVED),
        ({"requested_by": "Alex <alex+ci@example.com>"}, Code.WAIVER_SELF_APPROVED),
        ({"requested_by": "al\u200bex@example.org"}, Code.WAIVER_SELF_APPROVED),
    ],
)
@pytest.mark.parametrize("environment", ["staging", "production"])
def test_wrong_waiver_blocks(
    judge: Judge, world: World, fields: dict[str, timedelta | str], code: Code, environment: str
) -> None:
    """A waiver that is expired, of the future, too long or self-approved blocks, also one for elsewhere."""
    moments = {key: world.now + value for key, value in fields.items() if isinstance(value, timedelta)}
    given: dict[str, Any] = fields | moments  # Any: texts and moments
    decision = judge(world.waiver(**given, environment=environment))

    assert code in codes(decision)
    assert decision.verdict is Verdict.BLOCK


def test_waiver_lasts_at_most_as_the_policy_says(judge: Judge, world: World) -> None:
    """The days are counted from the approval, by the gate's severity, to the second."""
    exact = world.waiver(approved_at=world.now - 2 * DAY, expires=world.now + 5 * DAY)
    longer = world.waiver(approved_at=world.now - 2 * DAY, expires=world.now + 5 * DAY + timedelta(seconds=1))

    assert judge(exact).verdict is Verdict.DEPLOY
    assert codes(judge(longer)) == [Code.WAIVER_TOO_LONG]
    assert judge(longer, severity="P3").verdict is Verdict.DEPLOY


def test_p1_is_never_waived(judge: Judge, world: World) -> None:
    """A waiver for a P1 gate does not count, and blocks by itself."""
    decision = judge(world.waiver(), severity="P1")
    assert codes(decision) == [Code.WAIVER_P1, Code.FAILED]
    assert codes(judge(world.waiver(), severity="P1", outcome="PASS"))[:1] == [Code.WAIVER_P1]


def test_unknown_gate_blocks(judge: Judge, world: World) -> None:
    """A waiver for a gate that the catalog does not have blocks."""
    assert codes(judge(world.waiver("zz"), outcome="PASS")) == [Code.WAIVER_UNKNOWN_GATE]


def test_unused_waiver_blocks(judge: Judge, world: World) -> None:
    """A waiver whose gate passed, does not apply or does not block anyway is unused."""
    declared = world.target(not_applicable=(("acceptance.a", "No such part here."),))
    assert codes(judge(world.waiver(), outcome="PASS")) == [Code.WAIVER_UNUSED]
    assert codes(judge(world.waiver(), outcome="NOT_APPLICABLE", target=declared)) == [Code.WAIVER_UNUSED]
    assert codes(judge(world.waiver(), severity="P4")) == [Code.WAIVER_UNUSED]


@pytest.mark.parametrize(
    "fields", [{"environment": "production"}, {"subject_digest": "sha256:" + "b" * 64}], ids=["env", "image"]
)
def test_waiver_for_elsewhere_is_not_unused(judge: Judge, world: World, fields: dict[str, str]) -> None:
    """A waiver for another environment or image neither counts here nor is unused here."""
    waiver = world.waiver(**fields)
    subject = world.subject("a")

    assert judge(waiver, outcome="PASS", subject=subject).verdict is Verdict.DEPLOY
    assert codes(judge(waiver, subject=subject)) == [Code.FAILED]


def test_waiver_of_a_gate_outside_the_scope_is_not_unused(world: World) -> None:
    """A waiver whose gate is not of the decided scope is not looked at for use."""
    other = world.gate("b", scopes=("acceptance",))
    decision = world.decide(world.result(), gates=(world.gate(), other), waivers=[world.waiver("b")])
    assert decision.verdict is Verdict.DEPLOY


def test_waiver_for_an_image_counts_for_that_image_only(judge: Judge, world: World) -> None:
    """A waiver with a digest counts only when that image is the subject."""
    waiver = world.waiver(subject_digest=world.subject("a").digest)

    assert judge(waiver, subject=world.subject("a")).verdict is Verdict.DEPLOY
    assert codes(judge(waiver, subject=world.subject("b"))) == [Code.FAILED]
    assert codes(judge(waiver, subject=None)) == [Code.FAILED, Code.SUBJECT_MISSING]


def test_two_waivers_for_one_thing_block(judge: Judge, world: World) -> None:
    """Two waivers for one gate, environment and image block; for two images they do not."""
    digests = [world.subject(letter).digest for letter in "ab"]
    for_a, for_b = (world.waiver(subject_digest=digest) for digest in digests)
    subject = world.subject("a")

    assert codes(judge(world.waiver(), world.waiver(ticket="BAIS-2"))) == [Code.WAIVER_DUPLICATE]
    assert codes(judge(world.waiver(), for_a, subject=subject)) == [Code.WAIVER_DUPLICATE]
    assert judge(for_a, for_b, subject=subject).verdict is Verdict.DEPLOY
    elsewhere = world.waiver(environment="production")
    assert judge(world.waiver(), elsewhere).gates[0].result.outcome is Outcome.FAIL
    assert judge(world.waiver(), elsewhere).verdict is Verdict.DEPLOY
