"""Reading what a request carries: JSON or YAML of the kind that is meant, or a patch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from bais_gates.sandbox.cluster.apiserver import protobuf, unsupported
from bais_gates.sandbox.cluster.apiserver.statuses import StatusError, bad_request, unsupported_media_type

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.request import Request

Object = dict[str, Any]
LIMIT = 3 * 1024 * 1024
"""Bytes of a body; kube-apiserver's MaxRequestBodyBytes."""
JSON = "application/json"
YAML = "application/yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_SHOWN_LENGTH = 30


def media_type(request: Request) -> str:
    """Return the body's media type without parameters; JSON when none is named."""
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower() or JSON


def read_object(request: Request, kind: Kind, *, api_version: str = "", kind_name: str = "") -> Object:
    """Read the object in the body; ``api_version``, ``kind_name`` where it isn't the resource's own."""
    expected_version, expected_kind = api_version or kind.api_version, kind_name or kind.kind
    found = _decoded(request, expected_kind)
    if kind.custom and not kind_name and not found.get("kind"):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {expected_kind}): Object 'Kind' is "
            f"missing in '{request.body.decode(errors='replace')}' ({_summary(request.body)})"
        )
    for field in ("apiVersion", "kind"):
        if not isinstance(found.get(field, ""), str):
            why = (
                f"json: cannot unmarshal {go_type(found[field])} into Go struct field .{field} of type string"
            )
            raise _unrecognized(request.body, expected_kind, why)
    found = {**found, "apiVersion": found.get("apiVersion") or expected_version}
    found["kind"] = found.get("kind") or expected_kind
    if (found["apiVersion"], found["kind"]) == (expected_version, expected_kind):
        return found
    if found["kind"] == expected_kind:
        raise bad_request(
            f"the API version in the data ({found['apiVersion']}) does not match the expected API version "
            f"({expected_version})"
        )
    version = str(found["apiVersion"]).rpartition("/")[2]
    raise bad_request(
        f'{found["kind"]} in version "{version}" cannot be handled as a {expected_kind}: no kind '
        f'"{found["kind"]}" is registered for version "{found["apiVersion"]}"'
    )


def _decoded(request: Request, expected: str) -> Object:
    media = media_type(request)
    if media == _PROTOBUF:
        try:
            return protobuf.decode(request.body)
        except protobuf.NotDecodedError:
            message = f"the sandbox's API server {unsupported.PROTOBUF}"
            raise StatusError(415, "UnsupportedMediaType", message) from None
    if media not in {JSON, YAML}:
        raise unsupported_media_type((JSON, YAML))
    found = _from_yaml(request.body) if media == YAML else _from_json(request.body, expected)
    if not isinstance(found, dict):
        raise _unrecognized(request.body, expected, f"json: cannot unmarshal {go_type(found)} into Go value")
    return found


def _unrecognized(body: bytes, expected: str, why: str) -> StatusError:
    return bad_request(
        f"the object provided is unrecognized (must be of type {expected}): couldn't get version/kind; "
        f"json parse error: {why} ({_summary(body)})"
    )


def _from_json(body: bytes, expected: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unrecognized(body, expected, _parse_error(body)) from error


def _parse_error(body: bytes) -> str:
    """Word what is wrong with the JSON as Go's encoding/json does, as far as it is common."""
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc.rstrip()):
            return "unexpected end of JSON input"
        return f"invalid character {error.doc[error.pos]!r} looking for beginning of value"
    except (UnicodeDecodeError, RecursionError):
        pass
    return "invalid UTF-8 in string"


def _from_yaml(body: bytes) -> Any:
    import yaml  # noqa: PLC0415 - only server-side apply brings YAML, and mostly even that is JSON

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Through JSON: dates become text again as JSON can't hold them, and keys are text.
        return json.loads(json.dumps(yaml.load(body, Loader=_plain(loader))))  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, UnicodeDecodeError) as error:
        message = str(error).replace("\n", " ")
        raise bad_request(f"error decoding YAML: error converting YAML to JSON: yaml: {message}") from error


def _plain(loader: Any) -> Any:
    """Return the loader without its reading of dates: Kubernetes' YAML has none."""
    resolvers = {
        first: [(tag, pattern) for tag, pattern in each if tag != "tag:yaml.org,2002:timestamp"]
        for first, each in loader.yaml_implicit_resolvers.items()
    }
    return type("PlainLoader", (loader,), {"yaml_implicit_resolvers": resolvers})


def accepted_patches(kind: Kind) -> list[str]:
    """Return the patch formats that the kind takes: a custom one has no keys for a strategic merge."""
    return [each for each in PATCHES if each != STRATEGIC_PATCH or not kind.custom]


def read_patch(request: Request, kind: Kind, media: str) -> Any:
    """Read a patch's body as JSON (or, to apply, as YAML)."""
    accepted = accepted_patches(kind)
    if media not in accepted:
        raise unsupported_media_type(accepted)
    if media == APPLY_PATCH:
        try:
            return msgspec.json.decode(request.body)
        except (msgspec.DecodeError, RecursionError):
            return _from_yaml(request.body)
    try:
        found = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"error decoding patch: {_parse_error(request.body)}") from error
    if media == JSON_PATCH and not isinstance(found, list):
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {go_type(found)} into Go value of type "
            "[]interface {}"
        )
    if media != JSON_PATCH and not isinstance(found, dict):
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {go_type(found)} into Go value of type "
            "map[string]interface {}"
        )
    return found


def read_options(request: Request) -> Object:
    """Read the DeleteOptions in the body of a deletion; empty without a body."""
    if not request.body.strip():
        return {}
    found = _decoded(request, "DeleteOptions")
    if found.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request("decoded object cannot be converted to DeleteOptions")
    return found


def as_json(value: object) -> bytes:
    """Return a part of a body as a body of its own."""
    return msgspec.json.encode(value)


def go_type(value: object) -> str:
    """Name a JSON value's type as Go's decoder does."""
    names = {list: "array", str: "string", bool: "bool", int: "number", float: "number", dict: "object"}
    return names.get(type(value), "null")


def _summary(body: bytes) -> str:
    """Show the first bytes of a body, as the server's own summarizeData does."""
    if not body:
        return "<empty>"
    shown = body[:_SHOWN_LENGTH]
    text = shown.decode(errors="replace") if shown[:1] == b"{" else shown.hex()
    return text + (" ..." if len(body) > _SHOWN_LENGTH else "")
