"""What a rollback would do now, as people see it who decide: from, to, the command, how it is verified, each brake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from deploywatch.plurals import number_of
from deploywatch.quantity import format_duration
from deploywatch.receiver.actions.rollback import brakes
from deploywatch.receiver.actions.rollback.history import situation, usual_duration
from deploywatch.receiver.actions.rollback.planning import values
from deploywatch.receiver.actions.rollback.situation import Go, Refusal, Refused, Situation
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.settings.actions.rollback import RollbackTarget


@dataclass(frozen=True, slots=True)
class Outlook:
    """A rollback that is not done yet: `words` has each brake's name and why it holds, empty where it does not.

    `breaker_open` says that so many in a row failed that a person has to allow more. `command` and `verification` are
    empty where no target is configured, `refused` where it would be done or asked.
    """

    deployment: Deployment | None
    to_version: str
    mode: str
    refused: str
    why: str
    words: tuple[tuple[str, str], ...]
    breaker_open: bool
    command: str
    verification: str
    usually: timedelta | None


def outlook(connection: Connection, context: Context, incident: Incident) -> Outlook:
    """What a rollback that a person asked for would meet now; nothing is decided by looking."""
    settings = context.settings.rollback
    at = situation(connection, context.settings, incident, context.clock())
    decision = brakes.decide(at, settings)
    target = settings.target(at.service, at.environment)
    command, fault = _command(context, at, target, incident)
    words = brakes.words(at, settings)
    return Outlook(
        deployment=at.deployment,
        to_version=at.to_version or "",
        mode=decision.mode if isinstance(decision, Go) else "",
        refused=fault or (decision.sentence if isinstance(decision, Refused) else ""),
        why=decision.why if isinstance(decision, Go) else "",
        words=tuple((name, refused.detail if refused else "") for name, refused in words),
        breaker_open=any(refused is not None and refused.reason is Refusal.BREAKER_OPEN for _, refused in words),
        command=command,
        verification=_verification(context, target, incident) if target else "",
        usually=usual_duration(connection, at.service, at.environment),
    )


def _verification(context: Context, target: RollbackTarget, incident: Incident) -> str:
    verify = target.verify
    url = verify.url.replace("{service}", incident.service).replace("{environment}", incident.environment)
    are = number_of(len(verify.signals), "signal is", "signals are")
    signals = f", and {are} good for {format_duration(verify.signals_for)}"
    return (
        f"{context.conceal(url)} says that it is healthy for {format_duration(verify.healthy_for)}"
        f"{signals if verify.signals else ''}, within {format_duration(verify.within)}; else people are called"
    )


def _command(context: Context, at: Situation, target: RollbackTarget | None, incident: Incident) -> tuple[str, str]:
    """The command that would run, and why there is none."""
    if not (target and at.deployment and at.to_version):
        return "", ""
    # The mode does not matter here: the command is the same in all of them.
    go = Go(at.deployment, target, at.to_version, "approve")
    try:
        return context.conceal(str(target.plan(values(go, incident)))), ""
    except ValueError as error:
        return "", str(error)
