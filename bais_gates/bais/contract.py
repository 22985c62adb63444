"""Validate responses against an OpenAPI 3.1 document; what is not documented is a violation.

The schemas of OpenAPI 3.1 are JSON Schema 2020-12; ``jsonschema`` applies them inside their own document, so
that every ``$ref`` resolves as its author meant it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import yaml

from bais_gates.errors import GateInputError
from bais_gates.extras import deferred

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import jsonschema
    import referencing
    from referencing import jsonschema as drafts

    from bais_gates.probes.http import Response
else:
    jsonschema, referencing = deferred("jsonschema"), deferred("referencing")
    drafts = deferred("referencing.jsonschema")

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BASE: Final = "urn:bais-gates:contract"
_MESSAGE_CAP: Final = 240
"""Maximum characters of one violation; a schema error would quote the whole instance."""
_VIOLATION_CAP: Final = 10


class ContractError(GateInputError):
    """The contract document itself cannot be used; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A node of the document and its JSON pointer."""

    node: Any
    pointer: tuple[str, ...]

    def child(self, *keys: str) -> _Place | None:
        node = self.node
        for key in keys:
            if not isinstance(node, dict) or key not in node:
                return None
            node = node[key]
        return _Place(node, (*self.pointer, *keys))

    @property
    def uri(self) -> str:
        escaped = (key.replace("~", "~0").replace("/", "~1") for key in self.pointer)
        return _BASE + "#/" + "/".join(quote(key, safe="~") for key in escaped)


class Contract:
    """An OpenAPI 3.1 document that responses are validated against."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        if not str(document.get("openapi", "")).startswith("3.1") or not isinstance(
            document.get("paths"), dict
        ):
            raise ContractError("not an OpenAPI 3.1 document: `openapi: 3.1.x` or `paths` is missing")
        self.document = document
        resource = drafts.DRAFT202012.create_resource(document)
        self._registry: referencing.Registry[Any] = referencing.Registry().with_resource(_BASE, resource)
        self._validators: dict[str, jsonschema.Draft202012Validator] = {}

    @classmethod
    def load(cls, path: Path) -> Contract:
        """Read the document at ``path``. Raises :class:`ContractError` if it cannot be used."""
        try:
            document = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe one
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
            cause = (e.strerror if isinstance(e, OSError) else None) or str(e)
            raise ContractError(f"{path}: the contract cannot be read ({cause}). Correct the file.") from e
        if not isinstance(document, dict):
            raise ContractError(f"{path}: the contract is not a mapping")
        return cls(document)

    def violations(self, response: Response, method: str, path: str) -> list[str]:
        """Return the contract violations of ``response`` to ``method path``; empty if it conforms.

        ``path`` is the requested path (a query is ignored) or the documented template. Checked are the
        operation, the status, the content type, the body against its schema, and the required headers.
        """
        operation = self._operation(method, path)
        if operation is None:
            return [f"{method.upper()} {path.partition('?')[0]} is not in the contract"]
        documented = self._response(operation, response.status)
        if documented is None:
            known = ", ".join((operation.child("responses") or operation).node)
            return [f"status {response.status} is not documented (documented: {known})"]
        header_errors = self._header_violations(response, documented)
        errors = [*header_errors, *self._body_violations(response, documented)]
        return [_shorten(error) for error in errors[:_VIOLATION_CAP]]

    def schema_violations(self, instance: object, schema: str) -> list[str]:
        """Return how a JSON value violates ``#/components/schemas/<schema>``."""
        place = _Place(self.document, ()).child("components", "schemas", schema)
        if place is None:
            raise ContractError(f"the contract has no components/schemas/{schema}")
        return [_shorten(error) for error in self._schema_violations(instance, place)]

    def _operation(self, method: str, path: str) -> _Place | None:
        template = self._template(path.partition("?")[0])
        if template is None:
            return None
        place = _Place(self.document, ()).child("paths", template, method.lower())
        return self._follow(place)

    def _template(self, path: str) -> str | None:
        if path in self.document["paths"]:
            return path
        return next((template for template, pattern in self._patterns if pattern.fullmatch(path)), None)

    @cached_property
    def _patterns(self) -> list[tuple[str, re.Pattern[str]]]:
        def pattern(template: str) -> re.Pattern[str]:
            parts = re.split(r"\{[^}]+\}", template)
            return re.compile("[^/]+".join(re.escape(part) for part in parts))

        return [(template, pattern(template)) for template in self.document["paths"] if "{" in template]

    def _response(self, operation: _Place, status: int) -> _Place | None:
        for key in (str(status), f"{status // 100}XX", "default"):
            place = operation.child("responses", key)
            if place is not None:
                return self._follow(place)
        return None

    def _follow(self, place: _Place | None) -> _Place | None:
        """Resolve local ``$ref`` objects (``#/components/...``)."""
        for _ in range(8):
            if place is None or not isinstance(place.node, dict) or "$ref" not in place.node:
                return place
            reference = str(place.node["$ref"])
            if not reference.startswith("#/"):
                raise ContractError(f"{reference}: only references inside the document are followed")
            keys = (key.replace("~1", "/").replace("~0", "~") for key in reference[2:].split("/"))
            place = _Place(self.document, ()).child(*keys)
            if place is None:
                raise ContractError(f"{reference}: no such place in the document")
        raise ContractError("a $ref is circular or more than 8 references deep")

    def _header_violations(self, response: Response, documented: _Place) -> Iterator[str]:
        headers = documented.child("headers")
        for name in headers.node if headers is not None else ():
            header = self._follow(documented.child("headers", name))
            value = response.headers.get(name)
            if header is None:
                continue
            if value is None:
                if header.node.get("required") is True:
                    yield f"header {name} is missing"
                continue
            schema = header.child("schema")
            if schema is not None:
                yield from (f"header {name}: {one}" for one in self._schema_violations(_typed(value), schema))

    def _body_violations(self, response: Response, documented: _Place) -> Iterator[str]:
        content = documented.child("content")
        if content is None or not content.node:
            if response.body:
                yield f"the response has a body, but {response.status} is documented without a body"
            return
        media = _media_type(response.headers.get("content-type", ""))
        if media not in content.node:
            known = ", ".join(content.node)
            yield f"content type {media or '(none)'} is not documented for {response.status} ({known} is)"
            return
        schema = content.child(media, "schema")
        if media.split("+")[-1].rpartition("/")[2] != "json" or schema is None:
            return
        if response.json is None and response.body.strip() != b"null":
            yield "the body is not JSON" + (" (cut off: too long)" if response.truncated else "")
            return
        yield from self._schema_violations(response.json, schema)

    def _schema_violations(self, instance: object, schema: _Place) -> Iterator[str]:
        validator = self._validators.get(schema.uri)
        if validator is None:
            validator = jsonschema.Draft202012Validator(
                {"$ref": schema.uri}, registry=self._registry, format_checker=_formats()
            )
            self._validators[schema.uri] = validator
        for error in sorted(validator.iter_errors(instance), key=lambda e: e.json_path):
            yield f"{error.json_path}: {error.message}"


@cache
def _formats() -> jsonschema.FormatChecker:
    checker = jsonschema.FormatChecker()
    checker.checks("date-time", raises=ValueError)(_is_date_time)
    return checker


def _is_date_time(value: object) -> bool:
    """Return whether a string is an RFC 3339 date-time, with a time and a zone."""
    if not isinstance(value, str):
        return True
    return datetime.fromisoformat(value).tzinfo is not None and "T" in value.upper()


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _typed(value: str) -> int | float | str:
    """Convert a header's text to the number it denotes, for schemas of type integer or number."""
    if re.fullmatch(r"-?(0|[1-9]\d{0,17})", value):
        return int(value)
    if re.fullmatch(r"-?\d{1,17}\.\d{1,17}", value):
        return float(value)
    return value


def _shorten(text: str) -> str:
    return text if len(text) <= _MESSAGE_CAP else text[: _MESSAGE_CAP - 3] + "..."
