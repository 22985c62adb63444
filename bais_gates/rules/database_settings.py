"""Judge PostgreSQL's settings: as the environment file states them, for durability, maintenance and audit.

Rows have the columns that ``probes.database_health.SETTINGS`` selects. What the environment file states under
``database_settings`` takes the place of a requirement, unless the setting loses or corrupts data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from bais_gates.rules.database_requirements import (
    AUDIT,
    FALSE,
    GATES,
    LOSSY,
    SERVICE,
    TRUE,
    Requirement,
    amount,
)

Row = Mapping[str, Any]


def differing_settings(expected: Mapping[str, object], settings: Mapping[str, Row]) -> list[str]:
    """List the settings whose effective value differs from the expected one."""
    differing = []
    by_name = {name.lower(): row for name, row in settings.items()}  # as in TimeZone and timezone
    for name, value in expected.items():
        row = by_name.get(name.lower())
        if row is None:
            differing.append(f"{name}: unknown to this server")
        elif not is_same_setting(value, row):
            differing.append(f"{name}: {row['setting']}{row['unit'] or ''}, expected {value}")
    return sorted(differing)


_ALIASES: Final = {"pglz": TRUE, "debug2": {"debug"}}
"""Values that PostgreSQL shows, and others that mean them."""


def is_same_setting(expected: object, row: Row) -> bool:
    """Return whether a value ("32MB", true, 100) equals the setting of a row, whatever their units."""
    value, setting = str(expected).strip().lower(), str(row["setting"]).strip().lower()
    if row["vartype"] in {"bool", "enum"} and ({value, setting} <= TRUE or {value, setting} <= FALSE):
        return True
    if row["vartype"] == "enum" and value in _ALIASES.get(setting, ()):
        return True
    if row["vartype"] in {"integer", "real"}:
        left, right = amount(value, row["unit"]), amount(setting, row["unit"])
        return left is not None and right is not None and math.isclose(left, right, rel_tol=1e-9)
    return value.strip("'") == setting


def settings_pending_restart(settings: Mapping[str, Row]) -> list[str]:
    """List the settings that were changed in a file and take effect with the next restart."""
    return sorted(name for name, row in settings.items() if row["pending_restart"])


def server_settings(settings: Mapping[str, Row], files: Iterable[Row] | None) -> dict[str, dict[str, Any]]:
    """Return the settings as other sessions have them: without those of the gates' own role and connection.

    ``files`` are the rows of pg_file_settings in their order; without them (None) such settings are left out.
    """
    own = {name for name, row in settings.items() if row["source"] in _OWN_SOURCES}
    values = (
        {} if files is None else {str(row["name"]).lower(): row["setting"] for row in files if row["name"]}
    )
    return {
        name: {
            **row,
            "reset_val": values.get(name.lower(), row["boot_val"]) if name in own else row["reset_val"],
        }
        for name, row in settings.items()
        if name not in own or files is not None
    }


def file_findings(files: Iterable[Row], settings: Mapping[str, Row]) -> list[str]:
    """List the faults of the configuration files, and their settings that are not in effect yet.

    Source: PostgreSQL documentation, "pg_file_settings".
    """
    rows = list(files)
    found = [
        f"{row['file']}: {row['name'] or ''} {row['error']}"
        for row in rows
        if row["error"] and not row["applied"]
    ]
    last = {str(row["name"]): row for row in rows if row["name"] and not row["error"]}
    for name, row in last.items():
        setting = settings.get(name)
        if setting is None or setting["pending_restart"] or setting["source"] not in _FROM_FILES:
            continue
        if not is_same_setting(row["setting"], {**setting, "setting": setting["reset_val"]}):
            remedy = f"SELECT pg_reload_conf(), or ALTER SYSTEM RESET {name}"
            found.append(
                f"{name}: {setting['reset_val']} in effect, {row['setting']} in {row['file']} ({remedy})"
            )
    return sorted(found)


_FROM_FILES: Final = {"configuration file", "default"}
_OWN_SOURCES: Final = {"client", "user", "database user", "session"}


_FINE_DEVELOPER_OPTIONS: Final = ("jit_", "backtrace_functions", "restrict_nonsystem_relation_kind")
_PREFIX_PARTS: Final = (
    ("time", "mtn"),
    ("process", "pc"),
    ("user", "u"),
    ("database", "d"),
    ("client", "rh"),
)


def setting_findings(
    settings: Mapping[str, Row], required: Mapping[str, Requirement], stated: Mapping[str, object]
) -> list[str]:
    """List the settings in effect that do not meet ``required``.

    A value ``stated`` in the environment file excuses one, except those of :data:`LOSSY`. Source: that of
    each table.
    """
    found = []
    for name, requirement in required.items():
        row = settings.get(name)
        if row is None or _is_excused(name, row, stated):
            continue
        value = str(row["reset_val"])
        if not requirement.holds(value, row):
            found.append(f"{name}: {value or 'empty'}{_unit(row)}, must be {requirement.wanted}")
    return found


def _unit(row: Row) -> str:
    return f" {row['unit']}" if row["unit"] and str(row["reset_val"]).strip("-0123456789.") == "" else ""


def _is_excused(name: str, row: Row, stated: Mapping[str, object]) -> bool:
    return (
        name not in LOSSY
        and name in stated
        and is_same_setting(stated[name], {**row, "setting": row["reset_val"]})
    )


def developer_findings(settings: Mapping[str, Row]) -> list[str]:
    """List the developer options that differ from their default, and disabled methods of the planner.

    Source: PostgreSQL documentation, "Developer Options" (not for production databases) and "Planner Method
    Configuration" (a temporary solution).
    """
    return sorted(
        f"{name}: {row['reset_val']}, must be {row['boot_val'] or 'empty'} (ALTER SYSTEM RESET {name})"
        for name, row in settings.items()
        if _is_for_developers(name, row) and row["reset_val"] != row["boot_val"]
    )


def _is_for_developers(name: str, row: Row) -> bool:
    planner = str(row["category"]).endswith("Planner Method Configuration") and row["boot_val"] == "on"
    return planner or (
        row["category"] == "Developer Options" and not name.startswith(_FINE_DEVELOPER_OPTIONS)
    )


def log_findings(settings: Mapping[str, Row]) -> list[str]:
    """List what the server's log lacks: fields of its lines, or the collector that its format needs.

    Source: CIS PostgreSQL 3.1.2, 3.1.3, 3.1.24; PCI DSS 10.2.2.
    """
    found = []
    prefix = str(settings["log_line_prefix"]["reset_val"])
    destinations = {one.strip() for one in str(settings["log_destination"]["reset_val"]).split(",")}
    fields = set(re.findall(r"%-?\d*(\w)", prefix))
    if destinations & {"stderr", "syslog"}:
        missing = [what for what, letters in _PREFIX_PARTS if fields.isdisjoint(letters)]
        if missing:
            found.append(f"log_line_prefix: {prefix!r} lacks the {', '.join(missing)}")
    collector = str(settings["logging_collector"]["reset_val"])
    if collector == "off" and destinations <= {"csvlog", "jsonlog"}:
        found.append(
            f"logging_collector: off, and log_destination {', '.join(sorted(destinations))} needs it"
        )
    mode = int(str(settings["log_file_mode"]["setting"]), 8)
    if collector == "on" and mode & 0o137:
        found.append(f"log_file_mode: {mode:04o}, must be 0600 or 0640")
    return found


def audit_requirements(settings: Mapping[str, Row]) -> dict[str, Requirement]:
    """Return :data:`AUDIT`, in which pgaudit takes the place of log_statement where it logs DDL.

    Source: CIS PostgreSQL 3.2.
    """
    audited = {
        one.strip().lower() for one in str(settings.get("pgaudit.log", {}).get("reset_val", "")).split(",")
    }
    return {
        name: one for name, one in AUDIT.items() if name != "log_statement" or not audited & {"ddl", "all"}
    }


def archive_findings(settings: Mapping[str, Row], archiver: Row) -> list[str]:
    """List why WAL is not archived that is to be.

    Source: PostgreSQL documentation, "Continuous Archiving".
    """
    if settings["archive_mode"]["reset_val"] == "off":
        return []
    found = []
    command = str(settings["archive_command"]["reset_val"]).strip()
    library = str(settings.get("archive_library", {}).get("reset_val", "")).strip()
    if not library and re.fullmatch(r"|\(disabled\)|:|(/usr)?(/bin/)?true|exit 0|echo\b.*", command):
        found.append(f"archive_command: {command or 'empty'!r} archives nothing")
    if archiver["failing"]:
        found.append(f"archiver: fails since {archiver['failed_wal']} (see the server's log)")
    return found


def override_findings(
    overrides: Iterable[Row],
    settings: Mapping[str, Row],
    required: Mapping[str, Requirement],
    stated: Mapping[str, object],
    *,
    application: Collection[str],
    developer: bool = False,
) -> list[str]:
    """List the settings of roles and databases that are not as ``required`` or as ``stated``.

    ``developer`` adds developer options and disabled plans. A shorter timeout than stated is free, and so are
    formats (time zone, locale) of all but the application's roles and databases, for which alone those of
    :data:`SERVICE` are judged. Source: PostgreSQL documentation, "ALTER ROLE" and that of each table.
    """
    found = []
    known = {name.lower(): name for name in settings}  # as in TimeZone and timezone
    stated = {known.get(name.lower(), name): value for name, value in stated.items()}
    for row in overrides:
        name, value = known.get(str(row["name"]).lower(), ""), str(row["value"])
        setting = settings.get(name)
        if setting is None or setting["context"] not in {"user", "superuser"}:
            continue
        requirement = required.get(name)
        if name in SERVICE and row["role"] is not None and row["role"] not in application:
            requirement = None
        where = (
            " in ".join(f"{kind} {row[kind]}" for kind in ("role", "database") if row[kind] is not None)
            or "all roles"
        )
        wanted = None
        if requirement is not None and not requirement.holds(value, setting):
            wanted = requirement.wanted
        elif developer and _is_for_developers(name, setting) and value != setting["boot_val"]:
            wanted = str(setting["boot_val"])
        elif (
            name in stated
            and (_is_applied(row, application) or not _is_format(setting))
            and _overrides(name, value, stated[name], setting)
        ):
            wanted = str(stated[name])
        if wanted is not None:
            found.append(f"{where}: {name} = {value}, must be {wanted} ({_reset(row)})")
    return sorted(found)


def _overrides(name: str, value: str, stated: object, setting: Row) -> bool:
    if is_same_setting(stated, {**setting, "setting": value}) or is_same_setting(
        value, {**setting, "setting": stated}
    ):
        return False
    if name.endswith("_timeout"):
        own, limit = amount(value, setting["unit"]), amount(str(stated), setting["unit"])
        return own is None or limit is None or own == 0 or own > limit
    return True


def _is_format(setting: Row) -> bool:
    return str(setting["category"]).endswith("Locale and Formatting")


def _is_applied(row: Row, application: Collection[str]) -> bool:
    return row["role"] is None or row["role"] in application


def gates_findings(overrides: Iterable[Row], settings: Mapping[str, Row], gates: str) -> list[str]:
    """List the settings of the gates' own role that let it write or run for ever.

    ``settings`` are those of :func:`server_settings`. Source: that of :data:`GATES`.
    """
    rows = sorted(overrides, key=lambda row: (row["role"] is not None, row["database"] is not None))
    found = []
    for name, requirement in GATES.items():
        setting = settings.get(name, {"reset_val": "off", "unit": "ms"})
        own = [row["value"] for row in rows if row["name"] == name and row["role"] in {None, gates}]
        value = str(own[-1] if own else setting["reset_val"])
        if not requirement.holds(value, setting):
            fix = f"ALTER ROLE {gates} SET {name} = {'30s' if name.endswith('timeout') else 'on'}"
            found.append(f"role {gates}: {name} = {value}, must be {requirement.wanted} ({fix})")
    return found


def standby_findings(settings: Mapping[str, Row], replicas: Collection[Row]) -> list[str]:
    """List the synchronous standbys that do not exist, for which every commit waits.

    Source: PostgreSQL documentation, "Synchronous Replication".
    """
    names = str(settings.get("synchronous_standby_names", {}).get("reset_val", ""))
    if not names or any(one["state"] == "streaming" for one in replicas):
        return []
    return [f"synchronous_standby_names: {names}, and no standby streams: every commit waits for it"]


def _reset(row: Row) -> str:
    role, database = row["role"], row["database"]
    if role is None and database is not None:
        return f"ALTER DATABASE {database} RESET {row['name']}"
    inside = f" IN DATABASE {database}" if database is not None else ""
    return f"ALTER ROLE {role or 'ALL'}{inside} RESET {row['name']}"


def search_path_findings(
    overrides: Iterable[Row], settings: Mapping[str, Row], *, application: Collection[str]
) -> list[str]:
    """List the search paths of the database and the application's roles that differ from the server's.

    Source: PostgreSQL documentation, "Schemas: Usage Patterns" (CVE-2018-1058).
    """
    own = _schemas(str(settings["search_path"]["boot_val"]))
    return sorted(
        f"{row['role'] or 'database ' + str(row['database'])}: search_path = {row['value']} ({_reset(row)})"
        for row in overrides
        if row["name"] == "search_path"
        and (row["role"] is None or row["role"] in application)
        and not set(_schemas(str(row["value"]))) <= set(own)
    )


def _schemas(path: str) -> list[str]:
    return [one.strip().strip('"') for one in path.split(",") if one.strip()]
