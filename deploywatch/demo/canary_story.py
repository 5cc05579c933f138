"""The demo's second act: a canary that no alert finds is found by the verdict, and its successor is promoted.

The pipeline is the one of docs/deployments.md: gate, start, stage, watch, finish, each a command of its own.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from deploywatch.demo.narrator import Narrator, escaped
from deploywatch.demo.pipeline import Pipeline, Said
from deploywatch.errors import UnreachableError

_BAD, _GOOD = "1.2.4", "1.2.5"
_STAGES = (("canary-10", "10%"), ("canary-50", "50%"), ("full", "100%"))
_INCIDENT = 2
_OPEN, _WAITING, _PROMOTE, _ROLL_BACK = 0, 3, 0, 1
# Several times what a stage takes here, for a slow machine; a demo that hangs says why at the end of it.
_STAGE_SECONDS = 240.0
_ALL_FAILED = 'sum(rate(http_requests_total{service="shop",status=~"5.."}[20s]))'
_ALL = 'sum(rate(http_requests_total{service="shop"}[20s]))'


@dataclass(slots=True)
class CanaryStory:
    """Tells the second act."""

    narrator: Narrator
    pipeline: Pipeline

    async def tell(self) -> None:
        """From a gate that is closed to a version that was promoted; StepError when a step doesn't come."""
        narrator = self.narrator
        narrator.act("Second act: one request in ten goes to a bad version, which is too few for any alert")
        narrator.stage.start_more_load()
        narrator.say("more people come: 300 requests a second")
        await self._gate(_BAD, asks_first=True)
        await self._bad_canary()
        await self._gate(_GOOD, asks_first=False)
        await self._good_canary()

    async def _gate(self, version: str, *, asks_first: bool) -> None:
        if asks_first:
            await self._asked(version, _WAITING, "closed: an approval is missing")
        approved = await self.pipeline.approve(version)
        self.narrator.done(approved)
        await self._asked(version, _OPEN, "open")

    async def _asked(self, version: str, code: int, state: str) -> None:
        """Ask the gate until it ends with this code, as someone does who mends what it names."""
        said: Said | None = None

        async def look() -> str | None:
            nonlocal said
            said = await self.pipeline.gate(version)
            return f"exit code {code}" if said.code == code else None

        logs = ("receiver", "prometheus")
        await self.narrator.wait(f"the gate for {version} is {state}", look, within=120, logs=logs)
        if said:
            self.narrator.quote(said.text)

    async def _bad_canary(self) -> None:
        narrator = self.narrator
        number = await self.pipeline.start(_BAD)
        await self._stage(number, _BAD, *_STAGES[0])
        narrator.say(f"{_BAD} fails 3 % of its requests")
        ended = await self._watch(number, _STAGES[0][0], _ROLL_BACK)
        await narrator.wait("no alert has noticed", self._unnoticed, within=120, logs=("prometheus",))
        narrator.done(f"the verdict has: {ended}")
        await self.pipeline.finish(number, "failure")
        await narrator.wait("the incident is open", narrator.incident(_INCIDENT), within=120, logs=("receiver",))
        for what, kind in (("started", "rollback_started"), ("been verified", "rollback_verified")):
            step = f"the rollback has {what}"
            await narrator.wait(step, narrator.line(kind, _INCIDENT), within=120, logs=("receiver", "shop"))
        await narrator.wait(
            "the incident is resolved", narrator.line("resolved", _INCIDENT), within=120, logs=("receiver",)
        )
        await narrator.wait(
            "everyone was told how it ended", narrator.told(_INCIDENT), within=120, logs=("receiver", "inbox")
        )
        await self._report(number)

    async def _report(self, number: str) -> None:
        """Write the report on a deployment, and quote how it begins."""
        text = await self.pipeline.report(number)
        file = self.narrator.stage.reports / f"deployment-{number}.md"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        self.narrator.done(f"its report is written: {file.name}")
        # Up to the first table, which a terminal shows badly.
        begins, _, _ = text.partition("\n| |")
        lines = [re.sub(r"\\(\W|_)", r"\1", line.strip("#* ")) for line in begins.splitlines()]
        self.narrator.quote("\n".join(line for line in lines if line))

    async def _good_canary(self) -> None:
        narrator = self.narrator
        number = await self.pipeline.start(_GOOD)
        for name, share in _STAGES:
            await self._stage(number, _GOOD, name, share)
            narrator.done(await self._watch(number, name, _PROMOTE))
        narrator.done(await self.pipeline.finish(number, "success"))
        await self._report(number)

    async def _stage(self, number: str, version: str, name: str, share: str) -> None:
        with self.narrator.console.status(f"{share} of the requests go to {version}"):
            await asyncio.to_thread(self.narrator.stage.put_in_place, version, share)
            sentence = await self.pipeline.stage(number, name)
        self.narrator.done(sentence)

    async def _watch(self, number: str, name: str, code: int) -> str:
        """Follow a stage to its verdict, which must be the one that this code stands for; what it said at last."""
        with self.narrator.console.status(f"{name}: watched") as status:
            try:
                async with asyncio.timeout(_STAGE_SECONDS):
                    answer = await self.pipeline.watch(number, lambda line: status.update(escaped(line)))
            except TimeoutError as error:
                raise self._failure(name, "no verdict") from error
        if answer.code != code:
            raise self._failure(name, f"it ended with {answer.code}:\n{answer.text}")
        return answer.decided

    def _failure(self, name: str, trouble: str) -> Exception:
        return self.narrator.failure(f"the verdict on {name}", _STAGE_SECONDS, trouble, ("receiver", "prometheus"))

    async def _unnoticed(self) -> str | None:
        prometheus = self.narrator.prometheus()
        firing = {
            alert["labels"]["alertname"]
            for alert in await prometheus.alerts()
            if alert["state"] == "firing" and alert["labels"].get("service") == "shop"
        }
        failed = await prometheus.query(f"{_ALL_FAILED} / {_ALL}")
        if firing:
            raise UnreachableError(f"firing: {', '.join(sorted(firing))}")
        if not failed:
            return None
        return f"{failed[0].value:.1%} of all requests fail, which is below every alert's limit"
