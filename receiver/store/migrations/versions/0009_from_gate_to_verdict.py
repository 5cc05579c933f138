"""Deployments from gate to verdict: stages, looks, verdicts; approvals and records that a gate asks for."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("deployments", sa.Column("fixes", _ID, nullable=True))
    op.add_column("deployments", sa.Column("verdict", sa.String(length=20), nullable=True))
    op.add_column("deployments", sa.Column("judged_at", _MOMENT, nullable=True))

    op.create_table(
        "deployment_stages",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("deployment_id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.Column("answer", sa.String(length=20), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("accepted_at", _MOMENT, nullable=True),
        sa.Column("accepted_by", sa.Text(), nullable=True),
        sa.Column("accepted_why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name=op.f("fk_deployment_stages_deployment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment_stages")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("deployment_stages", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deployment_stages_deployment_id"), ["deployment_id"], unique=False)
        batch_op.create_index(
            "ix_deployment_stages_running",
            ["deployment_id"],
            unique=True,
            sqlite_where=sa.text("state = 'running'"),
            postgresql_where=sa.text("state = 'running'"),
        )

    op.create_table(
        "deployment_looks",
        sa.Column("stage_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ends_at", _MOMENT, nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("watched", sa.JSON(), nullable=False),
        sa.Column("taken_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["stage_id"], ["deployment_stages.id"], name=op.f("fk_deployment_looks_stage_id")),
        sa.PrimaryKeyConstraint("stage_id", "number", name=op.f("pk_deployment_looks")),
    )

    op.create_table(
        "deployment_verdicts",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("stage_id", _ID, nullable=False),
        sa.Column("deployment_id", _ID, nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("answer", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("also", sa.JSON(), nullable=False),
        sa.Column("sentences", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("confidence", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["stage_id"], ["deployment_stages.id"], name=op.f("fk_deployment_verdicts_stage_id")),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_deployment_verdicts_deployment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment_verdicts")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("deployment_verdicts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deployment_verdicts_stage_id"), ["stage_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployment_verdicts_deployment_id"), ["deployment_id"], unique=False)

    op.create_table(
        "gate_approvals",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("withdrawn_at", _MOMENT, nullable=True),
        sa.Column("withdrawn_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_approvals")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("gate_approvals", schema=None) as batch_op:
        batch_op.create_index("ix_gate_approvals_target", ["service", "environment", "version"], unique=False)

    op.create_table(
        "gate_records",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("recorded_at", _MOMENT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_records")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("gate_records", schema=None) as batch_op:
        batch_op.create_index("ix_gate_records_target", ["service", "environment", "kind", "at"], unique=False)


def downgrade() -> None:
    for table in ("gate_records", "gate_approvals", "deployment_verdicts", "deployment_looks", "deployment_stages"):
        op.drop_table(table)
    with op.batch_alter_table("deployments", schema=None) as batch_op:
        for column in ("judged_at", "verdict", "fixes"):
            batch_op.drop_column(column)
