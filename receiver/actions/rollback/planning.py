"""A decision about a rollback with what it would run: the brakes, and then whether its values fit into the command."""

from __future__ import annotations

from dataclasses import dataclass

from deploywatch.receiver.actions.rollback import brakes
from deploywatch.receiver.actions.rollback.situation import Go, Refusal, Refused, Situation
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.settings.actions.rollback import Rollback
from deploywatch.receiver.settings.executors.plan import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """A rollback that no brake holds, and what it runs."""

    go: Go
    plan: Plan


def decide(situation: Situation, incident: Incident, settings: Rollback) -> Planned | Refused:
    """Decide with every brake; a value that could mean more than itself in the command is a refusal as well."""
    decision = brakes.decide(situation, settings)
    if isinstance(decision, Refused):
        return decision
    try:
        # Filled in while it can still be refused: once a run is begun, a fault in a value would count as a failed
        # rollback.
        return Planned(decision, decision.target.plan(values(decision, incident)))
    except ValueError as error:
        return Refused(Refusal.UNSAFE_VALUE, str(error))


def values(go: Go, incident: Incident) -> dict[str, str]:
    """What a target's command is filled in with."""
    return {
        "service": go.deployment.service,
        "environment": go.deployment.environment,
        "from_version": go.deployment.version,
        "to_version": go.to_version,
        # The same each time it is asked for this deployment: where the other side knows ids, a repetition starts
        # nothing.
        "id": f"deploywatch-{incident.id}-{go.deployment.id}-{incident.opened_at:%Y%m%d%H%M%S}",
    }
