"""Whether many at once lose nothing, double nothing and see nothing of one another."""

from __future__ import annotations

import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import Evidence, Limits
from bais_gates.bais import Business, needed
from bais_gates.probes import Response, Volley, decimal_text, fire

if TYPE_CHECKING:
    from collections.abc import Callable

BUSINESSES: Final = 5
CALLS_A_BUSINESS: Final = 20
"""At most, so that two requests each stay below the rate limit of one API key."""
WAVES: Final = 2
DEADLINE_S: Final = 30.0
READERS: Final = 4
AT_ONCE_SHARE: Final = 0.8
"""Share of the crowd that must have been under way at one moment for it to count as a crowd."""
QUARTER: Final = Decimal("0.25")
"""Amounts are whole quarters: it is the crowd that is tested here, not the arithmetic."""
WORKFLOW: Final = "/api/v1/workflows/payment"
DASHBOARD: Final = "/api/v1/analytics/dashboard"


@dataclass
class Member:
    """One of the businesses: what it owned before, and what it was told since that it owns."""

    business: Business
    workflow_id: str
    first: tuple[str, str]
    """Id and amount of the payment it made before."""
    crowd: Business
    """The same business by an API key of its own: what it sends in the crowd."""
    payments: list[tuple[str, str]] = field(default_factory=list)
    workflows: list[tuple[str, str]] = field(default_factory=list)
    """Id and name."""

    @property
    def owned(self) -> list[tuple[str, str]]:
        """Id and amount of every payment that it made."""
        return [self.first, *self.payments]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one call of the crowd was told: what is wrong with it, and what it made (id and what it holds)."""

    kind: str
    wrong: list[str]
    payment: tuple[str, str] | None = None
    workflow: tuple[str, str] | None = None


@pytest.mark.gate("acceptance.concurrent_requests")
def test_concurrent_requests(
    new_business: Callable[[], Business], limits: Limits, evidence: Evidence
) -> None:
    """Mixed reads and writes of several businesses, a hundred at once, lose nothing and mix nothing up."""
    count = max(BUSINESSES, math.ceil(limits.concurrency / CALLS_A_BUSINESS))
    members = [enter(number, new_business()) for number in range(count)]
    for wave in range(WAVES):
        for member in members:
            member.crowd = by_api_key(member.business)
        turns = range(limits.concurrency)
        volley = fire([one_of(members, turn, wave) for turn in turns], deadline_s=DEADLINE_S)
        judge(volley, members, limits.concurrency, f"wave {wave + 1}", evidence)
    nothing_lost(members, evidence)


def enter(number: int, business: Business) -> Member:
    """Prepare one business: a workflow, and a payment of an amount that no other has."""
    workflow_id = business.workflow_id(amount=100)
    amount = decimal_text(1000 * (number + 1) + QUARTER)
    payment_id = needed(business.pay(workflow_id, amount=float(amount)), 201, "payment_id")
    return Member(business=business, workflow_id=workflow_id, first=(payment_id, amount), crowd=business)


def by_api_key(business: Business) -> Business:
    """Give the business with a new API key instead of its access token."""
    return replace(business, api=business.api.with_token(needed(business.api_key(), 201, "api_key")))


# -- the crowd --


def one_of(members: list[Member], turn: int, wave: int) -> Callable[[], Told]:
    """Give the call of one in the crowd: businesses and kinds take turns, so that all meet all others."""
    member = members[turn % len(members)]
    neighbour = members[(turn + 1) % len(members)]
    kind = turn // len(members) % 5
    if kind < 2:
        amount = decimal_text(QUARTER * (1 + turn + 1000 * wave))
        return lambda: pay(member, amount)
    if kind == 2:
        return lambda: set_up(member)
    if kind == 3:
        return lambda: look_at_own(member)
    return lambda: look_around(member, neighbour)


def pay(member: Member, amount: str) -> Told:
    """Take a payment and read it back at once."""
    taken = member.crowd.pay(member.workflow_id, amount=float(amount))
    wrong = unlike(taken, "/api/v1/payments/process", 201, amount=amount)
    payment_id = taken.field("payment_id")
    if taken.status != 201 or not isinstance(payment_id, str):
        return Told(kind="payment", wrong=wrong)
    wrong += read_payment(member.crowd, payment_id, amount)
    return Told(kind="payment", wrong=wrong, payment=(payment_id, amount))


def set_up(member: Member) -> Told:
    """Set up a workflow and read it back at once."""
    name = member.business.unique.word("crowd")
    made = member.crowd.workflow(name=name, amount=7)
    wrong = unlike(made, WORKFLOW, 201)
    workflow_id = made.field("workflow_id")
    if made.status != 201 or not isinstance(workflow_id, str):
        return Told(kind="workflow", wrong=wrong)
    wrong += read_workflow(member.crowd, workflow_id, name)
    return Told(kind="workflow", wrong=wrong, workflow=(workflow_id, name))


def look_at_own(member: Member) -> Told:
    """Read what the business made before."""
    wrong = read_payment(member.crowd, *member.first)
    path = f"{DASHBOARD}?period=24h"
    wrong += unlike(member.crowd.api.get(path), path, 200, period="24h")
    return Told(kind="own", wrong=wrong)


def look_around(member: Member, neighbour: Member) -> Told:
    """Try another business's payment, then read one's own: the one is not there, the other is."""
    path = f"/api/v1/payments/{neighbour.first[0]}"
    wrong = unlike(member.crowd.api.get(path), path, 404)
    return Told(kind="around", wrong=wrong + read_payment(member.crowd, *member.first))


def read_payment(business: Business, payment_id: str, amount: str) -> list[str]:
    """Read a payment; give what is not as it was taken."""
    answer = business.payment(payment_id)
    return unlike(answer, f"/api/v1/payments/{payment_id}", 200, payment_id=payment_id, amount=amount)


def read_workflow(business: Business, workflow_id: str, name: str) -> list[str]:
    """Read a workflow; give what is not as it was set up."""
    path = f"{WORKFLOW}/{workflow_id}"
    return unlike(business.api.get(path), path, 200, workflow_id=workflow_id, name=name)


def unlike(answer: Response, path: str, status: int, **fields: str) -> list[str]:
    """Say where an answer differs from what is due; its whole text when the status does."""
    if answer.status != status:
        return [f"{answer.method} {path}: due {status}, but {answer.describe(100)}"]
    return [
        f"{answer.method} {path}: {name} {value!r} for {due!r}"
        for name, due in fields.items()
        if (value := answer.money(name) if name == "amount" else answer.field(name)) != due
    ]


# -- the judgement --


def judge(
    volley: Volley[Told], members: list[Member], concurrency: int, wave: str, evidence: Evidence
) -> None:
    """Check that every call came back right and the crowd was one; note what was made."""
    wrong = [f"{told.kind}: {what}" for told in volley.results for what in told.wrong]
    n = len(volley.shots)
    evidence.check(f"{wave}: calls without an answer", volley.errors, "==", [], n=n)
    evidence.check(f"{wave}: answers that are not right", wrong, "==", [], n=n)
    evidence.check(
        f"{wave}: calls under way at once",
        volley.most_at_once,
        ">=",
        math.ceil(AT_ONCE_SHARE * concurrency),
        n=n,
        n_min=concurrency,
    )
    for turn, shot in enumerate(volley.shots):
        member = members[turn % len(members)]
        if shot.result is not None and shot.result.payment is not None:
            member.payments.append(shot.result.payment)
        if shot.result is not None and shot.result.workflow is not None:
            member.workflows.append(shot.result.workflow)


def nothing_lost(members: list[Member], evidence: Evidence) -> None:
    """Check afterwards that every business owns exactly what it was told, and the sums agree."""
    reads = [partial(read_payment, member.business, *owned) for member in members for owned in member.owned]
    reads += [
        partial(read_workflow, member.business, *made) for member in members for made in member.workflows
    ]
    with ThreadPoolExecutor(READERS) as pool:
        lost = [what for found in pool.map(lambda read: read(), reads) for what in found]
    totals = []
    for member in members:
        volume = decimal_text(sum((Decimal(amount) for _, amount in member.owned), Decimal(0)))
        figures = member.business.api.get(f"{DASHBOARD}?period=24h")
        shown = (figures.money("total_payments"), figures.money("total_volume"))
        if shown != (due := (str(len(member.owned)), volume)):
            totals.append(f"dashboard {shown}, made {due}")
    payments = Counter(payment_id for member in members for payment_id, _ in member.owned)
    workflows = Counter(workflow_id for member in members for workflow_id, _ in member.workflows)
    made = [*payments, *workflows]
    evidence.check("made in the crowd and not there afterwards", lost, "==", [], n=len(made))
    evidence.check("businesses whose totals are not what they made", totals, "==", [], n=len(members))
    twice = [one for one, count in (payments + workflows).items() if count > 1]
    evidence.check("ids that were given twice", twice, "==", [], n=len(made))
