"""Find internals in a response: stack traces, SQL, file paths, host names, library names.

The patterns match what programs leak by accident, not single words: an error message may contain "file" or
"select a currency". Strings that the caller sent are removed first, as a response may quote them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIBRARIES: Final = (
    "aiohttp|alembic|argon2|asgiref|asyncpg|django|express|fastapi|flask|gunicorn|hibernate|hiredis|httptools"
    "|libpq|marshmallow|msgspec|psycopg2?|pydantic|pyjwt|sequelize|sqlalchemy|starlette|uvicorn|uvloop|valkey|werkzeug"
)
_PATTERNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "a stack trace",
        re.compile(r"Traceback \(most recent call last\)|\bat [\w$.<>]+\([\w./]+:\d+(:\d+)?\)"),
    ),
    ("a stack frame", re.compile(r"File \\?\"[^\"]+\\?\", line \d+|\bline \d+, in \w|goroutine \d+ \[")),
    (
        "an exception name",
        re.compile(r"\b(?!(?:Error|Exception)\b)(?:[a-z_]+\.)*[A-Z]\w*(?:Error|Exception)\b"),
    ),
    (
        "an SQL statement",
        re.compile(r"\b(?:SELECT\b.+\bFROM|INSERT INTO|UPDATE\b.+\bSET|DELETE FROM)\s+[\w\"]", re.DOTALL),
    ),
    (
        "an SQL statement",  # lower case only where it cannot be English
        re.compile(
            r"\bselect\s[\w\s.,*()\"]+\sfrom\s+[\w.\"]+\s*(?:where|join|limit|order by|;|$)"
            r"|\binsert into\s+[\w.\"]+\s*\(|\bupdate\s+[\w.\"]+\s+set\s+[\w\"]+\s*="
            r"|\bdelete from\s+[\w.\"]+\s*(?:where|;|$)",
            re.IGNORECASE,
        ),
    ),
    (
        "an SQL error",
        re.compile(
            r"\bSQLSTATE\b|violates [\w-]+ constraint|relation \\?\"\w+\\?\" does not|near \\?\"",
            re.IGNORECASE,
        ),
    ),
    ("a query parameter", re.compile(r"[=(,]\s*\$\d+\b|%\(\w+\)s")),
    ("a source file", re.compile(r"\b[\w/-]+\.(?:py|pyc|pyx|rb|js|ts|go|java|php|rs):?\b(?=[\s\"',:)\\]|$)")),
    ("a file path", re.compile(r"(?<![\w.:/])/(?:usr|home|root|opt|var|etc|tmp|srv|app|proc)/[\w.-]+")),
    ("the content of a system file", re.compile(r"\broot:[x*]:0:0:")),
    ("an object address", re.compile(r"\b0x[0-9a-f]{6,16}\b|<[\w.]+ object at ")),
    (
        "a network address",
        re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}:\d{2,5}\b|\blocalhost\b|(?<![\w.])127\.0\.0\.1\b"),
    ),
    (
        "a host name",
        re.compile(r"\b[\w-]+(?:\.[\w-]+)*\.(?:svc|cluster\.local|internal|local|lan|compute)\b"),
    ),
    ("a connection string", re.compile(r"\b(?:postgres(?:ql)?|redis|rediss|mysql|amqp|mongodb)://")),
    ("a library name", re.compile(rf"\b(?:{_LIBRARIES})\b", re.IGNORECASE)),
    (
        "an environment variable",
        re.compile(r"\b(?:DATABASE_URL|REDIS_URL|SECRET_KEY|PYTHONPATH|AWS_[A-Z_]+)\b"),
    ),
)


def find_internals(text: str, *, sent: Iterable[str] = (), secret: Iterable[str] = ()) -> list[str]:
    """List the internals that ``text`` leaks, each with its kind and an excerpt.

    ``sent``: strings of the caller, excluded from the search. ``secret``: strings that must not occur at all,
    such as the database's host or a role name.
    """
    for own in sorted(sent, key=len, reverse=True):
        if len(own) >= 4:  # removing shorter strings would split ordinary words
            text = text.replace(own, " ")
    leaks = [f"{what} ({_excerpt(match)})" for what, pattern in _PATTERNS if (match := pattern.search(text))]
    return leaks + [f"a known name ({name})" for name in secret if len(name) >= 4 and name in text]


def extract_strings(body: str) -> list[str]:
    """Return all strings in a JSON body, plain and as JSON and Python escape them; [] if it is not JSON."""
    try:
        pending = [json.loads(body)]
    except (ValueError, RecursionError):
        return []
    strings: list[str] = []
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            strings += (value, json.dumps(value)[1:-1], repr(value)[1:-1])
        elif isinstance(value, list | dict):
            pending += value.values() if isinstance(value, dict) else value
    return strings


def _excerpt(match: re.Match[str]) -> str:
    words = " ".join(match.group().split())
    return words if len(words) <= 60 else words[:57] + "..."
