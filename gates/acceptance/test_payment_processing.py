"""Check payments: taken once, to the cent, for their own business; failures take nothing."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
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
    contains_card_number,
    differences,
    mismatches,
    require_field,
    unexpected_statuses,
    unknown_id,
)
from bais_gates.probes import Database, Response

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESS = "/api/v1/payments/process"
CONCURRENT = 20
FINAL = frozenset({"completed", "failed"})
TAKEN = {"completed", "pending", "processing"}
BAD_LUHN = "4242424242424241"
CARDS = (ACCEPTED, DECLINED, FAILS_LATER, BAD_LUHN)


@pytest.mark.gate("acceptance.payment_processing")
def test_payment_processing(
    new_business: Callable[[], Business], environment: Environment, evidence: Evidence
) -> None:
    """A payment is taken once, to the cent, in its own workflow; declined and failed ones take nothing."""
    described = environment.describes("database")
    if not described:
        evidence.attach("database", "Rows were not compared: the environment file has no `database`.")
    with Database(environment.database.url) if described else nullcontext() as database:
        check_payments(new_business, Books(database=database, environment=environment), evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The payments table; its methods return None where the environment file gives no access."""

    database: Database | None
    environment: Environment

    def row(self, payment_id: str) -> dict[str, str] | None:
        """Return amount, currency and status of one payment as text."""
        if self.database is None:
            return None
        query = self.environment.database.payment_query
        if query is None:
            raise self.environment.missing("database.payment_query")
        rows = [as_text(row) for row in self.database.rows(query, {"payment_id": payment_id})]
        return rows[0] if len(rows) == 1 else {"rows": str(len(rows))}

    def statuses(self, workflow_id: str) -> list[str] | None:
        """Return the statuses of all payments of a workflow."""
        if self.database is None:
            return None
        query = self.environment.database.workflow_payments_query
        if query is None:
            raise self.environment.missing("database.workflow_payments_query")
        rows = self.database.rows(query, {"workflow_id": workflow_id})
        return sorted(as_text(row)["status"] for row in rows)


def as_text(row: dict[str, object]) -> dict[str, str]:
    """Return a payment's row with its values as text, the amount with two decimals."""
    amount = Decimal(str(row["amount"])).quantize(Decimal("0.01"))
    return {"amount": str(amount), "currency": str(row["currency"]).strip(), "status": str(row["status"])}


def check_payments(new_business: Callable[[], Business], books: Books, evidence: Evidence) -> None:
    """Check every kind of payment, and that no response contains a card number."""
    answers: list[Response] = []
    # One business per part keeps each below the rate limit of a hundred requests a minute.
    first, second, third, other = (new_business().recording_to(answers) for _ in range(4))
    fails_later = start_failing_payment(third, evidence)
    payment_id = check_exact_amounts(first, books, evidence)
    check_declined_card(second, books, evidence)
    check_idempotency(second, other, books, evidence)
    check_concurrent_duplicates(third, books, evidence)
    check_invalid_payments(second, books, evidence)
    check_isolation(first, other, payment_id, books, evidence)
    check_failed_payment(third, fails_later, books, evidence)
    leaks = sum(contains_card_number(answer, card) for answer in answers for card in CARDS)
    evidence.check("responses that contain a card number", leaks, "==", 0, n=len(answers))


def wait_for_status(
    business: Business, payment_id: str, books: Books, expected: frozenset[str] = FINAL
) -> Response:
    """Read a payment until its status is one of ``expected`` or time is up; return the last response."""
    ends_at, pause = time.monotonic() + books.environment.settled_within_s(), 0.05
    while True:
        read = business.payment(payment_id)
        if read.field("status") in expected or time.monotonic() > ends_at:
            return read
        time.sleep(pause)
        pause = min(1.0, pause * 2)


def check_exact_amounts(business: Business, books: Books, evidence: Evidence) -> str:
    """Check that payments are answered, read back and stored to the cent; return the id of one."""
    altered: dict[str, dict[str, str]] = {}
    wrong_rows: dict[str, dict[str, str]] = {}
    ids: list[str] = []
    for amount in AMOUNTS:
        made = pay_exactly(business, amount)
        evidence.require(f"status (payment of {amount})", made.status, "==", 201, source=made.url)
        violations = business.api.conforms(made, "POST", PROCESS)
        evidence.check(f"contract violations (payment of {amount})", violations, "==", [])
        payment_id = require_field(made, 201, "payment_id")
        read = wait_for_status(business, payment_id, books)
        violations = business.api.conforms(read, "GET", f"/api/v1/payments/{payment_id}")
        evidence.check(f"contract violations (GET payment of {amount})", violations, "==", [])
        observed = {
            "amount in the response": made.money("amount"),
            "amount read back": read.money("amount"),
            "currency in the response": made.field("currency"),
            "currency read back": read.field("currency"),
            "status": read.field("status"),
            "id read back": read.field("payment_id"),
        }
        exact = str(Decimal(amount))
        expected = (exact, exact, "EUR", "EUR", "completed", payment_id)
        altered[amount] = mismatches(observed, dict(zip(observed, expected, strict=True)))
        ids.append(payment_id)
        row = {"amount": f"{Decimal(amount):.2f}", "currency": "EUR", "status": "completed"}
        wrong_rows[amount] = mismatches(books.row(payment_id) or row, row)
    bad = {amount: what for amount, what in altered.items() if what}
    evidence.check("payments not answered or read back as sent", bad, "==", {}, n=len(AMOUNTS))
    evidence.check("distinct payment ids", len(set(ids)), "==", len(AMOUNTS))
    if books.database is not None:
        bad = {amount: what for amount, what in wrong_rows.items() if what}
        source = "database.payment_query"
        evidence.check("payments with a different database row", bad, "==", {}, n=len(AMOUNTS), source=source)
    return ids[0]


def pay_exactly(business: Business, amount: str) -> Response:
    """Take a payment, in a workflow of its own, whose amount is sent as these very characters."""
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


def check_declined_card(business: Business, books: Books, evidence: Evidence) -> None:
    """Check that a declined card gets 402, also when repeated with its key, and takes nothing."""
    workflow_id, key = business.workflow_id(), business.unique.key()
    declined = [business.pay(workflow_id, card=DECLINED, key=key) for _ in range(2)]
    statuses = [one.status for one in declined]
    evidence.check("statuses (declined card and its retry)", statuses, "==", [402, 402])
    violations = {one for answer in declined for one in business.api.conforms(answer, "POST", PROCESS)}
    evidence.check("contract violations (declined card)", sorted(violations), "==", [])
    kind = declined[0].field("error", "type") or "missing"
    evidence.check("error type (declined card)", kind, "==", "card_declined")
    check_nothing_taken("declined card", workflow_id, books, evidence)


def check_nothing_taken(what: str, workflow_id: str, books: Books, evidence: Evidence) -> None:
    """Check that the database has no payment taken in a workflow."""
    statuses = books.statuses(workflow_id)
    if statuses is not None:
        taken = [status for status in statuses if status in TAKEN]
        source = "database.workflow_payments_query"
        evidence.check(f"payments taken ({what})", taken, "==", [], source=source)


def check_idempotency(business: Business, other: Business, books: Books, evidence: Evidence) -> None:
    """Check that an Idempotency-Key takes one payment of its own business, with one body only."""
    workflow_id, key = business.workflow_id(amount=19.99), business.unique.key()
    first = business.pay(workflow_id, amount=19.99, key=key)
    evidence.check("status (first payment with a key)", first.status, "==", 201)
    repeat = business.pay(workflow_id, amount=19.99, key=key)
    evidence.check("response differences (same key, same body)", differences(first, repeat), "==", [])
    conflict = business.pay(workflow_id, amount=20.01, key=key)
    evidence.check("status (same key, different body)", conflict.status, "==", 409)
    violations = business.api.conforms(conflict, "POST", PROCESS)
    evidence.check("contract violations (same key, different body)", violations, "==", [])
    foreign = other.pay(other.workflow_id(amount=19.99), amount=19.99, key=key)
    evidence.check("status (same key, another business)", foreign.status, "==", 201)
    ids = {first.field("payment_id"), foreign.field("payment_id")}
    evidence.check("distinct payments (same key, two businesses)", len(ids), "==", 2)
    without_key = [business.pay(workflow_id, amount=19.99).field("payment_id") for _ in range(2)]
    separate = len({first.field("payment_id"), *without_key} - {None})
    evidence.check("distinct payments (one with a key, two without)", separate, "==", 3)
    rows = books.statuses(workflow_id)
    if rows is not None:
        source = "database.workflow_payments_query"
        evidence.check("database rows (one with a key, two without)", len(rows), "==", 3, source=source)


def check_concurrent_duplicates(business: Business, books: Books, evidence: Evidence) -> None:
    """Check that concurrent requests with one key take one payment."""
    workflow_id, key = business.workflow_id(), business.unique.key()
    with ThreadPoolExecutor(CONCURRENT) as pool:
        made = list(pool.map(lambda _i: business.pay(workflow_id, key=key), range(CONCURRENT)))
    group, n = f"({CONCURRENT} concurrent duplicates)", CONCURRENT
    statuses = sorted({one.status for one in made})
    evidence.check(f"statuses {group}", statuses, "==", [201], n=n)
    ids = {str(one.field("payment_id")) for one in made if one.status == 201}
    evidence.check(f"distinct payments {group}", len(ids), "==", 1, n=n)
    rows = books.statuses(workflow_id)
    if rows is not None:
        source = "database.workflow_payments_query"
        evidence.check(f"database rows {group}", len(rows), "==", 1, source=source)


def check_invalid_payments(business: Business, books: Books, evidence: Evidence) -> None:
    """Check that invalid payments are refused with 400 and take nothing."""
    workflow_id = business.workflow_id()
    answers = {name: business.pay(workflow_id, **change) for name, change in INVALID.items()}
    accepted = unexpected_statuses(400, answers)
    evidence.check("invalid payments not refused with 400", accepted, "==", {}, n=len(answers))
    violations = {
        one for answer in answers.values() for one in business.api.conforms(answer, "POST", PROCESS)
    }
    evidence.check("contract violations (invalid payments)", sorted(violations), "==", [])
    check_nothing_taken("invalid data", workflow_id, books, evidence)


def check_isolation(
    business: Business, other: Business, payment_id: str, books: Books, evidence: Evidence
) -> None:
    """Check that another business can neither use nor detect a workflow or a payment."""
    workflow_id = business.workflow_id()
    missing_id = unknown_id(workflow_id)
    foreign, unknown = other.pay(workflow_id), other.pay(missing_id)
    statuses = [foreign.status, unknown.status]
    evidence.check("statuses (pay in another's and in an unknown workflow)", statuses, "==", [404, 404])
    distinguishing = differences(foreign, unknown, own=(workflow_id, missing_id))
    evidence.check("response differences (another's, unknown workflow)", distinguishing, "==", [])
    check_nothing_taken("another business's workflow", workflow_id, books, evidence)

    foreign, unknown = other.payment(payment_id), other.payment(unknown_id(payment_id))
    statuses = [foreign.status, unknown.status]
    evidence.check("statuses (GET another's and an unknown payment)", statuses, "==", [404, 404])
    distinguishing = differences(foreign, unknown)
    evidence.check("response differences (another's, unknown payment)", distinguishing, "==", [])
    anonymous: Api = business.api.with_token(None)
    statuses = [
        anonymous.get(f"/api/v1/payments/{payment_id}").status,
        anonymous.post(PROCESS, json={"workflow_id": workflow_id}).status,
    ]
    evidence.check("statuses (no token)", statuses, "==", [401, 401])
    own = business.payment(payment_id)
    evidence.check("status (GET own payment afterwards)", own.status, "==", 200)


def start_failing_payment(business: Business, evidence: Evidence) -> str:
    """Take a payment that is accepted and fails later; return its id."""
    made = business.pay(business.workflow_id(amount=7.77), amount=7.77, card=FAILS_LATER)
    evidence.require("status (payment that fails later)", made.status, "==", 201)
    violations = business.api.conforms(made, "POST", PROCESS)
    evidence.check("contract violations (payment that fails later)", violations, "==", [])
    return require_field(made, 201, "payment_id")


def check_failed_payment(business: Business, payment_id: str, books: Books, evidence: Evidence) -> None:
    """Check that the payment ended as failed, with its amount."""
    read = wait_for_status(business, payment_id, books, expected=frozenset({"failed"}))
    status, amount = read.field("status") or "missing", read.money("amount") or "missing"
    evidence.check("final status (payment that fails later)", status, "==", "failed")
    evidence.check("amount (payment that fails later)", amount, "==", "7.77")
    row = books.row(payment_id)
    if row is not None:
        expected, source = {"amount": "7.77", "currency": "USD", "status": "failed"}, "database.payment_query"
        evidence.check("database row (payment that fails later)", row, "==", expected, source=source)


AMOUNTS = ("0.01", "0.07", "1.15", "19.99", "1234.5", "999999.99")
INVALID: dict[str, dict[str, Any]] = {
    "amount 0": {"amount": 0},
    "a negative amount": {"amount": -5},
    "three decimals": {"amount": 19.999},
    "an amount as text": {"amount": "ten"},
    "a lower-case currency": {"currency": "usd"},
    "a currency of four letters": {"currency": "USDX"},
    "a wrong check digit": {"payment_method": card_method(BAD_LUHN)},
    "an expired card": {"payment_method": {**card_method(ACCEPTED), "exp_year": 2020}},
    "no card": {"payment_method": None},
}
