"""The rules of names, labels and the like, each returning what is wrong, in the API server's words."""

from __future__ import annotations

import re
from functools import lru_cache

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PERCENT = "[0-9]+%"
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    f"'{_LABEL}')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SUBDOMAIN}')"
)
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    f"validation is '{_DNS1035}')"
)
_NAME_PART = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    f"for validation is '{_VALUE}')"
)
_ENV_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex "
    f"used for validation is '{_PERCENT}')"
)
_CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    f"'KEY_NAME',  or 'key-name', regex used for validation is '{_CONFIG_KEY}')"
)


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def _checked(text: str, pattern: str, limit: int, message: str) -> list[str]:
    violations = [_too_long(limit)] if len(text.encode()) > limit else []
    return violations if re.fullmatch(pattern, text) else [*violations, message]


@lru_cache(maxsize=2048)
def dns_label(text: str) -> list[str]:
    """Return what is wrong with an RFC 1123 label."""
    return _checked(text, _LABEL, 63, _LABEL_TEXT)


@lru_cache(maxsize=2048)
def dns_subdomain(text: str) -> list[str]:
    """Return what is wrong with an RFC 1123 subdomain."""
    return _checked(text, _SUBDOMAIN, 253, _SUBDOMAIN_TEXT)


@lru_cache(maxsize=2048)
def dns1035_label(text: str) -> list[str]:
    """Return what is wrong with an RFC 1035 label."""
    return _checked(text, _DNS1035, 63, _DNS1035_TEXT)


@lru_cache(maxsize=4096)
def qualified_name(text: str) -> list[str]:
    """Return what is wrong with a label's key: ``[prefix/]name``."""
    parts = text.split("/")
    if len(parts) > 2:
        example = "an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {_NAME_PART} with {example}"]
    violations = []
    if len(parts) == 2:
        if not parts[0]:
            violations.append("prefix part must be non-empty")
        else:
            violations += [f"prefix part {message}" for message in dns_subdomain(parts[0])]
    name = parts[-1]
    if not name:
        violations.append("name part must be non-empty")
    elif len(name) > 63:
        violations.append(f"name part {_too_long(63)}")
    return violations if re.fullmatch(_QUALIFIED, name) else [*violations, f"name part {_NAME_PART}"]


@lru_cache(maxsize=4096)
def label_value(text: str) -> list[str]:
    """Return what is wrong with a label's value."""
    return _checked(text, _VALUE, 63, _VALUE_TEXT)


def path_segment(text: str) -> list[str]:
    """Return what is wrong with a name that only has to fit into a path, as those of RBAC."""
    if text in {".", ".."}:
        return [f"may not be '{text}'"]
    return [f"may not contain '{bad}'" for bad in ("/", "%") if bad in text]


def env_name(text: str) -> list[str]:
    """Return what is wrong with an environment variable's name: printable ASCII without ``=``."""
    return [] if all(" " <= char <= "~" and char != "=" for char in text) else [_ENV_TEXT]


def config_key(text: str) -> list[str]:
    """Return what is wrong with a key of a ConfigMap or Secret."""
    violations = _checked(text, _CONFIG_KEY, 253, _CONFIG_KEY_TEXT)
    if text in {".", ".."}:
        return [*violations, f"must not be '{text}'"]
    return [*violations, "must not start with '..'"] if text.startswith("..") else violations


def port_name(text: str) -> list[str]:
    """Return what is wrong with a port's name (an IANA service name)."""
    violations = []
    if len(text) > 15:
        violations.append("must be no more than 15 characters")
    if not re.fullmatch("[-a-z0-9]+", text):
        violations.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        violations.append("must contain at least one letter (a-z)")
    if "--" in text:
        violations.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        violations.append("must not begin or end with a hyphen")
    return violations


def percent(text: str) -> list[str]:
    """Return what is wrong with a percentage."""
    return [] if re.fullmatch(_PERCENT, text) else [_PERCENT_TEXT]
