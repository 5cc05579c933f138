"""How healthy a deployment is, assessed again and again: assessments, what is usual, and whether it was a success."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("deployments", sa.Column("success", sa.String(length=20), nullable=True))
    op.add_column("deployments", sa.Column("success_at", _MOMENT, nullable=True))
    op.add_column("deployments", sa.Column("success_why", sa.Text(), nullable=True))

    op.create_table(
        "deployment_assessments",
        sa.Column("deployment_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("phase", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("coverage", sa.Float(), nullable=False),
        sa.Column("impact", sa.Float(), nullable=True),
        sa.Column("impact_estimated", sa.Boolean(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("next_seconds", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_deployment_assessments_deployment_id")
        ),
        sa.PrimaryKeyConstraint("deployment_id", "number", name=op.f("pk_deployment_assessments")),
    )

    op.create_table(
        "deployment_baselines",
        sa.Column("deployment_id", _ID, nullable=False),
        sa.Column("series", sa.String(length=400), nullable=False),
        sa.Column("hours", sa.JSON(), nullable=False),
        sa.Column("left_out", sa.JSON(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("learned_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_deployment_baselines_deployment_id")
        ),
        sa.PrimaryKeyConstraint("deployment_id", "series", name=op.f("pk_deployment_baselines")),
    )


def downgrade() -> None:
    for table in ("deployment_baselines", "deployment_assessments"):
        op.drop_table(table)
    with op.batch_alter_table("deployments", schema=None) as batch_op:
        for column in ("success_why", "success_at", "success"):
            batch_op.drop_column(column)
