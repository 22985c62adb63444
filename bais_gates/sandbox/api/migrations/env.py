"""Alembic's environment: runs all revisions in one transaction, on the connection of the caller."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
# A concurrent migration waits here, and then has nothing to do.
connection.execute(text("SELECT pg_advisory_xact_lock(4198347)"))
context.configure(connection=connection, target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
