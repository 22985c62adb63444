"""Workflows, payments, the Idempotency-Key, and the isolation of businesses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox_api.conftest import Business, Platform

PROCESS = "/api/v1/payments/process"


def test_a_workflow_reads_back_as_it_was_set_up(business: Business) -> None:
    """Every field is kept, metadata byte for byte."""
    metadata = {"order": [1, {"deep": "\u0000\u20ac"}], "n": 12345678901234567890}
    made = business.workflow(amount=0.29, currency="EUR", description="", metadata=metadata)
    assert made.status_code == 201
    assert made.json()["status"] == "active"
    read = business.get(f"/api/v1/workflows/payment/{made.json()['workflow_id']}")
    workflow = read.json()
    assert (workflow["amount"], workflow["currency"], workflow["metadata"]) == (0.29, "EUR", metadata)
    assert '"amount":0.29' in read.text


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": -5},
        {"amount": 1.999},
        {"amount": "10"},
        {"amount": 10_000_000},
        {"currency": "usd"},
        {"currency": "XXXX"},
        {"currency": "ZZZ"},
        {"payment_provider": "paypal"},
        {"webhook_url": "not a url"},
        {"webhook_url": "http://example.com/hook"},
        {"webhook_url": "https://10.1.2.3/hook"},
        {"webhook_url": "javascript:alert(1)"},
        {"name": ""},
        {"name": None},
        {"metadata": []},
        {"metadata": {"x": "y" * 9000}},
    ],
)
def test_unsound_workflows_are_refused(alice: Business, platform: Platform, changes: dict[str, Any]) -> None:
    """An invalid amount, currency, provider, URL or text is a 400."""
    answer = alice.workflow(**changes)
    assert answer.status_code == 400, answer.text
    platform.error_of(answer)


@pytest.mark.parametrize("amount", [0.01, 0.29, 19.99, 1.15, 4.35, 1234.56, 999999.99])
def test_payments_are_taken_to_the_cent(platform: Platform, alice: Business, amount: float) -> None:
    """The response, the stored payment and the row contain exactly what was sent."""
    taken = alice.pay(amount=amount)
    assert taken.status_code == 201
    payment = taken.json()
    assert (payment["status"], payment["amount"], payment["currency"]) == ("completed", amount, "USD")
    read = alice.get(f"/api/v1/payments/{payment['payment_id']}").json()
    assert (read["amount"], read["card_last_four"]) == (amount, "4242")
    row = platform.rows("SELECT amount, status FROM payments WHERE id = %s", payment["payment_id"])
    assert row == [(Decimal(str(amount)), "completed")]


def test_a_declined_card_takes_nothing(platform: Platform, business: Business) -> None:
    """402 card_declined, also when it is repeated with its key; no payment is completed."""
    for _ in range(2):
        answer = business.pay(business.DECLINED, key="declined-1")
        assert (answer.status_code, platform.error_of(answer)) == (402, "card_declined")
    rows = platform.rows("SELECT status FROM payments WHERE workflow_id = %s", business.workflow_id)
    assert rows == [("declined",)]


def test_a_late_failure_arrives(platform: Platform, business: Business) -> None:
    """A payment with the card that fails later is pending first, and failed soon after."""
    taken = business.pay(business.FAILS_LATER).json()
    assert taken["status"] == "pending"
    path = f"/api/v1/payments/{taken['payment_id']}"
    assert platform.eventually(lambda: business.get(path).json()["status"] == "failed", within=4)


@pytest.mark.parametrize(
    "changes",
    [
        {"card_number": "4242424242424241"},
        {"card_number": "4242"},
        {"card_number": 4242424242424242},
        {"card_number": "4242 4242 4242 4242"},
        {"exp_month": 0},
        {"exp_month": 13},
        {"exp_month": "12"},
        {"exp_year": 2020},
        {"exp_year": 99},
        {"cvc": "12"},
        {"cvc": "abc"},
        {"type": "cash"},
    ],
)
def test_unsound_cards_are_refused(platform: Platform, alice: Business, changes: dict[str, Any]) -> None:
    """A card that can't be charged is a 400, which never repeats its number."""
    body = alice.payment()
    body["payment_method"] |= changes  # type: ignore[operator]  # it is a dict
    answer = alice.post(PROCESS, body)
    assert answer.status_code == 400, answer.text
    platform.error_of(answer)
    assert "4242424242424" not in answer.text


def test_twenty_at_once_are_one_payment(platform: Platform, business: Business) -> None:
    """Repeats receive the same response for one payment; another body is a 409."""
    body = business.payment()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: business.post(PROCESS, body, idempotency_key="once"), range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    count = "SELECT count(*) FROM payments WHERE idempotency_key = 'once' AND workflow_id = %s"
    assert platform.rows(count, business.workflow_id) == [(1,)]
    other = business.post(PROCESS, body | {"amount": 20}, idempotency_key="once")
    assert (other.status_code, platform.error_of(other)) == (409, "idempotency_key_reused")


def test_keys_of_two_businesses_do_not_meet(platform: Platform, business: Business) -> None:
    """The same key at another business takes another payment."""
    other = platform.business()
    first, second = business.pay(key="shared").json(), other.pay(key="shared").json()
    assert first["payment_id"] != second["payment_id"]


def test_a_key_is_free_after_a_day(platform: Platform, business: Business) -> None:
    """After 24 hours a key takes a new payment; an hour earlier it does not."""
    first = business.pay(key="daily").json()
    age = (
        "UPDATE idempotency_keys SET expires_at = expires_at - interval '{}' WHERE key = 'daily' RETURNING 1"
    )
    platform.rows(age.format("23 hours"))
    assert business.pay(key="daily").json() == first
    platform.rows(age.format("61 minutes"))
    assert business.pay(key="daily").json()["payment_id"] != first["payment_id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
def test_impossible_keys_are_refused(alice: Business, key: str) -> None:
    """A key has 1 to 255 printable characters."""
    assert alice.pay(key=key).status_code == 400


def test_a_refused_payment_does_not_use_its_key_up(business: Business) -> None:
    """After a 400 and a 404 the same key takes the corrected payment."""
    assert business.pay(key="retry", amount=-1).status_code == 400
    assert business.pay(key="retry", workflow_id="wf_unknown").status_code == 404
    assert business.pay(key="retry").status_code == 201


def test_others_do_not_exist(platform: Platform, alice: Business) -> None:
    """Another business's workflow and payment look exactly like ones that do not exist."""
    stranger = platform.business()
    payment = alice.pay().json()["payment_id"]
    for path, real, unknown in (
        ("/api/v1/workflows/payment/", alice.workflow_id, "wf_" + "0" * 32),
        ("/api/v1/payments/", payment, "pay_" + "0" * 32),
    ):
        theirs, nobodys = stranger.get(path + real), stranger.get(path + unknown)
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.json() == nobodys.json()
    paid = stranger.pay(workflow_id=alice.workflow_id)
    missing = stranger.pay(workflow_id="wf_" + "0" * 32)
    assert paid.status_code == missing.status_code == 404
    assert paid.json() == missing.json()


def test_card_numbers_stay_nowhere(platform: Platform, business: Business) -> None:
    """Neither the database nor a log contains a card number or a cvc."""
    number = "5555555555554444"
    assert business.pay(number, key="pan").status_code == 201
    for (table,) in platform.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        assert number not in str(platform.rows(f"SELECT t::text FROM {table} t"))
    for log in (platform.directory / "logs").iterdir():
        assert number.encode() not in log.read_bytes()


def test_the_dashboard_counts_the_business_alone(platform: Platform, business: Business) -> None:
    """All attempts count, completed ones add to the volume, at once, and only the business's own."""
    platform.business().pay(amount=500)
    for amount in (10.01, 20.02, 0.01):
        business.pay(amount=amount)
    business.pay(business.DECLINED, amount=100)
    for period in ("24h", "7d", "30d"):
        figures = business.get(f"/api/v1/analytics/dashboard?period={period}").json()
        assert figures == {
            "period": period,
            "total_payments": 4,
            "success_rate": 75.0,
            "total_volume": 30.04,
            "average_amount": 10.01,
        }
    assert business.get("/api/v1/analytics/dashboard").json()["period"] == "7d"


def test_the_dashboard_ends_with_its_period(platform: Platform, business: Business) -> None:
    """A payment of two days ago is in 7d, not in 24h; an unknown period is a 400."""
    payment = business.pay().json()["payment_id"]
    platform.rows(
        "UPDATE payments SET created_at = now() - interval '2 days' WHERE id = %s RETURNING 1", payment
    )
    count = [
        business.get(f"/api/v1/analytics/dashboard?period={period}").json()["total_payments"]
        for period in ("24h", "7d", "30d")
    ]
    assert count == [0, 1, 1]
    for query in ("period=1y", "period=", "period=7d&period=7d", "period=7D"):
        assert business.get(f"/api/v1/analytics/dashboard?{query}").status_code == 400
