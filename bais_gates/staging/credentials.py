"""The staged platform's own secrets: generated once, kept when it is provisioned again, shared with nobody.

The generated values are kept in one Secret of the namespace (``bais-gates-generated``). The Secrets that the
manifests refer to are built from them and from the variables of the environment file, which take precedence.
Every value is registered with redaction as soon as it is known.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from bais_gates import redaction
from bais_gates.extras import optional
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.plan import Step, secrets_needed
from bais_gates.staging.workload import has_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bais_gates.staging.readiness import Object

pyrage = optional("pyrage", extra="bais")

GENERATED: Final = "bais-gates-generated"
"""The Secret that keeps the generated values."""
GATES_USER: Final = "gates_ro"
"""The read-only user of database and cache (10-roles.sh creates the database's role)."""
CACHE_USER: Final = "bais_app"
DATABASE: Final = "bais"
APP_RIGHTS: Final = "~* &* +@all -@admin -@dangerous -function -script|flush -script|kill -script|debug +info"
"""All that a cache's client needs, scripts included; without FLUSHALL, KEYS, CONFIG, SHUTDOWN and DEBUG."""
GATES_RIGHTS: Final = (
    "~* resetchannels -@all +@read +@connection -@dangerous +info +dbsize +config|get +slowlog|get "
    "+slowlog|len +latency|latest +latency|history +memory|usage +memory|stats +client|list "
    "+acl|users +acl|dryrun +acl|whoami "
    "(~bais-gates:* -@all +set +del)"
)
_UNSAFE_IN_ACL: Final = re.compile(r"\s")


def _age_recipient() -> str:
    """Return a public key for backups that nobody restores: its private key is discarded."""
    return str(pyrage.x25519.Identity.generate().to_public())


_GENERATORS: Final[dict[str, Callable[[], str]]] = {
    "POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(24),
    "DB_PASSWORD": lambda: secrets.token_urlsafe(24),
    "GATES_PASSWORD": lambda: secrets.token_urlsafe(24),
    "REDIS_PASSWORD": lambda: secrets.token_urlsafe(24),
    "REDIS_GATES_PASSWORD": lambda: secrets.token_urlsafe(24),
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "AGE_RECIPIENT": _age_recipient,
}
_FIXED: Final = {"DB_USER": "bais_app"}
_PUBLIC: Final = frozenset({"DB_USER", "AGE_RECIPIENT"})
_OPTIONAL: Final = ("PAGERDUTY_API_KEY", "SLACK_WEBHOOK_URL")


def resolve(variables: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """Return every value for the Secrets: the variable's, else the kept one, else a new one."""
    values = {**_FIXED, **{name: kept[name] for name in _GENERATORS if kept.get(name)}}
    values.update((name, value) for name, value in variables.items() if value)
    for name, generate in _GENERATORS.items():
        if name not in values:
            values[name] = generate()
    for name, value in values.items():
        if name not in _PUBLIC:
            redaction.register(value)
    if _UNSAFE_IN_ACL.search(values["REDIS_PASSWORD"] + values["REDIS_GATES_PASSWORD"]):
        raise StageError(
            StageCode.MANIFESTS,
            "REDIS_PASSWORD or REDIS_GATES_PASSWORD has white space, which the cache's ACL file can't hold",
        )
    return values


def value_names() -> tuple[str, ...]:
    """Return the names of all values for the Secrets."""
    return (*_GENERATORS, *_FIXED)


def generated_secret(values: Mapping[str, str], namespace: str) -> Object:
    """Return the Secret that keeps the generated values."""
    return _secret(GENERATED, namespace, {name: values[name] for name in _GENERATORS})


def platform_secrets(values: Mapping[str, str], objects: list[Object], namespace: str) -> list[Object]:
    """Return the Secrets that the manifests refer to; raise ``StageError`` for an unknown one."""
    database, cache = _addresses(values, objects)
    optional = {name: values[name] for name in _OPTIONAL if values.get(name)}
    known: dict[str, dict[str, str]] = {
        "bais-api": {
            "DATABASE_URL": database,
            "REDIS_URL": cache,
            "SECRET_KEY": values["SECRET_KEY"],
            **optional,
        },
        "bais-postgres": {
            name: values[name] for name in ("POSTGRES_PASSWORD", "DB_USER", "DB_PASSWORD", "GATES_PASSWORD")
        },
        "bais-redis": {"users.acl": _acl(values)},
        "bais-backup": {"DATABASE_URL": database, "AGE_RECIPIENT": values["AGE_RECIPIENT"]},
    }
    needed = secrets_needed(objects)
    unknown = sorted(set(needed) - set(known))
    if unknown:
        raise StageError(
            StageCode.SECRET_MISSING,
            f"{needed[unknown[0]]} refers to the Secret {unknown[0]}, which staging does not create",
            step=Step.CONFIGURATION,
        )
    return [_secret(name, namespace, data) for name, data in known.items() if name in needed]


def _addresses(values: Mapping[str, str], objects: list[Object]) -> tuple[str, str]:
    """Return the URLs of database and cache, with TLS if their configuration enables it."""
    user, password = (quote(values[name], safe="") for name in ("DB_USER", "DB_PASSWORD"))
    database = f"postgresql://{user}:{password}@bais-postgres:5432/{DATABASE}"
    if has_tls(_configuration(objects, "bais-postgres", "postgresql.conf")):
        database += "?sslmode=verify-full&sslrootcert=/ca/ca.crt"
    scheme, options = "redis", ""
    if has_tls(_configuration(objects, "bais-redis", "redis.conf")):
        scheme, options = "rediss", "?ssl_ca_certs=/ca/ca.crt"
    password = quote(values["REDIS_PASSWORD"], safe="")
    return database, f"{scheme}://{CACHE_USER}:{password}@bais-redis:6379/0{options}"


def _configuration(objects: list[Object], name: str, key: str) -> str:
    """Return one file of a ConfigMap among the objects, empty if it is absent."""
    for obj in objects:
        if obj.get("kind") == "ConfigMap" and (obj.get("metadata") or {}).get("name") == name:
            return str((obj.get("data") or {}).get(key) or "")
    return ""


def _acl(values: Mapping[str, str]) -> str:
    users = (
        (CACHE_USER, values["REDIS_PASSWORD"], APP_RIGHTS),
        (GATES_USER, values["REDIS_GATES_PASSWORD"], GATES_RIGHTS),
    )
    lines = ["user default off", *(f"user {name} on >{word} {rights}" for name, word, rights in users)]
    return "\n".join(lines) + "\n"


def _secret(name: str, namespace: str, data: Mapping[str, str]) -> Object:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    for value in encoded.values():
        redaction.register(value)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "bais"},
        },
        "type": "Opaque",
        "data": encoded,
    }


def decode(secret: Mapping[str, Any] | None) -> dict[str, str]:
    """Return a Secret's values, decoded and registered with redaction; binary ones are left out."""
    values: dict[str, str] = {}
    for key, encoded in ((secret or {}).get("data") or {}).items():
        try:
            value = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, TypeError):
            continue
        if key not in _PUBLIC:
            redaction.register(value)
            redaction.register(str(encoded))
        values[str(key)] = value
    return values


def certificate_authority(secret: Mapping[str, Any] | None) -> str:
    """Return ``ca.crt`` of a TLS Secret, empty when it has none; the private key is not read."""
    encoded = ((secret or {}).get("data") or {}).get("ca.crt") or ""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError):
        return ""
