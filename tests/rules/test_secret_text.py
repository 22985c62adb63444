"""Secrets in text: what is one by format, name or randomness, and what is none."""

from __future__ import annotations

import base64
import random

import pytest

from bais_gates.rules.secret_text import looks_secret, weakness

SECRETS = [
    *(("DB_PASSWORD", value) for value in ("hunter2", "123456", "a b")),
    *((name, "abc") for name in ("API_KEY", "SLACK_TOKEN", "MY_SECRET", "AWS_SECRET_ACCESS_KEY", "apiToken")),
    *((name, "x1") for name in ("POSTGRES_PASS", "ADMIN_PWD", "clientSecret", "DB_PASSWORD_PROD", "db-pass")),
    *(
        (name, "xxx")
        for name in ("AZURE_BATCH_KEY", "OCI_CLI_KEY_CONTENT", "PAGERDUTY_API_KEY", "JWT_SECRET_2")
    ),
    ("SESSION_SALT", "9f8a7b6c5d4e3f2a1b0c"),
    ("ENCRYPTION_KEY", "Zm9vYmFyYmF6cXV4Zm9vYmFy"),
    ("SECRET_BACKEND_TEST_A1", "9f8a7b6c5d4e3f2a1b0c"),
    ("URL", "postgresql://user:pw@db/x"),
    ("URL", "rediss://:hunter2@r:6379/0"),
    ("URL", "jdbc:postgresql://db/x?user=u&password=hunter2"),
    ("ODBC", "Server=x;User Id=u;Password=hunter2;"),
    ("DSN_OF_IT", "host=db user=x password=hunter2"),
    ("PEM", "-----BEGIN EC PRIVATE KEY-----"),
    ("PEM", "---BEGIN OPENSSH PRIVATE KEY---\nxxxxx\n"),
    ("AGE", "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ"),
    ("ID", "AKIA" + "ABCDEFGHIJKLMNOP"),
    ("HOOK", "https://hooks.slack.com/services/" + "T0/B0/abc"),
    ("X", "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789"),
    ("X", "glpat-" + "abcdefghijklmnopqrst"),
    ("X", "sk_live_" + "abcdefghijklmnopqrstuvwx"),
    ("X", "xoxb-" + "123456789012-abcdefghijkl"),
    ("X", "AIza" + "SyA1234567890abcdefghijklmnopqrstuv"),
    ("X", "hvs." + "CAESIJabcdefghijklmnop"),
    ("X", "SG." + "a" * 22 + "." + "b" * 43),
    (
        "X",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    ),
    ("X", "curl -H 'Authorization: Bearer abcdef1234567890' https://x"),
    ("X", "curl -u admin:hunter2 https://x"),
    ("X", "PGPASSWORD=hunter2 psql -h x"),
    ("X", "redis-cli -h x -a hunter2 ping"),
    ("X", "mysql -uroot -phunter2 x"),
    ("X", "backup --password hunter2"),
    ("X", "backup --api-key=abcdef123456"),
    ("X", "export SECRET_KEY='abcdefgh1'"),
    ("X", "psql -c \"ALTER ROLE x PASSWORD 'hunter2'\""),
    ("redis.conf", "# c\nrequirepass foobared\n"),
    ("users.acl", "user default on >hunter2 ~* +@all"),
    (".pgpass", "db:5432:bais:u:hunter2\n"),
    (".netrc", "machine x login y password zebra"),
    ("config.yaml", 'a: b\nsmtp:\n  password: "hunter2"\n'),
    ("credentials", "[default]\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"),
    ("settings.xml", "<server><password>hunter2</password></server>"),
    ("beans.xml", '<property name="password" value="hunter2"/>'),
    ("values.yaml", "env:\n- name: DB_PASSWORD\n  value: hunter2\n"),
    ("userlist.txt", '"bais_app" "hunter2"\n'),
    ("pg", "SCRAM-SHA-256$4096:abc$def:ghi"),
    (".htpasswd", "u:$apr1$abcdefgh$abcdefghijkl"),
    ("B", base64.b64encode(b"PASSWORD=hunter2hunter2").decode()),
    ("B", "x " + base64.b64encode(b"postgresql://user:pw@db/x").decode() + " y"),
]
NONE = [
    *(
        ("DB_PASSWORD", value)
        for value in ("", "$(OTHER)", "$OTHER", "${OTHER}", "<password>", "{{ .x }}", "****")
    ),
    *(("DB_PASSWORD_FILE", value) for value in ("/run/secrets/db", "x")),
    *((name, "15m") for name in ("TOKEN_TTL", "API_KEY_ROTATION", "SECRET_REFRESH")),
    *((name, "argon2id") for name in ("PASSWORD_HASHER", "PASSWORD_ENCRYPTION", "TOKEN_TYPE", "SECRET_NAME")),
    ("RATE_LIMIT_PER_TOKEN", "100"),
    ("SECRETS_ENABLED", "true"),
    ("PASSWORD_MIN_LENGTH", "12"),
    ("TOKEN_BUCKET", "redis"),
    ("TOKENIZER", "bert-base-uncased"),
    ("COMPASS", "north"),
    ("MONKEY", "banana"),
    ("AUTHOR", "jane"),
    ("AUTH_MODE", "jwt"),
    ("SORT_KEY", "created_at"),
    ("OAUTH_TOKEN_URL", "https://x/y"),
    ("URL", "https://api.example/path"),
    ("URL", "postgresql://user@db/x"),
    ("URL", "postgresql://$(DB_USER):$(DB_PASSWORD)@bais-postgres:5432/bais"),
    ("X", 'PGPASSWORD="$DB_PASSWORD" pg_dump | age -r "$AGE_RECIPIENT"'),
    ("X", "pw=$(cat /run/secrets/x); token=${TOKEN}"),
    ("X", "psql -v app_password=\"$P\" <<'E'\nCREATE ROLE x LOGIN PASSWORD :'app_password';\nE"),
    ("X", "the token: see the documentation"),
    ("README.md", "To rotate the password: see the runbook. A token: ask the owner."),
    ("forgot_password", "Forgotten your password?"),
    ("logback.xml", "%replace(%msg){'password=\\S+','password=***'}"),
    ("flags.json", '{"passwordless": true, "allow_password": "optional"}'),
    ("IMAGE", "registry.bais.example/bais-api@sha256:" + "0e2657aeb781a5758a78a7eecce13e66" * 2),
    ("COMMIT", "0e2657aeb781a5758a78a7eecce13e66e65d1d48"),
    ("ID", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
    ("AGE_RECIPIENT", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"),
    ("CIPHERS", "ECDHE-ECDSA-AES128-GCM-SHA256:TLS_AES_256_GCM_SHA384"),
    ("JAVA_OPTS", "-XX:+UseG1GC -XX:MaxGCPauseMillis=200 -Djava.security.egd=file:/dev/./urandom"),
    ("CA", "/usr/local/share/ca-certificates/Bais2024-root.crt"),
    (
        "ca.crt",
        "-----BEGIN CERTIFICATE-----\nMIIBkTCB+wIJAKHHIG4xZk3mMA0GCSqGSIb3DQEB\n-----END CERTIFICATE-----\n",
    ),
    ("postgresql.conf", "password_encryption = scram-sha-256\nssl_key_file = '/x/tls.key'\n"),
    ("pg_hba.conf", "hostssl all all 0.0.0.0/0 scram-sha-256"),
    ("app.py", "token = get_token(request)\npassword = os.environ['X']\nsecret = config.secret\n"),
]


@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_a_secret_is_recognised(name: str, value: str) -> None:
    """By its format, also in base64; by its name, also in a file or a command."""
    assert looks_secret(name, value) is not None
    assert value not in (looks_secret(name, value) or "")


@pytest.mark.parametrize(("name", "value"), NONE)
def test_what_is_no_secret(name: str, value: str) -> None:
    """References, file names, numbers, options, digests, ids, certificates and code are none."""
    assert looks_secret(name, value) is None


def test_a_random_value_counts_in_settings_only() -> None:
    """Of a setting it is a secret; of an annotation it may be an id."""
    letters = random.Random(10)
    values = [base64.b64encode(letters.randbytes(32)).decode() for _ in range(50)]

    assert sum(looks_secret("MODE", value) is not None for value in values) >= 48
    assert not any(looks_secret("example.com/mode", value, free=False) for value in values)


@pytest.mark.parametrize(
    ("name", "value", "weak"),
    [
        ("DB_PASSWORD", "", "is empty"),
        ("DB_PASSWORD", "Password1!", "is a well-known default"),
        ("DB_PASSWORD", "changeme", "is a well-known default"),
        ("DB_PASSWORD", "1111", "is a well-known default"),
        ("DB_PASSWORD", "bais_app", "is the name of its user"),
        ("DB_PASSWORD", "zpNdL_3TB1YmxR2TYdaFc_UwoOo8ouev", None),
        ("DATABASE_URL", "postgresql://bais:bais@db/x", "is the name of its user"),
        ("DATABASE_URL", "postgresql://bais:postgres@db/x", "is a well-known default"),
        ("REDIS_URL", "redis://:@r:6379", "is empty"),
        ("DATABASE_URL", "postgresql://bais:zpNdL_3TB1Ymx@db/x", None),
        ("DB_USER", "postgres", None),
        ("LOG_LEVEL", "default", None),
    ],
)
def test_weak_passwords(name: str, value: str, weak: str | None) -> None:
    """Empty ones, names of users and well-known defaults; values that are no password have no weakness."""
    assert weakness(name, value, frozenset({"bais_app"})) == weak
