"""Judge who may do what in PostgreSQL, and how one signs in.

Rows have the columns that ``probes.database_access`` selects. ``declared`` holds, by role, the rights that
the environment file grants it under ``security.privileged_roles``: an attribute (``CREATEDB``), the name of
a role that it is a member of, or a privilege (``INSERT``, or ``INSERT ON public.payments``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Row = Mapping[str, Any]

FIRST_OWN_OID: Final = 16384
"""Roles below are PostgreSQL's own, and the superuser that initdb creates, under any name."""
MIN_VALID_DAYS: Final = 7.0
MIN_CIPHER_BITS: Final = 128
ATTRIBUTES: Final = ("superuser", "createrole", "createdb", "replication", "bypassrls")
_MONITORING: Final = {"pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"}
_MANAGED_ROLES: Final = re.compile(
    r"rds_\w+|rdsadmin|rdsrepladmin|rdswriteforwarduser|rdsproxyadmin|cloudsql\w+|alloydb\w+|azure\w+|replication"
)
"""Roles of Amazon RDS, Cloud SQL, AlloyDB and Azure; honoured only where the server is a managed one."""
_READ: Final = {"SELECT", "USAGE", "CONNECT", "TEMPORARY", "EXECUTE"}
_GATES_OBJECTS: Final = re.compile(
    r"pg_catalog\.(pg_hba_file_rules|pg_file_settings|pg_show_all_file_settings)\b.*"
)
"""What the gates' role reads of authentication and configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """The roles of a server, and what is known about them."""

    gates: str
    application: Collection[str]
    roles: tuple[Row, ...]
    declared: Mapping[str, Collection[str]] = field(default_factory=dict)
    managed: bool = False

    def is_own(self, name: str) -> bool:
        """Return whether a role is the bootstrap superuser, PostgreSQL's own, or the managed service's."""
        oid = next((int(role["oid"]) for role in self.roles if role["name"] == name), FIRST_OWN_OID)
        return oid < FIRST_OWN_OID or (self.managed and _MANAGED_ROLES.fullmatch(name) is not None)

    def may(self, name: str, *rights: str) -> bool:
        """Return whether the environment file declares one of ``rights`` for a role."""
        return not {right.lower() for right in rights}.isdisjoint(
            right.lower() for right in self.declared.get(name, ())
        )

    def declares(self, name: str) -> bool:
        """Return whether the environment file declares a right of this name for any role."""
        return any(self.may(role, name) for role in self.declared)

    def attributes(self, name: str) -> list[str]:
        """Return the attributes of a role that give it more than its own objects."""
        return [a for role in self.roles if role["name"] == name for a in ATTRIBUTES if role[a]]


def attribute_findings(subjects: Subjects) -> list[str]:
    """List the roles with SUPERUSER, CREATEROLE, CREATEDB, REPLICATION or BYPASSRLS that are not declared.

    The application's and the gates' own role can't be declared. Source: CIS PostgreSQL 4.3; PostgreSQL
    documentation, "Role Attributes".
    """
    held = {subjects.gates, *subjects.application}
    return sorted(
        f"role {role['name']}: {a.upper()} (ALTER ROLE {role['name']} NO{a.upper()})"
        for role in subjects.roles
        if not subjects.is_own(str(role["name"]))
        for a in subjects.attributes(str(role["name"]))
        if role["name"] in held or not subjects.may(str(role["name"]), a)
    )


def membership_findings(subjects: Subjects, memberships: Iterable[Row]) -> list[str]:
    """List the memberships in predefined, privileged and the application's roles that are not declared.

    Roles of monitoring (pg_monitor and what it holds) are free to all but the application. Source: CIS
    PostgreSQL 4.9; PostgreSQL documentation, "Predefined Roles" and "Role Membership".
    """
    found = []
    for row in memberships:
        member, role = str(row["member"]), str(row["role"])
        if subjects.is_own(member) or ("createrole" in subjects.attributes(member) and row["admin"]):
            continue  # who creates a role is its administrator
        monitoring = role in _MONITORING and member not in subjects.application and not row["admin"]
        if monitoring or subjects.may(member, role):
            continue
        attributes = subjects.attributes(role)
        if int(row["role_oid"]) < FIRST_OWN_OID or subjects.is_own(role):
            why = "with ADMIN OPTION" if role in _MONITORING and row["admin"] else ""
        elif attributes or subjects.declared.get(role):
            why = f"which has {', '.join(a.upper() for a in attributes) or 'declared rights'}"
        elif role in subjects.application:
            why = "which owns the platform's tables"
        else:
            continue
        found.append(f"role {member}: member of {role}{', ' * bool(why)}{why} (REVOKE {role} FROM {member})")
    return sorted(found)


def grant_findings(subjects: Subjects, grants: Iterable[Row]) -> list[str]:
    """List the privileges of PUBLIC, and those that write, create or pass on, that are not declared.

    Reading (SELECT, USAGE, CONNECT, EXECUTE of ordinary functions) is free to a role, not to PUBLIC.
    Source: CIS PostgreSQL 4.5, 4.6; PostgreSQL documentation, "Privileges" and "Schemas: Usage Patterns"
    (CVE-2018-1058).
    """
    found = []
    for row in grants:
        grantee, kind, name = str(row["grantee"]), str(row["kind"]), str(row["name"])
        if row["superuser"] or (subjects.managed and subjects.is_own(grantee)):
            continue
        excess = _excess(subjects, row)
        if excess:
            option = " WITH GRANT OPTION" if row["grantable"] else ""
            found.append(f"{grantee}: {', '.join(sorted(excess))} on {kind} {name}{option}")
    return sorted(found)


def _excess(subjects: Subjects, row: Row) -> list[str]:
    grantee, kind, name = str(row["grantee"]), str(row["kind"]), str(row["name"])
    excess = [p for p in row["privileges"] if not subjects.may(grantee, p, f"{p} ON {name}")]
    if row["system"] and "information_schema" in name:
        excess = [p for p in excess if p not in {"SELECT", "USAGE"}]  # PUBLIC's from initdb on
    if grantee == "PUBLIC":
        return [] if kind in {"future functions", "future types"} else excess
    if row["grantable"] and not subjects.may(grantee, "GRANT OPTION"):
        return excess
    if row["system"]:
        own = grantee == subjects.gates and _GATES_OBJECTS.fullmatch(name)
        return [p for p in excess if not (own and p in _READ)]
    if kind in {"language", "parameter", "tablespace"}:
        return excess
    if grantee in subjects.application and kind not in {"database", "foreign-data wrapper"}:
        return []
    return [p for p in excess if p not in _READ]


def function_findings(functions: Iterable[Row]) -> list[str]:
    """List SECURITY DEFINER functions without a safe search_path or open to PUBLIC, and untrusted languages.

    Functions of extensions are not read. Source: CIS PostgreSQL 4.5; PostgreSQL documentation, "Writing
    SECURITY DEFINER Functions Safely".
    """
    found = []
    for row in functions:
        name = f"function {row['name']}"
        if not row["trusted"]:
            found.append(
                f"{name}: written in the untrusted language {row['language']} (DROP FUNCTION {row['name']})"
            )
        if not row["definer"]:
            continue
        path = row["search_path"]
        schemas = [one.strip().strip('"') for one in str(path or "").split(",")]
        if path is None:
            fix = f"ALTER FUNCTION {row['name']} SET search_path = pg_catalog, pg_temp"
            found.append(f"{name}: SECURITY DEFINER (as {row['owner']}) without search_path ({fix})")
        elif "$user" in schemas or "pg_temp" in schemas[:-1]:
            found.append(
                f"{name}: SECURITY DEFINER with the search_path {path}: leave out $user, pg_temp last"
            )
        if row["public"] and not row["trigger"]:
            fix = f"REVOKE EXECUTE ON FUNCTION {row['name']} FROM PUBLIC"
            found.append(f"{name}: SECURITY DEFINER (as {row['owner']}), and PUBLIC may call it ({fix})")
    return sorted(found)


def password_findings(subjects: Subjects, passwords: Iterable[Row], rules: Iterable[Row]) -> list[str]:
    """List the roles that may sign in and have no SCRAM verifier.

    A role without a password is free where a rule signs in by certificate or another server. Source: CIS
    PostgreSQL 4.10; PostgreSQL documentation, "Password Authentication".
    """
    external = any(row["method"] in _EXTERNAL and row["type"] != "local" for row in rules)
    login = {str(role["name"]) for role in subjects.roles if role["login"]}
    types = {str(row["role"]): str(row["type"]) for row in passwords if row["role"] in login}
    found = []
    for role, kind in types.items():
        if kind == "none" and not external and not subjects.is_own(role):
            found.append(
                f"role {role}: may sign in and has no password (ALTER ROLE {role} NOLOGIN, or set one)"
            )
        elif kind not in {"none", "scram-sha-256"}:
            found.append(
                f"role {role}: password stored as {kind} (SET password_encryption = "
                f"'scram-sha-256', set it anew)"
            )
    return sorted(found)


def expiry_findings(subjects: Subjects) -> list[str]:
    """List the application's and the gates' roles whose password has ended or ends within seven days.

    Source: CIS PostgreSQL 4.4; PostgreSQL documentation, "CREATE ROLE" (VALID UNTIL).
    """
    found = []
    for role in subjects.roles:
        days = -math.inf if role["expired"] else role["valid_days"]
        if (
            role["name"] in {subjects.gates, *subjects.application}
            and days is not None
            and days < MIN_VALID_DAYS
        ):
            when = "has ended" if days < 0 else f"ends in {days:.0f} days"
            found.append(
                f"role {role['name']}: its password {when} (ALTER ROLE {role['name']} VALID UNTIL ...)"
            )
    return sorted(found)


_EXTERNAL: Final = {"cert", "gss", "sspi", "ldap", "radius", "pam", "oauth"}
_METHODS: Final = {"scram-sha-256", "reject", *_EXTERNAL}
_LOOPBACK: Final = {"127.0.0.1", "::1", "localhost", "samehost"}


def rule_findings(rules: Iterable[Row]) -> list[str]:
    """List the rules of pg_hba.conf with a weak method, without TLS over a network, or with an error.

    Source: CIS PostgreSQL 5.3, 5.4, 6.8; PostgreSQL documentation, "The pg_hba.conf File".
    """
    found = []
    for row in rules:
        if row["error"]:
            found.append(f"pg_hba.conf line {row['line']}: {row['error']}")
            continue
        local = row["type"] == "local"
        where = " ".join(
            filter(
                None,
                [row["type"], ",".join(row["database"] or ()), ",".join(row["roles"] or ()), row["address"]],
            )
        )
        if row["method"] not in _METHODS and not (local and row["method"] == "peer"):
            found.append(
                f"pg_hba.conf line {row['line']}: {where}: method {row['method']} (use scram-sha-256)"
            )
        open_types = {"host", "hostnossl", "hostnogssenc"}
        if row["type"] in open_types and row["method"] != "reject" and row["address"] not in _LOOPBACK:
            found.append(
                f"pg_hba.conf line {row['line']}: {where}: allows connections without TLS (use hostssl)"
            )
    return sorted(found)


def attempt_findings(methods: Mapping[tuple[str, str], str], *, encrypted: bool) -> list[str]:
    """List the roles that the server signs in by a weak method, or at all without TLS.

    ``methods`` is by role and database. Source: CIS PostgreSQL 5.4, 6.8; PostgreSQL documentation, "Password
    Authentication".
    """
    found = []
    for (role, database), method in methods.items():
        how = "without a password" if method == "none" else f"by {method}"
        if not encrypted and method != "refused":
            found.append(f"role {role}: may sign in to {database} without TLS, {how}")
        elif encrypted and method not in _METHODS | {"refused"}:
            found.append(f"role {role}: signs in to {database} {how}, not by scram-sha-256")
    return sorted(found)


def session_findings(sessions: Iterable[Row]) -> list[str]:
    """List the sessions over the network without TLS 1.2 or later and 128 bits.

    Source: PCI DSS 4.2.1; PostgreSQL documentation, "pg_stat_ssl".
    """
    found = set()
    for row in sessions:
        who = f"{row['role']} {row['program']}".strip()
        if not row["ssl"]:
            found.add(f"{who}: without TLS")
        elif row["version"] not in {"TLSv1.2", "TLSv1.3"} or int(row["bits"]) < MIN_CIPHER_BITS:
            found.add(f"{who}: {row['version']} {row['cipher']} ({row['bits']} bits)")
    return sorted(found)


# -- append-only tables --

_ROW, _BEFORE, _INSERT, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 4, 8, 16, 32
_EVENTS: Final = {"UPDATE": _UPDATE, "DELETE": _DELETE, "TRUNCATE": _TRUNCATE}
_RULE_EVENTS: Final = {"UPDATE": "2", "DELETE": "4"}
_INSERT_RULE: Final = "3"
_DROPS: Final = re.compile(r"\bRETURN\s+NULL\b", re.IGNORECASE)
_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_RAISES: Final = re.compile(
    r"(\s*<<\w+>>)?(\s*DECLARE\b.*?)?\s*BEGIN\s+RAISE\s+(?!DEBUG|LOG|INFO|NOTICE|WARNING)",
    re.IGNORECASE | re.DOTALL,
)
_HANDLER: Final = re.compile(r"\bEXCEPTION\s+WHEN\b", re.IGNORECASE)


def append_only_findings(tables: Iterable[Row]) -> list[str]:
    """List why a table that the environment file declares append-only can be changed.

    UPDATE, DELETE and TRUNCATE are each refused by an enabled BEFORE trigger whose function raises an
    exception
    first, or (not TRUNCATE) by a rule DO INSTEAD NOTHING; no role but the owner holds the privilege, and no
    rule or trigger drops an INSERT.
    Source: PCI DSS
    10.3.2; OWASP Logging Cheat Sheet, "Protection"; PostgreSQL documentation, "CREATE TRIGGER".
    """
    found = []
    for table in tables:
        name = f"table {table['name']}"
        if table["persistence"] is None:
            found.append(f"{name}: does not exist")
            continue
        if table["persistence"] != "p":
            found.append(f"{name}: not permanent (ALTER TABLE {table['name']} SET LOGGED)")
        found += [
            f"{name}: role {one['role']} may {one['privilege']} "
            f"(REVOKE {one['privilege']} ON {table['name']} FROM {one['role']})"
            for one in table["writers"]
        ]
        disabled = [
            f"{name}: {kind} {one['name']} is {_STATES.get(one['enabled'], one['enabled'])} "
            f"(ALTER TABLE {table['name']} ENABLE {kind.upper()} {one['name']})"
            for kind in ("trigger", "rule")
            for one in table[f"{kind}s"]
            if one["enabled"] in _STATES
        ]
        found += disabled
        found += [
            f"{name}: rule {one['name']} replaces INSERT (DROP RULE {one['name']} ON {table['name']})"
            for one in table["rules"]
            if one["event"] == _INSERT_RULE and one["instead"] and one["enabled"] not in _STATES
        ]
        found += [
            f"{name}: trigger {one['name']} may drop an entry: function {one['function']} has RETURN NULL"
            for one in table["triggers"]
            if int(one["type"]) & (_BEFORE | _ROW | _INSERT) == _BEFORE | _ROW | _INSERT
            and one["enabled"] not in _STATES
            and _DROPS.search(_COMMENT.sub(" ", str(one["source"])))
        ]
        for event in _EVENTS:
            if not _guarded(table, event):
                found.append(f"{name}: nothing refuses {event}{_weak_guard(table, event)}")
    return sorted(found)


_STATES: Final = {"D": "disabled", "R": "enabled for replicas only"}


def _triggers(table: Row, event: str) -> list[Row]:
    return [
        one
        for one in table["triggers"]
        if int(one["type"]) & _BEFORE and int(one["type"]) & _EVENTS[event] and one["enabled"] not in _STATES
    ]


def _raises(source: str) -> bool:
    body = _COMMENT.sub(" ", source)
    return _RAISES.match(body) is not None and _HANDLER.search(body) is None


def _guarded(table: Row, event: str) -> bool:
    return any(not one["partial"] and _raises(str(one["source"])) for one in _triggers(table, event)) or any(
        one["event"] == _RULE_EVENTS.get(event)
        and one["instead"]
        and not one["partial"]
        and one["action"] in {"<>", "()"}
        and one["enabled"] not in _STATES
        for one in table["rules"]
    )


def _weak_guard(table: Row, event: str) -> str:
    return "".join(
        f": trigger {one['name']} has a condition"
        if one["partial"]
        else f": function {one['function']} of trigger {one['name']} does not raise an exception first"
        for one in _triggers(table, event)
    )
