"""What a decision was made from, in short: ``verify`` names what has changed since by comparing it.

Names are ``catalog:<gate>``, ``catalog:criteria``, ``policy:<key>`` and ``environment:<part>.<key>``. Policy
values are kept as they are. Of a gate, and of all criteria, there is a digest; of a key of an environment
file one so short that many values share it: it shows a change, and confirms no guess of a password.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from bais_gates.verdict.catalog import Catalog
from bais_gates.verdict.model import JsonValue
from bais_gates.verdict.policy import Policy

Pairs = tuple[tuple[str, str], ...]
"""Pairs of name and value or digest."""
_GATE_DIGITS: Final = 12
_KEY_DIGITS: Final = 4
"""16 bits: one value in 65,536 has the same. The digest of the whole file decides, this only names."""


def inputs_of(catalog: Catalog, policy: Policy, environment: Iterable[tuple[str, str]] = ()) -> Pairs:
    """Return what a decision keeps of the files that it is made from; ``environment`` by ``key_digests``."""
    return (
        *((f"catalog:{gate.id}", _digest(repr(gate), _GATE_DIGITS)) for gate in catalog.gates),
        *([("catalog:criteria", _digest(repr(catalog.criteria), _GATE_DIGITS))] if catalog.criteria else []),
        *((f"policy:{key}", value) for key, value in _policy_values(policy)),
        *((f"environment:{key}", digest) for key, digest in environment),
    )


def key_digests(data: Mapping[str, JsonValue]) -> Pairs:
    """Return each key of an environment file, two levels deep, with a digest of what is written there."""
    return tuple((key, _digest(_text(value), _KEY_DIGITS)) for key, value in _keys(data))


def part_of(inputs: Iterable[tuple[str, str]], file: str) -> dict[str, str]:
    """Return the pairs of one file: ``catalog``, ``policy`` or ``environment``."""
    start = f"{file}:"
    return {name.removeprefix(start): value for name, value in inputs if name.startswith(start)}


def _policy_values(policy: Policy) -> Iterator[tuple[str, str]]:
    yield "blocking", ", ".join(sorted(policy.blocking))
    for key in ("gate_deadline_s", "run_deadline_s", "validity_s", "not_applicable_max_days"):
        yield key, f"{getattr(policy, key):g}"
    for severity, days in sorted(policy.waiver_max_days.items()):
        yield f"waiver_max_days.{severity.value}", str(days)
    yield "subject", "required" if policy.subject_required else "not_required"
    for environment, rule in sorted(policy.signatures.items()):
        yield f"signatures.{environment}", f"{rule.required} of {', '.join(rule.keys) or 'all keys'}"


def _keys(data: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from ((f"{key}.{inner}", part) for inner, part in value.items())
        else:
            yield key, value


def _text(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:digits]
