"""An index for every foreign key without one, so that no join or delete reads a whole table."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_UPGRADE = """
CREATE INDEX users_by_business ON users (business_id);
CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_by_business ON refresh_tokens (business_id);
CREATE INDEX api_keys_by_business ON api_keys (business_id);
CREATE INDEX api_keys_by_user ON api_keys (user_id);
CREATE INDEX workflows_by_business ON workflows (business_id);
CREATE INDEX payments_by_workflow ON payments (workflow_id);
DROP INDEX webhook_deliveries_by_webhook;
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id);
CREATE INDEX webhook_deliveries_by_business ON webhook_deliveries (business_id);
"""


def upgrade() -> None:
    """Create the indexes."""
    op.get_bind().exec_driver_sql(_UPGRADE)
