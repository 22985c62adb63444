"""Environment files: what is judged, as a frozen value.

A file needs only ``name``. A gate that asks for a part that the file does not describe gets a
:class:`~bais_gates.errors.GateInputError` that names the file and the missing key, so that a part which was
forgotten is an ERROR, never a silent pass.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.targets.parts import (
    ApiPart,
    CachePart,
    DatabasePart,
    Limits,
    MetricsPart,
    PaymentsPart,
    RateLimit,
    TestTenant,
    WebhooksPart,
    missing,
)
from bais_gates.targets.parts_platform import (
    BackupPart,
    CacheSettings,
    CapacityPart,
    KubernetesPart,
    RecoveryPart,
    ReleasePart,
    SecurityPart,
    StagingPart,
    TlsPart,
)
from bais_gates.targets.reading import Reader
from bais_gates.verdict.files import Document, load_document
from bais_gates.verdict.model import JsonValue

__all__ = ["Environment", "Limits", "is_loopback", "load_environment"]

_T = TypeVar("_T")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_VARIABLE: Final = re.compile(r"\$(\$?)\{([^}]*)\}")
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One environment file, read, checked and with its variables filled in."""

    name: str
    path: Path
    digest: str
    """``sha256:`` and 64 hex digits of the file's bytes, before any variable is filled in."""
    provision: str = "none"
    api: ApiPart | None = None
    rate_limit: RateLimit | None = None
    database: DatabasePart | None = None
    cache: CachePart | None = None
    webhooks: WebhooksPart | None = None
    payments: PaymentsPart | None = None
    metrics: MetricsPart | None = None
    limits: Limits | None = None
    test_tenant: TestTenant | None = None
    kubernetes: KubernetesPart | None = None
    release: ReleasePart | None = None
    tls: TlsPart | None = None
    backup: BackupPart | None = None
    security: SecurityPart | None = None
    recovery: RecoveryPart | None = None
    capacity: CapacityPart | None = None
    database_settings: Mapping[str, str] | None = None
    """PostgreSQL's settings by name, as PostgreSQL shows them (``on`` and ``off``)."""
    cache_settings: CacheSettings | None = None
    staging: StagingPart | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The platform's own variables."""
    not_applicable: tuple[tuple[str, str], ...] = ()

    @property
    def rehearsal(self) -> bool:
        """True for the sandbox and any API on loopback: a decision about it never deploys."""
        host = urlsplit(self.api.url).hostname if self.api is not None else None
        return self.provision == "sandbox" or (host is not None and is_loopback(host))

    def missing(self, key: str) -> GateInputError:
        """Make the error for a part that a gate needs and this file has not; the caller raises it."""
        return missing(self.path, key)

    def need_api(self) -> ApiPart:
        """Give the ``api`` part or raise GateInputError naming the missing key."""
        return _need(self, "api", self.api)

    def need_rate_limit(self) -> RateLimit:
        """Give the ``rate_limit`` part or raise GateInputError naming the missing key."""
        return _need(self, "rate_limit", self.rate_limit)

    def need_database(self) -> DatabasePart:
        """Give the ``database`` part or raise GateInputError naming the missing key."""
        return _need(self, "database", self.database)

    def need_cache(self) -> CachePart:
        """Give the ``cache`` part or raise GateInputError naming the missing key."""
        return _need(self, "cache", self.cache)

    def need_webhooks(self) -> WebhooksPart:
        """Give the ``webhooks`` part or raise GateInputError naming the missing key."""
        return _need(self, "webhooks", self.webhooks)

    def need_limits(self) -> Limits:
        """Give the ``limits`` part or raise GateInputError naming the missing key."""
        return _need(self, "limits", self.limits)

    def need_kubernetes(self) -> KubernetesPart:
        """Give the ``kubernetes`` part or raise GateInputError naming the missing key."""
        return _need(self, "kubernetes", self.kubernetes)

    def need_tls(self) -> TlsPart:
        """Give the ``tls`` part or raise GateInputError naming the missing key."""
        return _need(self, "tls", self.tls)

    def need_backup(self) -> BackupPart:
        """Give the ``backup`` part or raise GateInputError naming the missing key."""
        return _need(self, "backup", self.backup)

    def need_security(self) -> SecurityPart:
        """Give the ``security`` part or raise GateInputError naming the missing key."""
        return _need(self, "security", self.security)

    def need_recovery(self) -> RecoveryPart:
        """Give the ``recovery`` part or raise GateInputError naming the missing key."""
        return _need(self, "recovery", self.recovery)

    def need_capacity(self) -> CapacityPart:
        """Give the ``capacity`` part or raise GateInputError naming the missing key."""
        return _need(self, "capacity", self.capacity)

    def need_database_settings(self) -> Mapping[str, str]:
        """Give the ``database_settings`` or raise GateInputError naming the missing key."""
        return _need(self, "database_settings", self.database_settings)

    def need_cache_settings(self) -> CacheSettings:
        """Give the ``cache_settings`` or raise GateInputError naming the missing key."""
        return _need(self, "cache_settings", self.cache_settings)

    def need_staging(self) -> StagingPart:
        """Give the ``staging`` part or raise GateInputError naming the missing key."""
        return _need(self, "staging", self.staging)

    def settled_within_s(self) -> float:
        """Give the seconds within which a payment must be completed or failed (10 unless the file says)."""
        return (self.payments or PaymentsPart()).settled_within_s

    def completed_by(self, provisioned: Environment) -> Environment:
        """Take every part that this file does not describe from ``provisioned``; what it is called stays."""
        return replace(
            self,
            **{
                part.name: getattr(provisioned, part.name)
                for part in fields(self)
                if part.name not in _OWN and not getattr(self, part.name)
            },
        )


_OWN: Final = frozenset({"name", "path", "digest", "provision", "not_applicable"})
"""What a file says of itself, whatever it provisions."""


def _need(environment: Environment, key: str, part: _T | None) -> _T:
    if part is None:
        raise environment.missing(key)
    return part


def load_environment(
    name_or_path: str | Path, *, gates_dir: Path, variables: Mapping[str, str] | None = None
) -> Environment:
    """Read the environment file called ``name`` in ``gates_dir/environments``, or the one at a path.

    ``variables`` stands for the process's environment. Every error is a GateInputError that names file, line
    and key: an unknown or double key, a variable that is not set, a bad address, a CA file that is not there.
    """
    path = _find(name_or_path, gates_dir)
    document = load_document(path, "environment")
    data = _filled(document, document.data, (), os.environ if variables is None else variables)
    if not isinstance(data, dict):
        raise document.error((), "the file must hold keys and values.")
    by_name = _NAME.fullmatch(str(name_or_path)) is not None
    if by_name and data["name"] != str(name_or_path):
        raise document.error(
            ("name",), f"the file was asked for as {name_or_path!r}. Give file and name the same name."
        )
    return Environment(
        name=str(data["name"]), path=document.path, digest=document.digest, **Reader(document, data).parts()
    )


def unset_variables(path: Path, variables: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Name the variables that an environment file asks for and that are not set here."""
    text = path.read_text(encoding="utf-8", errors="replace")
    known = os.environ if variables is None else variables
    named = {name for escaped, name in _VARIABLE.findall(text) if not escaped}
    return tuple(sorted(name for name in named if not known.get(name)))


def _find(name_or_path: str | Path, gates_dir: Path) -> Path:
    if isinstance(name_or_path, Path) or not _NAME.fullmatch(name_or_path):
        return Path(name_or_path)
    folder = gates_dir / "environments"
    path = folder / f"{name_or_path}.yaml"
    if path.is_file():
        return path
    known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
    raise AbsentFileError(
        f"{path}: there is no environment called {name_or_path!r} (there are: {known}). Name one of them, or "
        "give the path of a file (with a / or a dot in it)."
    )


def _filled(
    document: Document, value: JsonValue, at: tuple[str | int, ...], variables: Mapping[str, str]
) -> JsonValue:
    """Put the variables' values into every string below ``at``."""
    if isinstance(value, dict):
        return {key: _filled(document, inner, (*at, key), variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(document, inner, (*at, i), variables) for i, inner in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        if escaped:
            return match.group()[1:]
        if not _VARIABLE_NAME.fullmatch(name):
            raise document.error(
                at, f"${{{name}}} is not the name of a variable. Write $${{ for a literal ${{."
            )
        if not variables.get(name):
            raise document.error(at, f"the variable {name} is not set, or empty. Set it where the gates run.")
        return variables[name]

    return _VARIABLE.sub(fill, value)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, however it is written (127.1, 2130706433, ::ffff:127.0.0.1)."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))
        except (OSError, ValueError):
            return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.is_loopback or address.is_unspecified
