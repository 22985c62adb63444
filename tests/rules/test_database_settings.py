"""The rules about PostgreSQL's settings: required, stated, overridden, and not in effect."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules import database_requirements as required
from bais_gates.rules import database_settings as settings

EVERY = (
    required.LOSSY
    | required.DURABILITY
    | required.MAINTENANCE
    | required.SERVICE
    | required.AUDIT
    | required.AUTHENTICATION
)


def row(value: str, *, unit: str | None = None, **over: Any) -> dict[str, Any]:
    """Make a row of pg_settings."""
    base = {"setting": value, "reset_val": value, "boot_val": value, "unit": unit, "vartype": "enum"}
    more = {"context": "superuser", "category": "", "source": "configuration file", "pending_restart": False}
    return base | more | over


@pytest.mark.parametrize(
    ("name", "value", "unit", "holds"),
    [
        ("fsync", "off", None, False),
        ("fsync", "on", None, True),
        ("synchronous_commit", "off", None, False),
        ("synchronous_commit", "local", None, True),
        ("wal_level", "minimal", None, False),
        ("autovacuum_naptime", "60", "s", True),
        ("autovacuum_naptime", "86400", "s", False),
        ("autovacuum_vacuum_scale_factor", "100", None, False),
        ("idle_in_transaction_session_timeout", "0", "ms", False),
        ("idle_in_transaction_session_timeout", "60s", "ms", True),
        ("statement_timeout", "0", "ms", True),
        ("statement_timeout", "20", "ms", False),
        ("statement_timeout", "nonsense", "ms", False),
        ("log_connections", "off", None, False),
        ("log_connections", "receipt,authentication", None, True),
        ("log_statement", "none", None, False),
        ("log_min_messages", "fatal", None, False),
        ("log_destination", "", None, False),
        ("log_error_verbosity", "terse", None, False),
        ("session_replication_role", "replica", None, False),
        ("password_encryption", "md5", None, False),
        ("ssl_min_protocol_version", "TLSv1.1", None, False),
        ("ssl_min_protocol_version", "TLSv1.3", None, True),
        ("ssl_ciphers", "HIGH:MEDIUM:+3DES:!aNULL", None, True),
        ("ssl_ciphers", "ALL:!aNULL", None, False),
        ("ssl_ciphers", "HIGH:RC4-SHA", None, False),
        ("ssl_ciphers", "DEFAULT@SECLEVEL=0", None, False),
    ],
)
def test_required_values(name: str, value: str, unit: str | None, *, holds: bool) -> None:
    """A finding names the setting, its value and what it must be."""
    found = settings.setting_findings({name: row(value, unit=unit)}, EVERY, {})

    assert (found == []) is holds
    assert all(one.startswith(f"{name}: ") and "must be" in one for one in found)


def test_a_stated_value_excuses_all_but_lost_data() -> None:
    """The environment file may state a weaker value, but none that loses data."""
    effective = {"fsync": row("off"), "data_checksums": row("off")}

    found = settings.setting_findings(effective, EVERY, {"fsync": "off", "data_checksums": "off"})

    assert found == ["fsync: off, must be on"]


def override(name: str, value: str, role: str | None = "app", database: str | None = None) -> dict[str, Any]:
    """Make a row of pg_db_role_setting."""
    return {"role": role, "database": database, "name": name, "value": value}


KNOWN = {
    "synchronous_commit": row("on"),
    "statement_timeout": row("0", unit="ms", vartype="integer", context="user"),
    "idle_in_transaction_session_timeout": row("60000", unit="ms", vartype="integer", context="user"),
    "TimeZone": row("GMT", category="Client Connection Defaults / Locale and Formatting", context="user"),
    "work_mem": row("4096", unit="kB", vartype="integer", context="user"),
    "transform_null_equals": row("off", vartype="bool", context="user"),
    "jit": row("off", vartype="bool", context="user"),
    "enable_seqscan": row("on", category="Query Tuning / Planner Method Configuration", context="user"),
    "fsync": row("on", context="sighup"),
}
STATED = {"jit": "off", "TimeZone": "GMT", "idle_in_transaction_session_timeout": "60s"}


@pytest.mark.parametrize(
    ("one", "remedy"),
    [
        (override("synchronous_commit", "off"), "ALTER ROLE app RESET synchronous_commit"),
        (
            override("synchronous_commit", "off", database="bais"),
            "ALTER ROLE app IN DATABASE bais RESET synchronous_commit",
        ),
        (override("synchronous_commit", "off", None, "bais"), "ALTER DATABASE bais RESET synchronous_commit"),
        (override("synchronous_commit", "off", "reader"), "ALTER ROLE reader RESET synchronous_commit"),
        (override("jit", "on"), "ALTER ROLE app RESET jit"),
        (override("enable_seqscan", "off"), "ALTER ROLE app RESET enable_seqscan"),
        (override("statement_timeout", "20ms"), "ALTER ROLE app RESET statement_timeout"),
        (override("statement_timeout", "20ms", "reader"), None),
        (override("idle_in_transaction_session_timeout", "0"), "ALTER ROLE app RESET idle_in"),
        (override("idle_in_transaction_session_timeout", "5s"), None),
        (override("timezone", "Europe/Berlin"), "ALTER ROLE app RESET timezone"),
        (override("TimeZone", "Europe/Berlin", "reader"), None),
        (override("jit", "false"), None),
        (override("fsync", "off"), None),
        (override("work_mem", "64MB"), None),
        (override("work_mem", "2GB"), "ALTER ROLE app RESET work_mem"),
        (override("work_mem", "2GB", "reader"), None),
        (override("transform_null_equals", "on", None, "bais"), "ALTER DATABASE bais RESET transform_null"),
    ],
)
def test_settings_of_roles_and_databases(one: dict[str, Any], remedy: str | None) -> None:
    """What weakens a requirement or differs from what is stated is found, with its remedy."""
    found = settings.override_findings([one], KNOWN, EVERY, STATED, application={"app"}, developer=True)

    assert len(found) == (remedy is not None)
    assert remedy is None or remedy in found[0]


def test_search_paths() -> None:
    """Of the application's roles and of the database; the server's own is fine."""
    known = {"search_path": row('"$user", public')}
    rows = [
        override("search_path", "evil, public"),
        override("search_path", "public"),
        override("search_path", "reporting", "reader"),
    ]
    found = settings.search_path_findings(rows, known, application={"app"})

    assert found == ["app: search_path = evil, public (ALTER ROLE app RESET search_path)"]


def test_settings_of_other_sessions() -> None:
    """What the gates' own connection and role set is replaced by the server's value, or left out."""
    known = {"a": row("own", source="client", boot_val="boot"), "b": row("x"), "c": row("own", source="user")}
    files = [{"name": "c", "setting": "file"}]

    assert set(settings.server_settings(known, None)) == {"b"}
    seen = settings.server_settings(known, files)
    assert {name: one["reset_val"] for name, one in seen.items()} == {"a": "boot", "b": "x", "c": "file"}


def test_configuration_files() -> None:
    """An error, and a value that a reload would change, are found; the last line of a setting counts."""

    def line(name: str, value: str, error: str | None = None) -> dict[str, Any]:
        return {"name": name, "setting": value, "file": "f:1", "error": error, "applied": error is None}

    known = {"fsync": row("on"), "port": row("1", source="command line")}
    assert (
        settings.file_findings([line("fsync", "off"), line("fsync", "true"), line("port", "2")], known) == []
    )
    assert "pg_reload_conf" in settings.file_findings([line("fsync", "off")], known)[0]
    assert settings.file_findings([line("fsync", "x", "bad")], known) == ["f:1: fsync bad"]


def test_developer_options() -> None:
    """They keep their defaults, except those that compile statements."""
    options = {
        "zero_damaged_pages": row("on", boot_val="off", category="Developer Options"),
        "jit_expressions": row("off", boot_val="on", category="Developer Options"),
    }
    assert settings.developer_findings(options) == [
        "zero_damaged_pages: on, must be off (ALTER SYSTEM RESET zero_damaged_pages)"
    ]


@pytest.mark.parametrize(
    ("over", "found"),
    [
        ({}, 0),
        ({"log_line_prefix": "%m "}, 1),
        ({"log_destination": "csvlog"}, 1),
        ({"log_destination": "csvlog", "logging_collector": "on"}, 0),
        ({"logging_collector": "on", "log_file_mode": "0644"}, 1),
    ],
)
def test_the_log(over: dict[str, str], found: int) -> None:
    """Lines say when, who, where and from where; a format gets the collector that it needs."""
    log = {"log_line_prefix": "%m [%p] %u@%d %r ", "log_destination": "stderr", "logging_collector": "off"}
    values = log | {"log_file_mode": "0600"} | over

    assert len(settings.log_findings({name: row(value) for name, value in values.items()})) == found


@pytest.mark.parametrize(
    ("mode", "command", "failing", "found"),
    [
        ("off", "", False, 0),
        ("on", "", False, 1),
        ("on", "/bin/true", False, 1),
        ("on", "test ! -f /a/%f && cp %p /a/%f", False, 0),
        ("on", "test ! -f /a/%f && cp %p /a/%f", True, 1),
    ],
)
def test_archiving(mode: str, command: str, failing: bool, found: int) -> None:
    """WAL that is to be archived is."""
    known = {"archive_mode": row(mode), "archive_command": row(command)}

    assert len(settings.archive_findings(known, {"failing": failing, "failed_wal": "0001"})) == found


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ({"default_transaction_read_only": "on", "statement_timeout": "30s"}, 0),
        ({"default_transaction_read_only": "on"}, 1),
        ({"default_transaction_read_only": "on", "statement_timeout": "0"}, 1),
        ({"statement_timeout": "30s"}, 1),
        ({}, 2),
    ],
)
def test_the_gates_role_reads_only_and_ends(rows: dict[str, str], found: int) -> None:
    """Its own settings count before the database's and the server's."""
    known = {
        "default_transaction_read_only": row("off", vartype="bool"),
        "statement_timeout": row("0", unit="ms", vartype="integer"),
    }
    own = [override(name, value, "gates") for name, value in rows.items()]
    other = [override("statement_timeout", "1ms", "app")]

    assert len(settings.gates_findings([*own, *other], known, "gates")) == found
    whole = [override(name, value, None, "bais") for name, value in rows.items()]
    assert len(settings.gates_findings([*whole, *other], known, "gates")) == found


def test_a_standby_that_is_named_must_stream() -> None:
    """Without one, every commit waits."""
    named = {"synchronous_standby_names": row("'s1'")}

    assert len(settings.standby_findings(named, [])) == 1
    assert settings.standby_findings(named, [{"state": "streaming"}]) == []
    assert settings.standby_findings({"synchronous_standby_names": row("")}, []) == []
