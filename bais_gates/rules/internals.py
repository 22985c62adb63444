"""What an answer must never tell: stack traces, SQL, file paths, host names, the names of libraries.

The patterns look for what a program writes by accident, not for words: an error message may say "file" or
"select a currency". What the caller itself sent is taken out before looking, as an answer may quote it.
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
        "an exception's name",
        re.compile(r"\b(?!(?:Error|Exception)\b)(?:[a-z_]+\.)*[A-Z]\w*(?:Error|Exception)\b"),
    ),
    (
        "a SQL text",
        re.compile(r"\b(?:SELECT\b.+\bFROM|INSERT INTO|UPDATE\b.+\bSET|DELETE FROM)\s+[\w\"]", re.DOTALL),
    ),
    (
        "a SQL text",  # in small letters only where it can not be English
        re.compile(
            r"\bselect\s[\w\s.,*()\"]+\sfrom\s+[\w.\"]+\s*(?:where|join|limit|order by|;|$)"
            r"|\binsert into\s+[\w.\"]+\s*\(|\bupdate\s+[\w.\"]+\s+set\s+[\w\"]+\s*="
            r"|\bdelete from\s+[\w.\"]+\s*(?:where|;|$)",
            re.IGNORECASE,
        ),
    ),
    (
        "a SQL error",
        re.compile(
            r"\bSQLSTATE\b|violates [\w-]+ constraint|relation \\?\"\w+\\?\" does not|near \\?\"",
            re.IGNORECASE,
        ),
    ),
    ("a query parameter", re.compile(r"[=(,]\s*\$\d+\b|%\(\w+\)s")),
    ("a source file", re.compile(r"\b[\w/-]+\.(?:py|pyc|pyx|rb|js|ts|go|java|php|rs):?\b(?=[\s\"',:)\\]|$)")),
    ("a file path", re.compile(r"(?<![\w.:/])/(?:usr|home|root|opt|var|etc|tmp|srv|app|proc)/[\w.-]+")),
    ("a system file's content", re.compile(r"\broot:[x*]:0:0:")),
    ("an object's address", re.compile(r"\b0x[0-9a-f]{6,16}\b|<[\w.]+ object at ")),
    (
        "a network address",
        re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}:\d{2,5}\b|\blocalhost\b|(?<![\w.])127\.0\.0\.1\b"),
    ),
    (
        "a host name",
        re.compile(r"\b[\w-]+(?:\.[\w-]+)*\.(?:svc|cluster\.local|internal|local|lan|compute)\b"),
    ),
    ("a connection string", re.compile(r"\b(?:postgres(?:ql)?|redis|rediss|mysql|amqp|mongodb)://")),
    ("a library's name", re.compile(rf"\b(?:{_LIBRARIES})\b", re.IGNORECASE)),
    (
        "an environment variable",
        re.compile(r"\b(?:DATABASE_URL|REDIS_URL|SECRET_KEY|PYTHONPATH|AWS_[A-Z_]+)\b"),
    ),
)


def internals(text: str, *, sent: Iterable[str] = (), secret: Iterable[str] = ()) -> list[str]:
    """Name what ``text`` tells of the program behind it; an empty list when nothing.

    ``sent``: strings of the caller's own, left out of the search. ``secret``: strings that must not be in it
    whatever they look like (the database's host, a role's name).
    """
    for own in sorted(sent, key=len, reverse=True):
        if len(own) >= 4:  # shorter ones would cut ordinary words to pieces
            text = text.replace(own, " ")
    found = [f"{what} ({_excerpt(match)})" for what, pattern in _PATTERNS if (match := pattern.search(text))]
    return found + [f"a known name ({one})" for one in secret if len(one) >= 4 and one in text]


def texts_in(body: str) -> list[str]:
    """Give all texts in a JSON body, as they are and as JSON and Python write them; none if it is no JSON."""
    try:
        waiting = [json.loads(body)]
    except (ValueError, RecursionError):
        return []
    found: list[str] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found += (value, json.dumps(value)[1:-1], repr(value)[1:-1])
        elif isinstance(value, list | dict):
            waiting += value.values() if isinstance(value, dict) else value
    return found


def _excerpt(match: re.Match[str]) -> str:
    words = " ".join(match.group().split())
    return words if len(words) <= 60 else words[:57] + "..."
