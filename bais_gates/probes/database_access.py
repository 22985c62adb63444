"""Read who may do what in PostgreSQL, and how one signs in: roles, grants, functions, rules and attempts.

Catalogs that every role may read are read in the platform's database, the rules of pg_hba.conf and the types
of passwords in the maintenance database, where ``GRANTS`` lets the gates' role read them. A managed server
shows neither to its customers: there, an attempt for each role and database proves it.
"""

from __future__ import annotations

import math
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates import redaction
from bais_gates.extras import optional
from bais_gates.probes.database_health import APPLICATION, OVERRIDES, SETTINGS, is_managed, require_monitor
from bais_gates.probes.database_maintenance import FILES, open_maintenance
from bais_gates.probes.postgres import CONNECT_TIMEOUT_S, Database, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg
    import psycopg.conninfo
else:
    psycopg = optional("psycopg", extra="database")

Row = dict[str, Any]
MAX_ATTEMPTS: Final = 400
"""More pairs of role and database are not tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAccess:
    """One reading. Tuples of rows are as PostgreSQL returned them."""

    gates: str
    """The gates' own role."""
    application: frozenset[str]
    """The roles that own the database or its tables, without superusers."""
    roles: tuple[Row, ...]
    memberships: tuple[Row, ...]
    grants: tuple[Row, ...]
    functions: tuple[Row, ...]
    exposed: tuple[Row, ...]
    """What opens the database past its grants: ``kind``, ``name``, ``owner``."""
    owned: tuple[str, ...]
    """What the gates' own role owns."""
    overrides: tuple[Row, ...]
    sessions: tuple[Row, ...]
    settings: Mapping[str, Row]
    append_only: tuple[Row, ...]
    files: tuple[Row, ...] | None
    """The settings of the configuration files; None on a managed server."""
    rules: tuple[Row, ...] | None
    """The rules of pg_hba.conf; None on a managed server."""
    passwords: tuple[Row, ...] | None
    """The type of each role's password; None on a managed server."""
    databases: tuple[str, ...]

    @property
    def managed(self) -> bool:
        """Whether the server is a managed one, which keeps its own roles and rules."""
        return self.rules is None

    @property
    def sign_ins(self) -> list[tuple[str, str]]:
        """Pairs of role and database to try: each database only where the rules are not known."""
        databases = self.databases if self.managed else self.databases[:1]
        return [
            (str(role["name"]), database) for role in self.roles if role["login"] for database in databases
        ]


def read(url: str, append_only: Iterable[str] = ()) -> DatabaseAccess:
    """Read once; ``append_only`` are names of tables.

    Raises :class:`DatabaseError` when the database does not answer, or the gates' role lacks a right that the
    message names.
    """
    with Database(url) as database:
        require_monitor(database)
        found = database.read(_STATEMENTS, {"tables": list(append_only)})
    gates = str(found["own"][0]["name"])
    settings = {str(row["name"]): row for row in found["settings"]}
    files = rules = passwords = None
    if not is_managed(settings):
        with open_maintenance(url) as maintenance:
            secured = maintenance.read({"files": FILES, "rules": _RULES, "passwords": _PASSWORDS})
        files, rules, passwords = (tuple(secured[key]) for key in ("files", "rules", "passwords"))
    return DatabaseAccess(
        gates=gates,
        application=frozenset(row["name"] for row in found["application"]),
        roles=tuple(found["roles"]),
        memberships=tuple(found["memberships"]),
        grants=tuple(found["grants"]),
        functions=tuple(found["functions"]),
        exposed=tuple(found["exposed"]),
        owned=tuple(row["name"] for row in found["owned"]),
        overrides=tuple(found["overrides"]),
        sessions=tuple(found["sessions"]),
        settings=settings,
        append_only=tuple(found["append_only"]),
        files=files,
        rules=rules,
        passwords=passwords,
        databases=tuple(row["name"] for row in found["databases"]),
    )


# -- attempts --


def attempt_sign_ins(
    url: str, pairs: Iterable[tuple[str, str]], *, encrypted: bool
) -> dict[tuple[str, str], str]:
    """Return, for each pair of role and database, how the server asks this client to authenticate.

    That is ``scram-sha-256``, ``md5``, ``password``, another method, ``none`` where it signs the role in
    without asking, or ``refused``. No password is sent, no attempt is completed, and none counts
    as a failed one.
    """
    tried = list(pairs)[:MAX_ATTEMPTS]
    with ThreadPoolExecutor(4) as pool:
        methods = pool.map(lambda pair: _method(url, *pair, encrypted=encrypted), tried)
        return dict(zip(tried, methods, strict=True))


def wrong_password(url: str) -> str:
    """Return ``refused``, or ``accepted`` if the server signs the role of ``url`` in by a wrong password."""
    return _connect(url, password=secrets.token_urlsafe(24))[0]


def _method(url: str, role: str, database: str, *, encrypted: bool) -> str:
    plain = (
        {}
        if encrypted
        else {"sslmode": "disable", "gssencmode": "disable", "sslrootcert": "", "sslcert": "", "sslkey": ""}
    )
    outcome, message = _connect(url, user=role, dbname=database, password="", require_auth="none", **plain)
    if outcome == "accepted":
        return "none"
    return next((method for text, method in _METHODS if text in message), "refused")


_METHODS: Final = (
    ("server requested SASL", "scram-sha-256"),
    ("server requested a hashed password", "md5"),
    ("server requested a cleartext password", "password"),
    ("server requested GSSAPI", "gss"),
    ("server requested SSPI", "sspi"),
    ("did not complete authentication", "cert"),
)
"""Texts of libpq 16 and later for ``require_auth``, and the method that each means."""
_UNREACHABLE: Final = (
    "timeout expired",
    "Connection refused",
    "could not translate",
    "not known",
    "too many",
)


def _connect(url: str, **parameters: str) -> tuple[str, str]:
    """Return ``accepted`` or ``refused``, and the message; raise DatabaseError without an answer."""
    parts = {key: str(value) for key, value in psycopg.conninfo.conninfo_to_dict(url).items()}
    parts |= parameters
    parts = {key: value for key, value in parts.items() if value or key == "password"}
    timeout = max(2, math.ceil(CONNECT_TIMEOUT_S))
    try:
        psycopg.connect(psycopg.conninfo.make_conninfo(**parts), connect_timeout=timeout).close()
    except psycopg.OperationalError as e:
        message = " ".join(str(e).split())
        if any(text in message for text in _UNREACHABLE):
            name = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}"
            raise DatabaseError(f"the database {name}: {redaction.redact(message)[:300]}") from None
        return "refused", message
    return "accepted", ""


# -- statements --

_OWN: Final = "SELECT current_user::text AS name"
_ROLES: Final = """
SELECT rolname::text AS name, oid::int8 AS oid, rolsuper AS superuser, rolcreaterole AS createrole,
  rolcreatedb AS createdb, rolreplication AS replication, rolbypassrls AS bypassrls, rolcanlogin AS login,
  rolconnlimit AS connection_limit,
  CASE WHEN isfinite(rolvaliduntil) THEN extract(epoch FROM rolvaliduntil - now())::float8 / 86400 END
    AS valid_days,
  rolvaliduntil = '-infinity' AS expired
FROM pg_roles
"""
_MEMBERSHIPS: Final = """
SELECT m.rolname::text AS member, m.oid::int8 AS member_oid, g.rolname::text AS role, g.oid::int8 AS role_oid,
  bool_or(a.admin_option) AS admin
FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid
GROUP BY 1, 2, 3, 4
"""
# Grants beyond the initial ones; those of PUBLIC on databases (CONNECT, TEMPORARY) count too, but on the
# server's own, and on those to which the gate of the backups restores.
_GRANTS: Final = """
WITH objects (kind, name, owner, acl, baseline, system) AS (
  SELECT 'database', quote_ident(datname), datdba, coalesce(datacl, acldefault('d', datdba)),
    CASE WHEN datname <> current_database() AND (oid < 16384 OR datname LIKE 'bais_gates_restore_%' OR
      datname IN ('rdsadmin', 'cloudsqladmin', 'azure_maintenance', 'azure_sys', 'alloydbadmin',
        'alloydbmetadata'))
      THEN acldefault('d', datdba) ELSE NULL::aclitem[] END, false
  FROM pg_database WHERE datallowconn
  UNION ALL SELECT 'tablespace', quote_ident(spcname), spcowner, spcacl, acldefault('t', spcowner), false
  FROM pg_tablespace WHERE spcacl IS NOT NULL
  UNION ALL SELECT 'schema', quote_ident(n.nspname), nspowner, nspacl, i.initprivs,
    n.nspname IN ('pg_catalog', 'information_schema')
  FROM pg_namespace n LEFT JOIN pg_init_privs i ON i.objoid = n.oid AND i.classoid = 'pg_namespace'::regclass
  WHERE nspacl IS NOT NULL
  UNION ALL SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END,
    format('%I.%I', n.nspname, relname), relowner, relacl, i.initprivs,
    n.nspname IN ('pg_catalog', 'information_schema')
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  LEFT JOIN pg_init_privs i ON i.objoid = c.oid AND i.classoid = 'pg_class'::regclass AND i.objsubid = 0
  WHERE relacl IS NOT NULL
  UNION ALL SELECT 'column', format('%I.%I.%I', n.nspname, relname, attname), relowner, attacl,
    i.initprivs,
    n.nspname IN ('pg_catalog', 'information_schema')
  FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
  LEFT JOIN pg_init_privs i ON i.objoid = c.oid AND i.classoid = 'pg_class'::regclass AND i.objsubid = attnum
  WHERE attacl IS NOT NULL
  UNION ALL SELECT 'function',
    format('%I.%I(%s)', n.nspname, proname, pg_get_function_identity_arguments(p.oid)), proowner, proacl,
      coalesce(i.initprivs, acldefault('f', proowner)),
    n.nspname IN ('pg_catalog', 'information_schema')
  FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
  LEFT JOIN pg_init_privs i ON i.objoid = p.oid AND i.classoid = 'pg_proc'::regclass
  WHERE proacl IS NOT NULL
  UNION ALL SELECT 'language', quote_ident(lanname), lanowner, lanacl,
    CASE WHEN lanpltrusted THEN acldefault('l', lanowner) ELSE NULL END, false
  FROM pg_language WHERE lanacl IS NOT NULL
  UNION ALL SELECT 'foreign-data wrapper', quote_ident(fdwname), fdwowner, fdwacl, NULL, false
  FROM pg_foreign_data_wrapper WHERE fdwacl IS NOT NULL
  UNION ALL SELECT 'foreign server', quote_ident(srvname), srvowner, srvacl, NULL, false
  FROM pg_foreign_server WHERE srvacl IS NOT NULL
  UNION ALL SELECT 'parameter', parname, 10, paracl, NULL, false FROM pg_parameter_acl
  UNION ALL SELECT 'large object', oid::text, lomowner, lomacl, NULL, false
  FROM pg_largeobject_metadata WHERE lomacl IS NOT NULL
  UNION ALL SELECT 'future ' || CASE defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
    WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END,
    'of ' || pg_get_userbyid(defaclrole), defaclrole, defaclacl,
    CASE WHEN defaclobjtype IN ('f', 'T') THEN acldefault(defaclobjtype, defaclrole) ELSE NULL END, false
  FROM pg_default_acl
)
SELECT o.kind, o.name, o.system, coalesce(r.rolname::text, 'PUBLIC') AS grantee,
  coalesce(r.rolsuper, false) AS superuser,
  array_agg(DISTINCT e.privilege_type) AS privileges, bool_or(e.is_grantable) AS grantable
FROM objects o CROSS JOIN LATERAL aclexplode(o.acl) e LEFT JOIN pg_roles r ON r.oid = e.grantee
WHERE e.grantee <> o.owner AND (e.grantee = 0 OR r.oid IS NOT NULL) AND NOT EXISTS (
  SELECT FROM aclexplode(o.baseline) b
  WHERE (b.grantee, b.privilege_type) = (e.grantee, e.privilege_type) AND b.is_grantable >= e.is_grantable)
GROUP BY 1, 2, 3, 4, 5
"""
_FUNCTIONS: Final = """
SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name,
  p.prosecdef AS definer, o.rolname::text AS owner, l.lanname::text AS language, l.lanpltrusted AS trusted,
  (SELECT substr(c, 13) FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%') AS search_path,
  p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) AS trigger,
  EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) e WHERE e.grantee = 0) AS
    public
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
JOIN pg_roles o ON o.oid = p.proowner
WHERE p.oid >= 16384 AND (p.prosecdef OR NOT l.lanpltrusted) AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
"""
_OWNED: Final = """
SELECT CASE classid WHEN 'pg_class'::regclass THEN objid::regclass::text
  WHEN 'pg_proc'::regclass THEN objid::regprocedure::text WHEN 'pg_namespace'::regclass THEN
    objid::regnamespace::text
  ELSE classid::regclass || ' ' || objid END AS name
FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
  AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = current_user)
  AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
_EXPOSED: Final = """
WITH tables AS (
  SELECT c.oid, c.relnamespace AS space, c.relowner AS owner, count(*) OVER (
    PARTITION BY c.relnamespace, c.relowner) AS own, count(*) OVER (PARTITION BY c.relnamespace) AS every
  FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384
), people AS (SELECT oid, rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND oid >= 16384)
SELECT 'template' AS kind, quote_ident(datname) AS name, pg_get_userbyid(datdba)::text AS owner
FROM pg_database WHERE datistemplate AND oid >= 16384
UNION ALL SELECT 'database owner', quote_ident(datname), p.rolname FROM pg_database d
JOIN people p ON p.oid = datdba WHERE datname = current_database() AND EXISTS (SELECT FROM tables)
  AND NOT EXISTS (SELECT FROM tables t WHERE t.owner = datdba)
UNION ALL SELECT 'table owner', t.oid::regclass::text, p.rolname
FROM tables t JOIN people p ON p.oid = t.owner WHERE t.own * 2 < t.every
UNION ALL SELECT 'extension', e.extname, pg_get_userbyid(e.extowner) FROM pg_extension e
UNION ALL SELECT 'publication', p.pubname, pg_get_userbyid(p.pubowner) FROM pg_publication p
WHERE p.puballtables OR EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid)
UNION ALL SELECT 'language', lanname, pg_get_userbyid(lanowner) FROM pg_language
WHERE NOT lanpltrusted AND lanname NOT IN ('internal', 'c')
UNION ALL SELECT DISTINCT 'policy', c.oid::regclass::text, ''
FROM pg_policy JOIN pg_class c ON c.oid = polrelid WHERE NOT c.relrowsecurity
UNION ALL SELECT 'subscription', subname, pg_get_userbyid(subowner) FROM pg_subscription
WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT 'user mapping', srvname, '' FROM pg_user_mappings WHERE umuser = 0
UNION ALL SELECT 'shadow', format('%I.%I', n.nspname, c.relname), n.nspname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN people p ON p.rolname = n.nspname
WHERE EXISTS (SELECT FROM pg_class o WHERE o.relname = c.relname AND o.relnamespace = 'public'::regnamespace)
  AND c.relkind NOT IN ('i', 'I')
UNION ALL SELECT 'shadow', format('%I.%I()', n.nspname, f.proname), n.nspname
FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace JOIN people p ON p.rolname = n.nspname
WHERE EXISTS (SELECT FROM pg_proc o WHERE o.proname = f.proname AND o.pronamespace = 'public'::regnamespace)
"""
_SESSIONS: Final = """
SELECT a.usename::text AS role, a.application_name AS program, s.ssl, s.version, s.cipher, s.bits
FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
WHERE a.client_addr IS NOT NULL AND a.backend_type = 'client backend' AND a.datname = current_database()
"""
_APPEND_ONLY: Final = """
SELECT t.name, c.relpersistence::text AS persistence, c.relkind::text AS kind,
  (SELECT coalesce(json_agg(json_build_object('name', g.tgname, 'enabled', g.tgenabled, 'type', g.tgtype,
      'partial', g.tgqual IS NOT NULL OR cardinality(g.tgattr::int2[]) > 0, 'function', p.proname,
        'source', p.prosrc)),
      '[]') FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
   WHERE g.tgrelid = c.oid AND NOT g.tgisinternal) AS triggers,
  (SELECT coalesce(json_agg(json_build_object('name', w.rulename, 'enabled', w.ev_enabled, 'event', w.ev_type,
      'instead', w.is_instead, 'partial', w.ev_qual::text <> '<>', 'action', w.ev_action::text)), '[]')
   FROM pg_rewrite w WHERE w.ev_class = c.oid) AS rules,
  (SELECT coalesce(json_agg(json_build_object('role', r.rolname, 'privilege', p.privilege)), '[]')
   FROM pg_roles r CROSS JOIN (VALUES ('UPDATE'), ('DELETE'), ('TRUNCATE')) p (privilege)
   WHERE NOT r.rolsuper AND r.oid >= 16384 AND r.oid <> c.relowner AND (has_table_privilege(r.oid, c.oid,
     p.privilege)
     OR p.privilege = 'UPDATE' AND has_any_column_privilege(r.oid, c.oid, 'UPDATE'))) AS writers
FROM unnest(%(tables)s::text[]) t (name) LEFT JOIN pg_class c ON c.oid = to_regclass(t.name)
"""
_DATABASES: Final = """
SELECT datname::text AS name FROM pg_database WHERE datallowconn ORDER BY datname <> current_database(), 1
"""
_RULES: Final = """
SELECT line_number AS line, type, database, user_name AS roles, address, netmask, auth_method AS method, error
FROM pg_hba_file_rules
"""
_PASSWORDS: Final = "SELECT rolname::text AS role, type FROM role_password_types"
_STATEMENTS: Final = {
    "own": _OWN,
    "application": APPLICATION,
    "roles": _ROLES,
    "memberships": _MEMBERSHIPS,
    "grants": _GRANTS,
    "functions": _FUNCTIONS,
    "exposed": _EXPOSED,
    "owned": _OWNED,
    "overrides": OVERRIDES,
    "settings": SETTINGS,
    "sessions": _SESSIONS,
    "append_only": _APPEND_ONLY,
    "databases": _DATABASES,
}
