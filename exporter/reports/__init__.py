"""How a check is told: a table for people, JSON for scripts, JUnit's XML for CI; one module a form."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from rich.console import Console

from deploywatch.exporter.check import Checked
from deploywatch.exporter.reports import junit, plain, table

Show = Callable[[Checked], None]
_PIPED_WIDTH = 200


def _table(checked: Checked) -> None:
    table.show(checked, Console(file=sys.stdout, width=None if sys.stdout.isatty() else _PIPED_WIDTH))


FORMATS: Final[dict[str, Show]] = {
    "table": _table,
    "json": lambda checked: print(plain.text(checked)),  # noqa: T201 - the report is what was asked for
    "junit": lambda checked: print(junit.text(checked)),  # noqa: T201
}
"""What writes each form to standard output."""
