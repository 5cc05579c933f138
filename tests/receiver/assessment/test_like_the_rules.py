"""The assessment's arithmetic is that of the recording rules: a real Prometheus evaluates them beside it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.prometheus import Prometheus
from deploywatch.receiver.assessment import health, measuring
from deploywatch.receiver.assessment.measuring import Asked
from deploywatch.receiver.verification.counting import Source
from deploywatch.rules.outputs import recording
from deploywatch.rules.resolve import resolve
from tests.receiver.assessment.made import ENTERPRISE, HEALTH, deployment
from tests.rules.tools import shipped

VALUES = {
    "error_ratio": (0.001, 0.03, 0.2),
    "cpu": (0.5, 0.75, 0.95),
    "memory": (0.5, 0.85, 0.99),
    "disk": (0.5, 0.9, 0.99),
    "drop(conversion_ratio)": (0.0, 0.15, 0.3),
}
"""Of each signal whose status is read from its value: a healthy one, one at warning, one that is critical."""
COMBINATIONS = [
    combination
    for combination in itertools.product((0, 1, 2, None), repeat=len(VALUES))
    if sum(part in (2, None) for part in combination) <= 3
][::7]


def _exposition() -> str:
    """A service for each combination; the values are what the rules have recorded of signals."""
    names = {signal.name: signal.value for signal in HEALTH.signals}
    lines = []
    for number, combination in enumerate(COMBINATIONS):
        for (signal, values), which in zip(VALUES.items(), combination, strict=True):
            if which is not None:
                labels = f'policy="enterprise",service="s{number}",environment="production"'
                lines.append(f"{names[signal]}{{{labels}}} {values[which]}")
    return "\n".join((*lines, ""))


def _rules() -> str:
    """The rules that judge health, and no others, evaluated every second; JSON is YAML."""
    groups = recording.groups(resolve(shipped("enterprise")))["groups"]
    judging = [group for group in groups if group["name"].endswith(".health")]
    assert judging
    rules = [dict(rule.value) for rule in judging[0]["rules"]]
    return json.dumps({"groups": [{"name": "health", "interval": "1s", "rules": rules}]})


@pytest.fixture
async def judging(processes: Processes, tmp_path: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes those values, and judges them by the rules."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=_exposition())

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        (tmp_path / "rules.yml").write_text(_rules())
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {
                    "job_name": "recorded",
                    "honor_labels": True,
                    "static_configs": [{"targets": [f"{server.host}:{server.port}"]}],
                }
            ],
        }
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))
        running = await asyncio.to_thread(servers.prometheus, processes, tmp_path / "tsdb", tmp_path / "prometheus.yml")
        yield Prometheus(running.url, session)


async def _of(prometheus: Prometheus, name: str) -> dict[tuple[str, str], float]:
    return {(one.labels["service"], one.labels.get("status", "")): one.value for one in await prometheus.query(name)}


async def test_score_coverage_and_status_are_those_that_the_rules_record(judging: Prometheus) -> None:
    many = len(COMBINATIONS)
    assert many > 40
    deadline = time.monotonic() + 120
    # Every service has a coverage, and the rules that come after it have run too.
    while len(await _of(judging, HEALTH.status)) < many:
        assert time.monotonic() < deadline, "the rules recorded nothing"
        await asyncio.sleep(0.5)
    await asyncio.sleep(1)
    at = datetime.now(UTC)
    scores, coverages = await _of(judging, HEALTH.score), await _of(judging, HEALTH.coverage)
    statuses = dict((await _of(judging, HEALTH.status)).keys())
    seen = set()
    for number in range(many):
        service = f"s{number}"
        asked = Asked(
            Source(judging, 30), ENTERPRISE, deployment(service=service, started_at=at - timedelta(minutes=1))
        )
        measured = await measuring.measure(asked, at)
        overall = health.overall(measured.readings, HEALTH)
        told = COMBINATIONS[number]
        assert overall.status == statuses[service], told
        assert overall.coverage == pytest.approx(coverages.get((service, ""), 0.0)), told
        assert overall.score == (pytest.approx(scores[service, ""]) if (service, "") in scores else None), told
        seen.add(overall.status)
    assert len(seen) == 4
