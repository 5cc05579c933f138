"""A check as a table, with the reason of whatever is not well."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploywatch.exporter.check import Checked
from deploywatch.exporter.health.probes import ProbeHealth, Status
from deploywatch.exporter.results import iso
from deploywatch.plurals import number_of
from deploywatch.terminal import clean

_TITLES = ("Service", "Environment", "Probe", "Kind", "Status", "Time", "Reason", "Target", "Failing since")


_STYLES = {Status.HEALTHY: None, Status.DEGRADED: "yellow"}


def show(checked: Checked, console: Console) -> None:
    """Print the table, and how many succeeded."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in _TITLES:
        table.add_column(title, justify="right" if title == "Time" else "left", overflow="fold")
    for probe in checked.probes:
        table.add_row(*(Text(clean(cell)) for cell in _cells(probe)), style=_STYLES.get(probe.status, "red"))
    console.print(table)
    for service in checked.services():
        if service.dependents and any(probe.error for probe in service.probes):
            needed = f"{service.key.service} is needed by {', '.join(service.dependents)}"
            console.print(Text(clean(needed)), style="red", soft_wrap=True)
    good = sum(probe.status in _STYLES for probe in checked.probes)
    console.print(f"{good} of {number_of(len(checked.probes), 'probe')} succeeded", highlight=False)


def _cells(probe: ProbeHealth) -> list[str]:
    took = f"{probe.result.duration * 1000:.1f} ms" if probe.result else ""
    since = iso(probe.failing_since) if probe.failing_since is not None else ""
    says = f"it says: {probe.says}" if probe.says else ""
    target = probe.target if probe.error else ""
    return [*probe.key, probe.kind, str(probe.status), took, probe.error or says, target, since]
