"""Secrets of staging: generated once, kept, its own, and redacted in every message."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from bais_gates import redaction
from bais_gates.sandbox.services import redis
from bais_gates.staging import credentials
from bais_gates.staging.errors import StageCode, StageError

if TYPE_CHECKING:
    from tests.staging.conftest import Stage

NAMESPACE = "bais-staging"


def _decoded(secrets: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    return {
        one["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in one["data"].items()}
        for one in secrets
    }


def test_generated_values_are_kept_and_variables_take_precedence() -> None:
    """A second provisioning reuses the first one's values; the environment file's replace them."""
    first = credentials.resolve({}, {})
    kept = credentials.decode(credentials.generated_secret(first, NAMESPACE))

    assert credentials.resolve({}, kept) == first
    assert credentials.resolve({"SECRET_KEY": "from-the-file"}, kept)["SECRET_KEY"] == "from-the-file"
    assert credentials.resolve({}, {})["DB_PASSWORD"] != first["DB_PASSWORD"]


def test_secrets_are_consistent(stage: Stage) -> None:
    """The API's URLs hold the passwords of database and cache, with special characters quoted."""
    values = credentials.resolve({"DB_PASSWORD": "p@ss/w:rd%20?", "PAGERDUTY_API_KEY": "pager-key"}, {})
    made = _decoded(credentials.platform_secrets(values, stage.objects, NAMESPACE))

    address = urlsplit(made["bais-api"]["DATABASE_URL"])
    assert (address.hostname, address.path) == ("bais-postgres", "/bais")
    assert address.password == "p%40ss%2Fw%3Ard%2520%3F"
    assert made["bais-postgres"]["DB_PASSWORD"] == "p@ss/w:rd%20?"
    cache = urlsplit(made["bais-api"]["REDIS_URL"])
    assert f"user bais_app on >{cache.password} " in made["bais-redis"]["users.acl"]
    assert made["bais-redis"]["users.acl"].startswith("user default off\n")
    assert made["bais-api"]["PAGERDUTY_API_KEY"] == "pager-key"
    assert made["bais-backup"]["AGE_RECIPIENT"].startswith("age1")


def test_urls_require_tls_if_the_servers_have_it(stage: Stage) -> None:
    """URLs require a verified certificate if the configuration enables TLS."""
    values = credentials.resolve({}, {})
    for name, key, text in (
        ("bais-postgres", "postgresql.conf", "ssl = on\n"),
        ("bais-redis", "redis.conf", "port 0\ntls-port 6379\n"),
    ):
        stage.manifest("ConfigMap", name)["data"][key] = text
    api = _decoded(credentials.platform_secrets(values, stage.objects, NAMESPACE))["bais-api"]

    assert "sslmode=verify-full" in api["DATABASE_URL"]
    assert api["REDIS_URL"].startswith("rediss://")


def test_values_are_redacted_at_once(stage: Stage) -> None:
    """Redaction removes each value, also in its base64 and URL forms."""
    values = credentials.resolve({"SLACK_WEBHOOK_URL": "https://hooks.example/T0/secret-part"}, {})
    secrets = credentials.platform_secrets(values, stage.objects, NAMESPACE)
    text = str(values) + str(secrets) + str(_decoded(secrets))

    redacted = redaction.redact(text)

    for name, value in values.items():
        if name not in {"DB_USER", "AGE_RECIPIENT"}:
            assert value not in redacted


def test_unknown_secret_is_refused(stage: Stage) -> None:
    """A reference to an unknown Secret is refused by workload and name, before anything is applied."""
    spec = stage.manifest("Deployment", "bais-api")["spec"]["template"]["spec"]
    spec["volumes"].append({"name": "x", "secret": {"secretName": "forgotten"}})

    with pytest.raises(StageError, match="Deployment bais-api refers to the Secret forgotten") as caught:
        stage.provision()

    assert caught.value.code is StageCode.SECRET_MISSING
    assert stage.server.written == []


def test_password_with_white_space_is_refused() -> None:
    """White space would end the password in users.acl and begin a rule; the error does not show it."""
    with pytest.raises(StageError) as caught:
        credentials.resolve({"REDIS_PASSWORD": "two words +@all"}, {})

    assert "two words" not in str(caught.value)


def test_the_users_of_every_cache_have_the_same_rights() -> None:
    """What the platform and gates may do in staging is what they may do in the sandbox's own cache."""
    assert (credentials.APP_RIGHTS, credentials.GATES_RIGHTS) == (redis.APP_RIGHTS, redis.GATES_RIGHTS)
