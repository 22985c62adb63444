"""Environment files: what is judged, as a frozen value.

A file needs only ``name``. Reading a part that the file does not describe raises a
:class:`~bais_gates.errors.GateInputError` that names the file and the missing key, so that a forgotten part
is an ERROR, never a silent pass.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.targets.addresses import resolved
from bais_gates.targets.parts import (
    ApiPart,
    BackupPart,
    CachePart,
    CacheSettings,
    CapacityPart,
    DatabasePart,
    KubernetesPart,
    Limits,
    LoadPart,
    MetricsPart,
    MonitoringPart,
    OncallPart,
    PaymentsPart,
    RateLimit,
    RecoveryPart,
    ReleasePart,
    SecurityPart,
    SigningPart,
    StagingPart,
    TestTenant,
    TlsPart,
    WebhooksPart,
    missing,
)
from bais_gates.targets.reading import PRODUCTION, Reader
from bais_gates.targets.rollout import RolloutPart, WatchPart
from bais_gates.verdict.files import Document, load_document, validate
from bais_gates.verdict.inputs import key_digests
from bais_gates.verdict.model import JsonValue, Waiver
from bais_gates.verdict.target import is_loopback

__all__ = ["Environment", "Limits", "load_environment"]

_T = TypeVar("_T")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_VARIABLE: Final = re.compile(r"\$(\$?)\{([^}]*)\}")
_LISTED: Final = 980
"""Characters of one line of a list of names, which reports show in full."""
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Part(Generic[_T]):
    """A part as an attribute of :class:`Environment`; GateInputError if the file does not describe it."""

    def __set_name__(self, _owner: type, name: str) -> None:
        self._key = name

    def __get__(self, environment: Environment | None, _owner: type) -> _T:
        if environment is None:
            raise AttributeError(self._key)
        if self._key not in environment.parts:
            raise environment.missing(self._key)
        part: _T = environment.parts[self._key]
        return part


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One environment file, read, checked and with its variables filled in.

    ``environment.database`` is the part ``database``, or a GateInputError that names the file and the key;
    call :meth:`describes` first where the part is optional.
    """

    name: str
    path: Path
    digest: str
    """``sha256:`` and 64 hex digits of the file's bytes, before any variable is filled in."""
    provision: str = "none"
    parts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The parts that the file describes, by key."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The platform's own variables."""
    not_applicable: tuple[tuple[str, str], ...] = ()
    exemptions: tuple[Waiver, ...] = ()
    """Those of ``not_applicable`` that are dated and approved."""
    allow: tuple[str, ...] = ()
    """What gates may send to people's receivers."""
    keys: tuple[tuple[str, str], ...] = ()
    """The file's keys with digests, by :func:`bais_gates.verdict.inputs.key_digests`."""
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict, repr=False)
    """The line of each key of the file, by its path."""

    api = Part[ApiPart]()
    rate_limit = Part[RateLimit]()
    database = Part[DatabasePart]()
    cache = Part[CachePart]()
    webhooks = Part[WebhooksPart]()
    payments = Part[PaymentsPart]()
    metrics = Part[MetricsPart]()
    monitoring = Part[MonitoringPart]()
    oncall = Part[OncallPart]()
    limits = Part[Limits]()
    test_tenant = Part[TestTenant]()
    kubernetes = Part[KubernetesPart]()
    release = Part[ReleasePart]()
    tls = Part[TlsPart]()
    backup = Part[BackupPart]()
    security = Part[SecurityPart]()
    recovery = Part[RecoveryPart]()
    capacity = Part[CapacityPart]()
    load = Part[LoadPart]()
    rollout = Part[RolloutPart]()
    database_settings = Part[Mapping[str, str]]()
    """PostgreSQL's settings by name, as PostgreSQL shows them (``on`` and ``off``)."""
    cache_settings = Part[CacheSettings]()
    staging = Part[StagingPart]()
    signing = Part[SigningPart]()

    def describes(self, key: str) -> bool:
        """Return whether the file has this part; raise ValueError for an unknown key."""
        if key not in PARTS:
            raise ValueError(f"{key!r} is not a part of an environment file")
        return key in self.parts

    def addresses(self) -> tuple[tuple[str, str], ...]:
        """Return pairs of key and IP address for the hosts of the target, resolved now in bounded time."""
        return resolved(self.parts)

    @property
    def rehearsal(self) -> bool:
        """Whether the target is the sandbox or has an address on loopback: its decision never deploys."""
        return self.provision == "sandbox" or any(is_loopback(address) for _, address in self.addresses())

    @property
    def without_tenant(self) -> bool:
        """Whether it is production and names no test tenant: gates that write do not apply there."""
        claimed = self.api.environment if self.describes("api") else None
        return PRODUCTION in {self.name, claimed} and not self.describes("test_tenant")

    def place(self, *key: str) -> str:
        """Return where a key of the file is, for a message: ``FILE:LINE: KEY``."""
        line = self.lines.get(key)
        return f"{self.path}{f':{line}' if line else ''}: {'.'.join(key)}"

    def missing(self, *keys: str) -> GateInputError:
        """Return the error for parts that gates need and this file does not describe."""
        return missing(self.path, *keys)

    def settled_within_s(self) -> float:
        """Return the seconds within which a payment must be completed or failed (10 unless the file says)."""
        return (self.payments if self.describes("payments") else PaymentsPart()).settled_within_s

    def watch(self) -> WatchPart:
        """Return how a release is watched after its rollout."""
        return (self.rollout if self.describes("rollout") else RolloutPart()).watch

    def completed_by(self, provisioned: Environment) -> Environment:
        """Return this environment with each part that it lacks taken from ``provisioned``; its name stays."""
        return replace(
            self,
            parts={**provisioned.parts, **self.parts},
            variables=self.variables or provisioned.variables,
            allow=self.allow or provisioned.allow,
        )


PARTS: Final = frozenset(key for key, value in vars(Environment).items() if isinstance(value, Part))
"""The keys of all parts that an environment file can have."""


def load_environment(
    name_or_path: str | Path, *, gates_dir: Path, variables: Mapping[str, str] | None = None
) -> Environment:
    """Read the environment file called ``name`` in ``gates_dir/environments``, or the one at a path.

    ``variables`` replaces the process's environment. Every error is a GateInputError that names file, line
    and key: an unknown or duplicate key, a variable that is not set, a bad URL, a CA file that is absent.
    """
    path = _find(name_or_path, gates_dir)
    document = load_document(path, "environment")
    unset: dict[str, tuple[str | int, ...]] = {}
    data = _filled(document, document.data, (), os.environ if variables is None else variables, unset)
    if unset:
        raise _unset_error(document, unset)
    if not isinstance(data, dict):
        raise document.error((), "the file must hold a mapping of keys to values.")
    if data != document.data:
        validate(data, "environment", name=str(path), lines=document.lines)
    by_name = _NAME.fullmatch(str(name_or_path)) is not None
    if by_name and data["name"] != str(name_or_path):
        raise document.error(("name",), f"the file is {name_or_path}.yaml. Give file and key the same name.")
    return Environment(
        name=str(data["name"]),
        path=document.path,
        digest=document.digest,
        keys=key_digests(document.data),
        lines=document.lines,
        **Reader(document, data).fields(),
    )


def unset_variables(path: Path, variables: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the names of the variables in an environment file, comments excepted, that are not set; sorted.

    ``variables`` replaces the process's environment. Raises GateInputError for a file that breaks its schema.
    """
    data = load_document(path, "environment").data
    known = os.environ if variables is None else variables
    names = {name for escaped, name in _VARIABLE.findall(json.dumps(data)) if not escaped}
    return tuple(sorted(name for name in names if not known.get(name)))


def _find(name_or_path: str | Path, gates_dir: Path) -> Path:
    if isinstance(name_or_path, Path) or not _NAME.fullmatch(name_or_path):
        return Path(name_or_path)
    folder = gates_dir / "environments"
    path = folder / f"{name_or_path}.yaml"
    if path.is_file():
        return path
    known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
    raise AbsentFileError(
        f"{path}: there is no environment {name_or_path!r} (known: {known}). Name one of them, or give the "
        "path of a file (with a / or a dot in it)."
    )


def _unset_error(document: Document, unset: Mapping[str, tuple[str | int, ...]]) -> GateInputError:
    """Return the error for variables that are not set: all of them, each with its first place in the file."""
    names = list(unset)
    if len(names) == 1:
        text = f"the variable {names[0]} is not set, or empty. Set it: export {names[0]}=..."
        return document.error(unset[names[0]], text)
    text = f"{document.path}: {len(names)} variables are not set, or empty. Export each, or write its value "
    text += f"in the file. By line: {_by_line(document, unset)}"
    return GateInputError("\n".join(textwrap.wrap(text, _LISTED, break_on_hyphens=False)))


def _by_line(document: Document, unset: Mapping[str, tuple[str | int, ...]]) -> str:
    """Return names with the lines that they are on, those of neighbouring lines together."""
    groups: list[tuple[list[int], list[str]]] = []
    for name, at in unset.items():
        line = document.line_of(at)
        if groups and line - groups[-1][0][-1] in {0, 1}:
            groups[-1][0].append(line)
            groups[-1][1].append(name)
        else:
            groups.append(([line], [name]))
    return "; ".join(
        f"{lines[0]}{f'-{lines[-1]}' if lines[-1] > lines[0] else ''} {', '.join(names)}"
        for lines, names in groups
    )


def _filled(
    document: Document,
    value: JsonValue,
    at: tuple[str | int, ...],
    variables: Mapping[str, str],
    unset: dict[str, tuple[str | int, ...]],
) -> JsonValue:
    """Return ``value`` with the variables' values in every string of it; ``at`` is its place in the file.

    Adds to ``unset`` the variables without a value, with the place of each.
    """
    if isinstance(value, dict):
        return {key: _filled(document, inner, (*at, key), variables, unset) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(document, inner, (*at, i), variables, unset) for i, inner in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        if escaped:
            return match.group()[1:]
        if not _VARIABLE_NAME.fullmatch(name):
            raise document.error(at, f"${{{name}}} is not a variable name. Write $${{ for a literal ${{.")
        if not variables.get(name):
            unset.setdefault(name, at)
        return variables.get(name, "")

    return _VARIABLE.sub(fill, value)
