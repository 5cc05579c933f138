"""Python's garbage collector in a server that runs for months: long-lived objects are not looked at again and again.

A full collection looks at every object that there is and holds up everything for that long: with 5,000 probes a tenth
of a second and more, in a receiver half of that. What is set up once, and what each probe keeps from its first run on,
is therefore put aside. Reference counting frees it all the same; only circles among what was put aside would stay,
until the next reload.
"""

from __future__ import annotations

import gc

_YOUNG = 5_000
"""Objects after which the young ones are looked at: a probe makes some hundred, an incident some thousand; most die."""


def tune() -> None:
    """For a process that is a server and nothing else."""
    # Python's own 700 begins a collection several times within one probe run, each over objects that are about to die
    # anyway.
    gc.set_threshold(_YOUNG, 10, 10)


def put_aside(*, anew: bool = False) -> None:
    """Look no more at the objects that there are now; with `anew` those of before are given back first."""
    if anew:
        gc.unfreeze()
    gc.freeze()
