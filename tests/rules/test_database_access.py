"""The rules about roles, grants, functions, sign-in and append-only tables of PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules import database_access as access
from bais_gates.rules import database_exposure


def role(name: str, oid: int = 20000, **over: Any) -> dict[str, Any]:
    """Make a row of a role."""
    row = {"name": name, "oid": oid, "login": True, "valid_days": None, "expired": None}
    return row | dict.fromkeys(access.ATTRIBUTES, False) | over


def subjects(*roles: dict[str, Any], declared: dict[str, tuple[str, ...]] | None = None) -> access.Subjects:
    """Make the roles of a server: the bootstrap superuser, the application, the gates, and others."""
    own = (
        role("postgres", 10, superuser=True),
        role("pg_monitor", 3373, login=False),
        role("pg_write_all_data", 6182, login=False),
        role("app"),
        role("gates"),
    )
    every = (*(one for one in own if one["name"] not in {r["name"] for r in roles}), *roles)
    return access.Subjects(gates="gates", application={"app"}, roles=every, declared=declared or {})


@pytest.mark.parametrize("attribute", access.ATTRIBUTES)
def test_an_attribute_must_be_declared(attribute: str) -> None:
    """A role needs the declaration of just this attribute; the application and the gates get none."""
    powerful = role("ops", **{attribute: True})
    found = access.attribute_findings(subjects(powerful))
    assert len(found) == 1
    assert f"role ops: {attribute.upper()} (ALTER ROLE ops NO{attribute.upper()})" in found
    assert access.attribute_findings(subjects(powerful, declared={"ops": (attribute.upper(),)})) == []
    assert access.attribute_findings(subjects(powerful, declared={"ops": ("LOGIN",)})) == found
    for name in ("app", "gates"):
        held = subjects(role(name, **{attribute: True}), declared={name: (attribute,)})
        assert len(access.attribute_findings(held)) == 1


@pytest.mark.parametrize(
    ("member", "group", "more", "found"),
    [
        ("reader", "pg_write_all_data", {}, True),
        ("reader", "pg_monitor", {}, False),
        ("reader", "pg_monitor", {"admin": True}, True),
        ("app", "pg_monitor", {}, True),
        ("gates", "pg_monitor", {}, False),
        ("reader", "app", {}, True),
        ("reader", "readers", {}, False),
        ("reader", "ops", {}, True),
        ("reader", "postgres", {}, True),
        ("postgres", "app", {}, False),
    ],
)
def test_memberships(member: str, group: str, more: dict[str, bool], *, found: bool) -> None:
    """Memberships in predefined, privileged and the application's roles are found; monitoring is free."""
    given = subjects(role("reader"), role("readers"), role("ops", createdb=True))
    oids = {one["name"]: one["oid"] for one in given.roles}
    row = {
        "member": member,
        "member_oid": oids[member],
        "role": group,
        "role_oid": oids[group],
        "admin": False,
    }
    findings = access.membership_findings(given, [row | more])

    assert bool(findings) is found
    assert all(f"REVOKE {group} FROM {member}" in one for one in findings)
    declared = subjects(*map(dict, given.roles), declared={member: (group,)})
    assert access.membership_findings(declared, [row | more]) == []


@pytest.mark.parametrize(
    ("grantee", "kind", "name", "privileges", "more", "found"),
    [
        ("PUBLIC", "table", "public.payments", ["SELECT"], {}, True),
        ("PUBLIC", "database", "bais", ["CONNECT"], {}, True),
        ("PUBLIC", "future tables", "of app", ["SELECT"], {}, True),
        ("PUBLIC", "future functions", "of app", ["EXECUTE"], {}, False),
        ("PUBLIC", "table", "information_schema.tables", ["SELECT"], {"system": True}, False),
        ("PUBLIC", "function", "pg_catalog.pg_read_file(text)", ["EXECUTE"], {"system": True}, True),
        ("reader", "table", "public.payments", ["SELECT"], {}, False),
        ("reader", "table", "public.payments", ["SELECT"], {"grantable": True}, True),
        ("reader", "column", "public.payments.status", ["UPDATE"], {}, True),
        ("reader", "schema", "public", ["USAGE"], {}, False),
        ("reader", "schema", "public", ["CREATE"], {}, True),
        ("reader", "table", "pg_catalog.pg_authid", ["SELECT"], {"system": True}, True),
        ("gates", "table", "pg_catalog.pg_hba_file_rules", ["SELECT"], {"system": True}, False),
        ("gates", "table", "public.payments", ["INSERT"], {}, True),
        ("app", "table", "public.payments", ["INSERT"], {}, False),
        ("app", "parameter", "session_replication_role", ["SET"], {}, True),
        ("app", "database", "bais", ["CREATE"], {}, True),
        ("reader", "language", "plpython3u", ["USAGE"], {}, True),
        ("pg_monitor", "table", "public.payments", ["INSERT"], {}, True),
        ("postgres", "table", "public.payments", ["INSERT"], {"superuser": True}, False),
    ],
)
def test_grants(
    grantee: str, kind: str, name: str, privileges: list[str], more: dict[str, bool], *, found: bool
) -> None:
    """PUBLIC gets nothing, a role may read; what writes, creates or passes on is found."""
    row: dict[str, Any] = {"grantee": grantee, "kind": kind, "name": name, "privileges": privileges}
    row |= {"system": False, "superuser": False, "grantable": False} | more
    findings = access.grant_findings(subjects(role("reader")), [row])

    assert bool(findings) is found
    assert all(f"{grantee}: {privileges[0]} on {kind} {name}" in one for one in findings)


@pytest.mark.parametrize(
    ("over", "count"),
    [
        ({}, 0),
        ({"definer": True, "search_path": "pg_catalog, pg_temp"}, 0),
        ({"definer": True, "search_path": '""'}, 0),
        ({"definer": True}, 1),
        ({"definer": True, "search_path": "pg_temp, public"}, 1),
        ({"definer": True, "search_path": '"$user", public'}, 1),
        ({"definer": True, "search_path": "pg_catalog", "public": True}, 1),
        ({"definer": True, "search_path": "pg_catalog", "public": True, "trigger": True}, 0),
        ({"trusted": False, "language": "c"}, 1),
    ],
)
def test_functions(over: dict[str, Any], count: int) -> None:
    """SECURITY DEFINER needs a safe search_path and no PUBLIC; untrusted languages are found."""
    row = {"name": "public.f()", "definer": False, "owner": "postgres", "language": "sql", "trusted": True}
    row |= {"search_path": None, "trigger": False, "public": False} | over

    assert len(access.function_findings([row])) == count


def hba(method: str, kind: str = "hostssl", address: str | None = "10.0.0.0") -> dict[str, Any]:
    """Make a row of pg_hba_file_rules."""
    row = {"line": 3, "type": kind, "database": ["all"], "roles": ["all"], "address": address}
    return row | {"netmask": None, "method": method, "error": None}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (hba("scram-sha-256"), []),
        (hba("cert"), []),
        (hba("reject", "host"), []),
        (hba("peer", "local", None), []),
        (hba("scram-sha-256", "host", "127.0.0.1"), []),
        (hba("trust"), ["method trust"]),
        (hba("trust", "local", None), ["method trust"]),
        (hba("md5"), ["method md5"]),
        (hba("password", "host"), ["method password", "without TLS"]),
        (hba("scram-sha-256", "hostnossl"), ["without TLS"]),
        (hba("x") | {"error": "invalid method"}, ["invalid method"]),
    ],
)
def test_rules_of_sign_in(row: dict[str, Any], found: list[str]) -> None:
    """Weak methods, connections without TLS and errors are found by line."""
    findings = " ".join(access.rule_findings([row]))

    assert all(one in findings for one in found)
    assert ("line 3" in findings) is bool(found)


def test_passwords() -> None:
    """A role that may sign in has a SCRAM verifier, unless another service signs it in."""
    given = subjects(role("ghost"), role("old"), role("group", login=False))
    passwords = [
        {"role": "ghost", "type": "none"},
        {"role": "old", "type": "md5"},
        {"role": "group", "type": "none"},
        {"role": "postgres", "type": "none"},
    ]
    found = access.password_findings(given, passwords, [hba("scram-sha-256")])
    assert [one.split(":")[0] for one in found] == ["role ghost", "role old"]
    assert len(access.password_findings(given, passwords, [hba("cert")])) == 1


@pytest.mark.parametrize(
    ("days", "expired", "found"),
    [(None, None, 0), (30.0, False, 0), (2.0, False, 1), (-5.0, False, 1), (None, True, 1)],
)
def test_the_end_of_a_password(days: float | None, expired: bool | None, found: int) -> None:
    """Of the application's and the gates' roles only."""
    ending: dict[str, Any] = {"valid_days": days, "expired": expired}
    assert len(access.expiry_findings(subjects(role("app", **ending), role("reader", **ending)))) == found


def test_attempts_and_sessions() -> None:
    """A role that is asked for less than SCRAM, or that gets in without TLS, is named."""
    methods = {("a", "bais"): "scram-sha-256", ("b", "bais"): "none", ("c", "bais"): "refused"}
    assert access.attempt_findings(methods, encrypted=True) == [
        "role b: signs in to bais without a password, not by scram-sha-256"
    ]
    assert len(access.attempt_findings(methods, encrypted=False)) == 2
    session = {"role": "app", "program": "api", "ssl": True, "version": "TLSv1.3", "cipher": "C", "bits": 256}
    assert access.session_findings([session]) == []
    for weak in ({"ssl": False}, {"version": "TLSv1.1"}, {"bits": 56}):
        assert len(access.session_findings([session | weak])) == 1


TRIGGER = {
    "name": "guard",
    "enabled": "O",
    "type": 58,
    "partial": False,
    "function": "refuse",
    "source": "\nBEGIN\n  -- never\n  RAISE EXCEPTION 'no';\nEND",
}
NOTHING_ON_DELETE = {
    "name": "r",
    "enabled": "O",
    "event": "4",
    "instead": True,
    "partial": False,
    "action": "<>",
}


def table(*triggers: dict[str, Any], **over: Any) -> dict[str, Any]:
    """Make a row of a table that is declared append-only."""
    row = {"name": "audit_log", "persistence": "p", "kind": "r", "rules": [], "writers": []}
    return row | {"triggers": list(triggers)} | over


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (table(TRIGGER), []),
        (table(TRIGGER | {"enabled": "A"}), []),
        (table(TRIGGER | {"type": 2 + 16 + 32}, rules=[NOTHING_ON_DELETE]), []),
        (table(persistence=None), ["does not exist"]),
        (table(TRIGGER, persistence="u"), ["not permanent"]),
        (table(), ["refuses UPDATE", "refuses DELETE", "refuses TRUNCATE"]),
        (table(TRIGGER | {"enabled": "D"}), ["guard is disabled", "refuses DELETE"]),
        (table(TRIGGER | {"enabled": "R"}), ["replicas only", "refuses DELETE"]),
        (table(TRIGGER | {"type": 56}), ["refuses UPDATE"]),
        (table(TRIGGER | {"type": 2 + 8 + 16}), ["refuses TRUNCATE"]),
        (table(TRIGGER | {"partial": True}), ["has a condition"]),
        (table(TRIGGER | {"source": "BEGIN RETURN NULL; END"}), ["does not raise"]),
        (table(TRIGGER | {"source": "BEGIN RAISE NOTICE 'x'; RETURN NULL; END"}), ["does not raise"]),
        (
            table(TRIGGER | {"source": "BEGIN IF false THEN RAISE EXCEPTION 'x'; END IF; END"}),
            ["does not raise"],
        ),
        (
            table(TRIGGER | {"source": "BEGIN RAISE EXCEPTION 'x'; EXCEPTION WHEN OTHERS THEN END"}),
            ["does not raise"],
        ),
        (table(TRIGGER, rules=[NOTHING_ON_DELETE | {"event": "3"}]), ["replaces INSERT"]),
        (table(TRIGGER, TRIGGER | {"type": 1 + 2 + 4, "source": "BEGIN RETURN NULL; END"}), ["may drop"]),
        (table(TRIGGER, TRIGGER | {"type": 1 + 2 + 4, "source": "BEGIN RETURN NEW; END"}), []),
        (table(TRIGGER, writers=[{"role": "ops", "privilege": "DELETE"}]), ["role ops may DELETE"]),
    ],
)
def test_append_only_tables(row: dict[str, Any], found: list[str]) -> None:
    """Each way to change a row must be refused by an enabled guard, and granted to nobody."""
    findings = " ".join(access.append_only_findings([row]))

    assert all(one in findings for one in found), findings
    assert bool(findings) is bool(found)


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        ("template", "bais", True),
        ("database owner", "bais", True),
        ("table owner", "payments", True),
        ("extension", "file_fdw", True),
        ("extension", "plperlu", True),
        ("extension", "pg_surgery", True),
        ("extension", "pg_trgm", False),
        ("extension", "pg_stat_statements", False),
        ("extension", "plpgsql", False),
        ("language", "plrootu", True),
        ("publication", "leak_all", True),
        ("policy", "payments", True),
        ("shadow", "app.webhooks", True),
    ],
)
def test_exposure(kind: str, name: str, *, found: bool) -> None:
    """A finding names the object; an object that the environment file names for a role is free."""
    rows = [{"kind": kind, "name": name, "owner": "jim"}]
    findings = database_exposure.exposure_findings(subjects(role("jim")), rows)

    assert bool(findings) is found
    assert all(name in one for one in findings)
    declared = subjects(role("jim"), declared={"jim": (name,)})
    assert database_exposure.exposure_findings(declared, rows) == []
