"""A check as a table, with the reason of whatever is not well."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploywatch.exporter.check import Checked
from deploywatch.exporter.health import ProbeHealth, Status

_TITLES = ("Service", "Environment", "Probe", "Kind", "Status", "Time", "Reason")


def show(checked: Checked, console: Console) -> None:
    """Print the table, and how many succeeded."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in _TITLES:
        table.add_column(title, justify="right" if title == "Time" else "left", overflow="fold")
    for probe in checked.probes:
        table.add_row(*map(Text, _cells(probe)), style=None if probe.status is Status.HEALTHY else "red")
    console.print(table)
    good = sum(probe.status is Status.HEALTHY for probe in checked.probes)
    console.print(f"{good} of {len(checked.probes)} probes succeeded", highlight=False)


def _cells(probe: ProbeHealth) -> list[str]:
    took = f"{probe.result.duration * 1000:.1f} ms" if probe.result else ""
    return [*probe.key, probe.kind, str(probe.status), took, probe.error or ""]
