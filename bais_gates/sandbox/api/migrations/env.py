"""How Alembic runs the revisions: all in one transaction, on the connection that it is given."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
# Two migrations at once would both create everything; the second waits here, and then finds it done.
connection.execute(text("SELECT pg_advisory_xact_lock(4198347)"))
context.configure(connection=connection, target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
