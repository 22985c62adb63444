"""Redaction: what looks like a secret, or was registered as one, never leaves the process.

Known secrets (tokens given to a gate, passwords from an environment file) are registered with ``register``;
text with the shape of a secret (bearer tokens, DSN passwords, card numbers, private keys) matches a pattern
here. Text is redacted where it is recorded, not where it is printed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote, quote_plus

Scalar = str | int | float | bool | None
JsonValue = Scalar | list["JsonValue"] | dict[str, "JsonValue"]

MARK = "[redacted]"
MIN_SECRET_LENGTH = 6
"""Shorter strings are not registered: replacing them would shred ordinary text."""

_HEAD = 6
"""Characters of a secret that, followed by an ellipsis, count as that secret cut short."""

_CACHED_LENGTH = 300

_secrets: set[str] = set()
_ordered: list[str] | None = None


def register(secret: str) -> None:
    """Redact ``secret`` and its percent-encoded and JSON-escaped forms from now on, process-wide.

    Strings of fewer than 6 characters are not registered.
    """
    global _ordered  # noqa: PLW0603 - the registry is process-wide by design
    if len(secret) < MIN_SECRET_LENGTH or secret == MARK:
        return
    escaped = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    forms = {secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1], *escaped}
    if not forms <= _secrets:
        _secrets.update(forms)
        _ordered = None
        _redact_short.cache_clear()


def count_registered() -> int:
    """Return how many secrets are registered, each form of one counted."""
    return len(_secrets)


def redact(text: str) -> str:
    """Return ``text`` with every registered secret and every secret-shaped part replaced by ``[redacted]``.

    A payment card number keeps its last four digits. Idempotent.
    """
    if len(text) < MIN_SECRET_LENGTH - 2:
        return text
    return _redact_short(text) if len(text) <= _CACHED_LENGTH else _redact_any(text)


def _redact_any(text: str) -> str:
    text = _redact_registered(text)
    folded = text.casefold()  # not `lower`: case-insensitive patterns take U+017F for an s, U+212A for a k
    for words, pattern, replacement in _PATTERNS:
        if any(map(folded.__contains__, words)) and pattern.search(text):  # `sub` costs twice as much
            text = pattern.sub(replacement, text)
    return text


_redact_short = lru_cache(maxsize=4096)(_redact_any)
"""Names and ids recur; ``register`` clears the cache."""


def redact_value(value: JsonValue) -> JsonValue:
    """Return ``value`` with all of its strings redacted, keys included.

    A value under a key that names a secret (``password``, ``access_token``, ``cvc``) is replaced as a whole.
    A number that is a valid card number becomes its masked text.
    """
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, list):
        return [redact_value(part) for part in value]
    if isinstance(value, dict):
        return _redact_dict(value)
    if abs(value) >= 10**12:
        text = str(value)
        masked = redact(text)
        return value if masked == text else masked
    return value


def _redact_dict(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    clean: dict[str, JsonValue] = {}
    for key, part in value.items():
        shown = redact(key)
        if part is None or isinstance(part, bool):
            clean[shown] = part
        elif _names_secret(key):
            clean[shown] = MARK if part or isinstance(part, int | float) else part
        else:
            clean[shown] = redact_value(part)
    return clean


@lru_cache(maxsize=4096)
def _names_secret(key: str) -> bool:
    return _SECRET_KEY.fullmatch(key) is not None


def _redact_registered(text: str) -> str:
    global _ordered  # noqa: PLW0603 - a sorted view of the registry, made on demand
    if _ordered is None:
        _ordered = sorted(_secrets, key=len, reverse=True)
    cut_short = "..." in text or "…" in text
    for secret in _ordered:
        if secret in text:
            text = text.replace(secret, MARK)
        if cut_short and len(secret) > 2 * _HEAD and secret[:_HEAD] in text:
            text = re.sub(
                re.escape(secret[:_HEAD]) + r"[^\s\"']{0,400}?(?:\.\.\.|…)[^\s\"']{0,400}", MARK, text
            )
    return text


_KEY_NAMES = (
    r"(?:password|passwd|pwd|passphrase|secret(?:[_-]?key)?|client[_-]?secret|signature[_-]?secret|signing[_-]?key"
    r"|api[_-]?key|apikey|private[_-]?key|access[_-]?key|(?:access|refresh|auth|id|bearer|session|verification)[_-]?token"
    r"|token|cvc|cvv|card[_-]?number|integration[_-]?key|routing[_-]?key|webhook[_-]?secret)"
)
_SECRET_KEY = re.compile(r"(?i)(?:[\w-]{0,40}[_-])?" + _KEY_NAMES)

# What may stand after `password:` in prose, source code or a check's text without being one.
_NOT_A_VALUE = (
    r"(?!(?:none|null|true|false|str|int|bytes|bool|observed|unknown|duplicate|must|is|was|are|no|not|and|or|the|a|an|of|for|with)\b"
    r"|\[redacted\]|\.\.\.(?![^\s,.)])"
    r"|\d{1,6} of \d|\d[\d.,]{0,5}(?: [\w%/]{1,20})? \((?:expected|limit|minimum|must)\b)"
)


def _keep_key(match: re.Match[str]) -> str:  # not a template, which re would parse anew for every text
    return f"{match[1]}{MARK}"


# 13 to 19 digits that begin like a card of the large schemes, in one run or in the printed groups.
_PAN = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9]\.)"
    r"(?:[3456]\d{3}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|3\d{3}([ -])\d{6}\2\d{5}|[23456]\d{12,18})"
    r"(?![0-9A-Za-z])"
)


def _mask_pan(match: re.Match[str]) -> str:
    digits = [int(char) for char in match.group() if char.isdigit()]
    doubled = [2 * digit - 9 if digit > 4 else 2 * digit for digit in digits[-2::-2]]
    if (sum(digits[-1::-2]) + sum(doubled)) % 10:
        return match.group()
    return "[card ending " + "".join(str(digit) for digit in digits[-4:]) + "]"


_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (
        ("-----begin",),
        re.compile(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----)){0,20000}"
            r"(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
        ),
        MARK,
    ),
    (
        ("auth",),
        re.compile(
            r"(?i)((?:proxy-)?authorization\\{0,3}[\"']?\s{0,4}[:=,]\s{0,4}\\{0,3}[\"']?(?:b[\"'])?)"
            r"(?:(?:basic|bearer|token|digest|apikey|negotiate)\s{1,4})?(?!\[redacted\])[^\s\"',;)}\\]{4,}"
        ),
        _keep_key,
    ),
    (
        ("bearer",),
        re.compile(r"(?i)\b(bearer[ \t]{1,4})(?=[^\s\"',;)}\\]*[0-9._-])[A-Za-z0-9._~+/=-]{8,}"),
        _keep_key,
    ),
    (("eyj",), re.compile(r"(?:(?<![\w-])|(?<=%[0-9A-Fa-f]{2}))eyJ[\w-]{5,}\.[\w-]{2,}(?:\.[\w-]*)?"), MARK),
    (("://",), re.compile(r"(://[^\s:/@\"']{0,256}:)[^\s/\"'<>]{1,512}(?=@)"), _keep_key),
    (
        ("pass", "pwd", "secret", "key", "token", "cvc", "cvv", "card"),
        re.compile(
            r"(?i)((?<![a-z])"
            + _KEY_NAMES
            + r"\\{0,3}[\"']?\s{0,4}(?:[:=]|=>)\s{0,4})"
            + _NOT_A_VALUE
            + r"(?:\\{0,3}\"(?:[^\"\\\n]|\\[^\"\n])+\\{0,3}\""
            + r"|\\{0,3}'(?:[^'\\\n]|\\[^'\n])+\\{0,3}'|[^\s\"',;&)}\]\\<>]+)"
        ),
        _keep_key,
    ),
    (
        ("_", "akia", "asia", "glpat-", "xox", "xapp-", "aiza", "sg.", "$"),
        re.compile(
            r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{8,}|whsec_[A-Za-z0-9+/=_-]{8,}"
            r"|(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}"
            r"|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"
            r"|AIza[0-9A-Za-z_-]{35}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{30,}"
            r"|\$argon2(?:id|i|d)\$[^\s\"']+|\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53})"
        ),
        MARK,
    ),
    (
        ("hooks.slack.com/",),
        re.compile(r"(hooks\.slack\.com/(?:services|workflows)/)[A-Za-z0-9/_-]+"),
        _keep_key,
    ),
    (("2", "3", "4", "5", "6"), _PAN, _mask_pan),
)
"""What a text must contain one of, its case folded, to match at all; the pattern; what replaces a match."""
