"""A deployment measured: what the rules recorded of its service's health now, and what was usual over four weeks.

Trouble with Prometheus is no measurement, which says why. What a series gives more than once, or what is no number, is
said: of several the worst counts, and NaN is no value.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Series
from deploywatch.receiver.assessment import learned
from deploywatch.receiver.assessment.learned import LeftOut
from deploywatch.receiver.assessment.measured import POINTS, Measurement, Reading, Status
from deploywatch.receiver.deployments.assessments import StoredBaseline
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.verification.counting import Source
from deploywatch.verdict.plan import Plan, quoted

_STATUSES = {points: status for status, points in POINTS.items()}
_LONGEST_COUNTED = 3600.0
"""Seconds over which samples are counted at most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: the recorded series of one deployment's service, by one policy's plan."""

    source: Source
    plan: Plan
    deployment: Deployment

    def selector(self, names: Iterable[str]) -> str:
        """The recorded series of these names that are about the service."""
        labels = {
            AlertLabel.POLICY: self.plan.policy,
            SERVICE: self.deployment.service,
            ENVIRONMENT: self.deployment.environment,
        }
        matchers = ",".join(f"{label}={quoted(value)}" for label, value in labels.items())
        # One query for all names: a policy with thirty signals would else ask thirty times a look.
        pattern = "|".join(sorted({re.escape(name) for name in names}))
        return f"{{__name__=~{quoted(pattern)},{matchers}}}"

    async def series(self, query: str, at: datetime) -> list[Series]:
        """What a query gives; UnreachableError when Prometheus gives no whole answer in time."""
        try:
            async with asyncio.timeout(self.source.timeout):
                return await self.source.prometheus.query(query, at=at.timestamp(), whole=True)
        except TimeoutError as error:
            raise UnreachableError(f"Prometheus gave no answer within {self.source.timeout:g} s") from error


async def measure(asked: Asked, at: datetime) -> Measurement:
    """Everything that an assessment needs, at one moment; UnreachableError when Prometheus gives no whole answer."""
    recorded, remarks = asked.plan.health, list[str]()
    if not recorded.signals:
        return Measurement()
    status = asked.selector([recorded.signal_status])
    # All at the one moment `at`: values of different moments must not be weighed together.
    scores = _each(await asked.series(status, at), "signal", min, remarks)
    counts = {s.labels.get("signal", ""): s.value for s in await asked.series(_counted(asked, status, at), at)}
    names = {*(s.value for s in recorded.signals), *(s.learn for s in recorded.signals), *recorded.impact_of} - {""}
    values = _each(await asked.series(asked.selector(names), at), "__name__", None, remarks)
    impact: Mapping[str, float] = {}
    if recorded.impact:
        impact = _each(await asked.series(asked.selector([recorded.impact]), at), "__name__", max, remarks)
    degrees: Mapping[str, float] = {}
    if recorded.anomalies:
        degrees = _each(await asked.series(asked.selector([recorded.anomalies]), at), "anomaly", max, remarks)
    readings = []
    for signal in recorded.signals:
        points = scores.get(signal.name)
        if points is not None and points not in _STATUSES:
            remarks.append(f"{signal.name}: its status is {points:g}, and must be 0, 0.5 or 1")
        overall = _STATUSES.get(points, Status.UNKNOWN) if points is not None else Status.UNKNOWN
        readings.append(Reading(signal, overall, values.get(signal.value), int(counts.get(signal.name, 0))))
    return Measurement(
        readings=tuple(readings),
        degrees=degrees,
        values=values,
        impact=next(iter(impact.values()), None),
        # The recorded series does not say which way it came about; whether what it is measured by is there, does.
        impact_estimated=bool(impact) and not any(name in values for name in recorded.impact_of),
        remarks=tuple(remarks),
    )


async def usual(asked: Asked, left_out: Sequence[LeftOut], names: Iterable[str]) -> list[StoredBaseline]:
    """What was usual in the four weeks before the deployment, for each of these series."""
    return [await _usual(asked, name, left_out) for name in sorted(names)]


async def _usual(asked: Asked, name: str, left_out: Sequence[LeftOut]) -> StoredBaseline:
    until = asked.deployment.started_at
    spans = [(period.what, period.since, period.until) for period in left_out]
    try:
        async with asyncio.timeout(asked.source.timeout):
            lines = await asked.source.prometheus.query_range(
                asked.selector([name]),
                start=(until - learned.SPAN).timestamp(),
                end=until.timestamp(),
                step=learned.STEP.total_seconds(),
                whole=True,
            )
    except TimeoutError as error:
        raise UnreachableError(f"Prometheus gave no answer within {asked.source.timeout:g} s") from error
    if len(lines) > 1:
        return StoredBaseline(name, {}, spans, f"{len(lines)} series where one is due")
    hours = learned.learn(lines[0].samples if lines else (), left_out, until)
    kept = {hour: (known.median, known.mad, known.samples, known.weeks) for hour, known in hours.items()}
    return StoredBaseline(name, kept, spans, "" if kept else "it has no values in the four weeks before")


def _counted(asked: Asked, selector: str, at: datetime) -> str:
    """How often each signal's status was recorded since the deployment began, within the last hour."""
    since = (at - asked.deployment.started_at).total_seconds()
    span = math.ceil(min(_LONGEST_COUNTED, max(1.0, since)))
    return f"max by (signal) (count_over_time({selector}[{span}s]))"


def _each(
    answered: Sequence[Series], label: str, worst: Callable[[Iterable[float]], float] | None, remarks: list[str]
) -> Mapping[str, float]:
    """One number for each value of a label; where nothing says which of several is the worst, none."""
    by_label: dict[str, list[float]] = {}
    for series in answered:
        by_label.setdefault(series.labels.get(label, ""), []).append(series.value)
    each = {}
    for name, values in by_label.items():
        numbers = [value for value in values if math.isfinite(value)]
        if len(numbers) < len(values):
            remarks.append(f"{name}: a value is no number")
        if len(values) > 1:
            what = "the worst counts" if worst is not None else "none is taken"
            remarks.append(f"{name}: {len(values)} series where one is due; {what}")
        if numbers and (len(values) == 1 or worst is not None):
            each[name] = numbers[0] if worst is None else worst(numbers)
    return each
