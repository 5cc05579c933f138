"""An alert explained: its condition, the query of each comparison, and the values that a Prometheus has for it now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.prometheus import Prometheus, Series
from deploywatch.quantity import format_duration
from deploywatch.rules import promql
from deploywatch.rules.comparison import Term
from deploywatch.rules.live.inlining import Inliner
from deploywatch.rules.outputs import wording
from deploywatch.rules.resolved import ResolvedAlert, ResolvedPolicy
from deploywatch.terminal import brief

_MOST = 20
"""Services whose values are shown, those nearest to the limit first."""


_LONGEST = 400
"""Characters that are shown of what a server's labels say."""
_SHORT = 12
"""Lines of a query that are shown unasked: who is woken looks for the values."""


async def explain(
    prometheus: Prometheus | None, policy: ResolvedPolicy, alert: ResolvedAlert, *, raw: bool = False
) -> AsyncIterator[str]:
    """Lines for people; without a Prometheus, what can be said without one. `raw` shows long queries too."""
    given = alert.given
    wait = f" for {format_duration(given.for_)}" if given.for_ else ", at once"
    yield f"{given.alert}: {given.severity}, action {given.action}, of policy {policy.given.policy}"
    yield f"fires when {given.when}{wait}"
    for limit in alert.limits:
        yield f"  {limit}"
    for term in _distinct(alert):
        async for line in _of_term(prometheus, policy, term, raw=raw):
            yield line
    yield ""
    yield "the alert's query, on what is recorded:"
    yield _quoted(alert.expression)
    if prometheus is not None:
        async for line in _state(prometheus, policy, alert):
            yield line


def _quoted(query: str) -> str:
    return "\n".join(f"  | {line}" for line in query.splitlines())


async def _of_term(
    prometheus: Prometheus | None, policy: ResolvedPolicy, term: Term, *, raw: bool
) -> AsyncIterator[str]:
    """A comparison, what its signal is, today's values, and its query on raw series."""
    yield ""
    yield f"{term.comparison}"
    yield f"  {term.signal.about}"
    expression = Inliner(policy.given.policy, policy.records, policy.given.interval)
    query = expression.expression(promql.recorded(policy.given, term.reading.record))
    if prometheus is not None:
        for line in _values(term, await prometheus.query(query)):
            yield f"  {line}"
    count = len(query.splitlines())
    yield f"  recorded as {term.reading.record}; on raw series:"
    yield _quoted(query) if raw or count <= _SHORT else f"  | {count} lines, which --raw shows"


def _distinct(alert: ResolvedAlert) -> Iterator[Term]:
    yield from {(term.reading.record, term.comparison): term for term in alert.terms}.values()


def _values(term: Term, series: list[Series]) -> Iterator[str]:
    if not series:
        yield "no value for any service: there is no traffic, or its series are not there (rules check --prometheus)"
        return
    form, limit = wording.form_of(term.reading), term.reading.threshold
    # By how near they are to the limit: of a hundred services, those are what one wants to see.
    near = sorted(series, key=lambda sample: abs(sample.value - float(limit)))
    for sample in near[:_MOST]:
        labels = {name: text for name, text in sample.labels.items() if name not in {SERVICE, ENVIRONMENT, "__name__"}}
        more = "".join(f", {name} {text}" for name, text in labels.items())
        who = brief(f"{sample.labels.get(SERVICE, '?')} in {sample.labels.get(ENVIRONMENT, '?')}{more}", _LONGEST)
        # NaN is unequal to itself, and holds nothing.
        is_true = sample.value == sample.value and term.holds(Decimal(sample.value))
        reading = term.reading.phrase.format(form.render(sample.value) + form.after)
        yield f"{who}: {reading}: {'true' if is_true else 'not true'}"
    if len(near) > _MOST:
        yield f"and {len(near) - _MOST} more, further from the limit"


async def _state(prometheus: Prometheus, policy: ResolvedPolicy, alert: ResolvedAlert) -> AsyncIterator[str]:
    name, own = alert.given.alert, policy.given.policy
    states = [
        state
        for state in await prometheus.alerts()
        if state["labels"].get("alertname") == name and state["labels"].get("policy") == own
    ]
    for state in states:
        who = f"{state['labels'].get(SERVICE, '?')} in {state['labels'].get(ENVIRONMENT, '?')}"
        yield brief(f"{state['state']} for {who} since {state['activeAt']}", _LONGEST)
    if not states:
        yield "neither pending nor firing in this Prometheus, or its rules are not loaded there"
