"""Amounts of money: the digits of a JSON number become a ``Decimal``, never a binary float."""

from __future__ import annotations

import re
from decimal import Decimal

from bais_gates.sandbox.api.errors import bad_request

MAXIMUM = Decimal("999999.99")
"""The largest payment, as at the payment provider; NUMERIC(12, 2) holds sums of many."""
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
"""ISO 4217 codes of currencies in circulation."""


def parse_amount(raw: bytes, *, minimum: Decimal = CENT) -> Decimal:
    """Return the amount, with two decimals, of a JSON value's bytes. Raises a 400 naming ``amount``."""
    if len(raw) > 40 or not _NUMBER.fullmatch(raw):
        raise bad_request("The amount must be a JSON number.", field_name="amount")
    amount = Decimal(raw.decode("ascii"))
    if not minimum <= amount <= MAXIMUM:
        raise bad_request(f"The amount must be more than 0 and at most {MAXIMUM}.", field_name="amount")
    exact = amount.quantize(CENT)
    if exact != amount:
        raise bad_request("The amount may have two decimals at most.", field_name="amount")
    return exact


def check_currency(code: str) -> str:
    """Return the code. Raises a 400 naming ``currency`` unless it is one of ``CURRENCIES``."""
    if code not in CURRENCIES:
        raise bad_request("The currency must be an ISO 4217 code in capitals.", field_name="currency")
    return code


def through_binary_float(amount: Decimal) -> Decimal:
    """Return the amount as a binary float truncates it: 19.99 becomes 19.98. Only a fault calls this."""
    return Decimal(int(float(amount) * 100)).scaleb(-2)
