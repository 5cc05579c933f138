"""A receiver in a storm, killed at random moments: scripts/soak, or
`python -m tests.support.soak [sqlite|postgresql] [KILLS] [SEED]`. SIGTERM ends the kills early, and balances the books.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes, wait_until
from tests.receiver.process import RealReceiver
from tests.support import books
from tests.support.ground import Ground, ground

Say = Callable[[str], object]
_LONGEST_SECONDS = 900.0
"""A limit for what never settles, on a machine that has other things to do as well."""


def soak(
    processes: Processes, folder: Path, *, kills: int, seed: int, database: str = "", say: Say = print
) -> list[str]:
    """Blow, kill and start again so often, let it settle, and say the counts; the faults that were found.

    The store is SQLite unless `database` names another.
    """
    dice = Random(seed)  # noqa: S311 - a storm that can be repeated, no secret
    began = time.monotonic()
    with ground(processes, folder, dice, database=database) as place:
        (receiver,) = place.receivers
        receiver.start()
        place.begin(receiver)
        blowing = place.storm.blow()
        number = 0
        while number < kills and not _ENOUGH.is_set():
            number += 1
            if blowing.done():
                blowing.result()  # a storm that has died would make every kill after it an easy one
            _kill(place, receiver)
            if number % 20 == 0:
                say(f"{number} kills, {place.storm.sent} alerts sent, {time.monotonic() - began:.0f} s")
        place.storm.calm(blowing)
        _ready(receiver)
        settled = place.settle(_LONGEST_SECONDS)
        say(
            f"seed {seed}: {number} kills, {place.storm.sent} alerts sent to each of two Alertmanagers, "
            f"{books.summary(settled)}, {time.monotonic() - began:.0f} s"
        )
        return books.faults(settled, place.storm.last.values())


_ENOUGH = threading.Event()
"""Set by SIGTERM: what was killed so often until then is settled, and the books are balanced all the same."""


def _kill(place: Ground, receiver: RealReceiver) -> None:
    """Kill it at a random moment, mostly while it works, sometimes while it starts; then start it again."""
    dice = place.dice
    if dice.random() < 0.8:
        _ready(receiver)
        place.deploy(receiver, dice.choice(place.storm.services))
    time.sleep(dice.uniform(0, 1.0))  # the moment of the kill
    receiver.kill()
    receiver.child = receiver.launch()


def _ready(receiver: RealReceiver) -> None:
    wait_until(
        lambda: receiver.get("/-/ready")[0] == 200,
        within=_LONGEST_SECONDS,
        what="start the receiver",
        child=receiver.child,
    )


def main() -> int:
    """Run it by itself; 1 and every fault when something does not fit together."""
    store, words = (sys.argv[1], sys.argv[2:]) if sys.argv[1:2] in (["sqlite"], ["postgresql"]) else ("", sys.argv[1:])
    kills = int(words[0]) if words else 300
    seed = int(words[1]) if len(words) > 1 else time.time_ns() % 1_000_000
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # everything here is on this machine
    signal.signal(signal.SIGTERM, lambda *_: _ENOUGH.set())
    folder = Path(tempfile.mkdtemp(prefix="deploywatch-soak-"))
    folder.chmod(0o711)  # PostgreSQL's user passes through
    with Processes(folder / "logs") as processes:
        database = servers.postgres(processes, folder / "postgres").url if store == "postgresql" else ""
        faults = soak(processes, folder / "ground", kills=kills, seed=seed, database=database, say=_say)
    for fault in faults:
        _say(f"FAULT: {fault}")
    if faults:
        _say(f"{len(faults)} faults; logs and store are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what people run it for


if __name__ == "__main__":
    sys.exit(main())
