"""The file that tells the server where to listen, whom to trust, where to log and how pods are judged."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_KEYS = ("tls_cert", "tls_key", "tokens", "host", "port", "fd", "audit_log", "pod_security")


class ConfigError(Exception):
    """A configuration that can't be used; the message is one paragraph for the user."""


class Violation(Protocol):
    """What a pod does that its namespace's level forbids."""

    @property
    def message(self) -> str:
        """The reason and, in brackets, the detail: ``hostNetwork != true (...)``."""


class PodSecurity(Protocol):
    """The Pod Security Standards, handed in by whoever starts the server: the function ``pod_security``."""

    def __call__(self, obj: Mapping[str, Any], level: str, *, version: str) -> Iterable[Violation]:
        """Return what ``level`` forbids about a pod, or about the pod template of a workload.

        ``obj`` is a Pod, Deployment, ReplicaSet, StatefulSet, Job or CronJob with its defaults; ``level`` is
        baseline or restricted; ``version`` is the version of the policy, ``v1.N``. An exception is answered
        with 500: a pod that could not be judged is not let in.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who asks, as the authenticator found out."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What ``python -m bais_gates.sandbox.cluster.apiserver CONFIG.json`` reads.

    ``tokens`` maps a bearer token to its user; without one only health endpoints and /version answer.
    ``fd`` is an inherited socket to serve on instead of host and port. ``audit_log``: file for JSON lines of
    audit.k8s.io/v1, or None. ``pod_security``: in the file ``package.module:function``; without it no Pod
    Security is enforced.
    """

    tls_cert: Path
    tls_key: Path
    tokens: dict[str, User]
    host: str = "127.0.0.1"
    port: int = 0
    fd: int | None = None
    audit_log: Path | None = None
    pod_security: PodSecurity | None = None


def load(path: Path) -> Config:
    """Read the file. Raises ConfigError with the file, the key, the remedy."""
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: can't be read as JSON ({error})") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a JSON object with tls_cert, tls_key and tokens")
    if unknown := sorted(set(raw) - set(_KEYS)):
        raise ConfigError(f"{path}: {unknown[0]}: unknown key; the keys are {', '.join(sorted(_KEYS))}")
    for key in ("tls_cert", "tls_key", "tokens"):
        if not raw.get(key):
            raise ConfigError(f"{path}: {key}: is missing")
    for key in ("port", "fd"):
        if not isinstance(raw.get(key, 0), int | None) or isinstance(raw.get(key), bool):
            raise ConfigError(f"{path}: {key}: must be a whole number")
    if not isinstance(raw["tokens"], list):
        raise ConfigError(f"{path}: tokens: must be a list of objects with token and user")
    return Config(
        host=str(raw.get("host", "127.0.0.1")),
        port=raw.get("port") or 0,
        fd=raw.get("fd"),
        tls_cert=Path(raw["tls_cert"]),
        tls_key=Path(raw["tls_key"]),
        tokens=dict(_token(path, index, each) for index, each in enumerate(raw["tokens"])),
        audit_log=Path(raw["audit_log"]) if raw.get("audit_log") else None,
        pod_security=_function(path, str(raw["pod_security"])) if raw.get("pod_security") else None,
    )


def _token(path: Path, index: int, raw: Any) -> tuple[str, User]:
    if not isinstance(raw, dict) or not raw.get("token") or not raw.get("user"):
        raise ConfigError(f"{path}: tokens[{index}]: needs token and user (and may have uid and groups)")
    user = User(
        name=str(raw["user"]),
        uid=str(raw.get("uid", "")),
        groups=tuple(str(group) for group in raw.get("groups", ())),
    )
    return str(raw["token"]), user


def _function(path: Path, named: str) -> PodSecurity:
    module, _, name = named.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{path}: pod_security: can't import {named} ({error}); name it as package.module:function"
        ) from error
    return found  # type: ignore[no-any-return]  # what a name leads to has no type
