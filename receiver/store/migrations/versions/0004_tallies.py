"""Counters that do not count rows each time, what is open without a look at the rest, and how old a row is."""

from bisect import bisect_left
from collections import Counter

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BOUNDS = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0)
_ENDS = {
    "acknowledged_at": "deploywatch_incident_acknowledge_seconds",
    "resolved_at": "deploywatch_incident_resolve_seconds",
}


def upgrade() -> None:
    tallies = op.create_table(
        "tallies",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name=op.f("pk_tallies")),
    )
    is_open = sa.text("open_key IS NOT NULL")
    op.create_index("ix_incidents_open", "incidents", ["id"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("ix_incidents_resolved_at", "incidents", ["resolved_at"])
    op.create_index("ix_jobs_finished_at", "jobs", ["finished_at"])
    found = _counted(op.get_bind())
    op.bulk_insert(
        tallies, [{"name": name, "labels": labels, "value": value} for (name, labels), value in found.items()]
    )


def _counted(connection: sa.Connection) -> Counter[tuple[str, str]]:
    """What the counters would be, had they been kept from the start."""
    moments = {name: sa.column(name, sa.DateTime(timezone=True)) for name in ("opened_at", *_ENDS)}
    words = [sa.column(name, sa.Text()) for name in ("service", "environment", "severity")]
    found: Counter[tuple[str, str]] = Counter()
    for row in connection.execute(sa.select(*words, *moments.values()).select_from(sa.table("incidents"))):
        found["deploywatch_incidents_total", f"{row.service}\x1f{row.environment}"] += 1
        for column, name in _ENDS.items():
            if ended := getattr(row, column):
                seconds = (ended - row.opened_at).total_seconds()
                bucket = bisect_left(_BOUNDS, seconds)
                within = str(_BOUNDS[bucket]) if bucket < len(_BOUNDS) else "+Inf"
                found[name, f"{row.severity}\x1f{within}"] += 1
                found[f"{name}_sum", row.severity] += seconds
    return found


def downgrade() -> None:
    op.drop_index("ix_jobs_finished_at", "jobs")
    op.drop_index("ix_incidents_resolved_at", "incidents")
    op.drop_index("ix_incidents_open", "incidents")
    op.drop_table("tallies")
