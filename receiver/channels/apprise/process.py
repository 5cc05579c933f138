"""One message handed to Apprise by a process of its own: `python -m deploywatch.receiver.channels.apprise.process`.

Its library reads answers whole and waits for each piece of them anew: what floods or drips would fill the receiver's
memory, or hold its threads for ever. A process has a bound of its own, and can be ended.
"""

from __future__ import annotations

import resource
import sys
from typing import Any, Final

from deploywatch.json_text import parse

MOST_MEMORY: Final = 1024**3
"""Bytes of address space; the libraries themselves take some 300 MB of it."""
REFUSED: Final = 1
"""The exit code where Apprise could not send it."""


def service(url: str) -> Any:
    """Apprise for the service of a URL; None where it knows none. Raises ImportError where it is not installed."""
    import apprise  # noqa: PLC0415 - an extra, which few need

    # A redirect would take the token to where nobody configured it; releases before 1.13.1 know no such setting.
    made = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))
    return made if made.add(url) else None


def main() -> int:
    """Send the message that standard input says; 0 where it was taken."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    given = parse(sys.stdin.read())
    return 0 if service(given.pop("url")).notify(**given) else REFUSED


if __name__ == "__main__":
    sys.exit(main())
