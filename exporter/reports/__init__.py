"""How a check is told: a table for people, JSON for scripts, JUnit's XML for CI; one module a form."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from rich.console import Console

from deploywatch.exporter.check import Checked
from deploywatch.exporter.reports import junit, plain, table
from deploywatch.terminal import say

Show = Callable[[Checked], None]
# Columns where output is no terminal: a log has no width, and should not be wrapped at 80.
_PIPED_WIDTH = 200


def _table(checked: Checked) -> None:
    table.show(checked, Console(file=sys.stdout, width=None if sys.stdout.isatty() else _PIPED_WIDTH))


FORMATS: Final[dict[str, Show]] = {
    "table": _table,
    "json": lambda checked: say(plain.text(checked)),
    "junit": lambda checked: say(junit.text(checked)),
}
"""What writes each form to standard output."""
