"""The demo's first act: from nothing to a bad deployment that alerts find, and its post-mortem."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from deploywatch.demo.narrator import Look, Narrator, escaped

_GOOD, _BAD = "1.2.2", "1.2.3"


@dataclass(slots=True)
class Story:
    """Tells the first act, and shows at the end what there is to look at."""

    narrator: Narrator

    async def tell(self) -> None:
        """From nothing to a written post-mortem; StepError when a step doesn't come."""
        narrator = self.narrator
        await self._set_up()
        narrator.act("First act: everybody gets a bad version, and an alert finds it")
        await self._deploy(_GOOD)
        await narrator.wait(f"the shop is healthy with {_GOOD}", self._healthy, within=120, logs=("exporter", "shop"))
        await narrator.wait("Prometheus sees its traffic", self._traffic, within=120, logs=("prometheus",))
        await self._deploy(_BAD)
        narrator.say(f"{_BAD} fails 5 % of the requests; nobody has told deploywatch")
        await narrator.wait("HighErrorRate is pending", self._alert("pending"), within=120, logs=("prometheus", "load"))
        await narrator.wait("HighErrorRate fires", self._alert("firing"), within=120, logs=("prometheus",))
        await narrator.wait("Alertmanager has it", self._alertmanager, within=120, logs=("prometheus", "alertmanager"))
        await narrator.wait("the incident is open", narrator.incident(), within=120, logs=("alertmanager", "receiver"))
        await narrator.wait(
            "the rollback has started", narrator.line("rollback_started"), within=120, logs=("receiver",)
        )
        await narrator.wait(
            "the rollback is verified", narrator.line("rollback_verified"), within=120, logs=("receiver", "shop")
        )
        await narrator.wait(
            "the alert has resolved", narrator.line("alert_resolved"), within=120, logs=("alertmanager",)
        )
        await narrator.wait("the incident is resolved", narrator.line("resolved"), within=120, logs=("receiver",))
        await narrator.wait("the post-mortem is drafted", narrator.line("postmortem"), within=120, logs=("receiver",))
        await narrator.wait("everyone was told how it ended", narrator.told(), within=120, logs=("receiver", "inbox"))

    async def show_results(self) -> None:
        """The first incident's timeline, and what people received."""
        narrator = self.narrator
        incident = await narrator.get("receiver", "/api/v1/incidents/1")
        narrator.act("The first incident's timeline")
        for entry in incident["timeline"]:
            narrator.console.print(f"  {entry['at'][11:19]}  {escaped(entry['kind']):<20} {escaped(entry['text'])}")
        narrator.console.print(
            "\n[bold]What people received[/bold] (the inbox stands in for Slack, PagerDuty and mail)"
        )
        for message in await narrator.get("inbox", "/inbox"):
            narrator.console.print(f"  {message['at'][11:19]}  {message['channel']:<10} {escaped(message['title'])}")

    def show_places(self, *, running: bool) -> None:
        """The URLs, while it runs, and the files to look at."""
        stage, narrator = self.narrator.stage, self.narrator
        if running:
            narrator.act("Running")
            for name in ("shop", "exporter", "receiver", "prometheus", "alertmanager", "inbox"):
                narrator.console.print(f"  {name:<14} {stage.url(name)}")
        narrator.console.print(f"\n[bold]To look at[/bold], in {escaped(str(stage.folder))}")
        for path, about in (
            ("postmortems/incident-1.md", "the draft of the review; incident-2.md is of the canary"),
            ("reports/", "the reports on the canaries"),
            ("rules/", "rules, their tests, routes, runbooks, the dashboard and the verification plan"),
            ("inbox/inbox.jsonl", "every message, as it was sent"),
            ("logs/", "a log for each process"),
        ):
            narrator.console.print(f"  {path:<28} {about}")

    async def _set_up(self) -> None:
        stage, narrator = self.narrator.stage, self.narrator
        narrator.say(f"everything is in {stage.folder}, a log for each process in {stage.processes.logs}")
        for text, start in (
            ("PostgreSQL and Redis", stage.start_databases),
            ("the shop's front, with no version yet", stage.start_shop),
            ("the inbox for Slack, PagerDuty and mail", stage.start_inbox),
            ("rules, tests, routes, dashboard and verification plan, from one policy", stage.build_rules),
            ("the receiver", lambda: stage.start_part("receiver")),
            ("the exporter", lambda: stage.start_part("exporter")),
            ("Alertmanager", stage.start_alertmanager),
            ("Prometheus", stage.start_prometheus),
        ):
            with narrator.console.status(text):
                start()
            narrator.done(text)
            await asyncio.sleep(0)  # Ctrl-C is noticed here

    async def _deploy(self, version: str) -> None:
        with self.narrator.console.status(f"deploying {version}"):
            sentence = self.narrator.stage.deploy(version)
        self.narrator.done(sentence)
        if version == _GOOD:
            self.narrator.stage.start_load()
        await asyncio.sleep(0)

    async def _healthy(self) -> str | None:
        body = await self.narrator.get("exporter", "/health/services/shop?environment=demo", good=(200, 503))
        good = body["status"] == "healthy" and body["version"] == _GOOD
        return f"{len(body['probes'])} probes agree" if good else None

    async def _traffic(self) -> str | None:
        query = 'sum(rate(http_requests_total{service="shop"}[10s])) > 0'
        series = await self.narrator.prometheus().query(query)
        return f"{series[0].value:.0f} requests a second" if series else None

    def _alert(self, state: str) -> Look:
        async def look() -> str | None:
            for alert in await self.narrator.prometheus().alerts():
                # Between two looks it may have gone on: what fires was pending.
                firing_already = state == "pending" and alert["state"] == "firing"
                if alert["labels"]["alertname"] == "HighErrorRate" and (alert["state"] == state or firing_already):
                    return f"{float(alert['value']):.1%} of requests fail"
            return None

        return look

    async def _alertmanager(self) -> str | None:
        alerts = await self.narrator.get("alertmanager", "/api/v2/alerts")
        return "" if any(alert["labels"]["alertname"] == "HighErrorRate" for alert in alerts) else None
