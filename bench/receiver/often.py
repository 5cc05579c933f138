"""Runs `deploywatch` with pages that are looked for and told ten times as often as they are, all else being as it is.

What streams cost is too little to be seen beside the machine's own differences from round to round; ten times as much
can be seen, and is divided by ten.
"""

from __future__ import annotations

from typing import Final

from deploywatch.cli import main
from deploywatch.pages import live

TIMES: Final = 10
"""How many times as often there is a look, a message, and a question whether one may still listen."""

INTERVALS: Final = ("LOOK_SECONDS", "REST_SECONDS", "SPREAD_SECONDS", "STILL_SECONDS", "BEAT_SECONDS")
"""All that streams wait for, by its name in `deploywatch.pages.live`."""

if __name__ == "__main__":
    for _name in INTERVALS:
        setattr(live, _name, getattr(live, _name) / TIMES)
    main()
