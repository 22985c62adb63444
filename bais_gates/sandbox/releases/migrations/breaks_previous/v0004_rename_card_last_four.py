"""A column of payments gets another name at once, without a time in which both exist."""

from __future__ import annotations

from alembic import op

revision = "0004_card_last4"
down_revision = "0003"


def upgrade() -> None:
    """Rename the column."""
    op.get_bind().exec_driver_sql("ALTER TABLE payments RENAME COLUMN card_last_four TO card_last4")
