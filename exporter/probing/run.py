"""Run one probe once: within its deadline, to a Result, whatever happens inside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from deploywatch import logs
from deploywatch.clock import Clock
from deploywatch.exporter.probing.measurement import OWN, Allowed, Measurement, Probe
from deploywatch.exporter.probing.os_errors import from_os_error
from deploywatch.exporter.results import (
    Application,
    Dropped,
    Failed,
    Reason,
    Result,
    Sample,
    let_go,
)
from deploywatch.terminal import visible

log = logs.get("exporter")

# A server may answer with a page; the landing page and the logs show what it said in full.
DETAIL_LIMIT = 1000
"""Characters of a detail that are kept; what was cut ends with an ellipsis."""


async def run(
    probe: Probe,
    *,
    limit: float,
    clock: Clock,
    allowed: Allowed | None = None,
    conceal: Callable[[str], str] = str,
) -> Result:
    """Run a probe for at most `limit` seconds; every error of its becomes a reason.

    With `allowed`, it connects only to addresses that this accepts, and fails as `forbidden` when there is none.
    `conceal` takes secrets out of what is said of the run.
    """
    started, begin = clock.now(), clock.monotonic()
    measurement = Measurement(clock, begin + limit, allowed)
    reason, detail = await _verdict(probe, measurement, limit)
    # Before secrets are taken out and after: what is hidden in a control character must not hide a secret from us.
    detail = visible(detail)
    samples, repeated = _unique(measurement)
    if repeated and reason is None:
        reason, detail = Reason.VALUE, f"there is more than one value for {repeated}; make its labels tell them apart"
    if reason is not None:
        detail = visible(conceal("; ".join([detail, *measurement.remarks])))
    if len(detail) > DETAIL_LIMIT:
        measurement.dropped[Dropped.DETAIL_CUT] += 1
        detail = detail[: DETAIL_LIMIT - 1] + "…"
    return Result(
        started=started,
        duration=clock.monotonic() - begin,
        reason=reason,
        detail=detail,
        samples=samples,
        application=_said(measurement.application),
        dropped=dict(measurement.dropped),
        steps=tuple(replace(step, detail=visible(conceal(step.detail))) for step in measurement.steps),
        remarks=tuple(visible(conceal(remark)) for remark in measurement.remarks),
    )


def _as_text(sample: Sample) -> Sample:
    """The sample with labels that everybody can see: services say some of them."""
    for _, value in sample.labels:
        if not value.isprintable():
            return sample._replace(labels=tuple((name, visible(value)) for name, value in sample.labels))
    return sample


def _said(application: Application | None) -> Application | None:
    """What a service says of itself, as text that everybody can see."""
    if application is None:
        return None
    checks = application.checks and {visible(name): visible(word) for name, word in application.checks.items()}
    status, version = (text and visible(text) for text in (application.status, application.version))
    return replace(application, status=status, version=version, checks=checks)


def _unique(measurement: Measurement) -> tuple[tuple[Sample, ...], str | None]:
    """The samples with each series once, as a scrape needs it; and the first of the config's that was repeated."""
    samples = [_as_text(sample) if sample.labels else sample for sample in measurement.samples]
    if len({(sample.family.name, sample.labels) for sample in samples}) == len(samples):
        return tuple(samples), None
    kept: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
    repeated: dict[tuple[str, tuple[tuple[str, str], ...]], None] = {}
    for sample in samples:
        series = (sample.family.name, sample.labels)
        first = kept.setdefault(series, sample)
        own = sample.family.name.startswith(OWN)
        # Our own may be said twice by two layers of a probe with the same value, which harms nothing.
        if first is sample or (own and first.value == sample.value):
            continue
        measurement.dropped[Dropped.REPEATED_SERIES] += 1
        if not own:
            repeated[series] = None
    for series in repeated:
        # Which of its values is right cannot be told, so it has none.
        del kept[series]
    names = (f"{name}{{{', '.join(f'{key}={value!r}' for key, value in labels)}}}" for name, labels in repeated)
    return tuple(kept.values()), next(names, None)


async def _verdict(probe: Probe, measurement: Measurement, limit: float) -> tuple[Reason | None, str]:
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            await probe.measure(measurement)
    except Exception as error:
        # Whether the scope expired, and not the error's type: a TimeoutError may be the server's as well.
        verdict = _verdict_on(error, measurement, limit if scope.expired() else None)
        let_go(error)
        return verdict
    return None, ""


def _verdict_on(error: Exception, measurement: Measurement, overdue: float | None) -> tuple[Reason, str]:
    """What a probe's error means; `overdue` is the limit where that was over."""
    if isinstance(error, Failed):
        return error.reason, error.detail
    if overdue is not None:
        return measurement.overdue, f"not done within {overdue:g} s; it was at: {measurement.stage}"
    if isinstance(error, OSError):
        verdict = from_os_error(error)
        return verdict.reason, verdict.detail
    # Ours, and not the target's: the trace is for whoever mends the exporter, the metric says `internal`.
    log.exception("a probe broke", stage=measurement.stage)
    return Reason.INTERNAL, f"{type(error).__name__} at: {measurement.stage}; see the log of the exporter"
