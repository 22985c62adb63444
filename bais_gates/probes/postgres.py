"""Query PostgreSQL read-only, with deadlines.

Every statement runs in its own READ ONLY transaction, on a connection whose default is READ ONLY, by the
extended query protocol. That protocol accepts exactly one statement, so no text can end the transaction and
write afterwards. Connecting and each statement have a deadline. Errors name host, port and database, never
the password.
"""

from __future__ import annotations

import dataclasses
import math
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates import redaction
from bais_gates.extras import optional

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    import psycopg
    import psycopg.conninfo
    import psycopg.rows
else:
    psycopg = optional("psycopg", extra="database")

_CONNECTING: Final = re.compile(
    r'\Aconnection (?:failed|is bad): (?:connection to server at "[^"]*"(?: \([^)]*\))?, port \d+ failed: )?'
)
"""What libpq says before the cause; the message names the server already."""
CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 5.0


class DatabaseError(Exception):
    """The database did not answer, or refused. The message names the database and the cause."""


class DatabaseBlocked(DatabaseError):  # noqa: N818 - it names what happened
    """A statement waited for a lock or an answer until its deadline."""


class DatabaseFull(DatabaseError):  # noqa: N818 - it names what happened
    """The server refuses more connections: of the role, of the database, or at all."""


class StatementsUnavailable(DatabaseError):  # noqa: N818 - it names what happened
    """pg_stat_statements is not ``installed``, or the role may not read it. The message has the remedy."""

    def __init__(self, message: str, *, installed: bool) -> None:
        super().__init__(message)
        self.installed = installed


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementStatistics:
    """The statistics of one statement of one user in ``pg_stat_statements`` since the last reset."""

    query_id: int
    user_id: int
    query: str
    calls: int
    total_ms: float

    @property
    def mean_ms(self) -> float:
        """Mean milliseconds per call; NaN without calls."""
        return self.total_ms / self.calls if self.calls else math.nan


class Database:
    """One PostgreSQL database, read-only. Connects on first use; safe to share between threads.

    ``url`` is a DSN (``postgresql://user:password@host:port/name``); its password is registered with
    redaction. ``name`` is another database of that server, ``options`` more settings (``-c name=value``).
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
        options: str = "",
    ) -> None:
        try:
            parts = psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            # The message of libpq quotes the text, and may contain a password.
            raise DatabaseError("the database url is not a PostgreSQL connection string") from None
        password = parts.get("password")
        if password:
            redaction.register(str(password))
        if name is not None:
            url = psycopg.conninfo.make_conninfo(url, dbname=name)
            parts["dbname"] = name
        self.name = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
        self.url, self.role = url, str(parts.get("user") or "")
        self.database = str(parts.get("dbname") or self.role)
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = statement_timeout_s
        self._options = options
        self._connection: psycopg.Connection[dict[str, object]] | None = None
        self._lock = threading.Lock()

    def rows(self, sql: str, params: Mapping[str, object] | None = None) -> list[dict[str, object]]:
        """Run one read-only statement and return its rows as dicts; ``params`` replace ``%(name)s``.

        Raises :class:`DatabaseError` for every failure, including a statement that writes.
        """
        with self._lock:
            try:
                connection = self._connected()
                with connection.transaction():
                    # Binary results require the extended query protocol: exactly one statement.
                    cursor = connection.execute(sql.encode(), params, binary=True)
                    return cursor.fetchall() if cursor.description else []
            except psycopg.Error as e:
                raise self._error(e) from None

    def read(
        self, statements: Mapping[str, str], params: Mapping[str, object] | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """Run constant statements in one read-only transaction and one round trip; return rows by key.

        Raises :class:`DatabaseError` as :meth:`rows` does; each statement has a deadline of its own.
        """
        with self._lock:
            try:
                connection = self._connected()
                with connection.transaction(), connection.pipeline():
                    cursors = {
                        key: connection.execute(sql.encode(), params if "%(" in sql else None, binary=True)
                        for key, sql in statements.items()
                    }
                    return {key: cursor.fetchall() for key, cursor in cursors.items()}
            except psycopg.Error as e:
                raise self._error(e) from None

    def value(self, sql: str, params: Mapping[str, object] | None = None) -> object:
        """Return the first column of the first row; None without rows."""
        rows = self.rows(sql, params)
        return next(iter(rows[0].values()), None) if rows else None

    # -- statistics --

    def max_connections(self) -> int:
        """Return the server's ``max_connections``."""
        return int(str(self.value("SELECT current_setting('max_connections')")))

    def connections(self) -> int:
        """Return the number of client connections to this database, including this one."""
        return int(str(self.value(_CONNECTIONS + " AND datname = current_database()")))

    def all_connections(self) -> int:
        """Return the number of client connections to all databases of the server, including this one."""
        return int(str(self.value(_CONNECTIONS)))

    def statements(self) -> dict[tuple[int, int], StatementStatistics] | None:
        """Return ``pg_stat_statements`` of this database by (user id, query id); None if it is not readable.

        Statements of this connection's own user are left out.
        """
        try:
            schema = self._statements_schema()
        except StatementsUnavailable:
            return None
        return self._read_statements(schema)

    def require_statements(self) -> dict[tuple[int, int], StatementStatistics]:
        """Return :meth:`statements`; raise :class:`StatementsUnavailable` with the remedy without them."""
        return self._read_statements(self._statements_schema())

    def _statements_schema(self) -> str:
        (state,) = self.rows(_STATEMENTS_STATE)
        schema, role = state["schema"], state["role"]
        if state["loaded"] is False:
            problem = "pg_stat_statements is not in shared_preload_libraries. Add it there and restart"
            raise StatementsUnavailable(problem, installed=False)
        if schema is None:
            problem = f"no extension pg_stat_statements in {self.name}. Run there: CREATE EXTENSION "
            "pg_stat_statements"
            raise StatementsUnavailable(problem, installed=False)
        if state["readable"] is not True:
            raise StatementsUnavailable(
                f"the database {self.name}: {role} may not read pg_stat_statements. Run there: "
                f"GRANT USAGE ON "
                f"SCHEMA {schema} TO {role}; GRANT SELECT ON {schema}.pg_stat_statements TO {role}",
                installed=True,
            )
        return str(schema)

    def _read_statements(self, schema: str) -> dict[tuple[int, int], StatementStatistics]:
        statements: dict[tuple[int, int], StatementStatistics] = {}
        for row in self.rows(_STATEMENTS.replace("pg_stat_statements", f"{schema}.pg_stat_statements")):
            one = StatementStatistics(
                query_id=int(str(row["queryid"])),
                user_id=int(str(row["userid"])),
                query=str(row["query"] or ""),
                calls=int(str(row["calls"])),
                total_ms=float(str(row["total_ms"])),
            )
            statements[one.user_id, one.query_id] = one
        return statements

    # -- the connection --

    def _error(self, error: psycopg.Error) -> DatabaseError:
        """Return the error to raise, and drop the connection if it is broken."""
        if self._connection is not None and (self._connection.broken or self._connection.closed):
            self._connection.close()
            self._connection = None
        cause = self._cause(error)
        kind: type[DatabaseError] = DatabaseError
        waited = isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable)
        if waited or "canceling statement due to" in cause:  # a catalog that every sign-in reads is locked
            kind = DatabaseBlocked
        elif any(text in cause for text in ("too many c", "connection slots are reserved")):
            kind = DatabaseFull
        return kind(f"the database {self.name}: {cause}")

    def _connected(self) -> psycopg.Connection[dict[str, object]]:
        if self._connection is None or self._connection.closed:
            milliseconds = max(2, round(self._statement_timeout_s * 1000))
            connection = psycopg.connect(
                self.url,
                connect_timeout=max(2, math.ceil(self._connect_timeout_s)),  # the minimum of libpq is 2
                # Detects a lost server also while sending, where no statement timeout applies.
                tcp_user_timeout=2 * milliseconds,
                options=f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds // 2}"
                f" -c default_transaction_read_only=on {self._options}",
                application_name="bais-gates",
                autocommit=True,
                row_factory=psycopg.rows.dict_row,
            )
            connection.read_only = True
            self._connection = connection
        return self._connection

    def _cause(self, error: psycopg.Error) -> str:
        if isinstance(error, psycopg.errors.QueryCanceled):
            return f"no answer within {self._statement_timeout_s:g} s"
        if isinstance(error, psycopg.errors.LockNotAvailable):
            return (
                f"a statement waited for a lock for {self._statement_timeout_s / 2:g} s. Find its "
                "holder in pg_locks: pg_blocking_pids(pid) of the sessions that wait"
            )
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            return "the statement writes, but gates have read-only access"
        text = error.diag.message_primary or str(error).strip() or type(error).__name__
        text = _CONNECTING.sub("", text)
        if "timeout expired" in text:
            text += " (no way to its port, or a lock on pg_database or pg_authid keeps every sign-in waiting)"
        return redaction.redact(re.sub(r"\s*\n\s*", ". ", text))[:400]

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# A role without pg_monitor sees the rows of other users with datname, but without backend_type.
_CONNECTIONS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname IS NOT NULL AND (backend_type IS NULL OR backend_type = 'client backend')
"""
_STATEMENTS_STATE: Final = """
SELECT current_user::text AS role,
  CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') THEN
    current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%' END AS loaded,
  (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
   WHERE e.extname = 'pg_stat_statements') AS schema,
  (SELECT has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
   FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype =
     'e'
   WHERE c.relname = 'pg_stat_statements') AS readable
"""
_STATEMENTS: Final = """
SELECT queryid, userid, max(query) AS query, sum(calls) AS calls, sum(total_exec_time) AS total_ms
FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND userid <> (SELECT oid FROM pg_roles WHERE rolname = current_user) AND queryid IS NOT NULL
GROUP BY queryid, userid
"""


def statements_since(
    before: Mapping[tuple[int, int], StatementStatistics],
    after: Mapping[tuple[int, int], StatementStatistics],
) -> list[StatementStatistics]:
    """Return the statistics between two readings of the statements called, the slowest mean first.

    A counter that decreased was reset and counts from zero.
    """
    statements = []
    for key, now in after.items():
        then = before.get(key)
        if then is not None and then.calls <= now.calls and then.total_ms <= now.total_ms:
            calls, total_ms = now.calls - then.calls, now.total_ms - then.total_ms
        else:
            calls, total_ms = now.calls, now.total_ms
        if calls:
            statements.append(dataclasses.replace(now, calls=calls, total_ms=total_ms))
    return sorted(statements, key=lambda one: one.mean_ms, reverse=True)
