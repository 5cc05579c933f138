"""Requirements that are measured when the gate asks: health, capacity, monitoring, the traffic to compare with."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import timedelta

from deploywatch.plurals import number_of
from deploywatch.quantity import format_duration
from deploywatch.receiver.actions.rollback import verify
from deploywatch.receiver.verification import counting
from deploywatch.receiver.verification.question import (
    Finding,
    Question,
    Standing,
)
from deploywatch.verdict.plan import Plan, filled
from deploywatch.verdict.plan_parts import Counts

DEFAULT_LEVEL = "comprehensive"
_HOUR = 3600.0


async def health(question: Question) -> Finding:
    """The exporter finds the service well now."""
    level, where = question.wanted.level or DEFAULT_LEVEL, (question.asked.service, question.asked.environment)
    target = question.context.settings.rollback.target(*where)
    url = question.context.settings.verification.health or (target.verify.url if target else "")
    if not url:
        advice = "name the exporter's health check in verification.health"
        return Finding(Standing.UNKNOWN, "nobody says where the service's health is asked for", advice)
    health = await verify.look(question.context.http, url.replace("{level}", level), *where, version=None)
    if health.good:
        return Finding(Standing.OPEN, health.detail)
    # Unknown and not closed: that the exporter is away says nothing of the service.
    if not health.answered:
        return Finding(Standing.UNKNOWN, question.context.conceal(health.detail), "see to the exporter, and ask again")
    return Finding(Standing.CLOSED, health.detail, f"deploywatch check --level {level} says what fails")


async def capacity(question: Question) -> Finding:
    """A condition on a recorded series is measured, and true."""
    watch = question.wanted.watch
    if watch is None:
        return Finding(Standing.UNKNOWN, "the plan does not say what is asked of capacity", "build the plan again")
    source, query = (
        counting.source(question.context),
        filled(watch.query, question.asked.values(question.facts.previous or "")),
    )
    numbers = await source.numbers(query, question.facts.now.timestamp())
    known = [number for number in numbers if not math.isnan(number)]
    bad = [number for number in known if not counting.holding(watch.operator, number, watch.threshold)]
    if bad:
        return Finding(Standing.CLOSED, f"{watch.name} does not hold: it is {bad[0]:.4g}", "make room first")
    if not counting.measured(numbers):
        which = f" for one of its {len(numbers)} series" if len(numbers) > 1 else ""
        return Finding(Standing.UNKNOWN, f"{watch.name} has no value{which}", "see why it is not measured")
    return Finding(Standing.OPEN, f"{watch.name}: it is {numbers[0]:.4g}")


async def monitoring(question: Question) -> Finding:
    """Every count query of what runs gives one count now, and every watched condition is measured."""
    source, values = counting.source(question.context), question.asked.values(question.facts.previous or "")
    # A scrape ago: the newest sample may be on its way still.
    at = question.facts.now.timestamp() - question.plan.scrape
    counts = [(f"{name}: {what}", query, _no_count) for name, what, query in _counted(question.plan)]
    queries = [*counts, *((watch.name, watch.query, _no_value) for watch in question.plan.watch)]
    answers = await asyncio.gather(*(source.numbers(filled(query, values), at) for _, query, _ in queries))
    lacking = [
        f"{name}{lack}"
        for (name, _, why), numbers in zip(queries, answers, strict=True)
        if (lack := why(numbers)) is not None
    ]
    if not lacking:
        return Finding(Standing.OPEN, f"{number_of(len(queries), 'query has', 'queries have')} a value")
    detail = f"{len(lacking)} of {number_of(len(queries), 'query has', 'queries have')} no value: {', '.join(lacking)}"
    return Finding(Standing.CLOSED, detail, "see that Prometheus scrapes the service, and loads the policy's rules")


def _no_count(numbers: Sequence[float]) -> str | None:
    """What keeps the verdict from counting by this answer; None where nothing does."""
    if len(numbers) == 1:
        return None if counting.whole(numbers[0]) is not None else f" (it is {numbers[0]:g}, which is no count)"
    return f" ({len(numbers)} series where one is due)" if numbers else ""


def _no_value(numbers: Sequence[float]) -> str | None:
    """What keeps a watched condition from being measured; None where nothing does."""
    if counting.measured(numbers):
        return None
    return f" (one of its {len(numbers)} series has none)" if len(numbers) > 1 else ""


async def baseline(question: Question) -> Finding:
    """What the new version is compared with had traffic in the time before."""
    source, values = counting.source(question.context), question.asked.values(question.facts.previous or "")
    end, span = question.facts.now.timestamp() - question.plan.scrape, question.wanted.within or _HOUR
    lacking = []
    for limit in question.plan.limits:
        # Before a deployment there is no new version; what is learned from is what runs.
        counts = limit.old or limit.whole or limit.new
        query = Counts(requests=filled(counts.requests, values), bad=filled(counts.bad, values))
        # At most a thousand steps, whatever the span.
        times = counting.Times(end - span, end, max(question.plan.look, span / 1000))
        earlier = await counting.history(source, query, times)
        if not sum(requests for requests, _ in earlier):
            lacking.append(limit.name)
    lasted = format_duration(timedelta(seconds=span))
    if lacking:
        detail = f"no requests in the last {lasted} for {', '.join(lacking)}"
        return Finding(Standing.CLOSED, detail, "wait until the old version has had traffic")
    return Finding(Standing.OPEN, f"there was traffic in the last {lasted}")


def _counted(plan: Plan) -> list[tuple[str, str, str]]:
    """The count queries of what runs before the new version is there: of the old one, and of the whole service."""
    queries = []
    for limit in plan.limits:
        roles = (("old version", limit.old), ("service", limit.whole)) if limit.old else (("service", limit.new),)
        for role, counts in roles:
            if counts is not None:
                queries += [
                    (limit.name, f"requests of the {role}", counts.requests),
                    (limit.name, f"bad requests of the {role}", counts.bad),
                ]
    return queries
