"""The field's words: a job's serial key and its uncertain attempts get the names that the code gives them."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE jobs RENAME COLUMN lane TO serial_key")
    op.execute("ALTER TABLE jobs RENAME COLUMN doubts TO uncertain_attempts")
    op.drop_index("ix_jobs_lane", table_name="jobs")
    op.create_index("ix_jobs_serial_key", "jobs", ["serial_key", "state"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_jobs_serial_key", table_name="jobs")
    op.execute("ALTER TABLE jobs RENAME COLUMN uncertain_attempts TO doubts")
    op.execute("ALTER TABLE jobs RENAME COLUMN serial_key TO lane")
    op.create_index("ix_jobs_lane", "jobs", ["lane", "state"], unique=False)
