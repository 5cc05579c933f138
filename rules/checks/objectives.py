"""Checks of objectives: series to count, a bucket at the bound, names that are free, sources that are known."""

from __future__ import annotations

from collections.abc import Iterator

from deploywatch.config import nearest
from deploywatch.rules.checks.draft import Draft, Fault
from deploywatch.rules.conditions.objectives import Bad, alert_names
from deploywatch.rules.language.objectives import Objective
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.signals import SIGNALS
from deploywatch.rules.signals.histogram import shown


def objectives_can_be_counted(draft: Draft) -> Iterator[Fault]:
    """Every objective that can be read."""
    for name, objective in draft.objectives.items():
        if name in SIGNALS or name in draft.custom:
            yield Fault(("objectives", name), f"{name} is a signal already; give the objective another name")
            continue
        yield from _names(draft, name, objective)
        yield from _series(draft, name, objective)


# An objective makes two alerts, whose names must be as single as any.
def _names(draft: Draft, name: str, objective: Objective) -> Iterator[Fault]:
    taken = {str(alert.get("alert")) for alert in draft.alerts}
    for alert in sorted(taken.intersection(alert_names(name))):
        yield Fault(("objectives", name), f"its alert {alert} is an alert of the policy already; give one another name")
    for source in objective.source:
        if draft.sources is not None and source not in draft.sources:
            message = f"unknown source {source!r}{nearest(source, draft.sources)}"
            yield Fault(("objectives", name, "source", source), message)


def _series(draft: Draft, name: str, objective: Objective) -> Iterator[Fault]:
    bad = draft.signals[name]
    lacking = [draft.series.key(kind) for kind in bad.needs if draft.series.find(kind) is None]
    for key in lacking:
        if key not in draft.declared:
            yield Fault(("objectives", name, "of"), f"{objective.of} needs series.{key}; add it")
    if lacking:
        return
    if (message := bad.unfit(draft.series)) is not None:
        yield Fault(("objectives", name), message)
    if isinstance(bad, Bad) and bad.bound is not None:
        durations = draft.series.of(Durations)
        if (message := durations.uncounted(bad.bound, shown(bad.bound))) is not None:
            yield Fault(("objectives", name, "slower_than"), message)
