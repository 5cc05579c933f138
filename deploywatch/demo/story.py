"""The demo's story, step by step: each step says what it waits for, how long at most, and whose log tells why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from rich.console import Console
from rich.markup import escape

from deploywatch.demo.processes import StartError
from deploywatch.demo.stage import Stage
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Prometheus
from deploywatch.terminal import clean

_POLL_SECONDS = 0.25
_GOOD, _BAD = "1.2.2", "1.2.3"

Look = Callable[[], Awaitable[str | None]]


class StepError(StartError):
    """A step did not come in its time; the message says which and shows the log lines that matter."""


@dataclass(slots=True)
class Story:
    """Tells the story on a console while it happens."""

    stage: Stage
    console: Console
    session: aiohttp.ClientSession
    began: float = field(default_factory=time.monotonic)

    async def tell(self) -> None:
        """From nothing to a written post-mortem; StepError when a step doesn't come."""
        await self._set_up()
        await self._deploy(_GOOD)
        await self._wait(f"the shop is healthy with {_GOOD}", self._healthy, within=30, logs=("exporter", "shop"))
        await self._wait("Prometheus sees its traffic", self._traffic, within=30, logs=("prometheus",))
        await self._deploy(_BAD)
        self._say(f"{_BAD} fails 5 % of the requests; nobody has told deploywatch")
        await self._wait("HighErrorRate is pending", self._alert("pending"), within=40, logs=("prometheus", "load"))
        await self._wait("HighErrorRate fires", self._alert("firing"), within=40, logs=("prometheus",))
        await self._wait("Alertmanager has it", self._alertmanager, within=20, logs=("prometheus", "alertmanager"))
        await self._wait("the incident is open", self._incident(), within=20, logs=("alertmanager", "receiver"))
        await self._wait("the rollback has started", self._line("rollback_started"), within=20, logs=("receiver",))
        await self._wait(
            "the rollback is verified", self._line("rollback_verified"), within=60, logs=("receiver", "shop")
        )
        await self._wait("the alert has resolved", self._line("alert_resolved"), within=60, logs=("alertmanager",))
        await self._wait("the incident is resolved", self._line("resolved"), within=30, logs=("receiver",))
        await self._wait("the post-mortem is drafted", self._line("postmortem"), within=15, logs=("receiver",))
        await self._wait("everyone was told how it ended", self._told, within=15, logs=("receiver", "inbox"))

    async def show_results(self) -> None:
        """The incident's timeline, what people received, where to look."""
        incident = await self._get("receiver", "/api/v1/incidents/1")
        self.console.print("\n[bold]The incident's timeline[/bold]")
        for entry in incident["timeline"]:
            self.console.print(f"  {entry['at'][11:19]}  {_escaped(entry['kind']):<20} {_escaped(entry['text'])}")
        self.console.print("\n[bold]What people received[/bold] (the inbox stands in for Slack, PagerDuty and mail)")
        for message in await self._get("inbox", "/inbox"):
            self.console.print(f"  {message['at'][11:19]}  {message['channel']:<10} {_escaped(message['title'])}")

    def show_places(self, *, running: bool) -> None:
        """The URLs, while it runs, and the files to look at."""
        stage = self.stage
        if running:
            self.console.print("\n[bold]Running[/bold]")
            for name in ("shop", "exporter", "receiver", "prometheus", "alertmanager", "inbox"):
                self.console.print(f"  {name:<14} {stage.url(name)}")
        self.console.print(f"\n[bold]To look at[/bold], in {stage.folder}")
        for path, about in (
            ("postmortems/incident-1.md", "the draft of the review"),
            ("rules/", "rules, their tests, routes, runbooks and the dashboard, built from the policy"),
            ("inbox/inbox.jsonl", "every message, as it was sent"),
            ("logs/", "a log for each process"),
        ):
            self.console.print(f"  {path:<28} {about}")

    async def _set_up(self) -> None:
        stage = self.stage
        self._say(f"everything is in {stage.folder}, a log for each process in {stage.processes.logs}")
        for text, start in (
            ("PostgreSQL and Redis", stage.start_databases),
            ("the shop's front, with no version yet", stage.start_shop),
            ("the inbox for Slack, PagerDuty and mail", stage.start_inbox),
            ("rules, tests, routes and dashboard, from one policy", stage.build_rules),
            ("the receiver", lambda: stage.start_part("receiver")),
            ("the exporter", lambda: stage.start_part("exporter")),
            ("Alertmanager", stage.start_alertmanager),
            ("Prometheus", stage.start_prometheus),
        ):
            with self.console.status(text):
                start()
            self._done(text)
            await asyncio.sleep(0)  # Ctrl-C is noticed here

    async def _deploy(self, version: str) -> None:
        with self.console.status(f"deploying {version}"):
            sentence = self.stage.deploy(version)
        self._done(sentence)
        if version == _GOOD:
            self.stage.start_load()
        await asyncio.sleep(0)

    async def _wait(self, what: str, look: Look, *, within: float, logs: tuple[str, ...]) -> None:
        deadline = time.monotonic() + within
        with self.console.status(f"waiting until {what}"):
            while True:
                try:
                    seen, trouble = await look(), "it has not come"
                except (UnreachableError, aiohttp.ClientError, TimeoutError) as error:
                    seen, trouble = None, str(error)
                if seen is not None:
                    break
                if time.monotonic() > deadline:
                    raise StepError(self._failure(what, within, trouble, logs))
                await asyncio.sleep(_POLL_SECONDS)
        self._done(f"{what}: {seen}" if seen else what)

    def _failure(self, what: str, within: float, trouble: str, logs: tuple[str, ...]) -> str:
        children = [child for child in self.stage.processes.children if child.name in logs]
        ended = [f"{c.name} has ended with code {c.process.returncode}" for c in children if not c.running]
        tails = [f"--- {child.log}\n{child.tail()}" for child in children]
        return "\n".join((f"not within {within:g} s: {what}; {trouble}", *ended, *tails))

    async def _healthy(self) -> str | None:
        body = await self._get("exporter", "/health/services/shop?environment=demo", good=(200, 503))
        good = body["status"] == "healthy" and body["version"] == _GOOD
        return f"{len(body['probes'])} probes agree" if good else None

    async def _traffic(self) -> str | None:
        series = await self._prometheus().query('sum(rate(http_requests_total{service="shop"}[10s])) > 0')
        return f"{series[0].value:.0f} requests a second" if series else None

    def _alert(self, state: str) -> Look:
        async def look() -> str | None:
            for alert in await self._prometheus().alerts():
                firing_already = state == "pending" and alert["state"] == "firing"
                if alert["labels"]["alertname"] == "HighErrorRate" and (alert["state"] == state or firing_already):
                    return f"{float(alert['value']):.1%} of requests fail"
            return None

        return look

    async def _alertmanager(self) -> str | None:
        alerts = await self._get("alertmanager", "/api/v2/alerts")
        return "" if any(alert["labels"]["alertname"] == "HighErrorRate" for alert in alerts) else None

    def _incident(self) -> Look:
        async def look() -> str | None:
            answer = await self._get("receiver", "/api/v1/incidents")
            return f"#{answer[0]['id']}, {answer[0]['severity']}: {answer[0]['title']}" if answer else None

        return look

    def _line(self, kind: str) -> Look:
        async def look() -> str | None:
            incident = await self._get("receiver", "/api/v1/incidents/1")
            return next((entry["text"] for entry in incident["timeline"] if entry["kind"] == kind), None)

        return look

    async def _told(self) -> str | None:
        incident = await self._get("receiver", "/api/v1/incidents/1")
        lines = incident["timeline"]
        end = next(number for number, line in enumerate(lines) if line["kind"] == "resolved")
        channels = {line["text"].partition(":")[0] for line in lines[end:] if line["kind"] == "told"}
        return ", ".join(sorted(channels)) if channels >= set(incident["channels"]) else None

    def _prometheus(self) -> Prometheus:
        return Prometheus(self.stage.url("prometheus"), self.session)

    async def _get(self, name: str, path: str, *, good: tuple[int, ...] = (200,)) -> Any:
        async with self.session.get(self.stage.url(name) + path) as response:
            if response.status not in good:
                raise UnreachableError(f"{name} answered {path} with {response.status}")
            return await response.json()

    def _done(self, text: str) -> None:
        self.console.print(f"{self._time()} [green]✓[/green] {_escaped(text)}")

    def _say(self, text: str) -> None:
        self.console.print(f"{self._time()}   {_escaped(text)}")

    def _time(self) -> str:
        return f"[dim]{time.monotonic() - self.began:6.1f}s[/dim]"


def _escaped(text: str) -> str:
    """The text as it may stand within markup of ours, which shows exactly its characters."""
    return escape(clean(text))
