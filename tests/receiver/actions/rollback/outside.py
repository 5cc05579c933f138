"""What is outside the receiver, for courses of events drawn at random: it remembers, and objects to a wrong rollback.

It knows by itself what was deployed, what fires, who said yes and which windows are open, and looks whenever a rollback
is really carried out, so that a brake that is missing is noticed whatever the receiver believes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.executors.plan import Means, Result
from deploywatch.receiver.executors.registry import EXECUTORS
from deploywatch.receiver.settings.executors.plan import Values
from tests.receiver.scene import HOUR, MINUTE, MovingClock

GOOD = Result(good=True, detail="done")


@dataclass(frozen=True, slots=True)
class Limits:
    """How careful the receiver is told to be, and how the world is at first."""

    mode: Literal["auto", "approve"] = "auto"
    issues: int = 0
    delay: timedelta = timedelta()
    cooldown: timedelta = MINUTE
    of_target: int = 9
    in_all: int = 9
    breaker: int = 2
    recent: timedelta = 2 * HOUR
    result: Result = GOOD

    def config(self) -> dict[str, Any]:
        """As it stands in the receiver's file; nothing but rollbacks, so that there is time for many of them."""
        brakes = {
            "mode": self.mode,
            "delay": self.delay,
            "recent": self.recent,
            "cooldown": self.cooldown,
            "breaker": self.breaker,
            "caps": {"target": self.of_target, "total": self.in_all},
            "approval": {"within": "10m"},
            "decide": {"issues": self.issues, "confidence": 0} if self.issues else None,
            "targets": [{"command": ["x"], "verify": {"url": "http://x/", "within": "1m", "interval": "20s"}}],
        }
        return {
            "rollback": brakes,
            "strategy": {"severities": {"critical": {"immediate": ["rollback"]}}},
            "response": {"deadlines": {"critical": "0s"}, "updates": {"critical": "0s"}, "review": {"severities": []}},
        }


@dataclass(slots=True)
class Deployed:
    """A deployment as its pipeline knows it; versions are never used twice."""

    id: int
    service: str
    version: str
    started_at: datetime
    status: Literal["running", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class Ran:
    """A rollback that was carried out, and whether its command failed and the receiver lived to see it."""

    service: str
    version: str
    failed: bool


@dataclass(slots=True)
class Outside:
    """The world; `dies` says when the receiver is killed: before the command of the next rollback, or while it runs."""

    clock: MovingClock
    limits: Limits
    deployed: list[Deployed] = field(default_factory=list)
    firing: dict[tuple[str, str], Alert] = field(default_factory=dict)
    windows: dict[str, datetime] = field(default_factory=dict)
    said_yes: set[str] = field(default_factory=set)
    ran: list[Ran] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)
    result: Result = GOOD
    healthy: bool = True
    dies: Literal["", "before", "meanwhile"] = ""

    def running(self) -> list[Deployed]:
        """What is being deployed."""
        return [deployment for deployment in self.deployed if deployment.status == "running"]

    def carry_out(self, service: str, version: str, to_version: str) -> Result:
        """A rollback is really carried out: note it, and everything that speaks against it."""
        if self.dies == "before":
            raise asyncio.CancelledError
        self.objections += [f"{version} of {service}: {why}" for why in self._against(service, version, to_version)]
        told = not self.dies and self.result.known
        self.ran.append(Ran(service, version, failed=told and not self.result.good))
        if self.dies == "meanwhile":
            raise asyncio.CancelledError
        return self.result

    def _against(self, service: str, version: str, to_version: str) -> list[str]:
        mine = [deployment for deployment in self.deployed if deployment.service == service]
        newest = max(mine, key=lambda one: (one.started_at, one.id))
        bad = next(one for one in mine if one.version == version)
        went_well = {one.version for one in mine if one.status == "succeeded"} - {version}
        names = {name for where, name in self.firing if where == service}
        lately = [one.failed for one in self.ran if one.service == service][-self.limits.breaker :]
        facts = {
            "it was rolled back before": any(one.version == version for one in self.ran),
            "a newer deployment has begun": newest is not bad,
            "it is still being deployed": bad.status == "running",
            "nothing fires": not names,
            "a window is open": service in self.windows and self.clock.now < self.windows[service],
            "nobody said yes": self.limits.mode == "approve" and version not in self.said_yes,
            "too few issues": len(names) < self.limits.issues and version not in self.said_yes,
            "the last ones failed": len(lately) == self.limits.breaker and all(lately),
            "the version did not run well before": to_version not in went_well,
        }
        return [why for why, true in facts.items() if true]


@dataclass(frozen=True, slots=True)
class NotedPlan:
    """A rollback whose command is to tell the outside."""

    outside: Outside
    values: Values
    programs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "tell the outside"


async def _perform(plan: NotedPlan, means: Means, limit: timedelta) -> Result:
    """Tell it."""
    values = plan.values
    return plan.outside.carry_out(values["service"], values["from_version"], values["to_version"])


EXECUTORS[NotedPlan] = _perform
