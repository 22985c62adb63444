"""The file that tells the server where to listen, whom to trust and where to write its audit log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class ConfigError(Exception):
    """A configuration that can't be used; the message is one paragraph for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who asks, as the authenticator found out."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What ``python -m bais_gates.sandbox.cluster.apiserver CONFIG.json`` reads.

    ``tokens`` maps a bearer token to its user.
    ``anonymous``: whether a request without a token is let in as system:anonymous everywhere, or only to
    the health endpoints and /version. ``audit_log``: file for JSON lines of audit.k8s.io/v1, or None.
    """

    tls_cert: Path
    tls_key: Path
    tokens: dict[str, User]
    host: str = "127.0.0.1"
    port: int = 0
    fd: int | None = None
    audit_log: Path | None = None
    anonymous: bool = False


def load(path: Path, *, fd: int | None = None) -> Config:
    """Read the file; ``fd`` stands above its own. Raises ConfigError with the file, the key, the remedy."""
    from pathlib import Path as AnyPath  # noqa: PLC0415 - the name is a type everywhere else

    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: can't be read as JSON ({error})") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a JSON object with tls_cert, tls_key and tokens")
    known = {"host", "port", "fd", "tls_cert", "tls_key", "tokens", "audit_log", "anonymous"}
    if unknown := sorted(set(raw) - known):
        raise ConfigError(f"{path}: {unknown[0]}: is not known; the keys are {', '.join(sorted(known))}")
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
        fd=raw.get("fd") if fd is None else fd,
        tls_cert=AnyPath(raw["tls_cert"]),
        tls_key=AnyPath(raw["tls_key"]),
        tokens=dict(_token(path, index, each) for index, each in enumerate(raw["tokens"])),
        audit_log=AnyPath(raw["audit_log"]) if raw.get("audit_log") else None,
        anonymous=bool(raw.get("anonymous", False)),
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
