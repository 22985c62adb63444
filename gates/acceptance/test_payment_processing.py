"""A payment is taken once, to the cent, for its own business; what fails takes nothing."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import (
    ACCEPTED,
    DECLINED,
    FAILS_LATER,
    Api,
    Business,
    card_method,
    differences,
    holds_card,
    needed,
    not_answered,
    unknown_like,
    unlike,
)
from bais_gates.probes import Database, Response

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESS = "/api/v1/payments/process"
AMOUNTS = ("0.01", "0.07", "1.15", "19.99", "1234.5", "999999.99")
AT_ONCE = 20
SETTLED = frozenset({"completed", "failed"})
TAKEN = {"completed", "pending", "processing"}
BAD_LUHN = "4242424242424241"
CARDS = (ACCEPTED, DECLINED, FAILS_LATER, BAD_LUHN)
INVALID: dict[str, dict[str, Any]] = {
    "an amount of nothing": {"amount": 0},
    "a negative amount": {"amount": -5},
    "three decimals": {"amount": 19.999},
    "an amount as text": {"amount": "ten"},
    "a currency in small letters": {"currency": "usd"},
    "a currency of four letters": {"currency": "USDX"},
    "a wrong check digit": {"payment_method": card_method(BAD_LUHN)},
    "an expired card": {"payment_method": {**card_method(ACCEPTED), "exp_year": 2020}},
    "no card": {"payment_method": None},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The payments table where the target gives access; ``None`` answers where it does not."""

    database: Database | None
    environment: Environment

    def row(self, payment_id: str) -> dict[str, str] | None:
        """Give amount, currency and status of one payment as text."""
        if self.database is None:
            return None
        query = self.environment.database.payment_query
        if query is None:
            raise self.environment.missing("database.payment_query")
        rows = [_as_text(row) for row in self.database.rows(query, {"payment_id": payment_id})]
        return rows[0] if len(rows) == 1 else {"rows": str(len(rows))}

    def statuses(self, workflow_id: str) -> list[str] | None:
        """Give the statuses of all payments of a workflow."""
        if self.database is None:
            return None
        query = self.environment.database.workflow_payments_query
        if query is None:
            raise self.environment.missing("database.workflow_payments_query")
        rows = self.database.rows(query, {"workflow_id": workflow_id})
        return sorted(_as_text(row)["status"] for row in rows)


def _as_text(row: dict[str, object]) -> dict[str, str]:
    amount = Decimal(str(row["amount"])).quantize(Decimal("0.01"))
    return {"amount": str(amount), "currency": str(row["currency"]).strip(), "status": str(row["status"])}


@pytest.mark.gate("acceptance.payment_processing")
def test_payment_processing(
    new_business: Callable[[], Business], environment: Environment, evidence: Evidence
) -> None:
    """A payment is taken once, to the cent, in its own workflow; declined and failed ones take nothing."""
    with ExitStack() as stack:
        books = Books(database=None, environment=environment)
        if environment.describes("database"):
            opened = stack.enter_context(Database(environment.database.url))
            books = Books(database=opened, environment=environment)
        else:
            evidence.attach("database", "The environment file gives no access: rows were not compared.")
        _take_payments(new_business, books, evidence)


def _take_payments(new_business: Callable[[], Business], books: Books, evidence: Evidence) -> None:
    answers: list[Response] = []
    # A business for each part, as a caller may ask for a hundred things a minute only.
    first, second, third, other = (new_business().kept_in(answers) for _ in range(4))
    fails_later = _starts_to_fail(third, evidence)
    payment_id = _is_taken_to_the_cent(first, books, evidence)
    _is_declined(second, books, evidence)
    _repeats_take_nothing(second, other, books, evidence)
    _twenty_at_once_take_one(third, books, evidence)
    _unsound_ones_are_refused(second, books, evidence)
    _others_are_kept_out(first, other, payment_id, books, evidence)
    _has_failed(third, fails_later, books, evidence)
    told = sum(holds_card(answer, card) for answer in answers for card in CARDS)
    evidence.check("answers that hold a card number", told, "==", 0, n=len(answers))


def _settled(business: Business, payment_id: str, books: Books, until: frozenset[str] = SETTLED) -> Response:
    """Read a payment until its status is one of ``until``, for a bounded time and ever more seldom."""
    ends_at, pause = time.monotonic() + books.environment.settled_within_s(), 0.05
    while True:
        read = business.payment(payment_id)
        if read.field("status") in until or time.monotonic() > ends_at:
            return read
        time.sleep(pause)
        pause = min(1.0, pause * 2)


def _is_taken_to_the_cent(business: Business, books: Books, evidence: Evidence) -> str:
    altered: dict[str, dict[str, str]] = {}
    misbooked: dict[str, dict[str, str]] = {}
    ids: list[str] = []
    for amount in AMOUNTS:
        made = _pay_exactly(business, amount)
        evidence.require(f"status of a payment of {amount}", made.status, "==", 201, source=made.url)
        evidence.check(
            f"contract violations ({amount})", business.api.conforms(made, "POST", PROCESS), "==", []
        )
        payment_id = needed(made, 201, "payment_id")
        read = _settled(business, payment_id, books)
        violations = business.api.conforms(read, "GET", f"/api/v1/payments/{payment_id}")
        evidence.check(f"reading contract violations ({amount})", violations, "==", [])
        told = {
            "answered": made.money("amount"),
            "read": read.money("amount"),
            "currency answered": made.field("currency"),
            "currency read": read.field("currency"),
            "status": read.field("status"),
            "id read": read.field("payment_id"),
        }
        exact = str(Decimal(amount))
        wanted = (exact, exact, "EUR", "EUR", "completed", payment_id)
        altered[amount] = unlike(told, dict(zip(told, wanted, strict=True)))
        ids.append(payment_id)
        row = {"amount": f"{Decimal(amount):.2f}", "currency": "EUR", "status": "completed"}
        misbooked[amount] = unlike(books.row(payment_id) or row, row)
    bad = {amount: what for amount, what in altered.items() if what}
    evidence.check("payments answered or read back otherwise", bad, "==", {}, n=len(AMOUNTS))
    evidence.check("different payment ids", len(set(ids)), "==", len(AMOUNTS))
    if books.database is not None:
        bad = {amount: what for amount, what in misbooked.items() if what}
        source = "database.payment_query"
        evidence.check("payments whose row is another", bad, "==", {}, n=len(AMOUNTS), source=source)
    return ids[0]


def _pay_exactly(business: Business, amount: str) -> Response:
    """Take a payment in a workflow of its own whose amount is sent as these very characters."""
    workflow_id = business.workflow_id(amount=float(amount), currency="EUR")
    body = {
        "workflow_id": workflow_id,
        "amount": 0,
        "currency": "EUR",
        "payment_method": card_method(ACCEPTED),
        "customer_email": "customer@example.com",
    }
    written = json.dumps(body).replace('"amount": 0', f'"amount": {amount}')
    return business.api.post(PROCESS, content=written.encode(), headers={"Content-Type": "application/json"})


def _is_declined(business: Business, books: Books, evidence: Evidence) -> None:
    workflow_id, key = business.workflow_id(), business.unique.key()
    declined = [business.pay(workflow_id, card=DECLINED, key=key) for _ in range(2)]
    evidence.check(
        "statuses of a declined card and its repeat", [one.status for one in declined], "==", [402, 402]
    )
    violations = {one for answer in declined for one in business.api.conforms(answer, "POST", PROCESS)}
    evidence.check("decline contract violations", sorted(violations), "==", [])
    kind = declined[0].field("error", "type") or "missing"
    evidence.check("type of the decline", kind, "==", "card_declined")
    _nothing_taken("a declined card", workflow_id, books, evidence)


def _nothing_taken(what: str, workflow_id: str, books: Books, evidence: Evidence) -> None:
    statuses = books.statuses(workflow_id)
    if statuses is not None:
        taken = [status for status in statuses if status in TAKEN]
        source = "database.workflow_payments_query"
        evidence.check(f"payments taken with {what}", taken, "==", [], source=source)


def _repeats_take_nothing(business: Business, other: Business, books: Books, evidence: Evidence) -> None:
    workflow_id, key = business.workflow_id(amount=19.99), business.unique.key()
    first = business.pay(workflow_id, amount=19.99, key=key)
    evidence.check("status with an Idempotency-Key", first.status, "==", 201)
    repeat = business.pay(workflow_id, amount=19.99, key=key)
    evidence.check("what the same key and body gets differently", differences(first, repeat), "==", [])
    another = business.pay(workflow_id, amount=20.01, key=key)
    evidence.check("the same key with another body: status", another.status, "==", 409)
    violations = business.api.conforms(another, "POST", PROCESS)
    evidence.check("key conflict contract violations", violations, "==", [])
    others = other.pay(other.workflow_id(amount=19.99), amount=19.99, key=key)
    evidence.check("the same key of another business: status", others.status, "==", 201)
    ids = {first.field("payment_id"), others.field("payment_id")}
    evidence.check("different payments of two businesses with one key", len(ids), "==", 2)
    without_key = [business.pay(workflow_id, amount=19.99).field("payment_id") for _ in range(2)]
    separate = len({first.field("payment_id"), *without_key} - {None})
    evidence.check("different payments of one with a key and two without", separate, "==", 3)
    statuses = books.statuses(workflow_id)
    if statuses is not None:
        count = len(statuses)
        evidence.check(
            "rows of the three payments", count, "==", 3, source="database.workflow_payments_query"
        )


def _twenty_at_once_take_one(business: Business, books: Books, evidence: Evidence) -> None:
    workflow_id, key = business.workflow_id(), business.unique.key()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = list(pool.map(lambda _i: business.pay(workflow_id, key=key), range(AT_ONCE)))
    statuses = sorted({one.status for one in made})
    evidence.check(f"statuses of {AT_ONCE} duplicates at once", statuses, "==", [201], n=AT_ONCE)
    ids = {str(one.field("payment_id")) for one in made if one.status == 201}
    evidence.check(f"different payments of {AT_ONCE} duplicates at once", len(ids), "==", 1, n=AT_ONCE)
    rows = books.statuses(workflow_id)
    if rows is not None:
        source = "database.workflow_payments_query"
        evidence.check(f"rows of {AT_ONCE} duplicates at once", len(rows), "==", 1, source=source)


def _unsound_ones_are_refused(business: Business, books: Books, evidence: Evidence) -> None:
    workflow_id = business.workflow_id()
    answers = {name: business.pay(workflow_id, **change) for name, change in INVALID.items()}
    accepted = not_answered(400, answers)
    evidence.check("unsound payments not answered 400", accepted, "==", {}, n=len(answers))
    violations = {
        one for answer in answers.values() for one in business.api.conforms(answer, "POST", PROCESS)
    }
    evidence.check("refusal contract violations", sorted(violations), "==", [])
    _nothing_taken("unsound data", workflow_id, books, evidence)


def _others_are_kept_out(
    business: Business, other: Business, payment_id: str, books: Books, evidence: Evidence
) -> None:
    workflow_id = business.workflow_id()
    unknown = unknown_like(workflow_id)
    strangers, nobodys = other.pay(workflow_id), other.pay(unknown)
    statuses = [strangers.status, nobodys.status]
    evidence.check("statuses of paying in another's and an unknown workflow", statuses, "==", [404, 404])
    told = differences(strangers, nobodys, own=(workflow_id, unknown))
    evidence.check("what tells another's workflow from an unknown one", told, "==", [])
    _nothing_taken("another business's workflow", workflow_id, books, evidence)

    strangers, nobodys = other.payment(payment_id), other.payment(unknown_like(payment_id))
    statuses = [strangers.status, nobodys.status]
    evidence.check("statuses of reading another's and an unknown payment", statuses, "==", [404, 404])
    told = differences(strangers, nobodys)
    evidence.check("what tells another's payment from an unknown one", told, "==", [])
    anonymous: Api = business.api.with_token(None)
    statuses = [
        anonymous.get(f"/api/v1/payments/{payment_id}").status,
        anonymous.post(PROCESS, json={"workflow_id": workflow_id}).status,
    ]
    evidence.check("statuses without a token", statuses, "==", [401, 401])
    own = business.payment(payment_id)
    evidence.check("its own business right after: status", own.status, "==", 200)


def _starts_to_fail(business: Business, evidence: Evidence) -> str:
    made = business.pay(business.workflow_id(amount=7.77), amount=7.77, card=FAILS_LATER)
    evidence.require("status of a payment that fails later", made.status, "==", 201)
    violations = business.api.conforms(made, "POST", PROCESS)
    evidence.check("contract violations of a payment that fails later", violations, "==", [])
    return needed(made, 201, "payment_id")


def _has_failed(business: Business, payment_id: str, books: Books, evidence: Evidence) -> None:
    read = _settled(business, payment_id, books, until=frozenset({"failed"}))
    evidence.check("a payment that fails later ends as", read.field("status") or "missing", "==", "failed")
    evidence.check("amount of the failed payment", read.money("amount") or "missing", "==", "7.77")
    row = books.row(payment_id)
    if row is not None:
        wanted = {"amount": "7.77", "currency": "USD", "status": "failed"}
        evidence.check("row of the failed payment", row, "==", wanted, source="database.payment_query")
