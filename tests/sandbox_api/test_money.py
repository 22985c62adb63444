"""Properties of amounts: accepted ones are exact, and others are refused."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.sandbox.api.errors import ApiError
from bais_gates.sandbox.api.messages import encode
from bais_gates.sandbox.api.payments import money
from bais_gates.sandbox.api.payments.analytics import figures
from bais_gates.sandbox.api.payments.cards import is_luhn_valid

cents = st.integers(1, 99_999_999)


@given(cents)
def test_every_cent_comes_back(amount: int) -> None:
    """An amount is parsed, stored and returned with exactly its cents."""
    sent = f"{amount // 100}.{amount % 100:02}".encode()
    read = money.parse_amount(sent)
    assert read * 100 == amount
    assert encode({"amount": read}) == b'{"amount":%s}' % sent


@given(cents, st.integers(-8, 8))
def test_the_writing_of_a_number_does_not_matter(amount: int, exponent: int) -> None:
    """1234e-2, 12.34 and 12.3400 are one amount."""
    wanted = Decimal(amount) / 100
    digits = f"{Decimal(amount).scaleb(-2 - exponent):f}e{exponent}"
    assert money.parse_amount(digits.encode()) == wanted
    assert money.parse_amount(f"{wanted:.4f}".encode()) == wanted


@given(cents, st.integers(1, 9))
def test_a_third_decimal_is_refused(amount: int, third: int) -> None:
    """Fractions of a cent are not rounded away."""
    with pytest.raises(ApiError):
        money.parse_amount(f"{amount // 100}.{amount % 100:02}{third}".encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"0",
        b"-0.01",
        b"0.00",
        b"-1",
        b"1000000",
        b"1e999",
        b"1e-999",
        b'"19.99"',
        b"null",
        b"true",
        b"[1]",
        b"9" * 99,
        b"1e",
    ],
)
def test_what_is_no_amount_is_refused(raw: bytes) -> None:
    """Zero, negative and too large amounts, and other values, are refused."""
    with pytest.raises(ApiError):
        money.parse_amount(raw)


@given(st.lists(st.tuples(cents, st.booleans())))
def test_the_dashboard_adds_up(payments: list[tuple[int, bool]]) -> None:
    """The rate is a share of all, the volume the completed's exact sum, the average within half a cent."""
    completed = [Decimal(amount) / 100 for amount, done in payments if done]
    volume = sum(completed, Decimal(0))
    shown = figures(len(payments), len(completed), volume)
    assert shown["total_volume"] == volume
    assert 0 <= shown["success_rate"] <= 100
    if completed:
        assert abs(shown["average_amount"] - volume / len(completed)) <= Decimal("0.005")
    else:
        assert shown["average_amount"] == shown["success_rate"] == 0


@given(cents)
def test_the_fault_is_off_by_a_cent_at_most(amount: int) -> None:
    """A binary float loses at most a cent."""
    exact = Decimal(amount) / 100
    assert exact - money.through_binary_float(exact) in {Decimal(0), money.CENT}


def test_floats_would_lose_a_cent() -> None:
    """These amounts show the fault."""
    assert money.through_binary_float(Decimal("19.99")) == Decimal("19.98")
    assert msgspec.json.encode(0.1 + 0.2) == b"0.30000000000000004"


@given(st.integers(0, 10**15 - 1).map("{:015}".format), st.integers(0, 15), st.integers(1, 9))
def test_luhn_notices_every_single_wrong_digit(digits: str, place: int, change: int) -> None:
    """Exactly one check digit is right, and no digit can be changed alone."""
    right = [digits + str(n) for n in range(10) if is_luhn_valid(digits + str(n))]
    assert len(right) == 1
    wrong = list(right[0])
    wrong[place] = str((int(wrong[place]) + change) % 10)
    assert not is_luhn_valid("".join(wrong))
