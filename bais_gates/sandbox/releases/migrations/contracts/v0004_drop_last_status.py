"""Drop the column that releases write no more since 1.1.0."""

from __future__ import annotations

from alembic import op

revision = "0004_no_last_status"
down_revision = "0003"
contracts = "1.1.0"
"""The oldest version that works with the schema from here on."""


def upgrade() -> None:
    """Drop the column."""
    op.get_bind().exec_driver_sql("ALTER TABLE webhook_deliveries DROP COLUMN last_status")
