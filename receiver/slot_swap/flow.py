"""The flow of a slot swap: gate, start, deploy to the slot, prove it there, swap, prove it again, watch, finish.

Until the swap nothing of production is touched, and what fails ends the deployment. After it the receiver decides about
going back, since it alone knows whether somebody else has gone back already: a swap that is made twice brings the bad
version back. It is told by its verdict on the stage, or, where production is not well at once, by an alert of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from deploywatch import secrets
from deploywatch.errors import DeploywatchError, UnreachableError
from deploywatch.quantity import format_duration
from deploywatch.receiver.actions.rollback import verify
from deploywatch.receiver.client import Client, RefusedError
from deploywatch.receiver.executors import registry
from deploywatch.receiver.executors.plan import Means, Result
from deploywatch.receiver.messages import identity
from deploywatch.receiver.settings.executors.choice import RollbackChoice
from deploywatch.receiver.settings.executors.plan import steps
from deploywatch.receiver.slot_swap.plan import UNKNOWN, Proof, SlotPlan

ALERT = "SlotSwapUnhealthy"
PROMOTED, FAILED, USAGE, HELD, CANNOT_TELL = 0, 1, 2, 3, 4
_GATE = {"closed": FAILED, "waiting": HELD, "unknown": CANNOT_TELL}
_ASK_AGAIN = timedelta(seconds=2)
_DEPLOYMENT = ("id", "status", "previous_version")
"""What an answer about a deployment says; one that does not is another program's, and proves nothing."""

Watch = Callable[[int, str], tuple[int, str]]
"""Follows a stage of a deployment to its end: the exit code, and why in words."""


class StoppedError(DeploywatchError):
    """The flow ends here, with this exit code; the message says why and what to do."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Asked:
    """The version that is to be swapped in, and who deploys it."""

    version: str
    artifact: str
    deployer: str
    commit_time: str = ""
    fixes: int | None = None


@dataclass(slots=True)
class Flow:
    """One swap. `say` is told each step that is done; clock, sleep and clients are passed in."""

    plan: SlotPlan
    client: Client
    means: Means
    asked: Asked
    watch: Watch
    say: Callable[[str], None]

    # Whatever ends it, Ctrl-C too: a deployment that is left `running` would hold the gate against the next one for
    # hours. What stopped the flow is what a person has to read, not that the receiver was away as well.
    async def run(self) -> None:
        """From gate to promoted; StoppedError where it ends before, UnreachableError where the receiver is away."""
        await self._not_there_already()
        await self._gate()
        deployment = await self._start()
        number, values = int(deployment["id"]), self._values(deployment)
        try:
            await self._do("the version into the slot", self.plan.deploy, values)
            await self._prove("the slot", self.plan.slot, values)
            await self._swap(values)
        except BaseException:
            with contextlib.suppress(DeploywatchError):
                await self._finish(number, "failure")
            raise
        try:
            await self._after_the_swap(number, values)
        except (UnreachableError, RefusedError) as error:
            what = f"{self.asked.version} is in production, and what the receiver makes of it is not known: {error}"
            what = f"{what}; look at production, and swap back by hand if it is bad"
            raise StoppedError(what, CANNOT_TELL) from error

    # Slots are symmetrical: a swap of a swapped pair is a rollback that nobody asked for.
    async def _not_there_already(self) -> None:
        health = await self._look(self.plan.production, None)
        if health.running == self.asked.version:
            what = f"production runs {self.asked.version} already, and the slot has what ran before"
            raise StoppedError(f"{what}: swapping again would bring that back", FAILED)

    async def _gate(self) -> None:
        body: dict[str, Any] = {**self._target(), "version": self.asked.version, "deployer": self.asked.deployer}
        body |= {"artifact": self.asked.artifact} if self.asked.artifact else {}
        body |= {"fixes": self.asked.fixes} if self.asked.fixes else {}
        gate = await self._post("/gate", body, needs=("state", "stages", "checks"))
        # Asked here, as after the swap it would be too late to hear of a typing error.
        if self.plan.stage not in gate["stages"]:
            known = ", ".join(gate["stages"]) or "none"
            raise StoppedError(f"stage: the verification plan has no stage {self.plan.stage!r}; it has: {known}", USAGE)
        if gate["state"] == "open":
            self.say("the gate is open")
            return
        lacking = [check for check in gate["checks"] if check["standing"] != "open"]
        lines = [f"{check['require']}: {check['detail']}; {check['advice']}" for check in lacking]
        raise StoppedError("\n".join((f"the gate is not open: {gate['state']}", *lines)), _GATE[gate["state"]])

    async def _start(self) -> Mapping[str, Any]:
        asked = self.asked
        body = {**self._target(), "version": asked.version, "strategy": self.plan.strategy, "deployer": asked.deployer}
        body |= {"artifact": asked.artifact} if asked.artifact else {}
        body |= {"commit_time": asked.commit_time} if asked.commit_time else {}
        more: dict[str, Any] = {"fixes": asked.fixes} if asked.fixes else {}
        begun: Mapping[str, Any] = await self._post("/deployments", {**body, **more}, needs=_DEPLOYMENT)
        self.say(
            f"deployment {begun['id']} of {asked.version} begins; {begun['previous_version'] or UNKNOWN} ran before"
        )
        if begun.get("notice"):
            self.say(begun["notice"])
        return begun

    async def _do(self, what: str, choice: RollbackChoice, values: Mapping[str, str]) -> None:
        result = await self._perform(choice, values)
        if not result.good:
            raise StoppedError(f"{what}: {result.detail}; production is as it was", FAILED)
        self.say(f"{what}: done")

    async def _swap(self, values: Mapping[str, str]) -> None:
        """Swap; where that failed, production says whether it happened all the same."""
        result = await self._perform(self.plan.swap, values)
        if result.good:
            self.say("swapped")
            return
        health = await self._look(self.plan.production, None)
        if health.running == self.asked.version:
            self.say(f"the swap failed, and production runs {self.asked.version} all the same: {result.detail}")
            return
        # Where the result is not `known`, the swap may still happen, and what runs now says nothing of the end.
        if result.known and health.running:
            raise StoppedError(f"the swap failed, and production runs {health.running}: {result.detail}", FAILED)
        what = f"the swap failed, and what production runs is not known: {result.detail}; {health.detail}"
        raise StoppedError(f"{what}; look before you do anything else", CANNOT_TELL)

    async def _after_the_swap(self, number: int, values: Mapping[str, str]) -> None:
        try:
            # The stage begins when production runs the version, lest the one before be judged in its name.
            await self._well("production", self.plan.production)
            body = {"stage": self.plan.stage}
            path = f"/deployments/{number}/stages"
            begun = await self._persistently(lambda: self.client.record("POST", path, body, needs=("stage",)))
            self.say(f"stage {begun['stage']} is watched")
            await self._smoke("production", self.plan.production, values)
        except StoppedError as stopped:
            await self._go_back(number, str(stopped))
        # In a thread: the watch is the same one that the CLI has, and it sleeps and asks without a loop.
        code, why = await asyncio.to_thread(self.watch, number, self.plan.stage)
        if code == PROMOTED:
            await self._finish(number, "success")
            self.say(f"{self.asked.version} is promoted: {why}")
            return
        if code == FAILED:
            back = await self._went_back(number)
            raise StoppedError(f"{self.asked.version} was judged bad: {why}; {back}", FAILED)
        advice = f"deployments accept-hold {number} --why …, then deployments finish {number} --status success"
        raise StoppedError(f"{self.asked.version} is in production, and is not promoted: {why}; {advice}", code)

    async def _go_back(self, number: int, why: str) -> None:
        """Have the receiver go back, as on any critical alert; the alert ends when it has.

        Where production says that it runs another version, nothing was swapped, and a swap would bring this one in.
        """
        await self._finish(number, "failure")
        health = await self._look(self.plan.production, None)
        if health.running and health.running != self.asked.version:
            raise StoppedError(f"{why}; production runs {health.running}, and nothing is swapped back", FAILED)
        # A start of its own: the same fingerprint with the same start would be a repetition of an earlier flow's alert.
        since = self.means.clock()
        await self._alert(why, since, None)
        self.say(f"{why}; the receiver is told to go back")
        back = await self._went_back(number)
        # Nothing else would end this alert, as no Prometheus has a rule for it.
        await self._alert(why, since, self.means.clock())
        raise StoppedError(f"{why}; {back}", FAILED)

    async def _went_back(self, number: int) -> str:
        end = self.means.clock() + self.plan.back_within
        while True:
            deployment = await self._persistently(
                lambda: self.client.known(f"/deployments/{number}", needs=_DEPLOYMENT)
            )
            if deployment["status"] == "rolled_back":
                return f"{deployment['previous_version'] or 'the version before'} is back"
            if self.means.clock() >= end:
                within = format_duration(self.plan.back_within)
                advice = "its incident says why; a person swaps back (deploywatch incidents rollback NUMBER)"
                raise StoppedError(f"the receiver did not go back within {within}: {advice}", FAILED)
            await self.means.sleep(_ASK_AGAIN.total_seconds())

    def _labels(self) -> dict[str, str]:
        return {
            "alertname": ALERT,
            "service": self.plan.service,
            "environment": self.plan.environment,
            "severity": "critical",
            "incident_type": "deployment_failure",
            # The receiver goes back only where a rule asks for it, and this alert stands in for such a rule.
            "action": "rollback",
            "version": self.asked.version,
        }

    async def _alert(self, why: str, since: datetime, ended: datetime | None) -> None:
        plan, version, labels = self.plan, self.asked.version, self._labels()
        alert = {
            "status": "resolved" if ended else "firing",
            "labels": labels,
            "annotations": {"summary": f"{plan.service} {version} is not well after the swap: {why}"},
            "startsAt": since.isoformat(),
            # Go's zero time, which is what Alertmanager sends for an alert that has not ended.
            "endsAt": ended.isoformat() if ended else "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": identity(ALERT, plan.service, plan.environment, version)[:16],
        }
        await self._persistently(lambda: self.client.deliver(_payload(alert, labels)))

    async def _prove(self, where: str, proof: Proof, values: Mapping[str, str]) -> None:
        await self._well(where, proof)
        await self._smoke(where, proof, values)

    async def _smoke(self, where: str, proof: Proof, values: Mapping[str, str]) -> None:
        for command in proof.smoke:
            argv = steps((command,), values)
            result, shown = await registry.perform(argv, self.means, proof.timeout), self._conceal(str(argv))
            if not result.good:
                raise StoppedError(f"{where}: smoke test {shown}: {self._conceal(result.detail)}", FAILED)
            self.say(f"{where}: smoke test {shown}: passed")

    async def _well(self, where: str, proof: Proof) -> None:
        settings, since = proof.health, None
        deadline = self.means.clock() + settings.within
        while True:
            health = await self._look(proof, self.asked.version)
            now = self.means.clock()
            # One bad answer begins the time anew: "for a minute" means without a break.
            since = (since or now) if health.good else None
            if since is not None and now - since >= settings.healthy_for:
                self.say(f"{where}: {health.detail}, for {format_duration(settings.healthy_for)}")
                return
            # After the look, so that a slow answer that came is judged before the time is held against it.
            if now >= deadline:
                within = format_duration(settings.within)
                raise StoppedError(f"{where}: not healthy within {within}: {health.detail}", FAILED)
            await self.means.sleep(settings.interval.total_seconds())

    async def _look(self, proof: Proof, version: str | None) -> verify.Health:
        where = (self.plan.service, self.plan.environment)
        health = await verify.look(self.means.http, proof.health.url, *where, version)
        return replace(health, detail=self._conceal(health.detail))

    async def _perform(self, choice: RollbackChoice, values: Mapping[str, str]) -> Result:
        try:
            planned = choice.plan(values)
        # A value that a plan will not put into an argument, such as a version that begins with a dash.
        except ValueError as error:
            return Result(good=False, detail=str(error))
        result = await registry.perform(planned, self.means, choice.timeout)
        return replace(result, detail=self._conceal(result.detail))

    def _conceal(self, text: str) -> str:
        """What a program or a server said, which the receiver tells people: without what it may have been given."""
        return secrets.conceal(text, self.plan, secrets.named(self.plan.variables))

    async def _finish(self, number: int, status: str) -> None:
        body = {"status": status}
        path = f"/deployments/{number}"
        await self._persistently(lambda: self.client.record("PATCH", path, body, needs=_DEPLOYMENT))

    async def _persistently(self, call: Callable[[], Any]) -> Any:
        """Ask the receiver, and again while it is away, as long as errors are waited out."""
        end = self.means.clock() + self.plan.patience
        while True:
            try:
                return await asyncio.to_thread(call)
            # Only what did not arrive: a refusal would be the same however often it is asked.
            except UnreachableError:
                if self.means.clock() >= end:
                    raise
            await self.means.sleep(_ASK_AGAIN.total_seconds())

    async def _post(self, path: str, body: dict[str, Any], *, needs: tuple[str, ...]) -> dict[str, Any]:
        return await asyncio.to_thread(lambda: self.client.record("POST", path, body, needs=needs))

    def _values(self, deployment: Mapping[str, Any]) -> dict[str, str]:
        versions = {"from_version": deployment["previous_version"] or UNKNOWN, "to_version": self.asked.version}
        return {**self._target(), **versions, "id": str(deployment["id"])}

    def _target(self) -> dict[str, str]:
        return {"service": self.plan.service, "environment": self.plan.environment}


def _payload(alert: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """One alert as Alertmanager delivers it."""
    return {
        "version": "4",
        "groupKey": f"{ALERT}/{labels['service']}/{labels['environment']}/{labels['version']}",
        "status": alert["status"],
        "receiver": "deploywatch",
        "groupLabels": {},
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "",
        "truncatedAlerts": 0,
        "alerts": [alert],
    }
