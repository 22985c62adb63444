"""${message}."""

from __future__ import annotations

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """To this revision."""
    ${upgrades if upgrades else ""}


def downgrade() -> None:
    """Back to the one before."""
    ${downgrades if downgrades else ""}
