"""Payment cards: validation of what was sent; only the last four digits are ever stored."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from bais_gates.sandbox.api.errors import bad_request

DECLINED, FAILS_LATER = "4000000000000002", "4000000000000341"
"""The public test cards that are not accepted at once."""
_NUMBER, _CVC = re.compile(r"[0-9]{12,19}"), re.compile(r"[0-9]{3,4}")


class Card(msgspec.Struct, frozen=True):
    """``payment_method`` of a payment."""

    type: str
    card_number: str
    exp_month: int
    exp_year: int
    cvc: str

    def __repr__(self) -> str:
        return f"Card(ends in {self.card_number[-4:]})"  # no log or traceback may contain the number

    __str__ = __repr__


def check_card(card: Card, today: datetime) -> None:
    """Raise a 400 naming the field of ``payment_method`` that makes the card unusable."""
    if card.type != "card":
        raise bad_request("The payment_method's type must be card.", field_name="payment_method.type")
    if not _NUMBER.fullmatch(card.card_number) or not is_luhn_valid(card.card_number):
        raise _invalid("card_number", "The card number is not valid.")
    month, year = card.exp_month, card.exp_year
    if not 1 <= month <= 12:
        raise _invalid("exp_month", "exp_month must be 1 to 12.")
    if not 2000 <= year <= 2099 or (year, month) < (today.year, today.month):
        raise _invalid("exp_year", "The card has expired, or its year is not valid.")
    if not _CVC.fullmatch(card.cvc):
        raise _invalid("cvc", "cvc must have three or four digits.")


def is_luhn_valid(number: str) -> bool:
    """Return whether the last digit is the right check digit (Luhn)."""
    total = 0
    for place, digit in enumerate(map(int, reversed(number))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _invalid(name: str, message: str) -> Exception:
    return bad_request(message, field_name=f"payment_method.{name}", kind="invalid_card")
