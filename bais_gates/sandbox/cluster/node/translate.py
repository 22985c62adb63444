"""From a pod's container to the configuration that the sandbox's runtime starts it with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.controllers.claims import data_of
from bais_gates.sandbox.cluster.controllers.objects import Object, labels_of, name_of, namespace_of, spec_of
from bais_gates.sandbox.cluster.node import addresses, inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.sandbox.cluster.controllers.world import World

_SETTING = re.compile(
    r"""^[ \t]*([a-zA-Z_][\w.]*)[ \t]*[= \t][ \t]*(?:'((?:[^']|'')*)'|([^'#\n]*?))[ \t]*(?:\#.*)?$""",
    re.MULTILINE,
)
"""A line of postgresql.conf: the name, and the value in quotes or without."""
_TEXTS = {
    "ENVIRONMENT": "environment",
    "VERSION": "version",
    "DATABASE_URL": "database_url",
    "REDIS_URL": "redis_url",
    "SECRET_KEY": "secret_key",
}
_LIMITS = {
    "RATE_LIMIT_PER_TOKEN": "per_token",
    "RATE_LIMIT_PER_ADDRESS": "per_address",
    "RATE_LIMIT_WINDOW_S": "window_s",
}


def configuration(
    world: World,
    pod: Object,
    container: Mapping[str, Any],
    kind: str,
    *,
    volumes: Path,
    own: Mapping[int, str | None],
) -> dict[str, Any]:
    """Return the runtime's configuration of a container of ``kind``; ``own`` as for ``addresses.resolve``.

    Raise ``MissingError``, ``UnmountableError`` or ``NotYetError``.
    """
    mounted = inputs.files(world, pod, container)
    values = {
        name: addresses.resolve(world, namespace_of(pod), text, own) if name.endswith("_URL") else text
        for name, text in inputs.environment(world, pod, container).items()
    }
    image = str(container["image"])
    match kind:
        case "postgres":
            return postgres(values, mounted, volume=_volume(world, pod, mounted))
        case "redis":
            return redis(mounted)
        case "api":
            name = labels_of(pod).get("app.kubernetes.io/name", "bais-api")
            return {"image": image, "settings": api(values), "group": f"{namespace_of(pod)}/{name}"}
        case "migrate":
            return {"image": image, "database_url": _needed(values, "DATABASE_URL")}
        case _:
            folder = volumes / _volume(world, pod, mounted)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return {
                "database_url": _needed(values, "DATABASE_URL"),
                "recipient": _needed(values, "AGE_RECIPIENT"),
                "directory": str(folder),
            }


def _needed(values: Mapping[str, str], name: str) -> str:
    if not values.get(name):
        raise inputs.MissingError(f"the environment variable {name} is not set")
    return values[name]


def _volume(world: World, pod: Object, mounted: inputs.Files) -> str:
    """Return the name of the data that the container's claim holds: ``namespace.claim``."""
    claims = list(mounted.claims.values())
    if not claims:
        return f"{namespace_of(pod)}.{name_of(pod)}"
    claim = world.get("PersistentVolumeClaim", namespace_of(pod), claims[0])
    volume = world.get("PersistentVolume", "", str(spec_of(claim or {}).get("volumeName") or ""))
    return data_of(volume) if volume is not None else f"{namespace_of(pod)}.{claims[0]}"


def postgres(values: Mapping[str, str], mounted: inputs.Files, *, volume: str) -> dict[str, Any]:
    """Return what the official image and the script ``10-roles.sh`` make of the environment."""
    settings = settings_of(mounted.ending("postgresql.conf") or "")
    user = values.get("POSTGRES_USER") or "postgres"
    roles: dict[str, Any] = {}
    if values.get("DB_USER") and values.get("DB_PASSWORD"):
        roles["app"] = {"name": values["DB_USER"], "password": values["DB_PASSWORD"]}
    if values.get("GATES_PASSWORD"):
        roles["gates"] = {"name": "gates_ro", "password": values["GATES_PASSWORD"]}
    return {
        "volume": volume,
        "user": user,
        "password": _needed(values, "POSTGRES_PASSWORD"),
        "database": values.get("POSTGRES_DB") or user,
        "settings": settings,
        "roles": roles,
        "tls": settings.get("ssl") in {"on", "true", "yes", "1"},
    }


def settings_of(text: str) -> dict[str, str]:
    """Read a ``postgresql.conf``: the last value of each setting, without quotes and comments."""
    return {
        name.lower(): quoted.replace("''", "'") or plain for name, quoted, plain in _SETTING.findall(text)
    }


def redis(mounted: inputs.Files) -> dict[str, Any]:
    """Return the server's configuration file without the lines that name other files, and its users."""
    lines = (mounted.ending("redis.conf") or mounted.ending("valkey.conf") or "").splitlines()
    kept = [line for line in lines if line.split(maxsplit=1)[:1] not in (["aclfile"], ["include"])]
    return {"configuration": "\n".join(kept) + "\n", "users": mounted.ending("users.acl") or ""}


def api(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the API's settings that the environment names. Raise ``MissingError`` for a wrong number."""
    settings: dict[str, Any] = {key: values[name] for name, key in _TEXTS.items() if name in values}
    limits = {key: _number(values, name) for name, key in _LIMITS.items() if name in values}
    if limits:
        settings["rate_limit"] = limits
    if "DATABASE_POOL" in values:
        settings["database_pool"] = _number(values, "DATABASE_POOL")
    return settings


def _number(values: Mapping[str, str], name: str) -> int:
    try:
        return int(values[name])
    except ValueError:
        raise inputs.MissingError(f"the environment variable {name} must be a whole number") from None
