"""Jobs: what runs first of all that is due."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("urgency", sa.SmallInteger(), nullable=False, server_default="2"))
    op.create_index("ix_jobs_urgent", "jobs", ["state", "urgency", "run_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_jobs_urgent", table_name="jobs")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("urgency")
