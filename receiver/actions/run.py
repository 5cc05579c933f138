"""Run: commands of one's own, each once an incident and severity."""

from __future__ import annotations

from sqlalchemy import Connection

from deploywatch.receiver.actions import runs
from deploywatch.receiver.actions.runs import Begun
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.case import Action, Case
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome

KIND = "run"


def queue(case: Case) -> None:
    """Queue every command that is meant for the service; a line says so when none is."""
    incident = case.incident
    fitting = [run for run in case.settings.run if run.covers(incident.service, incident.environment)]
    for run in fitting:
        case.queue_once(KIND, which=run.name, name=run.name)
    if not fitting:
        where = f"{incident.service} in {incident.environment}"
        case.note(Kind.RUN_REFUSED, f"run refused (no_target): no command is configured for {where}; add one to run")


async def handle(context: Context, job: Job) -> Outcome:
    """Run the command once."""
    return await runs.carry_out(context, job, lambda connection: _begin(connection, context, job))


def _values(incident: Incident, job: Job) -> dict[str, str]:
    return {
        "service": incident.service,
        "environment": incident.environment,
        "severity": job.payload["severity"],
        "incident": str(incident.id),
        "id": f"deploywatch-run-{job.id}",
    }


def _begin(connection: Connection, context: Context, job: Job) -> Begun | None:
    incident, name = store.get(connection, job.incident_id), job.payload["name"]
    run_settings = next((run for run in context.settings.run if run.name == name), None)
    if run_settings is None:
        runs.refuse(
            connection, context, incident, KIND, reason="no_target", detail=f"{name} is not configured any more"
        )
        return None
    try:
        plan = run_settings.plan(_values(incident, job))
    except ValueError as error:
        runs.refuse(connection, context, incident, KIND, reason="unsafe_value", detail=str(error))
        return None
    return runs.begin(connection, context, job, incident, plan, what=f"running {name}", limit=run_settings.timeout)


ACTION = Action("run", queue, {KIND: handle})
