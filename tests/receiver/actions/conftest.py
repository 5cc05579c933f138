"""The ground on which actions are tried."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.receiver.actions.ground import Exporter, Ground
from tests.receiver.conftest import MakeScene


@pytest.fixture
async def exporter() -> AsyncIterator[Exporter]:
    """An exporter that finds the shop healthy with 1.2.2."""
    running = Exporter()
    app = web.Application()
    app.router.add_get("/health/services/{service}", running.answer)
    async with TestServer(app) as server:
        running.url = str(server.make_url("/health/services/{service}")).replace("%7B", "{").replace("%7D", "}")
        running.url += "?environment={environment}"
        yield running


@pytest.fixture
def ground(make_scene: MakeScene, exporter: Exporter, tmp_path: Path) -> Ground:
    return Ground(make_scene, exporter, tmp_path / "runs")
