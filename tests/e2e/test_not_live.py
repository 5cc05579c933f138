"""A receiver that hangs, and one that is told to stop: what its pages say, and how soon its streams end."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import expect

from deploywatch.demo.processes import Processes
from tests.receiver.process import RealReceiver
from tests.support.browser import new_page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def _started(processes: Processes, folder: Path) -> RealReceiver:
    receiver = RealReceiver(processes, folder)
    receiver.configure(database="sqlite:///store.db")
    receiver.start()
    return receiver


async def test_a_stream_ends_at_once_when_the_receiver_is_told_to_stop(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        receiver = await asyncio.to_thread(_started, processes, tmp_path)
        assert receiver.child is not None
        async with aiohttp.ClientSession() as http, http.get(f"{receiver.url}/live") as stream:
            await stream.content.readuntil(b"\n\n")
            receiver.child.send(signal.SIGTERM)
            await asyncio.wait_for(stream.content.read(), 60)
        # It waits for nobody who listens: a stream that did not end would cost the 20 s of the draining.
        await asyncio.to_thread(receiver.child.process.wait, 60)
        assert "Traceback" not in receiver.child.log.read_text()


@pytest.mark.heavy
async def test_within_40_seconds_of_sigstop_a_page_says_that_it_is_not_live_and_recovers(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        receiver = await asyncio.to_thread(_started, processes, tmp_path)
        assert receiver.child is not None
        async with new_page() as page:
            await page.goto(f"{receiver.url}/wall")
            line = page.locator("#live")
            await expect(line).to_have_text("Live", timeout=120_000)  # the stream is open
            receiver.child.send(signal.SIGSTOP)
            began = time.monotonic()
            try:
                await expect(line).to_have_text(re.compile("NOT LIVE since .* UTC"), timeout=120_000)
                took = time.monotonic() - began
            finally:
                receiver.child.send(signal.SIGCONT)
            assert took < 41
            await expect(line).to_have_text("Live", timeout=120_000)
