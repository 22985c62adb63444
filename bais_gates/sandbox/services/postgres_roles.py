"""The database of a PostgreSQL server, and its roles."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.processes import log_tail

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import psycopg

DATABASE = "bais"
SUPERUSER = "bais_super"
APP_ROLE, GATES_ROLE, SCRATCH_ROLE = "bais_app", "gates_ro", "bais_scratch"
_PURPOSES = ("app", "gates", "scratch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role that may sign in, and its password."""

    name: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """``app`` owns the database, ``gates`` reads it, ``scratch`` creates databases of its own."""

    app: Role
    gates: Role
    scratch: Role

    @classmethod
    def generate(cls, given: Mapping[str, Role] | None = None) -> Roles:
        """Return the roles ``given`` by purpose, and the platform's with new passwords for the others."""
        names = zip(_PURPOSES, (APP_ROLE, GATES_ROLE, SCRATCH_ROLE), strict=True)
        roles = {purpose: Role(name=name, password=secrets.token_urlsafe(24)) for purpose, name in names}
        return cls(**roles | dict(given or {}))

    def all(self) -> tuple[Role, ...]:
        """Return all roles."""
        return (self.app, self.gates, self.scratch)

    def password(self, name: str) -> str:
        """Return the password of a role. Raises ``KeyError`` for an unknown name."""
        return {role.name: role.password for role in self.all()}[name]


def create(port: int, super_password: str, roles: Roles, *, database: str, log: Path) -> None:
    """Create ``database`` and ``roles`` in an empty server. Raises ``SandboxError``."""
    import psycopg  # noqa: PLC0415 - takes 0.1 s, which initdb runs meanwhile
    from psycopg import sql  # noqa: PLC0415

    def connect(name: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1",
            port=port,
            user=SUPERUSER,
            password=super_password,
            dbname=name,
            connect_timeout=10,
            autocommit=True,
        )

    names = {purpose: sql.Identifier(getattr(roles, purpose).name) for purpose in _PURPOSES}
    names["database"] = sql.Identifier(database)
    try:
        with connect("postgres") as connection:
            connection.execute("SET log_statement = none")  # a log holds no verifier of a password
            for role in roles.all():
                scrambled = connection.pgconn.encrypt_password(
                    role.password.encode(), role.name.encode(), b"scram-sha-256"
                )
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(role.name), sql.Literal(scrambled.decode())
                    )
                )
            for statement in (*_CLUSTER_STATEMENTS, *_MAINTENANCE_STATEMENTS):
                connection.execute(sql.SQL(statement).format(**names))
        with connect(database) as connection:
            for statement in _DATABASE_STATEMENTS:
                connection.execute(sql.SQL(statement).format(**names))
    except psycopg.Error as error:
        raise SandboxError(
            f"the sandbox's PostgreSQL could not be set up: {str(error).strip()}. The end of its log: "
            f"{log_tail(log)}"
        ) from error


_CLUSTER_STATEMENTS = (
    "ALTER ROLE {gates} SET default_transaction_read_only = on",
    "ALTER ROLE {gates} SET statement_timeout = '30s'",
    "ALTER ROLE {scratch} CREATEDB",
    "GRANT pg_monitor, pg_read_all_stats TO {gates}",
    "CREATE DATABASE {database} OWNER {app}",
    "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
    "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {database} TO {gates}",
    "GRANT CONNECT ON DATABASE postgres TO {scratch}",  # the database to connect to while creating another
)
# What the gates read of authentication, in the database postgres: no backup of the platform holds it.
_MAINTENANCE_STATEMENTS = (
    "GRANT CONNECT ON DATABASE postgres TO {gates}",
    "GRANT EXECUTE ON FUNCTION pg_hba_file_rules(), pg_show_all_file_settings() TO {gates}",
    "GRANT SELECT ON pg_hba_file_rules, pg_file_settings TO {gates}",
    """CREATE VIEW role_password_types AS SELECT rolname, CASE WHEN rolpassword IS NULL THEN 'none'
      WHEN rolpassword LIKE 'SCRAM-SHA-256$%' THEN 'scram-sha-256' ELSE 'md5' END AS type FROM pg_authid""",
    "GRANT SELECT ON role_password_types TO {gates}",
)
_DATABASE_STATEMENTS = (
    "ALTER SCHEMA public OWNER TO {app}",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "GRANT USAGE ON SCHEMA public TO {gates}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {app} GRANT SELECT ON TABLES TO {gates}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {app} GRANT SELECT ON SEQUENCES TO {gates}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {app} GRANT USAGE ON SCHEMAS TO {gates}",
    "CREATE EXTENSION pg_stat_statements",
    "SELECT pg_stat_statements_reset()",
)
