"""Alembic's environment: runs all revisions in one transaction, on the connection of the caller.

A revision with an attribute ``contracts`` takes away what older releases need. The attribute is the oldest
version that works afterwards, and the log reports it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alembic import context
from sqlalchemy import text

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationInfo


_log = logging.getLogger("alembic.runtime.migration")


def _report_contraction(*, step: MigrationInfo, **_: Any) -> None:
    oldest = getattr(getattr(step.up_revision, "module", None), "contracts", None)
    if step.is_upgrade and oldest is not None:
        _log.warning("Revision %s contracts the schema: no way back before %s", step.up_revision_id, oldest)


connection = context.config.attributes["connection"]
# A concurrent migration waits here, and then has nothing to do.
connection.execute(text("SELECT pg_advisory_xact_lock(4198347)"))
context.configure(connection=connection, target_metadata=None, on_version_apply=_report_contraction)  # type: ignore[arg-type] # Alembic calls it by keyword
with context.begin_transaction():
    context.run_migrations()
