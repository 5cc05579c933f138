"""The gate: everything that a deployment's plan asks for before it begins, each thing open or with what to do.

It lists all that lacks at once. What cannot be told now is never open. A rollback is not gated: it must always be
possible.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from deploywatch.errors import UnreachableError
from deploywatch.receiver.actions.target_lock import held_by
from deploywatch.receiver.context import Context
from deploywatch.receiver.verification import measured_requirements, question, requirements
from deploywatch.receiver.verification.question import Asked, Facts, Finding, Question, Standing
from deploywatch.verdict.plan import Plan
from deploywatch.verdict.plan_parts import Requirement


class GateState(StrEnum):
    """Whether a deployment may begin: `waiting` lacks nothing but a person's word, `unknown` cannot be told now."""

    OPEN = "open"
    CLOSED = "closed"
    WAITING = "waiting"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement: how it stands, why, and what to do where it is not open."""

    require: str
    standing: Standing
    detail: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """As the API gives it."""
        return {"require": self.require, "standing": self.standing, "detail": self.detail, "advice": self.advice}


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate for one deployment; `stages` are those that its plan has."""

    asked: Asked
    policy: str
    checks: tuple[Check, ...]
    stages: tuple[str, ...] = ()

    @property
    def state(self) -> GateState:
        """What is closed for certain is closed, whatever else cannot be told."""
        there = {check.standing for check in self.checks}
        for standing, state in (
            (Standing.CLOSED, GateState.CLOSED),
            (Standing.UNKNOWN, GateState.UNKNOWN),
            (Standing.WAITING, GateState.WAITING),
        ):
            if standing in there:
                return state
        return GateState.OPEN

    def to_json(self) -> dict[str, Any]:
        """As the API gives it."""
        return {
            "state": self.state,
            "policy": self.policy,
            "service": self.asked.service,
            "environment": self.asked.environment,
            "version": self.asked.version,
            "artifact": self.asked.artifact,
            "checks": [check.to_json() for check in self.checks],
            "stages": list(self.stages),
        }


async def look(context: Context, asked: Asked) -> Gate:
    """How the gate stands now; what a source cannot answer is unknown, and said."""
    # Whatever lacks: going back is what mends it.
    if asked.rollback:
        return Gate(asked, "", (Check("rollback", Standing.OPEN, "a rollback is never gated"),))
    plans = context.settings.verification.plans_of(asked.service, asked.environment)
    # Two plans may ask for different things, and nobody has said which of them counts.
    if len(plans) != 1:
        return Gate(asked, "", (_no_plan(plans, asked),))
    (plan,) = plans
    wanted = _wanted(plan, asked.environment)
    now = context.clock()
    facts, held = await context.store.read(
        lambda c: (question.facts(c, asked, wanted, now), held_by(c, asked.service, asked.environment))
    )
    # One after another: the gate is asked seldom, and Prometheus is not to be flooded by it.
    checks = [await _check(context, plan, asked, facts, requirement) for requirement in wanted]
    if held:
        checks.append(_held(asked, held))
    return Gate(asked, plan.policy, tuple(checks), tuple(stage.stage for stage in plan.stages))


def _wanted(plan: Plan, environment: str) -> list[Requirement]:
    return [
        requirement
        for requirement in plan.gate
        if not requirement.environments or environment in requirement.environments
    ]


def _held(asked: Asked, holder: str) -> Check:
    # No plan has to ask for that: what begins now may be overwritten, or overwrite what mends.
    detail = f"{asked.service} in {asked.environment} is in the hands of {holder}"
    return Check("target", Standing.CLOSED, detail, "wait until that has ended, and ask again")


async def _check(context: Context, plan: Plan, asked: Asked, facts: Facts, wanted: Requirement) -> Check:
    handler = HANDLERS.get(wanted.require)
    # A plan of a newer version: what cannot be checked is not taken for fulfilled.
    if handler is None:
        advice = "update the receiver, or build the plan with the rules of its version"
        return Check(wanted.require, Standing.UNKNOWN, "this receiver does not know such a requirement", advice)
    try:
        finding = await handler(Question(context, plan, asked, facts, wanted))
    except UnreachableError as error:
        advice = "see to the source, and ask again"
        finding = Finding(Standing.UNKNOWN, context.conceal(str(error)), advice)
    name = f"{wanted.require} {', '.join(wanted.of)}" if wanted.of else wanted.require
    return Check(name, finding.standing, finding.detail, finding.advice)


Handler = Callable[[Question], Awaitable[Finding]]

HANDLERS: Mapping[str, Handler] = {
    "approval": requirements.approval,
    "health": measured_requirements.health,
    "capacity": measured_requirements.capacity,
    "backup": requirements.record,
    "record": requirements.record,
    "on_call": requirements.on_call,
    "rollback_target": requirements.rollback_target,
    "monitoring": measured_requirements.monitoring,
    "baseline": measured_requirements.baseline,
    "no_open_incident": requirements.no_open_incident,
    "change_window": requirements.change_window,
    "staging_verified": requirements.verified_before,
}


def _no_plan(plans: Sequence[Plan], asked: Asked) -> Check:
    where = f"{asked.service} in {asked.environment}"
    if not plans:
        detail = f"no verification plan covers {where}, so nobody knows what is asked for"
        return Check("plan", Standing.UNKNOWN, detail, "build one from a policy, and name it in verification.plans")
    names = ", ".join(plan.policy for plan in plans)
    return Check("plan", Standing.UNKNOWN, f"several plans cover {where}: {names}", "keep one of them")
