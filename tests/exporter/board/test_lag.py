"""The delays that the exporter measures of itself."""

from __future__ import annotations

import asyncio
import time

from deploywatch.clock import SystemClock
from deploywatch.exporter.board.lag import LOOP_BOUNDS, Lags, watch_loop
from tests.exporter.support import eventually


def test_delays_are_counted_up_to_each_bound() -> None:
    lags = Lags((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7):
        lags.note(seconds)
    buckets = {sample.labels.get("le", sample.name): sample.value for sample in lags.metric("lag", "Help.").samples}
    assert buckets == {"0.1": 2, "1.0": 3, "+Inf": 4, "lag_count": 4, "lag_sum": 7.65}
    assert lags.longest == 7


async def test_a_blocked_event_loop_is_seen() -> None:
    lags = Lags(LOOP_BOUNDS)
    watch = asyncio.create_task(watch_loop(SystemClock(), lags))
    await eventually(lambda: sum(lags.counts) >= 2)
    time.sleep(0.2)  # noqa: ASYNC251 - to block the event loop is what is tested
    await eventually(lambda: lags.longest > 0.15)
    watch.cancel()
