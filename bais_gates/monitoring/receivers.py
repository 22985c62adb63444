"""Hold the parts of an Alertmanager configuration to their schema: keys, types, and what goes together.

Source: Alertmanager's documentation ("Configuration") and its ``config`` package from 0.25 to 0.33, which
reads YAML with go-yaml 2: a number is a text, too, and ``yes`` is true.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import yaml

from bais_gates.monitoring import templates
from bais_gates.monitoring.documents import Value
from bais_gates.monitoring.rulefiles import parse_duration

Version = tuple[int, int]
Fields = Mapping[str, Value]

_DEFAULTED: Final = frozenset(
    {"pagerduty_url", "webex_api_url", "opsgenie_api_url", "wechat_api_url", "victorops_api_url"}
)
"""Keys of ``global`` that have a value where none is written."""
SECRETS: Final = frozenset({"secret", "secreturl"})


@dataclass(frozen=True, slots=True)
class Field:
    """A key of a row: its type, whether it is a list of that, and the version that brought it."""

    type: str
    is_list: bool
    since: Version


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of mapping."""

    fields: Mapping[str, Field]
    one_of: tuple[str, ...]
    at_most_one: tuple[str, ...]
    from_global: Mapping[str, str]
    choices: Mapping[str, list[str]]


@functools.cache
def rows() -> Mapping[str, Row]:
    """Return the kinds of mappings by their names, as ``alertmanager.schema.yaml`` has them."""
    text = files(__package__).joinpath("alertmanager.schema.yaml").read_text(encoding="utf-8")
    return {
        name: Row(
            fields=dict(_field(key) for key in row["keys"].split()),
            one_of=tuple(row.get("one_of", ())),
            at_most_one=tuple(row.get("at_most_one", ())),
            from_global=row.get("from_global", {}),
            choices=row.get("choices", {}),
        )
        for name, row in yaml.safe_load(text).items()
    }


def _field(written: str) -> tuple[str, Field]:
    written, _, since = written.partition("@")
    name, _, kind = written.partition("=")
    return name, Field(kind.removesuffix("[]") or "text", kind.endswith("[]"), (0, int(since or "25")))


def integrations() -> Mapping[str, str]:
    """Return the key of each kind of integration in a receiver, and its row."""
    fields = rows()["receiver"].fields
    return {key: one.type for key, one in fields.items() if key.endswith("_configs")}


def read(value: Value, row: str, version: Version, what: str = "") -> Fields:
    """Return a mapping's values; raise RefusedError where they are not what the row says."""
    what = what or row
    fields = rows()[row].fields
    found = value.mapping(what, frozenset(fields))
    for key, one in found.items():
        field = fields[key]
        if field.since > version:
            number = ".".join(map(str, field.since))
            raise one.refuse(f"{key} in {what} needs Alertmanager {number} or newer")
        if not field.is_list:
            _read_one(one, field.type, version, key)
            continue
        for part in one.items(key):
            if part.is_null and field.type in rows():
                raise part.refuse(f"an empty element in {key}")
            _read_one(part, field.type, version, key)
    _check_together(value, row, found)
    return found


def given(fields: Fields, key: str) -> bool:
    """Return whether a key has a value; an empty text is none."""
    value = fields.get(key)
    if value is None or (value.kind != "text" and not value.parts and value.is_null):
        return False
    return value.kind != "text" or (bool(value.raw) and not value.is_null)


def check_globals(value: Value, row: str, fields: Fields, settings: Fields) -> None:
    """Raise RefusedError for an integration that lacks what ``global`` does not have either."""
    for own, common in rows()[row].from_global.items():
        names = common.split()
        if any(given(fields, key) for key in own.split()) or any(given(settings, key) for key in names):
            continue
        if not (names[0] in _DEFAULTED and names[0] not in settings):
            raise value.refuse(f"{row}: neither {_listed(own)} nor global {_listed(common)}")


def _listed(keys: str) -> str:
    return " or ".join(keys.split())


def _check_together(value: Value, row: str, found: Fields) -> None:
    rules = rows()[row]
    for keys in rules.one_of:
        if not any(given(found, key) for key in keys.split()):
            raise value.refuse(f"{row}: {_listed(keys)} is missing")
    for keys in rules.at_most_one:
        one, two = keys.split()
        if given(found, one) and given(found, two):
            raise found[two].refuse(f"{row}: at most one of {one} and {two}")
    for key, choices in rules.choices.items():
        if key in found and found[key].text(key) not in ["", *choices]:
            raise found[key].refuse(f"{row}: {key} must be one of {', '.join(choices)}")
    if row in _SPECIAL and (problem := _SPECIAL[row](found)) is not None:
        raise found.get(problem[0], value).refuse(problem[1])


def _read_one(value: Value, kind: str, version: Version, key: str) -> None:
    if kind in rows():
        if not value.is_null:
            read(value, kind, version, key)
    elif kind == "map":
        for name, one in value.mapping(key).items():
            if key != "details" or version < (0, 30):
                one.text(f"{key}.{name}")
    elif kind != "any":
        text = value.text(key)
        # To what go-yaml does not read itself `Null` is an empty text.
        if not value.is_null or (value.raw in {"Null", "NULL"} and kind in _TYPES):
            problem = _type_problem(kind, text, is_plain=value.is_plain)
            if problem:
                raise value.refuse(f"{key}: {problem}")


def _type_problem(kind: str, text: str, *, is_plain: bool) -> str:
    """Return why a text is not of a type; "" if it is."""
    if kind in _PATTERNS:
        pattern, wanted = _PATTERNS[kind]
        return "" if pattern.fullmatch(text) else f"{text!r} is not {wanted}"
    if kind in _SCALARS:
        pattern, wanted = _SCALARS[kind]
        return "" if is_plain and pattern.fullmatch(text) else f"{text!r} is not {wanted}"
    if kind == "timeout":
        is_number = is_plain and _NUMBER.fullmatch(text)
        return "" if is_number or _GO_DURATION.fullmatch(text) else f"{text!r} is not a duration"
    return _TYPES[kind](text) if kind in _TYPES else ""


_TRUE_OR_FALSE: Final = re.compile(
    r"[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|[tT]rue|TRUE|[fF]alse|FALSE"
)
_NUMBER: Final = re.compile(
    r"[-+]?(?:0x[0-9a-fA-F_]+|0b[01_]+|0o[0-7_]+|(?:\d[\d_]*\.?[\d_]*|\.[\d_]+)(?:[eE][-+]?\d+)?)", re.ASCII
)
_GO_DURATION: Final = re.compile(r"[-+]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_HOST: Final = re.compile(
    r"(?:\[[0-9a-fA-F:.]+(?:%25[^\]]+)?\]|(?:[^\s\x00-\x20\"<>\[\]^`{|}\\:%]|%[89a-fA-F][0-9a-fA-F])*)(?::\d*)?"
)
_HOST_PORT: Final = re.compile(r"(?:\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]+")
_USER: Final = re.compile(r"(?:[A-Za-z0-9\-._:~!$&'()*+,;=@]|%[0-9a-fA-F]{2})*")


def url_problem(text: str) -> str:
    """Return why Alertmanager would not take a text for an address; "" if it would."""
    problem = _any_url_problem(text)
    if problem:
        return problem
    if not re.match("https?:", text, re.IGNORECASE):
        return "not a URL: it must begin with http:// or https://"
    return "" if urlsplit(text).netloc.rpartition("@")[2] else "not a URL: no host"


def _any_url_problem(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text) or re.search(r"%(?![0-9a-fA-F]{2})", text.partition("?")[0]):
        return "not a URL: a control character, or % without two hexadecimal digits"
    try:
        parts = urlsplit(text)
    except ValueError as error:
        return f"not a URL: {error}"
    user, _, host = parts.netloc.rpartition("@")
    if not _HOST.fullmatch(host) or not _USER.fullmatch(user):
        return f"not a URL: {host!r} is not a host"
    has_colon = ":" in re.split("[/?#]", text, maxsplit=1)[0]
    return "not a URL: a colon in its first part" if has_colon and not parts.scheme else ""


def _secret_url(text: str) -> str:
    return "" if text == "<secret>" else url_problem(text)


def _webhook_url(text: str) -> str:
    return templates.problem(text) if "{{" in text else _secret_url(text)


def _duration(text: str) -> str:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        return str(error)
    return "" if seconds < 2**63 / 1e9 else f"{text!r} is too long a duration"


def _range(member: Callable[[str], int | None], check: Callable[[int, int], bool]) -> Callable[[str], str]:
    def problem(text: str) -> str:
        ends = [member(one) for one in text.lower().split(":")]
        first, last = ends[0], ends[-1]
        if len(ends) > 2 or first is None or last is None or not check(first, last):
            return f"{text!r} is not a range that Alertmanager knows"
        return ""

    return problem


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[-+]?\d{1,18}", text, re.ASCII) else None


_WEEKDAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS: Final = ("january", "february", "march", "april", "may", "june", "july", "august", "september",
                  "october", "november", "december")  # fmt: skip


def _day(first: int, last: int) -> bool:
    known = 0 < abs(first) <= 31 and 0 < abs(last) <= 31 and not first < 0 < last
    return known and (first + 28 if first < 0 else first) <= (last + 28 if last < 0 else last)


def _location(text: str) -> str:
    known = available_timezones()
    return "" if not known or text in known | {"", "UTC", "Local"} else f"{text!r} is not a time zone"


_PATTERNS: Final = {
    "goduration": (_GO_DURATION, "a duration"),
    "hostport": (re.compile(rf"|{_HOST_PORT.pattern}"), "HOST:PORT"),
    "tlsversion": (re.compile("TLS1[0-3]"), "one of TLS10 to TLS13"),
}
_SCALARS: Final = {
    "bool": (_TRUE_OR_FALSE, "true or false"),
    "int": (_NUMBER, "a number"),
    "uint": (re.compile(rf"(?!-){_NUMBER.pattern}", re.ASCII), "a number of 0 or more"),
}
"""Types that need a value without quotes."""
_TYPES: Final[Mapping[str, Callable[[str], str]]] = {
    "duration": _duration,
    "url": url_problem,
    "anyurl": _any_url_problem,
    "secreturl": _secret_url,
    "webhookurl": _webhook_url,
    "weekdays": _range(
        lambda text: _WEEKDAYS.index(text) if text in _WEEKDAYS else None, lambda first, last: first <= last
    ),
    "months": _range(
        lambda text: _MONTHS.index(text) + 1 if text in _MONTHS else _integer(text),
        lambda first, last: first <= last,
    ),
    "days": _range(_integer, _day),
    "years": _range(_integer, lambda first, last: first <= last),
    "location": _location,
}


Problem = tuple[str, str] | None
"""The key where it is, and what it is."""


def _check_time(found: Fields) -> Problem:
    for key in ("start_time", "end_time"):
        if not re.fullmatch(r"(?:[01]\d|2[0-3]):[0-5]\d|24:00", found[key].raw, re.ASCII):
            return key, f"{found[key].raw!r} is not a time such as 08:00"
    if found["start_time"].raw >= found["end_time"].raw:
        return "end_time", "end_time must be after start_time; write a night as two times"
    return None


def _check_authorization(found: Fields) -> Problem:
    if given(found, "type") and found["type"].raw.strip().lower() == "basic":
        return "type", 'authorization: type can\'t be "basic"; use basic_auth'
    return None


def _check_webex(found: Fields) -> Problem:
    http = found["http_config"].mapping("http_config") if "http_config" in found else {}
    if any(given(http, key) for key in ("authorization", "bearer_token", "bearer_token_file")):
        return None
    return "", "webex: http_config.authorization is missing"


def _check_sns(found: Fields) -> Problem:
    if sum(given(found, key) for key in ("topic_arn", "target_arn", "phone_number")) in {1, 3}:
        return None
    return "", "sns: exactly one of topic_arn, target_arn and phone_number"


def _check_sigv4(found: Fields) -> Problem:
    if given(found, "access_key") == given(found, "secret_key"):
        return None
    return "", "sigv4: access_key and secret_key go together"


def _check_telegram(found: Fields) -> Problem:
    is_zero = "chat_id" in found and not re.search("[1-9a-fA-F]", found["chat_id"].raw)
    if is_zero and not given(found, "chat_id_file"):
        return "chat_id", "telegram: chat_id must not be 0"
    return None


def _check_responder(found: Fields) -> Problem:
    kind = found["type"].text("type") if "type" in found else ""
    if "{{" in kind:
        problem = templates.problem(kind)
        return ("type", f"responder: {problem}") if problem else None
    if kind.lower() in {"team", "teams", "user", "escalation", "schedule"}:
        return None
    return "type", "responder: type must be team, teams, user, escalation or schedule"


def _check_victorops(found: Fields) -> Problem:
    fields = found["custom_fields"].mapping("custom_fields") if "custom_fields" in found else {}
    taken = fields.keys() & {*rows()["victorops"].fields, "entity_id", "entity_state"} - _OWN
    return ("custom_fields", f"victorops: {min(taken)} can't be a custom field") if taken else None


def _check_email(found: Fields) -> Problem:
    names = [name.lower() for name in (found["headers"].mapping("headers") if "headers" in found else ())]
    return ("headers", "email: a header is given twice") if len(names) != len(set(names)) else None


_OWN: Final = frozenset(
    {"send_resolved", "http_config", "api_key", "api_key_file", "api_url", "custom_fields"}
)
"""Keys of VictorOps that are not sent to it."""
_SPECIAL: Final[Mapping[str, Callable[[Fields], Problem]]] = {
    "time": _check_time, "authorization": _check_authorization, "webex": _check_webex, "sns": _check_sns,
    "sigv4": _check_sigv4, "telegram": _check_telegram, "responder": _check_responder,
    "victorops": _check_victorops, "email": _check_email,
}  # fmt: skip
