"""Secrets of staging: made once, kept, its own, and never readable in what is said."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from bais_gates import redaction
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


def test_what_was_generated_is_kept_and_a_variable_goes_before_it() -> None:
    """A second provisioning finds the first one's values; the environment file's replace them."""
    first = credentials.settle({}, {})
    kept = credentials.read(credentials.generated(first, NAMESPACE))

    assert credentials.settle({}, kept) == first
    assert credentials.settle({"SECRET_KEY": "from-the-file"}, kept)["SECRET_KEY"] == "from-the-file"
    assert credentials.settle({}, {})["DB_PASSWORD"] != first["DB_PASSWORD"]


def test_the_secrets_fit_together(stage: Stage) -> None:
    """The API's addresses hold the passwords that database and cache are told, whatever is in them."""
    values = credentials.settle({"DB_PASSWORD": "p@ss/w:rd%20?", "PAGERDUTY_API_KEY": "pager-key"}, {})
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


def test_tls_is_asked_for_where_the_servers_have_it(stage: Stage) -> None:
    """Addresses ask for a verified certificate exactly where the configuration switches TLS on."""
    values = credentials.settle({}, {})
    for name, key, text in (
        ("bais-postgres", "postgresql.conf", "ssl = on\n"),
        ("bais-redis", "redis.conf", "port 0\ntls-port 6379\n"),
    ):
        stage.manifest("ConfigMap", name)["data"][key] = text
    api = _decoded(credentials.platform_secrets(values, stage.objects, NAMESPACE))["bais-api"]

    assert "sslmode=verify-full" in api["DATABASE_URL"]
    assert api["REDIS_URL"].startswith("rediss://")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ssl = on", "on"),
        ("ssl=on", "on"),
        ("ssl on", "on"),
        ("SSL = 'on'", "on"),
        ("ssl = off\nssl = on  # twice", "on"),
        ("# ssl = on", None),
        ("ssl_cert_file = '/x'", None),
        ("", None),
    ],
)
def test_reading_a_setting(text: str, value: str | None) -> None:
    """The last line of a setting counts, comments and other names do not."""
    assert credentials.setting(text, "ssl") == value


def test_every_value_is_redacted_as_soon_as_it_is_known(stage: Stage) -> None:
    """Neither a value nor its base64 or URL form gets through redaction."""
    values = credentials.settle({"SLACK_WEBHOOK_URL": "https://hooks.example/T0/secret-part"}, {})
    secrets = credentials.platform_secrets(values, stage.objects, NAMESPACE)
    text = str(values) + str(secrets) + str(_decoded(secrets))

    said = redaction.redact(text)

    for name, value in values.items():
        if name not in {"DB_USER", "AGE_RECIPIENT"}:
            assert value not in said


def test_a_secret_that_nobody_makes_is_named(stage: Stage) -> None:
    """A reference to an unknown Secret is refused with its workload and name, before anything is applied."""
    spec = stage.manifest("Deployment", "bais-api")["spec"]["template"]["spec"]
    spec["volumes"].append({"name": "x", "secret": {"secretName": "forgotten"}})

    with pytest.raises(StageError, match="Deployment bais-api names the Secret forgotten") as caught:
        stage.provision()

    assert caught.value.code is StageCode.SECRET_MISSING
    assert stage.server.written == []


def test_a_password_that_an_acl_file_can_not_hold_is_refused() -> None:
    """White space would end the password in users.acl, and begin a rule."""
    with pytest.raises(StageError) as caught:
        credentials.settle({"REDIS_PASSWORD": "two words +@all"}, {})

    assert "two words" not in str(caught.value)
