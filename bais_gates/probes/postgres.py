"""Ask PostgreSQL one thing, reading only, in bounded time.

Every statement runs alone in a READ ONLY transaction of its own, on a connection whose default is READ ONLY
too; it goes by the extended protocol, which takes exactly one statement, so that no text can end the
transaction and write behind it. Connecting and answering have deadlines. An error names host, port and
database, never the user's password.
"""

from __future__ import annotations

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
    """The database did not answer, or refused. The message says which one was asked, and the plain cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementStatistics:
    """What ``pg_stat_statements`` has counted for one statement of one user since it was last reset."""

    query_id: int
    user_id: int
    query: str
    calls: int
    total_ms: float

    @property
    def mean_ms(self) -> float:
        """Milliseconds a call; NaN without one."""
        return self.total_ms / self.calls if self.calls else math.nan


class Database:
    """One PostgreSQL database, read only. Connects when first asked; safe to share between threads.

    ``url`` is a DSN (``postgresql://user:password@host:port/name``); its password is registered with
    redaction.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    ) -> None:
        try:
            parts = psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            # libpq's message quotes the text it could not read, and with it a password.
            raise DatabaseError("the database url is no PostgreSQL connection string") from None
        password = parts.get("password")
        if password:
            redaction.register(str(password))
        self.name = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
        self._url = url
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = statement_timeout_s
        self._connection: psycopg.Connection[dict[str, object]] | None = None
        self._lock = threading.Lock()

    def rows(self, sql: str, params: Mapping[str, object] | None = None) -> list[dict[str, object]]:
        """Run one reading statement and give its rows as dicts; ``params`` fill ``%(name)s``.

        Raises :class:`DatabaseError` for whatever goes wrong, a writing statement included.
        """
        with self._lock:
            try:
                connection = self._connected()
                with connection.transaction():
                    # Binary results travel by the extended protocol: one statement, no more.
                    cursor = connection.execute(sql.encode(), params, binary=True)
                    return cursor.fetchall() if cursor.description else []
            except psycopg.Error as e:
                self._drop_if_broken()
                raise DatabaseError(f"the database {self.name}: {self._cause(e)}") from None

    def value(self, sql: str, params: Mapping[str, object] | None = None) -> object:
        """Give the first column of the first row, None when there is no row."""
        rows = self.rows(sql, params)
        return next(iter(rows[0].values()), None) if rows else None

    # -- what PostgreSQL says of itself --

    def max_connections(self) -> int:
        """Give the server's ``max_connections``."""
        return int(str(self.value("SELECT current_setting('max_connections')")))

    def connections(self) -> int:
        """Count the client connections to this database, this one included."""
        return int(str(self.value(_CONNECTIONS + " AND datname = current_database()")))

    def all_connections(self) -> int:
        """Count the client connections to all databases of the server, this one included."""
        return int(str(self.value(_CONNECTIONS)))

    def statements(self) -> dict[tuple[int, int], StatementStatistics] | None:
        """Give what ``pg_stat_statements`` counted in this database; None when it is not there to be read.

        The key is (user id, query id). Statements of this connection's own user are left out.
        """
        available = self.value(
            "SELECT to_regclass('pg_stat_statements') IS NOT NULL"
            " AND has_table_privilege(to_regclass('pg_stat_statements'), 'SELECT')"
        )
        if available is not True:
            return None
        found: dict[tuple[int, int], StatementStatistics] = {}
        for row in self.rows(_STATEMENTS):
            one = StatementStatistics(
                query_id=int(str(row["queryid"])),
                user_id=int(str(row["userid"])),
                query=str(row["query"] or ""),
                calls=int(str(row["calls"])),
                total_ms=float(str(row["total_ms"])),
            )
            found[one.user_id, one.query_id] = one
        return found

    # -- the connection --

    def _connected(self) -> psycopg.Connection[dict[str, object]]:
        if self._connection is None or self._connection.closed:
            milliseconds = max(1, round(self._statement_timeout_s * 1000))
            connection = psycopg.connect(
                self._url,
                connect_timeout=max(2, math.ceil(self._connect_timeout_s)),  # libpq takes 1 for 2
                # A server that went away is noticed on the way down, too, where no statement timeout runs.
                tcp_user_timeout=2 * milliseconds,
                options=f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
                " -c default_transaction_read_only=on",
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
            return "a gate reads only; the statement writes"
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


# A role that may not see others' activity sees their rows with a database, and without a kind.
_CONNECTIONS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname IS NOT NULL AND (backend_type IS NULL OR backend_type = 'client backend')
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
    """Give what was counted between two readings, slowest mean first; statements not called are left out.

    A counter that went down (somebody reset it) counts from zero.
    """
    found = []
    for key, now in after.items():
        then = before.get(key)
        if then is not None and then.calls <= now.calls and then.total_ms <= now.total_ms:
            calls, total = now.calls - then.calls, now.total_ms - then.total_ms
        else:
            calls, total = now.calls, now.total_ms
        if calls:
            found.append(
                StatementStatistics(
                    query_id=now.query_id, user_id=now.user_id, query=now.query, calls=calls, total_ms=total
                )
            )
    return sorted(found, key=lambda one: one.mean_ms, reverse=True)
