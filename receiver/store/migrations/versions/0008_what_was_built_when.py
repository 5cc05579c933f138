"""What was built when: a deployment's artifact, and when its newest change was committed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("artifact", sa.Text(), server_default="", nullable=False))
    op.add_column("deployments", sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("deployments", schema=None) as batch_op:
        batch_op.drop_column("committed_at")
        batch_op.drop_column("artifact")
