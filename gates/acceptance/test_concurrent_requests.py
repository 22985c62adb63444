"""Check that concurrent requests of several businesses lose, duplicate and mix up nothing."""

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
from bais_gates.bais import Business, require_field
from bais_gates.probes import Response, Volley, decimal_text, fire

if TYPE_CHECKING:
    from collections.abc import Callable

BUSINESSES: Final = 5
TASKS_A_BUSINESS: Final = 20
"""At most; with two requests each they stay below the rate limit of one API key."""
WAVES: Final = 2
DEADLINE_S: Final = 30.0
READERS: Final = 4
CONCURRENCY_SHARE: Final = 0.8
"""Share of the tasks that must have run at one moment for the wave to count as concurrent."""
QUARTER: Final = Decimal("0.25")
"""Amounts are whole quarters: this gate tests concurrency, not arithmetic."""
WORKFLOW: Final = "/api/v1/workflows/payment"
DASHBOARD: Final = "/api/v1/analytics/dashboard"


@pytest.mark.gate("acceptance.concurrent_requests")
def test_concurrent_requests(
    new_business: Callable[[], Business], limits: Limits, evidence: Evidence
) -> None:
    """A hundred concurrent reads and writes of several businesses lose nothing and mix nothing up."""
    count = max(BUSINESSES, math.ceil(limits.concurrency / TASKS_A_BUSINESS))
    members = [new_member(number, new_business()) for number in range(count)]
    for wave in range(WAVES):
        for member in members:
            member.caller = with_new_key(member.business)
        turns = range(limits.concurrency)
        volley = fire([task_of(members, turn, wave) for turn in turns], deadline_s=DEADLINE_S)
        check_wave(volley, members, limits.concurrency, f"wave {wave + 1}", evidence)
    check_nothing_lost(members, evidence)


@dataclass
class Member:
    """One business: what it created before the waves, and what it was answered that it created in them."""

    business: Business
    workflow_id: str
    first: tuple[str, str]
    """Id and amount of the payment before the waves."""
    caller: Business
    """The same business with an API key of its own for the wave."""
    payments: list[tuple[str, str]] = field(default_factory=list)
    workflows: list[tuple[str, str]] = field(default_factory=list)
    """Id and name."""

    @property
    def all_payments(self) -> list[tuple[str, str]]:
        """Id and amount of every payment."""
        return [self.first, *self.payments]


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What was wrong with a task's responses, and what it created (id, and amount or name)."""

    kind: str
    wrong: list[str]
    payment: tuple[str, str] | None = None
    workflow: tuple[str, str] | None = None


def new_member(number: int, business: Business) -> Member:
    """Prepare one business: a workflow, and a payment of an amount that no other has."""
    workflow_id = business.workflow_id(amount=100)
    amount = decimal_text(1000 * (number + 1) + QUARTER)
    payment_id = require_field(business.pay(workflow_id, amount=float(amount)), 201, "payment_id")
    return Member(business=business, workflow_id=workflow_id, first=(payment_id, amount), caller=business)


def with_new_key(business: Business) -> Business:
    """Return the business with a new API key instead of its access token."""
    return replace(business, api=business.api.with_token(require_field(business.api_key(), 201, "api_key")))


def task_of(members: list[Member], turn: int, wave: int) -> Callable[[], TaskResult]:
    """Return one task; businesses and kinds take turns, so that each kind runs beside every other."""
    member = members[turn % len(members)]
    neighbour = members[(turn + 1) % len(members)]
    kind = turn // len(members) % 5
    if kind < 2:
        amount = decimal_text(QUARTER * (1 + turn + 1000 * wave))
        return lambda: pay(member, amount)
    if kind == 2:
        return lambda: create_workflow(member)
    if kind == 3:
        return lambda: read_own(member)
    return lambda: read_foreign(member, neighbour)


def pay(member: Member, amount: str) -> TaskResult:
    """Take a payment and read it back at once."""
    made = member.caller.pay(member.workflow_id, amount=float(amount))
    wrong = mismatches(made, "/api/v1/payments/process", 201, amount=amount)
    payment_id = made.field("payment_id")
    if made.status != 201 or not isinstance(payment_id, str):
        return TaskResult(kind="payment", wrong=wrong)
    wrong += read_payment(member.caller, payment_id, amount)
    return TaskResult(kind="payment", wrong=wrong, payment=(payment_id, amount))


def create_workflow(member: Member) -> TaskResult:
    """Create a workflow and read it back at once."""
    name = member.business.unique.word("crowd")
    made = member.caller.workflow(name=name, amount=7)
    wrong = mismatches(made, WORKFLOW, 201)
    workflow_id = made.field("workflow_id")
    if made.status != 201 or not isinstance(workflow_id, str):
        return TaskResult(kind="workflow", wrong=wrong)
    wrong += read_workflow(member.caller, workflow_id, name)
    return TaskResult(kind="workflow", wrong=wrong, workflow=(workflow_id, name))


def read_own(member: Member) -> TaskResult:
    """Read what the business created before the waves."""
    wrong = read_payment(member.caller, *member.first)
    path = f"{DASHBOARD}?period=24h"
    wrong += mismatches(member.caller.api.get(path), path, 200, period="24h")
    return TaskResult(kind="own data", wrong=wrong)


def read_foreign(member: Member, neighbour: Member) -> TaskResult:
    """Try another business's payment, which must be unknown, then read an own one."""
    path = f"/api/v1/payments/{neighbour.first[0]}"
    wrong = mismatches(member.caller.api.get(path), path, 404)
    return TaskResult(kind="another's data", wrong=wrong + read_payment(member.caller, *member.first))


def read_payment(business: Business, payment_id: str, amount: str) -> list[str]:
    """Read a payment; return what differs from how it was taken."""
    answer = business.payment(payment_id)
    return mismatches(answer, f"/api/v1/payments/{payment_id}", 200, payment_id=payment_id, amount=amount)


def read_workflow(business: Business, workflow_id: str, name: str) -> list[str]:
    """Read a workflow; return what differs from how it was created."""
    path = f"{WORKFLOW}/{workflow_id}"
    return mismatches(business.api.get(path), path, 200, workflow_id=workflow_id, name=name)


def mismatches(answer: Response, path: str, status: int, **fields: str) -> list[str]:
    """Return what differs from the expected response; with the response's text if the status does."""
    if answer.status != status:
        return [f"{answer.method} {path}: expected {status}, but {answer.describe(100)}"]
    return [
        f"{answer.method} {path}: {name} {value!r} instead of {expected!r}"
        for name, expected in fields.items()
        if (value := answer.money(name) if name == "amount" else answer.field(name)) != expected
    ]


def check_wave(
    volley: Volley[TaskResult], members: list[Member], concurrency: int, wave: str, evidence: Evidence
) -> None:
    """Check that every response was correct and the tasks were concurrent; record what they created."""
    wrong = [f"{result.kind}: {what}" for result in volley.results for what in result.wrong]
    n, peak = len(volley.shots), volley.max_concurrency
    evidence.check(f"unanswered requests ({wave})", volley.errors, "==", [], n=n)
    evidence.check(f"incorrect responses ({wave})", wrong, "==", [], n=n)
    least = math.ceil(CONCURRENCY_SHARE * concurrency)
    # Requests in flight are counted here: too few say nothing of the target, and prove nothing.
    few = f"the load generator had {peak} requests in flight at most" if peak < least else None
    observed = peak if few is None else math.nan
    name = f"peak concurrency ({wave})"
    evidence.check(name, observed, ">=", least, n=n, n_min=concurrency, source=few)
    for turn, shot in enumerate(volley.shots):
        member = members[turn % len(members)]
        if shot.result is not None and shot.result.payment is not None:
            member.payments.append(shot.result.payment)
        if shot.result is not None and shot.result.workflow is not None:
            member.workflows.append(shot.result.workflow)


def check_nothing_lost(members: list[Member], evidence: Evidence) -> None:
    """Check afterwards that every business has exactly what it created, and that the totals agree."""
    reads = [
        partial(read_payment, member.business, *payment)
        for member in members
        for payment in member.all_payments
    ]
    reads += [
        partial(read_workflow, member.business, *made) for member in members for made in member.workflows
    ]
    with ThreadPoolExecutor(READERS) as pool:
        lost = [what for wrong in pool.map(lambda read: read(), reads) for what in wrong]
    wrong_totals = []
    for member in members:
        volume = decimal_text(sum((Decimal(amount) for _, amount in member.all_payments), Decimal(0)))
        figures = member.business.api.get(f"{DASHBOARD}?period=24h")
        shown = (figures.money("total_payments"), figures.money("total_volume"))
        expected = (str(len(member.all_payments)), volume)
        if shown != expected:
            wrong_totals.append("dashboard: {} payments of {}, created: {} of {}".format(*shown, *expected))
    payments = Counter(payment_id for member in members for payment_id, _ in member.all_payments)
    workflows = Counter(workflow_id for member in members for workflow_id, _ in member.workflows)
    n = len([*payments, *workflows])
    evidence.check("lost payments and workflows", lost, "==", [], n=n)
    evidence.check("businesses with wrong dashboard totals", wrong_totals, "==", [], n=len(members))
    duplicates = [one for one, count in (payments + workflows).items() if count > 1]
    evidence.check("duplicate ids", duplicates, "==", [], n=n)
