"""One receiver and one browser for all tests of the console."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.receiver.pages.world import World, running


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def world(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The console of a receiver with a night's trouble."""
    async with running(empty_store, tmp_path_factory.mktemp("console")) as made:
        yield made
