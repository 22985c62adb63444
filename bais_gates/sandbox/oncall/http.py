"""Requests and replies of the stand-ins, and how an input is checked: every problem is collected."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from bais_gates.sandbox.oncall.rendering import moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

Object = dict[str, Any]


class Reply(NamedTuple):
    """What a stand-in responds with."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = {}


def reply_json(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply of JSON."""
    return Reply(status, "application/json", json.dumps(content).encode(), headers or {})


def reply_text(status: int, text: str) -> Reply:
    """Return a reply of plain text."""
    return Reply(status, "text/plain", text.encode())


class Refused(Exception):  # noqa: N818 - an answer of a stand-in, not a fault of this program
    """The request is refused with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.status} {reply.body.decode()}")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``path`` is without query."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes = b""

    @classmethod
    def of(cls, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Request:
        """Return the request for a target such as ``/users?limit=5``."""
        split = urlsplit(target)
        lower = {name.lower(): value for name, value in headers.items()}
        return cls(method, unquote(split.path), parse_qs(split.query, keep_blank_values=True), lower, body)

    def below(self, prefix: str) -> Request:
        """Return the request with its path below a prefix."""
        return Request(self.method, self.path.removeprefix(prefix), self.query, self.headers, self.body)

    def first(self, name: str, default: str = "") -> str:
        """Return the first value of a parameter of the query."""
        return self.query.get(name, [default])[0]

    def every(self, name: str) -> list[str]:
        """Return all values of a parameter that may be repeated, such as ``include[]``."""
        return list(self.query.get(f"{name}[]", ()))

    def flag(self, name: str) -> bool:
        """Return whether a parameter is true."""
        return self.first(name).lower() in {"true", "1"}

    def content(self) -> Any:
        """Return the body as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(slots=True)
class Input:
    """An object that a client sends; reading a bad value of it adds to ``problems``."""

    given: Object
    problems: list[str] = field(default_factory=list)

    def text(self, key: str, *, default: str | None = None, most: int = 1024) -> str:
        """Return a text that may not be blank."""
        value = self.given.get(key, default)
        if not isinstance(value, str) or not value.strip():
            self.problems.append(f"{_words(key)} can't be blank")
            return ""
        if len(value) > most:
            self.problems.append(f"{_words(key)} is too long (maximum is {most} characters)")
        return value

    def integer(self, key: str, *, default: int | None = None, least: int = 0) -> int:
        """Return a whole number."""
        value = self.given.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            self.problems.append(f"{_words(key)} is not a number")
            return least
        if value < least:
            self.problems.append(f"{_words(key)} must be greater than or equal to {least}")
        return value

    def moment(self, key: str, default: datetime | None = None) -> datetime | None:
        """Return a moment with an offset, in UTC."""
        value = self.given.get(key)
        if value is None and default is not None:
            return default
        try:
            return moment(str(value))
        except (TypeError, ValueError):
            self.problems.append(f"{_words(key)} is not a valid date and time")
            return None

    def choice(self, key: str, *values: str, default: str | None = None) -> str:
        """Return one of the values."""
        value = self.given.get(key, default)
        if value not in values:
            self.problems.append(f"{_words(key)} must be one of: {', '.join(values)}")
        return str(value)

    def zone(self, key: str) -> str:
        """Return the name of a time zone."""
        name = self.given.get(key)
        if not is_zone(name):
            self.problems.append(f"{_words(key)} is not a valid time zone")
        return str(name)

    def objects(self, key: str, *, least: int = 0) -> list[Object]:
        """Return a list of objects."""
        value = self.given.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.problems.append(f"{_words(key)} must be a list of objects")
            return []
        if len(value) < least:
            self.problems.append(f"{_words(key)} can't be empty")
        return value


def is_zone(name: object) -> bool:
    """Return whether a value is the name of a time zone of the IANA's database."""
    try:
        return isinstance(name, str) and bool(ZoneInfo(name))
    except (OSError, ValueError, KeyError):  # the last: ZoneInfoNotFoundError
        return False


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()
