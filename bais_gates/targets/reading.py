"""Build the parts of an environment file from its validated document, variables filled in."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bais_gates import redaction
from bais_gates.errors import GateInputError
from bais_gates.targets.addresses import problem_of, split_url
from bais_gates.targets.parts import (
    ApiPart,
    BackupPart,
    CachePart,
    CacheSettings,
    CapacityPart,
    Component,
    DatabasePart,
    KubernetesPart,
    Limits,
    LoadPart,
    MetricsPart,
    MonitoringPart,
    Names,
    OncallPart,
    PaymentsPart,
    RateLimit,
    RecoveryPart,
    ReleasePart,
    SecurityPart,
    SigningPart,
    StagingPart,
    StatusPage,
    TestTenant,
    TlsPart,
    WebhooksPart,
)
from bais_gates.targets.rollout import RolloutPart, WatchPart
from bais_gates.verdict.waivers import read_waiver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bais_gates.verdict.files import Document
    from bais_gates.verdict.model import JsonValue

PRODUCTION: Final = "production"
_DIGEST: Final = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_PUBLIC_SUFFIXES: Final = ("_EMAIL", "_HOST", "_NAME", "_PORT", "_USER")  # values may be printed
_POSTGRES: Final = ("postgresql", "postgres")


class Reader:
    """Builds the parts of one file; all errors are one GateInputError, a line for each file, line and key."""

    def __init__(self, document: Document, data: dict[str, JsonValue]) -> None:
        self._document = document
        self._data = data
        self._problems: list[str] = []

    def fields(self) -> dict[str, Any]:
        """Return the fields of an Environment besides name, path and digest."""
        variables = self._variables(self._part("variables"))
        parts = {
            "api": self._api(),
            "rate_limit": RateLimit(**part) if (part := self._part("rate_limit")) else None,
            "database": self._database(),
            "cache": self._cache(),
            "webhooks": self._webhooks(),
            "payments": PaymentsPart(**part) if (part := self._part("payments")) else None,
            "metrics": self._metrics(),
            "monitoring": self._monitoring(),
            "oncall": self._oncall(),
            "load": self._load(),
            "rollout": self._rollout(),
            "signing": SigningPart(key_file=self._document.path.parent / part["key_file"])
            if (part := self._part("signing"))
            else None,
            "limits": Limits(path=self._document.path, values=tuple(part.items()))
            if (part := self._part("limits"))
            else None,
            "test_tenant": self._tenant(),
            **self._platform(variables),
        }
        described = {key: part for key, part in parts.items() if part is not None}
        self._check_production(described)
        if self._problems:
            raise GateInputError("\n".join(self._problems))
        return {
            "provision": str(self._data.get("provision", "none")),
            "parts": described,
            "variables": variables,
            "allow": tuple(_list(self._data.get("allow"))),
            **self._not_applicable(),
        }

    def _not_applicable(self) -> dict[str, Any]:
        """Return the gates that do not apply with the reasons, and the declarations that are dated."""
        declared = self._part("not_applicable")
        dated = {key: entry for key, entry in declared.items() if isinstance(entry, dict)}
        return {
            "not_applicable": tuple(
                (key, entry["reason"].strip() if key in dated else entry) for key, entry in declared.items()
            ),
            "exemptions": tuple(
                read_waiver(
                    self._document,
                    ("not_applicable", key),
                    {**entry, "gate": key, "environment": self._data["name"]},
                )
                for key, entry in dated.items()
            ),
        }

    def _report(self, at: Sequence[str | int], text: str) -> None:
        self._problems.append(str(self._document.error(at, text)))

    def _part(self, key: str) -> dict[str, Any]:
        part = self._data.get(key)
        return dict(part) if isinstance(part, dict) else {}

    # -- the API and its stores --

    def _api(self) -> ApiPart | None:
        if not (part := self._part("api")):
            return None
        url = self._url(("api", "url"), part["url"], ("https", "http"), bare=True)
        ca_file = self._ca_file(("api", "ca_file"), part.get("ca_file"))
        return ApiPart(**{**part, "url": url.rstrip("/"), "ca_file": ca_file})

    def _metrics(self) -> MetricsPart | None:
        if not (part := self._part("metrics")):
            return None
        self._url(("metrics", "url"), part["url"], ("https", "http"), bare=True)
        return MetricsPart(**{**part, "ca_file": self._ca_file(("metrics", "ca_file"), part.get("ca_file"))})

    def _monitoring(self) -> MonitoringPart | None:
        if not (part := self._part("monitoring")):
            return None
        for key in ("prometheus_url", "alertmanager_url", "inbox_url"):
            if key in part:
                url = self._url(("monitoring", key), part[key], ("https", "http"), bare=True)
                part[key] = url.rstrip("/")
        for name, url in part.get("addresses", {}).items():
            self._url(("monitoring", "addresses", name), url, ("https", "http"))
        if "log_query_url" in part:
            at = ("monitoring", "log_query_url")
            if "{request_id}" not in self._url(at, part["log_query_url"], ("https", "http")):
                self._report(at, "{request_id} is missing. Write it where the search expects it.")
        redaction.register(part.get("token", ""))
        part["absent"] = tuple(part.get("absent", {}).items())
        part["addresses"] = tuple(part.get("addresses", {}).items())
        part["ca_file"] = self._ca_file(("monitoring", "ca_file"), part.get("ca_file"))
        return MonitoringPart(**_tuples(part))

    def _oncall(self) -> OncallPart | None:
        if not (part := self._part("oncall")):
            return None
        for key in ("token", "routing_key", "sender"):
            redaction.register(part.get(key, ""))
        self._check_pages_url(part)
        for channel, url in part.get("chat", {}).items():
            redaction.register(url)
            self._url(("oncall", "chat", channel), url, ("https", "http"))
        for key in ("api_url", "events_url", "pages_url"):
            if key in part:
                part[key] = self._url(("oncall", key), part[key], ("https", "http"), bare=True).rstrip("/")
        for key in ("rotation", "records"):
            if key in part:
                part[key] = self._path(part[key])
        if page := part.get("status_page"):
            redaction.register(page["token"])
            if "api_url" in page:
                at = ("oncall", "status_page", "api_url")
                page["api_url"] = self._url(at, page["api_url"], ("https", "http"), bare=True).rstrip("/")
            part["status_page"] = StatusPage(**page)
        return OncallPart(**part)

    def _check_pages_url(self, part: Mapping[str, Any]) -> None:
        if "pages_url" in part and self._data.get("name") != "sandbox":
            text = "only a sandbox may ask for pages elsewhere than at their own address."
            self._report(("oncall", "pages_url"), text)

    def _load(self) -> LoadPart | None:
        if not (part := self._part("load")):
            return None
        if "rate_per_s" in part and self._data.get("name") != "sandbox":
            at = ("load", "rate_per_s")
            self._report(at, "only a sandbox may ask for less than capacity.requests_per_s.")
        if "accounts" in part:
            part["accounts"] = (self._document.path.parent / part["accounts"]).absolute()
        part["mix"] = tuple(part.get("mix", {}).items())
        return LoadPart(**_tuples(part))

    def _rollout(self) -> RolloutPart | None:
        if not (part := self._part("rollout")):
            return None
        if url := part.get("scratch_url"):
            self._url(("rollout", "scratch_url"), url, _POSTGRES)
        return RolloutPart(**{**part, "watch": WatchPart(**part.get("watch", {}))})

    def _database(self) -> DatabasePart | None:
        if not (part := self._part("database")):
            return None
        self._url(("database", "url"), part["url"], _POSTGRES)
        return DatabasePart(**part)

    def _cache(self) -> CachePart | None:
        if not (part := self._part("cache")):
            return None
        parts = split_url(self._url(("cache", "url"), part["url"], ("redis", "rediss")))
        if parts is not None and not parts.path.strip("/").isdigit() and parts.path.strip("/"):
            self._report(("cache", "url"), "the database behind the / is not a number. Write one, as /0.")
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

    # -- the cluster and what runs in it --

    def _platform(self, variables: Mapping[str, str]) -> dict[str, Any]:
        settings = self._part("database_settings")
        return {
            "kubernetes": self._kubernetes(),
            "release": self._release(),
            "tls": self._tls(),
            "backup": self._backup(),
            "security": self._security(),
            "recovery": self._recovery(),
            "capacity": CapacityPart(**part) if (part := self._part("capacity")) else None,
            "database_settings": {name: _setting(value) for name, value in settings.items()} or None,
            "cache_settings": CacheSettings(**_tuples(part))
            if (part := self._part("cache_settings"))
            else None,
            "staging": self._staging(variables),
        }

    def _kubernetes(self) -> KubernetesPart | None:
        if not (part := self._part("kubernetes")):
            return None
        for key in ("context", "admin_context", "secrets_context", "deploy_context"):
            if key in part and not str(part[key]).strip():
                self._report(
                    ("kubernetes", key), "the context is empty. Name one: there is no default context."
                )
        part["kubeconfig"] = self._path(part["kubeconfig"])
        part["trusted_subjects"] = tuple(part.get("trusted_subjects", {}).items())
        part["names"] = Names(**part.get("names", {}))
        part["components"] = tuple(
            (name, Component(**component)) for name, component in part.get("components", {}).items()
        )
        return KubernetesPart(**_tuples(part))

    def _release(self) -> ReleasePart | None:
        if not (part := self._part("release")):
            return None
        self._digest(("release", "image"), part.get("image"))
        return ReleasePart(**part)

    def _tls(self) -> TlsPart | None:
        if not (part := self._part("tls")):
            return None
        if "http_url" in part:
            part["http_url"] = self._url(("tls", "http_url"), part["http_url"], ("http",), bare=True)
        return TlsPart(**_tuples(part))

    def _backup(self) -> BackupPart | None:
        if not (part := self._part("backup")):
            return None
        part["directory"] = self._path(part["directory"])
        redaction.register(part.get("identity", ""))
        if "scratch_url" in part:
            self._url(("backup", "scratch_url"), part["scratch_url"], _POSTGRES)
        return BackupPart(**part)

    def _security(self) -> SecurityPart | None:
        if not (part := self._part("security")):
            return None
        for key in ("audit_record", "exceptions"):
            if key in part:
                part[key] = self._path(part[key])
        for key in ("scans", "incident_procedures"):
            if key in part:
                part[key] = tuple(self._path(one) for one in part[key])
        roles = part.get("privileged_roles", {})
        part["privileged_roles"] = {name: tuple(role["rights"]) for name, role in roles.items()}
        return SecurityPart(**_tuples(part))

    def _recovery(self) -> RecoveryPart | None:
        if not (part := self._part("recovery")):
            return None
        if "record" in part:
            part["record"] = self._path(part["record"])
        if "database_url" in part:
            self._url(("recovery", "database_url"), part["database_url"], _POSTGRES)
        return RecoveryPart(**part)

    def _staging(self, variables: Mapping[str, str]) -> StagingPart | None:
        if not (part := self._part("staging")):
            return None
        for index, image in enumerate(part.get("images", ())):
            self._digest(("staging", "images", index), image)
        own = self._variables(part.get("variables", {}))
        return StagingPart(**_tuples({**part, "variables": {**variables, **own}}))

    def _variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        for name, value in variables.items():
            if not name.endswith(_PUBLIC_SUFFIXES):
                redaction.register(value)
            parts = split_url(value) if "://" in value else None
            if parts is not None and parts.password:
                redaction.register(parts.password)
        return dict(variables)

    def _check_production(self, described: Mapping[str, Any]) -> None:
        """Refuse a file that would let a gate write to a production cluster."""
        cluster, api = described.get("kubernetes"), described.get("api")
        if cluster is None:
            return
        names = {self._data["name"], api.environment if api is not None else None}
        if PRODUCTION in names and not cluster.read_only:
            self._report(("kubernetes", "read_only"), "gates only read production. Write read_only: true.")
        if cluster.read_only and cluster.admin_context is not None:
            self._report(
                ("kubernetes", "admin_context"),
                "a read_only cluster has no context to write with. Remove the key.",
            )
        if cluster.read_only and "staging" in described:
            self._report(("staging",), "nothing is staged in a read_only cluster. Remove the key.")
        if cluster.read_only and "recovery" in described and described["recovery"].drill:
            self._report(("recovery", "drill"), "no drill runs in a read_only cluster. Write drill: false.")

    # -- values --

    def _path(self, name: str) -> Path:
        """Return a path relative to the environment file as an absolute one; ``~`` is the home folder."""
        return (self._document.path.parent / Path(name).expanduser()).absolute()

    def _ca_file(self, at: Sequence[str], name: str | None) -> Path | None:
        """Return the absolute path of a CA file that is named relative to the environment file."""
        if name is None:
            return None
        path = self._document.path.parent / name
        if not path.is_file():
            self._report(at, f"no file {path}. Name the PEM file of the CA.")
        elif not _holds_certificate(path):
            self._report(at, f"no certificate can be read from {path}. Name the PEM file of the CA.")
        return path.absolute()

    def _digest(self, at: Sequence[str | int], image: str | None) -> None:
        if image is not None and not _DIGEST.fullmatch(image):
            self._report(at, "name the image by its digest: NAME@sha256:<64 hex digits>.")

    def _url(self, at: Sequence[str], url: str, schemes: Sequence[str], *, bare: bool = False) -> str:
        """Check an address and return it. Its value is never in a message, as it may hold a password.

        ``bare``: scheme, host and path alone, without credentials, query or fragment.
        """
        parts = split_url(url)
        if parts is not None and parts.password:
            redaction.register(parts.password)
        if problem := problem_of(url, schemes, bare=bare):
            self._report(at, problem)
        return url


def _holds_certificate(path: Path) -> bool:
    try:
        return bool(ssl.create_default_context(cafile=path).get_ca_certs())
    except OSError:
        return False


def _list(value: JsonValue) -> list[Any]:
    return value if isinstance(value, list) else []


def _tuples(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part with its lists as tuples, for a frozen value."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in part.items()}


def _setting(value: object) -> str:
    """Return a setting as PostgreSQL shows it: ``on`` and ``off`` for booleans."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
