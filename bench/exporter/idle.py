"""An event loop that does nothing, beside the exporter's: what it is late is the machine's doing.

Run: python -m bench.exporter.idle SECONDS; prints looks, how many were late by over 50 ms, and the longest in seconds.
"""

from __future__ import annotations

import argparse
import asyncio

from deploywatch.clock import SystemClock
from deploywatch.exporter.board.lag import LOOP_BOUNDS, Lags, watch_loop

LATE = 0.05


async def main(seconds: float) -> None:
    """Look for so long, then tell."""
    lags = Lags(LOOP_BOUNDS)
    watch = asyncio.create_task(watch_loop(SystemClock(), lags))
    await asyncio.sleep(seconds)
    watch.cancel()
    late = sum(lags.counts[LOOP_BOUNDS.index(LATE) + 1 :])
    print(sum(lags.counts), late, lags.longest)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.exporter.idle", description=__doc__)
    parser.add_argument("seconds", type=float)
    asyncio.run(main(parser.parse_args().seconds))
