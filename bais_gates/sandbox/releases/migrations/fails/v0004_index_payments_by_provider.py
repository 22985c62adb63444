"""An index on a column that nobody has added: PostgreSQL refuses it."""

from __future__ import annotations

from alembic import op

revision = "0004_by_provider"
down_revision = "0003"


def upgrade() -> None:
    """Fail."""
    op.get_bind().exec_driver_sql("CREATE INDEX payments_by_provider ON payments (payment_provider)")
