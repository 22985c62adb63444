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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from bais_gates import redaction
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

    def settled_within_s(self) -> float:
        """Give the seconds within which a payment must be completed or failed (10 unless the file says)."""
        return (self.payments or PaymentsPart()).settled_within_s

    def completed_by(self, provisioned: Environment) -> Environment:
        """Take every part that this file does not describe from ``provisioned``; name and digest stay."""
        return replace(
            self,
            api=self.api or provisioned.api,
            rate_limit=self.rate_limit or provisioned.rate_limit,
            database=self.database or provisioned.database,
            cache=self.cache or provisioned.cache,
            webhooks=self.webhooks or provisioned.webhooks,
            payments=self.payments or provisioned.payments,
            metrics=self.metrics or provisioned.metrics,
            limits=self.limits or provisioned.limits,
            test_tenant=self.test_tenant or provisioned.test_tenant,
        )


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
    return _Reader(document, data).environment()


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


class _Reader:
    """Makes the value of a document that already holds to its schema and has its variables filled in."""

    def __init__(self, document: Document, data: dict[str, JsonValue]) -> None:
        self._document = document
        self._data = data

    def environment(self) -> Environment:
        data = self._data
        not_applicable = data.get("not_applicable")
        return Environment(
            name=str(data["name"]),
            path=self._document.path,
            digest=self._document.digest,
            provision=str(data.get("provision", "none")),
            api=self._api(),
            rate_limit=RateLimit(**part) if (part := self._part("rate_limit")) else None,
            database=self._database(),
            cache=self._cache(),
            webhooks=self._webhooks(),
            payments=PaymentsPart(**part) if (part := self._part("payments")) else None,
            metrics=self._metrics(),
            limits=Limits(path=self._document.path, values=tuple(part.items()))
            if (part := self._part("limits"))
            else None,
            test_tenant=self._tenant(),
            not_applicable=tuple((key, str(why)) for key, why in not_applicable.items())
            if isinstance(not_applicable, dict)
            else (),
        )

    def _part(self, key: str) -> dict[str, Any]:
        part = self._data.get(key)
        return dict(part) if isinstance(part, dict) else {}

    def _api(self) -> ApiPart | None:
        if not (part := self._part("api")):
            return None
        url = self._url(("api", "url"), part["url"], ("https", "http"), bare=True)
        return ApiPart(
            **{**part, "url": url.rstrip("/"), "ca_file": self._file(("api", "ca_file"), part.get("ca_file"))}
        )

    def _metrics(self) -> MetricsPart | None:
        if not (part := self._part("metrics")):
            return None
        self._url(("metrics", "url"), part["url"], ("https", "http"), bare=True)
        return MetricsPart(**{**part, "ca_file": self._file(("metrics", "ca_file"), part.get("ca_file"))})

    def _database(self) -> DatabasePart | None:
        if not (part := self._part("database")):
            return None
        self._url(("database", "url"), part["url"], ("postgresql", "postgres"))
        return DatabasePart(**part)

    def _cache(self) -> CachePart | None:
        if not (part := self._part("cache")):
            return None
        self._url(("cache", "url"), part["url"], ("redis", "rediss"))
        return CachePart(**part)

    def _webhooks(self) -> WebhooksPart | None:
        if not (part := self._part("webhooks")):
            return None
        if "advertise_url" in part:
            self._url(("webhooks", "advertise_url"), part["advertise_url"], ("https", "http"), bare=True)
        return WebhooksPart(**part)

    def _tenant(self) -> TestTenant | None:
        if not (part := self._part("test_tenant")):
            return None
        redaction.register(part["password"])
        return TestTenant(**part)

    def _file(self, at: Sequence[str], name: str | None) -> Path | None:
        """Find a file named relative to the environment file."""
        if name is None:
            return None
        path = self._document.path.parent / name
        if not path.is_file():
            raise self._document.error(at, f"there is no file {path}. Name the PEM file of the CA.")
        return path.absolute()

    def _url(self, at: Sequence[str], url: str, schemes: Sequence[str], *, bare: bool = False) -> str:
        """Check an address; its value is never in the message, as it may hold a password.

        ``bare``: an origin (and path) alone, without credentials, query or fragment.
        """
        parts = _split(url)
        if parts is not None and parts.password:
            redaction.register(parts.password)
        wanted = " or ".join(f"{scheme}://host[:port]" for scheme in schemes)
        if parts is None or parts.scheme not in schemes or not parts.hostname or re.search(r"\s", url):
            raise self._document.error(at, f"not an address of the kind {wanted}. Write it out in full.")
        if bare and (parts.username or parts.password or parts.query or parts.fragment):
            raise self._document.error(
                at, "an address without credentials, query and fragment is wanted here. Leave them out."
            )
        return url


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what finds a bad port
    except ValueError:
        return None
    return parts


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
