"""Judge what opens a PostgreSQL database past its grants: templates, owners, extensions, publications.

What the environment file declares by name under ``security.privileged_roles``, of any role, is free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bais_gates.rules.database_access import Subjects

_OUTSIDE: Final = re.compile(
    r"\w+_fdw|dblink|adminpack|pg_surgery|pageinspect|pg_walinspect|xml2|(\w+_)?pl\w+u|plsh|http|pg_net"
    r"|pg_background|pg_file\w*|oracle_fdw"
)
"""Extensions that reach files, programs, other servers, or rows behind the server's back."""
_WORDS: Final = {
    "template": "database {name}: a template, which every role with CREATEDB may copy "
    "(ALTER DATABASE {name} IS_TEMPLATE false)",
    "database owner": "database {name}: belongs to {owner}, who owns none of its tables "
    "(ALTER DATABASE {name} OWNER TO ...)",
    "table owner": "table {name}: belongs to {owner}, most tables of its schema do not "
    "(ALTER TABLE {name} OWNER TO ...)",
    "extension": "extension {name}: reaches files, programs, other servers or raw pages "
    "(DROP EXTENSION {name})",
    "language": "language {name}: untrusted, its functions may do anything on the server (DROP EXTENSION)",
    "policy": "table {name}: has policies, but row security is disabled "
    "(ALTER TABLE {name} ENABLE ROW LEVEL SECURITY)",
    "publication": "publication {name}: publishes all tables, future ones too (DROP PUBLICATION {name})",
    "subscription": "subscription {name}: writes tables from another server (DROP SUBSCRIPTION {name})",
    "user mapping": "foreign server {name}: its user mapping is for PUBLIC "
    "(DROP USER MAPPING FOR PUBLIC SERVER {name})",
    "shadow": "{name}: hides the object of this name in the schema public from role {owner}",
}


def exposure_findings(subjects: Subjects, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """List what gives away a database as a whole, unless it is declared.

    ``rows`` have the columns kind, name and owner. Source: PostgreSQL documentation, "Template Databases",
    "Additional Supplied Modules", "CREATE LANGUAGE", "Row Security Policies",
    "Logical Replication: Security", "CREATE USER MAPPING", "Schemas: Usage
    Patterns"; CIS PostgreSQL 4.5, 4.7, 4.8; PCI DSS 7.2.
    """
    return sorted(
        _WORDS[row["kind"]].format(name=row["name"], owner=row["owner"])
        for row in rows
        if not (row["kind"] == "extension" and not _OUTSIDE.fullmatch(str(row["name"])))
        and not (subjects.managed and subjects.is_own(str(row["owner"])))
        and not subjects.declares(str(row["name"]))
    )
