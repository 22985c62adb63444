"""JSON Schema (Draft 2020-12) with messages that a person can act on.

A message never repeats a value, as it may be a secret; it repeats keys and the schema's own words.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from bais_gates.verdict.codec import parse_moment
from bais_gates.verdict.matcher import Matcher, compile_schema, matches
from bais_gates.verdict.model import JsonValue
from bais_gates.verdict.strict_yaml import KeyPath

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

_OR_VARIABLE: Final = r"|\$\{"
"""The end of a pattern for a value that may be filled in later."""
_TYPE_NAMES: Final = {
    "object": "keys and values",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One place where a value does not match its schema."""

    path: KeyPath
    text: str
    """The error and what to write instead, without the value."""


def schema_text(name: str) -> str:
    """Return the text of ``schemas/<name>.schema.json``."""
    return (resources.files("bais_gates.verdict") / "schemas" / f"{name}.schema.json").read_text("utf-8")


@cache
def _schema(name: str) -> dict[str, Any]:
    schema = json.loads(schema_text(name))
    inlined: dict[str, Any] = _inlined(schema, schema.get("$defs", {}))
    return inlined


@cache
def _matcher(name: str) -> Matcher:
    return compile_schema(_schema(name))


@cache
def _validator(name: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator, FormatChecker  # noqa: PLC0415 - only what is wrong needs it

    formats = FormatChecker(formats=())
    formats.checks("date-time", raises=ValueError)(_is_moment)
    return Draft202012Validator(_schema(name), format_checker=formats)


def _inlined(part: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a schema with its references replaced by their definitions.

    Keywords beside a reference win, so a description there is the one that messages use. Our schemas refer to
    their own definitions only, and none refers to itself.
    """
    if isinstance(part, list):
        return [_inlined(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    own = {key: _inlined(item, definitions) for key, item in part.items() if key not in {"$ref", "$defs"}}
    if "$ref" not in part:
        return own
    name = str(part["$ref"]).removeprefix("#/$defs/")
    return {**_inlined(definitions[name], definitions), **own}


def _is_moment(value: object) -> bool:
    if isinstance(value, str):
        parse_moment(value)
    return True


def find_violations(data: JsonValue, schema: str) -> list[Violation]:
    """Return where a value does not match a schema, in the order of the file."""
    if matches(_matcher(schema), data):
        return []
    errors = _validator(schema).iter_errors(data)
    violations = dict.fromkeys(violation for error in errors for violation in _violations(error))
    return sorted(violations, key=lambda violation: [str(part).rjust(9) for part in violation.path])


def _violations(error: ValidationError) -> Iterator[Violation]:
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        for key in _unknown_keys(error):
            yield Violation(path=(*error.absolute_path, key), text=_unknown(error, key))
    else:
        yield Violation(path=_path(error), text=_text(error))


def _path(error: ValidationError) -> KeyPath:
    path: KeyPath = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        return (*path, str(error.instance))
    return path


def _text(error: ValidationError) -> str:
    writer = _TEXTS.get(str(error.validator))
    if writer is not None:
        return writer(error)
    return f"{_hint(error) or f'does not match the schema ({error.validator}).'}"


def _keyword(error: ValidationError) -> Any:
    """Return the value of the schema's keyword."""
    return error.validator_value


def _instance(error: ValidationError) -> Any:
    """Return the value that does not match."""
    return error.instance


def _hint(error: ValidationError) -> str:
    schema: Any = error.schema
    return str(schema.get("description", "")) if isinstance(schema, Mapping) else ""


def _with_hint(error: ValidationError, text: str) -> str:
    return f"{text} {_hint(error)}".rstrip()


def _unknown_keys(error: ValidationError) -> list[str]:
    schema: Any = error.schema
    return [str(key) for key in _instance(error) if key not in schema.get("properties", {})]


def _unknown(error: ValidationError, key: str) -> str:
    schema: Any = error.schema
    known = list(schema.get("properties", {}))
    text = "unknown key."
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"{text} Did you mean {near[0]}?"
    return f"{text} Remove it; allowed: {_words(known)}."


def _required(error: ValidationError) -> str:
    missing = [key for key in _keyword(error) if key not in _instance(error)]
    return (
        f"{missing[0]} is missing. Add it."
        if len(missing) == 1
        else f"{_words(missing)} are missing. Add them."
    )


def _type(error: ValidationError) -> str:
    wanted = _keyword(error)
    names = [_TYPE_NAMES[name] for name in ([wanted] if isinstance(wanted, str) else wanted)]
    quote = " Quote it." if wanted == "string" and isinstance(error.instance, int | float | bool) else ""
    return _with_hint(error, f"must be {_words(names, 'or')}.{quote}")


def _words(words: Iterable[object], last: str = "and") -> str:
    listed = [str(word) for word in words]
    return (
        listed[0]
        if len(listed) == 1
        else f"{', '.join(listed[:-1])} {last} {listed[-1]}"
        if listed
        else "none"
    )


def _at_least(number: int, what: str) -> str:
    return "must not be empty." if number == 1 else f"must have at least {number} {what}."


_TEXTS: Mapping[str, Callable[[ValidationError], str]] = {
    "required": _required,
    "type": _type,
    "enum": lambda error: f"must be {_words(_keyword(error), 'or')}.",
    "const": lambda error: f"must be {_keyword(error)}.",
    "contains": lambda error: _with_hint(error, f"must include {_keyword(error).get('const', 'more')}."),
    "format": lambda error: _with_hint(
        error, "must be a date and time with a zone, such as 2026-03-31T12:00:00Z."
    ),
    "minLength": lambda error: _with_hint(error, _at_least(_keyword(error), "characters")),
    "maxLength": lambda error: _with_hint(error, f"must have at most {_keyword(error)} characters."),
    "minItems": lambda error: _with_hint(error, _at_least(_keyword(error), "items")),
    "maxItems": lambda error: _with_hint(error, f"must have at most {_keyword(error)} items."),
    "uniqueItems": lambda error: _with_hint(error, "has a duplicate item."),
    "minimum": lambda error: _with_hint(error, f"must be at least {_keyword(error)}."),
    "maximum": lambda error: _with_hint(error, f"must be at most {_keyword(error)}."),
    "exclusiveMinimum": lambda error: _with_hint(error, f"must be more than {_keyword(error)}."),
    "pattern": lambda error: (
        "must not be blank."
        if _keyword(error) == "\\S"
        else _with_hint(error, f"must match {_keyword(error).removesuffix(_OR_VARIABLE)}.")
    ),
}
