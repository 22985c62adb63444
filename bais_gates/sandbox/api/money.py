"""Amounts of money: from the digits of a JSON number to ``Decimal``, never through binary floating point."""

from __future__ import annotations

import re
from decimal import Decimal

from bais_gates.sandbox.api.errors import bad_request

MAXIMUM = Decimal("999999.99")
"""What one payment may be, as with the payment provider; it fits NUMERIC(12, 2) with room for sums."""
CENT = Decimal("0.01")
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")

_CODES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD
HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD
LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK
PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS
TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(re.findall("[A-Z]+", _CODES))
"""ISO 4217 codes of money that circulates."""


def parse_amount(raw: bytes, *, places: int = 2, minimum: Decimal = CENT) -> Decimal:
    """Give the amount that the bytes of a JSON value say, with two decimals.

    Raises a 400 naming the field ``amount``.
    """
    if len(raw) > 40 or not _NUMBER.fullmatch(raw):
        raise bad_request("The amount must be a JSON number.", field_name="amount")
    amount = Decimal(raw.decode("ascii"))
    if not minimum <= amount <= MAXIMUM:
        raise bad_request(f"The amount must be more than 0 and at most {MAXIMUM}.", field_name="amount")
    exact = amount.quantize(CENT)
    if exact != amount and amount.quantize(Decimal(1).scaleb(-places)) != amount:
        raise bad_request("The amount may have two decimals at most.", field_name="amount")
    return exact


def check_currency(code: str) -> str:
    """Give the code itself. Raises a 400 naming the field ``currency``."""
    if code not in CURRENCIES:
        raise bad_request("The currency must be an ISO 4217 code in capitals.", field_name="currency")
    return code


def through_binary_float(amount: Decimal) -> Decimal:
    """Say what a careless release makes of an amount: 19.99 becomes 19.98. Only a fault calls it."""
    return Decimal(int(float(amount) * 100)).scaleb(-2)
