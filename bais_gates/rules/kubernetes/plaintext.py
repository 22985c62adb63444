"""Find secrets that stand as text in objects other than Secrets, and weak values in Secrets.

A finding has the object, the field and the kind of secret, never the value. Source: CIS Kubernetes Benchmark
5.4.1; Kubernetes "Good practices for Kubernetes Secrets"; kube-linter env-var-secret; Polaris
sensitiveConfigmapContent; PCI DSS 2.2.2 (default passwords).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from bais_gates.rules import secret_text
from bais_gates.rules.kubernetes.objects import Finding, Object, locate, of_kind

_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_SKIPPED: Final = frozenset(
    {"managedFields", "uid", "resourceVersion", "creationTimestamp", "ownerReferences", "generation"}
)
_REFERENCES: Final = frozenset({"secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef", "status"})
_FREE: Final = frozenset({"env", "command", "args", "data", "binaryData", "httpHeaders"})
"""Fields of which a random value is a secret; elsewhere it is an id or a checksum."""

Found = Iterator[tuple[str, str]]


def literal_secrets(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for secrets as text in objects other than Secrets, without their values."""
    findings = []
    for obj in objects:
        found = [] if obj.get("kind") == "Secret" else list(_search(obj, "", "", free=False))
        paths = {path for path, _ in found}
        findings += [
            Finding(
                rule="plain-text-secret", where=locate(obj), detail=f"{path} has a secret as text: {kind}"
            )
            for path, kind in found
            if path.partition(f"[{_APPLIED}].")[2] not in paths  # kubectl's copy of what is found itself
        ]
    return sorted(findings)


def weak_secrets(secrets: Iterable[Object]) -> list[Finding]:
    """Return findings for values of Secrets that are empty, a user's name, or a well-known default."""
    found = []
    for secret in of_kind(secrets, "Secret"):
        values = {
            str(key): base64.b64decode(str(value or "")).decode("utf-8", "replace")
            for key, value in (secret.get("data") or {}).items()
        }
        users = frozenset(
            value for key, value in values.items() if re.search(r"user(name)?$", key, re.IGNORECASE)
        )
        found += [
            Finding(rule="weak-secret", where=locate(secret), detail=f"the value of {key} {fault}")
            for key, value in sorted(values.items())
            if (fault := secret_text.weakness(key, value, users)) is not None
        ]
    return found


def _search(value: object, path: str, name: str, *, free: bool) -> Found:
    """Yield path and kind of each secret in a value; ``name`` is the key or variable that has the value."""
    if isinstance(value, Mapping):
        yield from _search_mapping(value, path, free=free)
    elif isinstance(value, list):
        yield from _search_list(value, path, name, free=free)
    elif isinstance(value, str):
        document = _parse(value) if value.lstrip()[:1] in {"{", "["} else None
        if isinstance(document, Mapping) and document.get("kind") == "Secret":
            return  # kubectl's copy of a Secret
        found = list(_search(document, path, name, free=free)) if document is not None else []
        if not found and (kind := secret_text.looks_secret(name, value, free=free)) is not None:
            found = [(path, kind)]
        yield from found


def _search_mapping(value: Mapping[str, Any], path: str, *, free: bool) -> Found:
    if isinstance(value.get("name"), str) and isinstance(value.get("value"), str):  # a variable or header
        yield from _search(value["value"], path, value["name"], free=free)
        return
    found: list[tuple[str, str]] = []
    for key, item in value.items():
        if key in _REFERENCES or (key in _SKIPPED and path.endswith("metadata")):
            continue
        inner = f"{path}[{key}]" if re.search(r"[./]", str(key)) else f"{path}.{key}".lstrip(".")
        if path == "binaryData":
            item = "\n".join(secret_text.decoded(str(item))) or ""  # noqa: PLW2901 - the text of what is encoded
        found += _search(item, inner, str(key), free=free or key in _FREE)
    command, arguments = value.get("command"), value.get("args")
    seen = any(one.startswith((f"{path}.command", f"{path}.args")) for one, _ in found)
    if isinstance(command, list) and isinstance(arguments, list) and not seen:  # redis-cli, and then -a
        found += _search_line([*command, *arguments], f"{path}.args")
    yield from found


def _search_list(value: list[Any], path: str, name: str, *, free: bool) -> Found:
    found: list[tuple[str, str]] = []
    for number, item in enumerate(value):
        label = item.get("name") if isinstance(item, Mapping) else None
        found += _search(item, f"{path}[{label or number}]", name, free=free)
    yield from found or _search_line(value, path)


def _search_line(words: list[Any], path: str) -> Found:
    """Yield the secret in words that are one command line: ``--password``, and then its value."""
    line = " ".join(word for word in words if isinstance(word, str))
    if (kind := secret_text.known_format(line) or secret_text.assigned(line)) is not None:
        yield path, kind


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
