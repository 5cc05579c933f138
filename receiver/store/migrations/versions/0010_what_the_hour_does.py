"""Stages without a control keep how much the hour of the day usually changes."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployment_stages", sa.Column("usual", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("deployment_stages", "usual")
