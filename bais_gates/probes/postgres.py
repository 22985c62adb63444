"""Query PostgreSQL read-only, with deadlines.

Every statement runs in its own READ ONLY transaction, on a connection whose default is READ ONLY, by the
extended query protocol. That protocol accepts exactly one statement, so no text can end the transaction and
write afterwards. Connecting and each statement have a deadline. Errors name host, port and database, never
the password.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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

CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 5.0


class DatabaseError(Exception):
    """The database did not answer, or refused. The message names the database and the cause."""


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
    redaction. ``options`` are more settings of the session (``-c name=value``).
    """

    def __init__(
        self,
        url: str,
        *,
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
        self.name = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
        self._url = url
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
                self._drop_if_broken()
                raise DatabaseError(f"the database {self.name}: {self._cause(e)}") from None

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

    def network_sessions(self) -> tuple[int, int]:
        """Return the numbers of this database's sessions over the network: without TLS, and all."""
        row = self.rows(_NETWORK_SESSIONS)[0]
        return int(str(row["plain"])), int(str(row["total"]))

    def statements(self) -> dict[tuple[int, int], StatementStatistics] | None:
        """Return ``pg_stat_statements`` of this database by (user id, query id); None if it is not readable.

        Statements of this connection's own user are left out.
        """
        available = self.value(
            "SELECT to_regclass('pg_stat_statements') IS NOT NULL"
            " AND has_table_privilege(to_regclass('pg_stat_statements'), 'SELECT')"
        )
        if available is not True:
            return None
        statements: dict[tuple[int, int], StatementStatistics] = {}
        for row in self.rows(_STATEMENTS):
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

    def _connected(self) -> psycopg.Connection[dict[str, object]]:
        if self._connection is None or self._connection.closed:
            milliseconds = max(1, round(self._statement_timeout_s * 1000))
            connection = psycopg.connect(
                self._url,
                connect_timeout=max(2, math.ceil(self._connect_timeout_s)),  # the minimum of libpq is 2
                # Detects a lost server also while sending, where no statement timeout applies.
                tcp_user_timeout=2 * milliseconds,
                options=f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
                f" -c default_transaction_read_only=on {self._options}",
                application_name="bais-gates",
                autocommit=True,
                row_factory=psycopg.rows.dict_row,
            )
            connection.read_only = True
            self._connection = connection
        return self._connection

    def _drop_if_broken(self) -> None:
        if self._connection is not None and (self._connection.broken or self._connection.closed):
            self._connection.close()
            self._connection = None

    def _cause(self, error: psycopg.Error) -> str:
        if isinstance(error, psycopg.errors.QueryCanceled):
            return f"no answer within {self._statement_timeout_s:g} s"
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            return "the statement writes, but gates have read-only access"
        text = error.diag.message_primary or str(error).strip() or type(error).__name__
        return redaction.redact(" ".join(text.split()))[:300]

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
_NETWORK_SESSIONS: Final = """
SELECT count(*) FILTER (WHERE NOT s.ssl) AS plain, count(*) AS total
FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
WHERE a.client_addr IS NOT NULL AND a.backend_type = 'client backend' AND a.datname = current_database()
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


def plaintext_refusal(url: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> str | None:
    """Connect to PostgreSQL without TLS; return why it was refused, None if the connection was accepted.

    Raises :class:`DatabaseError` when the server does not answer or refuses for another reason.
    """
    parts = {k: str(v) for k, v in psycopg.conninfo.conninfo_to_dict(url).items() if not k.startswith("ssl")}
    name = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}"
    plain = psycopg.conninfo.make_conninfo(**parts, sslmode="disable", gssencmode="disable")
    try:
        psycopg.connect(plain, connect_timeout=max(2, round(connect_timeout_s))).close()
    except psycopg.Error as e:
        message = " ".join(str(e).split())
        if any(words in message for words in _ENCRYPTION_REQUIRED):
            return "no entry in pg_hba.conf for a connection without encryption"
        raise DatabaseError(f"the database {name}, connected without TLS: {type(e).__name__}") from None
    return None


_ENCRYPTION_REQUIRED: Final = ("no encryption", "SSL off", "requires encryption", "SSL required")
