"""Whether what travels between the platform's parts is encrypted: asked of PostgreSQL and Redis themselves.

Source: PCI DSS 4.2.1; PostgreSQL's pg_stat_ssl.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bais_gates.extras import optional
from bais_gates.probes.postgres import CONNECT_TIMEOUT_S, Database, DatabaseError

if TYPE_CHECKING:
    import psycopg
    import psycopg.conninfo
else:
    psycopg = optional("psycopg", extra="database")

PLAIN_SESSIONS: Final = """
SELECT count(*) FILTER (WHERE NOT s.ssl) AS plain, count(*) AS seen
FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
WHERE a.client_addr IS NOT NULL AND a.backend_type = 'client backend' AND a.datname = current_database()
"""


def sessions(database: Database) -> tuple[int, int]:
    """Count a database's sessions over the network: (without TLS, all)."""
    row = database.rows(PLAIN_SESSIONS)[0]
    return int(str(row["plain"])), int(str(row["seen"]))


def plaintext_refusal(url: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> str | None:
    """Try to sign in to PostgreSQL without TLS; return its refusal, None if it let us in.

    DatabaseError when it could not be asked: nobody there, or refused for another reason than the encryption.
    """
    parts = {k: str(v) for k, v in psycopg.conninfo.conninfo_to_dict(url).items() if not k.startswith("ssl")}
    name = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}"
    plain = psycopg.conninfo.make_conninfo(**parts, sslmode="disable", gssencmode="disable")
    try:
        psycopg.connect(plain, connect_timeout=max(2, round(connect_timeout_s))).close()
    except psycopg.Error as e:
        said = " ".join(str(e).split())
        if (
            "no encryption" in said
            or "SSL off" in said
            or "requires encryption" in said
            or "SSL required" in said
        ):
            return "no entry in pg_hba.conf for a connection without encryption"
        raise DatabaseError(
            f"the database {name} could not be asked without TLS: {type(e).__name__}"
        ) from None
    return None


def cache_is_encrypted(url: str) -> bool | None:
    """Whether a Redis URL asks for TLS; None where nothing leaves the machine (loopback, socket)."""
    parts = urlsplit(url)
    if parts.scheme == "rediss":
        return True
    if parts.scheme == "unix" or parts.hostname in {None, "localhost"}:
        return None
    try:
        return None if ipaddress.ip_address(str(parts.hostname)).is_loopback else False
    except ValueError:
        return False
