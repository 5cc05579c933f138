"""BucketMissing: a histogram without the bucket at a limit, which makes the limit's alerts dead without a word.

A latency's limit is counted by the bucket at it (`signals/histogram.py`). A client that is set to other bounds takes
that bucket away; then nothing is slower than the limit, ever. Each policy with such limits has this alert besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.quantity import format_duration
from deploywatch.rules import links, promql
from deploywatch.rules.conditions.view import plain
from deploywatch.rules.outputs import runbook_steps as steps
from deploywatch.rules.outputs.emit import Remarked
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedAlert, ResolvedPolicy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.signals import histogram
from deploywatch.rules.signals.service.latency import LatencyQuantile
from deploywatch.rules.signals.signal import InputSeries

ALERT = "BucketMissing"
BUCKET = "bucket"
"""The label that names the bound."""

WAIT = timedelta(minutes=10)
"""A client writes all of its buckets from the first request on; ten minutes are two windows of five."""

_SEVERITY, _TYPE, _ACTION = "high", "monitoring_failure", "notify"
_STEPS = (
    "Give the client its bucket back; or write the buckets that it has into the policy's `series`, and a limit at one.",
    "Until then, look at the dashboard's latency: nobody is told when it passes the limit.",
)
_SOURCE = "deploywatch: a limit whose bucket is gone cannot be passed"


@dataclass(frozen=True, slots=True)
class Needed:
    """A bucket that alerts count by."""

    policy: Policy
    """The policy as the alerts see it: their part of the series, their window."""
    durations: Durations
    bound: Decimal
    alerts: tuple[str, ...]
    channels: tuple[str, ...]


def _counted(policy: ResolvedPolicy, alert: ResolvedAlert) -> Iterator[tuple[Policy, Durations, Decimal]]:
    """The buckets of an alert's terms: the policy as the term sees it, the histogram, the bound in seconds."""
    for term in alert.terms:
        signal = plain(term.signal)
        if isinstance(signal, LatencyQuantile):
            seen, bound = term.signal.seen(policy.given), term.comparison.quantity.value
            durations = seen.series.of(signal.kind)
            if bound in durations.bounds:
                yield seen, durations, bound


def needed(policy: ResolvedPolicy) -> tuple[Needed, ...]:
    """Every bucket that the policy's alerts count by, each once; none where the policy has such an alert of its own."""
    if any(alert.given.alert == ALERT for alert in policy.alerts):
        return ()
    buckets: dict[tuple[str, Decimal], Needed] = {}
    for alert in policy.alerts:
        for seen, durations, bound in _counted(policy, alert):
            key = (durations.recorded, bound)
            before = buckets.get(key, Needed(seen, durations, bound, (), ()))
            buckets[key] = Needed(
                seen,
                durations,
                bound,
                tuple(dict.fromkeys((*before.alerts, alert.given.alert))),
                tuple(dict.fromkeys((*before.channels, *alert.given.channels))),
            )
    return tuple(buckets.values())


def rules(policy: ResolvedPolicy) -> list[Any]:
    """The alerting rules, one a bucket, as data."""
    remark = f"a histogram without the bucket at a limit for {format_duration(WAIT)}"
    return [Remarked((remark, f"source: {_SOURCE}"), _rule(bucket.policy, bucket)) for bucket in needed(policy)]


def _rule(policy: Policy, bucket: Needed) -> dict[str, Any]:
    return {
        "alert": ALERT,
        "expr": histogram.missing(policy, bucket.durations, bucket.bound),
        "for": promql.duration(WAIT),
        "labels": {
            AlertLabel.SEVERITY: _SEVERITY,
            AlertLabel.INCIDENT_TYPE: _TYPE,
            AlertLabel.ACTION: _ACTION,
            AlertLabel.POLICY: policy.policy,
            BUCKET: _said(bucket),
        },
        "annotations": _annotations(policy, bucket),
    }


def _annotations(policy: Policy, bucket: Needed) -> dict[str, str]:
    bound, metric = histogram.shown(bucket.bound), bucket.durations.metric
    given = {
        AlertAnnotation.SUMMARY: (
            f"{{{{ $labels.service }}}} in {{{{ $labels.environment }}}} has no bucket at {bound}: "
            f"{', '.join(bucket.alerts)} cannot fire"
        ),
        AlertAnnotation.DESCRIPTION: f"{metric} counts requests, but has no bucket at {bound} any more.",
        AlertAnnotation.VALUE: "no such bucket",
        AlertAnnotation.THRESHOLD: f"a bucket at {bound}",
        AlertAnnotation.CHANNELS: ",".join(bucket.channels),
        AlertAnnotation.SOURCE: _SOURCE,
        AlertAnnotation.RUNBOOK_URL: links.runbook_url(policy, ALERT),
        AlertAnnotation.DASHBOARD_URL: links.dashboard_url(policy),
    }
    return {name: text for name, text in given.items() if text}


def _said(bucket: Needed) -> str:
    """The bound, of which histogram, of which part of it."""
    return " ".join((bucket.durations.metric, *bucket.durations.called, histogram.shown(bucket.bound)))


_PAGE = """# {alert}

{severity}, of policy `{policy}`: {about}

## Meaning

Requests are counted, but the histogram has no bucket at a limit of the policy: nobody can tell how many are slower.

{listed}

## Impact

The alerts that are named above cannot fire.

## Diagnosis

{situation}

Which buckets each instance has:

{queries}

{commands}

## Mitigation

{listed_steps}

## Source

{source}
"""


def page(policy: ResolvedPolicy) -> str | None:
    """The runbook page; None where no alert counts by a bucket."""
    buckets = needed(policy)
    if not buckets:
        return None
    listed = "\n".join(
        f"- `{bucket.durations.metric}` at {histogram.shown(bucket.bound)}: {', '.join(bucket.alerts)}"
        for bucket in buckets
    )
    only, where = steps.of_one(policy.given)
    queries = "\n\n".join(
        f"```promql\ncount by (instance, le) ({promql.raw(only, durations, suffix='_bucket')})\n```"
        for durations in {bucket.durations.metric: bucket.durations for bucket in buckets}.values()
    )
    situation = "\n\n".join(steps.about(policy.given, where))
    commands = steps.commands(policy.given, where, _TYPE, rollback=False)
    listed_steps = "\n".join(
        f"{number}. {step}" for number, step in enumerate(steps.mitigation(_ACTION, _TYPE, _STEPS), 1)
    )
    return _PAGE.format(
        alert=ALERT,
        severity=_SEVERITY,
        policy=policy.given.policy,
        about=policy.given.about,
        listed=listed,
        situation=situation,
        queries=queries,
        commands=commands,
        listed_steps=listed_steps,
        source=_SOURCE,
    )


def tests(policy: ResolvedPolicy) -> Iterator[dict[str, Any]]:
    """From raw buckets: the alert fires when one is missing, and is silent while all are there."""
    buckets = needed(policy)
    for first in {bucket.durations.recorded: bucket for bucket in buckets}.values():
        durations, given = first.durations, first.policy
        bounds = [bucket.bound for bucket in buckets if bucket.durations.recorded == durations.recorded]
        for missing in (None, *bounds):
            there = {bound: histogram.EACH for bound in durations.bounds if bound != missing}
            scene = "all buckets are there" if missing is None else f"no bucket at {histogram.shown(missing)}"
            series = histogram.raw_buckets(given, durations, there)
            fired = [] if missing is None else [_said(replace(first, bound=missing)), *_whole(buckets, first, missing)]
            yield _entry(given, f"{ALERT}: {durations.metric}, {scene}", series, fired)


def _whole(buckets: Sequence[Needed], part: Needed, missing: Decimal) -> list[str]:
    """What counts by the same bucket and sees the part's series too: where only they are there, it lacks it as well."""
    called = set(part.durations.called)
    return [
        _said(bucket)
        for bucket in buckets
        if bucket.bound == missing
        and bucket.durations.metric == part.durations.metric
        and set(bucket.durations.called) < called
    ]


def _entry(policy: Policy, name: str, series: tuple[InputSeries, ...], fired: list[str]) -> dict[str, Any]:
    firing = promql.selector("ALERTS", [("alertname", "=", ALERT), ("alertstate", "=", "firing")])
    samples = -(-(WAIT + 2 * policy.window) // policy.interval)
    return {
        "name": name,
        "interval": promql.duration(policy.interval),
        "input_series": [
            {"series": counter.series, "values": f"{counter.values.partition('x')[0]}x{samples}"} for counter in series
        ],
        "promql_expr_test": [
            {
                "expr": f"group by ({BUCKET}) ({firing})",
                "eval_time": promql.duration((samples - 1) * policy.interval),
                "exp_samples": [
                    {"labels": promql.selector("", [(BUCKET, "=", bucket)]), "value": 1} for bucket in fired
                ],
            }
        ],
    }
