"""Permissions in a running sandbox, and the content of its environment file."""

from __future__ import annotations

import json
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
import yaml
from cryptography import x509
from redis.backoff import NoBackoff
from redis.retry import Retry

from bais_gates import sandbox
from bais_gates.targets.environment import load_environment


@pytest.fixture(scope="module")
def described(running: sandbox.SandboxInfo) -> dict[str, dict[str, str]]:
    """Return the environment file's content."""
    content: dict[str, dict[str, str]] = yaml.safe_load(running.environment_file.read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def api(running: sandbox.SandboxInfo) -> dict[str, str]:
    """Return the configuration of the API."""
    content: dict[str, str] = json.loads((running.directory / "api.json").read_text(encoding="utf-8"))
    return content


def test_the_environment_file_is_a_valid_one(running: sandbox.SandboxInfo) -> None:
    """The environment file of a sandbox describes every part that a run needs."""
    environment = load_environment(str(running.environment_file), gates_dir=running.directory)

    assert environment.name == "sandbox"
    assert environment.api.url == running.api_url
    assert environment.database
    assert environment.cache
    assert environment.limits
    assert environment.webhooks
    assert environment.rehearsal


def test_files_are_private(running: sandbox.SandboxInfo) -> None:
    """Only the user who started a sandbox can read its files or enter its folder."""
    for path in [running.directory, *running.directory.rglob("*")]:
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_gates_read_all_and_write_nothing(described: dict[str, dict[str, str]], api: dict[str, str]) -> None:
    """gates_ro reads the statistics, and tables of later migrations; it changes nothing."""
    with psycopg.connect(api["database_url"], autocommit=True) as app:
        app.execute("CREATE TABLE later_made (n int); INSERT INTO later_made VALUES (7)")
        try:
            with psycopg.connect(described["database"]["url"], autocommit=True) as gates:
                assert gates.execute("SELECT n FROM later_made").fetchone() == (7,)
                assert gates.execute("SELECT count(*) > 0 FROM pg_stat_statements").fetchone() == (True,)
                seen = gates.execute(
                    "SELECT query FROM pg_stat_activity WHERE usename = 'bais_app'"
                ).fetchall()
                assert seen
                assert "<insufficient privilege>" not in str(seen)
                gates.execute("SET default_transaction_read_only = off")
                for statement in (
                    "INSERT INTO later_made VALUES (8)",
                    "CREATE TABLE mine (n int)",
                    "DROP TABLE later_made",
                    "ALTER ROLE gates_ro SUPERUSER",
                    "SELECT rolpassword FROM pg_authid",
                    "COPY (SELECT 1) TO PROGRAM 'true'",
                    "SELECT pg_read_file('/etc/passwd')",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        gates.execute(statement.encode())
        finally:
            app.execute("DROP TABLE later_made")


def test_the_application_is_no_superuser(api: dict[str, str]) -> None:
    """bais_app owns only its database; passwords are stored as SCRAM verifiers, and required."""
    with psycopg.connect(api["database_url"], autocommit=True) as app:
        row = app.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row == (False, False, False)
        assert app.execute("SHOW password_encryption").fetchone() == ("scram-sha-256",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE ROLE other")
    address = urlsplit(api["database_url"])
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host=address.hostname, port=address.port, dbname="bais", user="bais_app", password="guessed"
        )


def test_no_password_is_among_the_statistics(
    described: dict[str, dict[str, str]], api: dict[str, str]
) -> None:
    """Neither pg_stat_statements nor a log file shows a role's password."""
    passwords = [urlsplit(url).password or "" for url in (api["database_url"], described["database"]["url"])]
    with psycopg.connect(described["database"]["url"]) as gates:
        queries = str(gates.execute("SELECT query FROM pg_stat_statements").fetchall())
    logs = "".join(file.read_text(errors="replace") for file in Path(api["logs"]).glob("*.log"))

    assert all(len(password) >= 32 and password not in queries + logs for password in passwords)


def test_redis_lets_each_do_its_own(described: dict[str, dict[str, str]], api: dict[str, str]) -> None:
    """The API can't flush or configure; gates read all and write only their keys; a password is required."""
    app = redis.Redis.from_url(api["redis_url"])
    gates = redis.Redis.from_url(described["cache"]["url"])
    app.set("a-key-of-the-app", "1", ex=30)
    assert app.eval("return redis.call('GET', KEYS[1])", 1, "a-key-of-the-app") == b"1"
    for command in ("FLUSHALL", "KEYS *", "CONFIG SET maxmemory 1", "SHUTDOWN", "BGSAVE"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            app.execute_command(*command.split())  # type: ignore[no-untyped-call]  # redis leaves it untyped

    assert gates.get("a-key-of-the-app") == b"1"
    assert gates.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
    assert gates.set("bais-gates:timing", "1", ex=5)
    assert gates.delete("bais-gates:timing") == 1
    for command in ("SET a-key-of-the-app 2", "DEL a-key-of-the-app", "FLUSHDB", "CONFIG SET maxmemory 1"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            gates.execute_command(*command.split())  # type: ignore[no-untyped-call]  # redis leaves it untyped
    address, once = urlsplit(api["redis_url"]), Retry(NoBackoff(), 0)
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(host=str(address.hostname), port=int(address.port or 0), retry=once).ping()
    app.delete("a-key-of-the-app")
    app.close()
    gates.close()


def test_the_certificate_stands_up_to_a_strict_client(running: sandbox.SandboxInfo) -> None:
    """The server has a short-lived certificate for localhost and 127.0.0.1 that a strict client accepts."""
    trust = ssl.create_default_context(cafile=running.directory / "ca.pem")
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    port = urlsplit(running.api_url).port
    for name in ("localhost", "127.0.0.1"):
        with (
            socket.create_connection(("127.0.0.1", int(port or 0)), timeout=5) as plain,
            trust.wrap_socket(plain, server_hostname=name) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    certificate = x509.load_der_x509_certificate(shown or b"")

    assert certificate.not_valid_after_utc - datetime.now(UTC) < timedelta(days=90)
    assert not list(running.directory.glob("ca*.key"))
    with (
        socket.create_connection(("127.0.0.1", int(port or 0)), timeout=5) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
