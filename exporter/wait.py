"""After a deployment: check until all is ready, then once more what a smoke suite asks, within one total time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from deploywatch.clock import Clock
from deploywatch.exporter.check import Checked
from deploywatch.exporter.targets import Target

PAUSE = 1.0
"""Seconds between two looks at whether all is ready."""

# Seconds; with less than this no probe could succeed at all.
_LEAST = 0.05

Look = Callable[[Sequence[Target]], Awaitable[Checked]]


@dataclass(frozen=True, slots=True)
class Waited:
    """What the last look found, and how long it took in seconds until all was ready; None if it never was."""

    checked: Checked
    ready_after: float | None


async def until_ready(
    ready: Sequence[Target],
    smoke: Sequence[Target],
    *,
    look: Look,
    clock: Clock,
    within: float,
    tell: Callable[[str], None] = lambda _: None,
) -> Waited:
    """Look at `ready` again and again until all succeed in one look, then at `smoke` once; `within` seconds in all.

    What is starting may fail, and is tried again; the smoke suite is not: what fails once the service says that it is
    ready is a fault. No probe runs longer than what is left of the time. `tell` hears what is waited for, when that
    changes.
    """
    began, logged = clock.monotonic(), ""

    def left() -> float:
        return within - (clock.monotonic() - began)

    while True:
        checked = await look(_bounded(ready, left()))
        if checked.well:
            break
        waiting = next(f"{'/'.join(probe.key)}: {probe.error}" for probe in checked.probes if probe.error)
        if waiting != logged:
            tell(f"not ready after {clock.monotonic() - began:.0f} s: {waiting}")
            logged = waiting
        if left() <= PAUSE:
            return Waited(checked, None)
        await clock.sleep(PAUSE)
    after = clock.monotonic() - began
    tell(f"ready after {after:.1f} s")
    if not smoke:
        return Waited(checked, after)
    # A probe that is in both shows how it went in the suite, which was later.
    seen = {target.key for target in smoke}
    suite = await look(_bounded(smoke, left()))
    before = tuple(probe for probe in checked.probes if probe.key not in seen)
    return Waited(replace(suite, probes=(*before, *suite.probes)), after)


def _bounded(targets: Sequence[Target], left: float) -> list[Target]:
    """The targets with no more time each than is left."""
    return [replace(target, timeout=max(_LEAST, min(target.timeout, left))) for target in targets]
