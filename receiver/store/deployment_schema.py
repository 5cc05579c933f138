"""The tables of deployments from gate to verdict; `schema` has the ledger itself.

`deployment_stages`: a row a stage that began, with the plan that it is judged by (resolved: queries of this service and
version), the control's looks of the hour before, the newest answer, and who accepted a hold. One stage of a deployment
runs at a time. `deployment_looks`: a row a look, its number counted from 1: the counts of each limit and the state of
each watched condition; evidence is always computed from these. `deployment_verdicts`: a row a judged look, with reason,
sentences, findings and confidence as JSON. `gate_approvals`: who approved which version and artifact, in which role,
until when. `gate_records`: dated records that a gate asks for, such as a backup that was made.
`database_migrations`: how migrations of services' databases ended.
`deployment_assessments`: a row an assessment of a deployment's health. `deployment_baselines`: what was usual for a
recorded series in each hour of the week, learned once for a deployment from the four weeks before it.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, String, Text, text

from deploywatch.receiver.store.columns import Moment, identifier, table

deployment_stages = table(
    "deployment_stages",
    identifier(),
    Column("deployment_id", ForeignKey("deployments.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    # From 1, as the stages of the deployment began.
    Column("position", Integer, nullable=False),
    # What `verification.plan` says of this stage; durations in seconds, shares from 0 to 1.
    Column("plan", JSON, nullable=False),
    # By limit: the control's [requests, bad] of each look of the time before; NULL until they were asked for.
    Column("before", JSON),
    # By relative limit of a stage without a control: what this hour of the day does anyway ({times, days}).
    Column("usual", JSON),
    # Running, promoted, rolled_back, accepted, superseded or ended.
    Column("state", String(20), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("answer", String(20)),
    Column("reason", String(40)),
    # A person's word that the deployment goes on, although the answer is hold.
    Column("accepted_at", Moment),
    Column("accepted_by", Text),
    Column("accepted_why", Text),
    Index(
        "ix_deployment_stages_running",
        "deployment_id",
        unique=True,
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
)

deployment_looks = table(
    "deployment_looks",
    Column("stage_id", ForeignKey("deployment_stages.id"), primary_key=True),
    # From 1; the look ends so many times its length after the stage began.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("ends_at", Moment, nullable=False),
    # By limit: [requests, bad, control's requests, control's bad], each a number or null.
    Column("counts", JSON, nullable=False),
    # By watched condition: whether it was bad, or null where it has no value.
    Column("watched", JSON, nullable=False),
    Column("taken_at", Moment, nullable=False),
)

deployment_verdicts = table(
    "deployment_verdicts",
    identifier(),
    Column("stage_id", ForeignKey("deployment_stages.id"), nullable=False, index=True),
    Column("deployment_id", ForeignKey("deployments.id"), nullable=False, index=True),
    # The newest look that it is made from; 0 where there is none.
    Column("look", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("answer", String(20), nullable=False),
    Column("reason", String(40), nullable=False),
    # Further reasons, and a sentence for each reason.
    Column("also", JSON, nullable=False),
    Column("sentences", JSON, nullable=False),
    # One a limit, and what the confidence is made of.
    Column("findings", JSON, nullable=False),
    Column("confidence", JSON, nullable=False),
)

gate_approvals = table(
    "gate_approvals",
    identifier(),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("version", Text, nullable=False),
    # What was approved is this artifact, and no other of the same version.
    Column("artifact", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("by", Text, nullable=False),
    # Whether the server checked who that is.
    Column("verified", Boolean, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("withdrawn_at", Moment),
    Column("withdrawn_by", Text),
    Index("ix_gate_approvals_target", "service", "environment", "version"),
)

database_migrations = table(
    "database_migrations",
    identifier(),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", String(200), nullable=False),
    # How it ended, as `deploywatch migrate` says it.
    Column("outcome", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    # How what was before is restored, where there is a backup.
    Column("restore", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("by", Text, nullable=False),
    # What is recorded twice is one.
    Index("ix_database_migrations_once", "service", "environment", "name", "started_at", unique=True),
)

gate_records = table(
    "gate_records",
    identifier(),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    # Such as backup.
    Column("kind", String(40), nullable=False),
    # When it was done, and when we heard of it.
    Column("at", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("by", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_gate_records_target", "service", "environment", "kind", "at"),
)

deployment_assessments = table(
    "deployment_assessments",
    Column("deployment_id", ForeignKey("deployments.id"), primary_key=True),
    # From 1; whoever comes second with a number has lost.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("phase", String(20), nullable=False),
    # Healthy, warning, critical or unknown; score and coverage from 0 to 1.
    Column("status", String(10), nullable=False),
    Column("score", Float),
    Column("coverage", Float, nullable=False),
    # From 0 to 10; NULL where nobody knows.
    Column("impact", Float),
    Column("impact_estimated", Boolean, nullable=False),
    Column("confidence", Float, nullable=False),
    # Why there is no measurement at all; empty where there is one.
    Column("problem", Text, nullable=False),
    # Signals, kinds, anomalies, recommendations, what was not measured, and what the confidence is made of.
    Column("details", JSON, nullable=False),
    Column("next_seconds", Float, nullable=False),
)

deployment_baselines = table(
    "deployment_baselines",
    Column("deployment_id", ForeignKey("deployments.id"), primary_key=True),
    # The recorded series.
    Column("series", String(400), primary_key=True),
    # By hour of the week, from 0 (Monday, UTC) to 167: [median, MAD, samples, weeks].
    Column("hours", JSON, nullable=False),
    # What was not learned from: [what, since, until].
    Column("left_out", JSON, nullable=False),
    # Why nothing was learned; empty where something was.
    Column("problem", Text, nullable=False),
    Column("learned_at", Moment, nullable=False),
)
