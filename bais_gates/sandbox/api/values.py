"""Validation of single fields; each function raises a 400 that names the field."""

from __future__ import annotations

import re

from bais_gates.sandbox.api.errors import bad_request

_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_PHONE = re.compile(r"\+?[0-9][0-9 ().-]{3,30}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def text(value: str, name: str, *, maximum: int, minimum: int = 1) -> str:
    """Return ``value`` stripped, if its length is in range and it has no control characters."""
    value = value.strip()
    if not minimum <= len(value) <= maximum:
        raise bad_request(f"{name} must have {minimum} to {maximum} characters.", field_name=name)
    if _CONTROL.search(value):
        raise bad_request(f"{name} must not contain control characters.", field_name=name)
    return value


def email(value: str, name: str = "email") -> str:
    """Return a valid e-mail address in lower case, as addresses are compared."""
    local = value.partition("@")[0]
    if len(value) > 254 or len(local) > 64 or not _EMAIL.fullmatch(value):
        raise bad_request(f"{name} is not a valid e-mail address.", field_name=name)
    return value.lower()


def password(value: str) -> str:
    """Return a password with at least ten characters, letters of both cases, a digit and a symbol."""
    kinds = (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum() and not c.isspace())
    if not 10 <= len(value) <= 128 or not all(any(map(kind, value)) for kind in kinds):
        raise bad_request(
            "The password needs 10 to 128 characters, with letters of both cases, a digit and a symbol.",
            field_name="password",
            kind="weak_password",
        )
    return value


def phone(value: str) -> str:
    """Return a telephone number in any usual notation."""
    if not _PHONE.fullmatch(value):
        raise bad_request("phone is not a valid telephone number.", field_name="phone")
    return value


def is_id(value: str) -> bool:
    """Return whether ``value`` has the form of an identifier; nothing else is looked up."""
    return _ID.fullmatch(value) is not None
