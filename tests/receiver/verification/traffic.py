"""The scenes of traffic: a service each, with one trait. A canary has 200 requests a step, a tenth of all."""

from __future__ import annotations

from tests.receiver.verification.history import AFTER, BEFORE, MINUTE, Series, Traffic, every, flat

WELL = Series(flat(200), since=-8)
FEW_BAD = Series(every(10), since=-8)

TRAFFIC = [
    Traffic("well", WELL, FEW_BAD),
    Traffic("bad", Series(flat(194), since=-8), Series(flat(6), since=-8)),
    # A version before it failed from 30 to 15 minutes before the stage, and was rolled back.
    Traffic(
        "after-incident",
        Series(flat(194), since=-8),
        Series(flat(6), since=-8),
        stable_bad=Series(lambda step: 90 if -120 < step <= -60 else step % 2),
    ),
    Traffic("late-bad", WELL, Series(flat(20, since=6 * MINUTE), since=-8)),
    Traffic("both-bad", Series(flat(194), since=-8), Series(flat(6), since=-8), stable_bad=Series(flat(54))),
    Traffic("near", Series(flat(199), since=-8), Series(flat(1), since=-8)),
    Traffic("few", Series(flat(4), since=-8), stable=Series(flat(36))),
    Traffic("nothing"),
    Traffic("stops", Series(flat(200, until=3 * MINUTE), since=-8)),
    Traffic("nan", Series(flat(200), since=-8, nan_since=5 * MINUTE), FEW_BAD),
    # The first errors of the canary make a series, which is there with all of them at once; its target was up before.
    Traffic("births", WELL, Series(flat(0), since=3 * MINUTE, born=400)),
    Traffic("restarts", Series(flat(200), since=-8, resets=tuple(range(8, AFTER, 8))), FEW_BAD),
    # It ends every 30 s, and starts again: each look begins and ends with the same values.
    Traffic(
        "crash-loops",
        Series(flat(180), since=-8, resets=tuple(range(-7, AFTER, 2))),
        Series(flat(20), since=-8, resets=tuple(range(-7, AFTER, 2))),
    ),
    Traffic("share", Series(flat(1200), since=-8)),
    # Well below the limit, and four times what it was before.
    Traffic("rises", WELL, stable_bad=Series(lambda step: 4 if step > 0 else step % 2)),
    Traffic("unwatched", WELL, FEW_BAD, cpu=None),
    Traffic("hot", WELL, FEW_BAD, cpu=flat(95)),
    # Prometheus itself was away for two and a half minutes: nobody was scraped.
    Traffic(
        "gap",
        Series(flat(200), since=-8, gap=range(5 * MINUTE, 7 * MINUTE + 2)),
        Series(every(10), since=-8, gap=range(5 * MINUTE, 7 * MINUTE + 2)),
        stable=Series(flat(1800), gap=range(5 * MINUTE, 7 * MINUTE + 2)),
        stable_bad=Series(every(2), gap=range(5 * MINUTE, 7 * MINUTE + 2)),
    ),
    # The canary's target is new when the stage begins, and its process is old: its counters are no requests of now.
    Traffic("adopted", Series(flat(200), since=1, born=5_000_000), Series(every(10), since=1, born=90_000)),
    Traffic(
        "gone",
        Series(flat(200), since=-8, until=4 * MINUTE),
        Series(every(10), since=-8, until=4 * MINUTE),
    ),
]
assert BEFORE > 240
