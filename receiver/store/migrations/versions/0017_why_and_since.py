"""Jobs: a word for how the last run ended. Alerts: the earlier start that Alertmanager has given them since."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("alerts", sa.Column("lowered_to", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("alerts", "lowered_to")
    op.drop_column("jobs", "reason")
