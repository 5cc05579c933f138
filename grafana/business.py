"""What a deployment did to the business: use, conversion and revenue, now and at the same time before."""

from __future__ import annotations

from deploywatch.grafana import health_panels, signals
from deploywatch.grafana.frame import Dashboard, spans
from deploywatch.grafana.panels import Panel, Row
from deploywatch.grafana.queries import Query
from deploywatch.grafana.service import places, refresh, span, windows
from deploywatch.grafana.visualizations import EARLIER, Lines, Number
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.signals.signal import Signal


def uid(policy: ResolvedPolicy) -> str:
    """The dashboard's stable identity."""
    return f"dw-{policy.given.policy}-business"


def dashboard(policy: ResolvedPolicy) -> Dashboard:
    """The dashboard for those who own the product."""
    used = signals.business(policy)
    numbers = (_number(policy, signal) for signal in used)
    return Dashboard(
        uid=uid(policy),
        title=f"{policy.given.policy} / business",
        about=f"{policy.given.about} What its users do, now and at the same time before.",
        rows=(
            Row("Now", (*health_panels.panels(policy, health_panels.IMPACT), *numbers)),
            Row("Over time", tuple(_over_time(policy, signal) for signal in used)),
            Row("Compared", tuple(signals.panel(policy, signal) for signal in signals.business_compared(policy))),
        ),
        places=places(policy),
        # A week first: what users do differs more between days of the week than between weeks.
        more_variables=(spans("earlier", "Compare with", ("1w", "1d", *windows(policy, 12, 1))),),
        span=span(policy),
        refresh=refresh(policy),
    )


def _number(policy: ResolvedPolicy, signal: Signal) -> Panel:
    return Panel(
        signals.title_of(signal),
        signal.about,
        (Query(signals.recorded(policy, signal), signals.legend_of(signal)),),
        Number(signals.unit_of(signal), base="text", names=True),
        width=8,
        height=5,
    )


def _over_time(policy: ResolvedPolicy, signal: Signal) -> Panel:
    base = signals.panel(policy, signal)
    series = signals.recorded(policy, signal)
    return Panel(
        f"{base.title} over time",
        f"{base.about} Dashed: so much time earlier as was chosen above.",
        (
            Query(series, signals.legend_of(signal)),
            Query(f"{series} offset $earlier", signals.legend_of(signal, " earlier"), dashed=EARLIER),
        ),
        base.look if isinstance(base.look, Lines) else Lines(signals.unit_of(signal)),
    )
