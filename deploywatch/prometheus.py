"""A thin client of Prometheus's HTTP API: instant queries, alerts, rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp

from deploywatch.errors import UnreachableError
from deploywatch.secrets import redact_url


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an instant query's answer."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Asks one server; every method raises UnreachableError when it gives no good answer."""

    url: str
    session: aiohttp.ClientSession

    async def query(self, expression: str) -> list[Series]:
        """Evaluate an expression now; a vector, or a scalar as one series without labels."""
        data = await self._get("/api/v1/query", {"query": expression})
        kind = data["resultType"]
        if kind == "scalar":
            return [Series({}, float(data["result"][1]))]
        if kind != "vector" or not all("value" in item for item in data["result"]):
            kind_given = "histograms" if kind == "vector" else f"a {kind}"
            raise UnreachableError(f"{self._name} gave {kind_given} and not numbers for the query {expression!r}")
        return [Series(item["metric"], float(item["value"][1])) for item in data["result"]]

    async def alerts(self) -> list[dict[str, Any]]:
        """The pending and firing alerts, as the API gives them."""
        alerts: list[dict[str, Any]] = (await self._get("/api/v1/alerts", {}))["alerts"]
        return alerts

    async def targets(self) -> list[dict[str, Any]]:
        """The active scrape targets, as the API gives them."""
        targets: list[dict[str, Any]] = (await self._get("/api/v1/targets", {"state": "active"}))["activeTargets"]
        return targets

    @property
    def _name(self) -> str:
        return f"Prometheus at {redact_url(self.url)}"

    async def _get(self, path: str, parameters: dict[str, str]) -> Any:
        try:
            async with self.session.get(f"{self.url.rstrip('/')}{path}", params=parameters) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # An invalid URL repeats itself in its error, with its credentials.
            reason = "" if isinstance(error, aiohttp.InvalidURL) else str(error)
            raise UnreachableError(f"{self._name} did not answer {path}: {reason or type(error).__name__}") from error
        if not isinstance(answer, dict) or answer.get("status") != "success":
            reason = answer.get("error", answer) if isinstance(answer, dict) else answer
            raise UnreachableError(f"{self._name} refused {path}: {reason}")
        return answer["data"]
