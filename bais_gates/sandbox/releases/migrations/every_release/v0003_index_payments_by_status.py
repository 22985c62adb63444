"""An index for payments of a status."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the index."""
    op.get_bind().exec_driver_sql("CREATE INDEX payments_by_status ON payments (business_id, status)")
