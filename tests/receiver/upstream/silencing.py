"""A stand-in for Alertmanager: which alerts it silences, and what it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from deploywatch.receiver.alert import Alert


@dataclass(slots=True)
class StandIn:
    """Answers as Alertmanager's API does, or with 503 while it is `away`."""

    url: str = ""
    away: bool = False
    silences: list[dict[str, Any]] = field(default_factory=list)
    alerts: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def silence(self, *alerts: Alert, until: datetime, by: str = "ann", comment: str = "the disk is swapped") -> None:
        """Silence these alerts."""
        number = f"silence-{len(self.silences) + 1}"
        self.silences.append({"id": number, "endsAt": until.isoformat(), "createdBy": by, "comment": comment})
        for alert in alerts:
            self.alerts.setdefault(alert.fingerprint, []).append(number)

    def expire(self) -> None:
        """End every silence."""
        self.alerts.clear()

    async def list_alerts(self, request: web.Request) -> web.Response:
        """GET /api/v2/alerts, where only what is silenced is asked for."""
        self.asked.append(str(request.rel_url))
        if self.away:
            return web.Response(status=503)
        listed = [
            {"fingerprint": one, "status": {"state": "suppressed", "silencedBy": by, "inhibitedBy": []}}
            for one, by in self.alerts.items()
        ]
        return web.json_response(listed)

    async def list_silences(self, _: web.Request) -> web.Response:
        """GET /api/v2/silences: every silence, also those that have ended."""
        return web.json_response(self.silences)


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    """One that is served and silences nothing yet."""
    running, app = StandIn(), web.Application()
    app.router.add_get("/api/v2/alerts", running.list_alerts)
    app.router.add_get("/api/v2/silences", running.list_silences)
    async with TestServer(app) as server:
        running.url = str(server.make_url(""))
        yield running
