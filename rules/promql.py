"""PromQL, put together from a policy: selectors, groupings under our label names, durations."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from decimal import Context, Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel
from deploywatch.quantity import plain
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.requests import Measured

Matcher = tuple[str, str, str]
"""A label, an operator, and its right side, not quoted."""

# Every decimal of 15 digits comes back from a float as it went in (IEEE 754 binary64).
_EXACT_DIGITS = 15
"""As many digits a float keeps, whatever they are."""

SECOND = timedelta(seconds=1)

_UNITS = (("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def quoted(text: str) -> str:
    """A PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def duration(value: timedelta) -> str:
    """A duration as Prometheus reads it, in whole units down to milliseconds: `1h30m`, `1s500ms`, `0s`."""
    left = value // timedelta(milliseconds=1)
    text = ""
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def bound_name(seconds: Decimal) -> str:
    """A bound as part of a metric's name, without a point: `2s`, `1500ms`, `250us`."""
    for unit, size in (("s", 1), ("ms", 1000), ("us", 1_000_000)):
        if seconds * size == int(seconds * size):
            return f"{int(seconds * size)}{unit}"
    raise ValueError(f"{seconds} s is finer than a microsecond")


def selector(metric: str, matchers: Iterable[Matcher]) -> str:
    """`metric{label="value",…}`."""
    parts = [f"{name(label)}{operator}{quoted(value)}" for label, operator, value in matchers]
    if metric and name(metric) != metric:
        return f"{{{','.join((quoted(metric), *parts))}}}"
    return f"{metric}{{{','.join(parts)}}}" if parts else metric


def name(text: str) -> str:
    """A metric's or a label's name as PromQL reads it: in quotes, from Prometheus 3.0 on, where it has points."""
    return text if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text) else quoted(text)


def raw(
    policy: Policy,
    source: Measured,
    *,
    metric: str = "",
    suffix: str = "",
    matchers: Iterable[Matcher] = (),
    without: Collection[str] = (),
) -> str:
    """The series of `source` that the policy holds for, under the labels that they bear themselves.

    `metric` names another metric that bears the same labels; selectors of the labels `without` are left out.
    """
    own, ours = source.labels.borne, {*without, *source.labels.constant}
    held = [
        (own.get(label, label), *chosen.operand()) for label, chosen in policy.selectors.items() if label not in ours
    ]
    return selector((metric or source.metric) + suffix, [*held, *source.chosen, *matchers])


def added(
    policy: Policy, over: timedelta, memory: timedelta, *, last: str, before: str, rest: str, unless: str = ""
) -> str:
    """What each counter added within `over`: the only way in which deploywatch counts, for signals and for verdicts.

    That is its `last` value less the last one `before` the time began, whatever happened to its target since. A counter
    that had none before counts from 0 where its target was up within the `memory` before the time; where it was not,
    nobody knows how old the counter is. So neither a new target, nor a scrape gap, nor new labels of a target make a
    lifetime of errors. `rest` is what all other counters added: those that fell, those `unless` says, those of targets
    that nobody knew.
    """
    grown = f"{last} - {before} >= 0"
    # Births come first: they are few or none, and to join nothing costs Prometheus nothing.
    return "\nor\n".join(
        (
            f"({last} unless {before} and on (job, instance) {_known_targets(policy, over, memory)})",
            f"({grown} unless {unless})" if unless else f"({grown})",
            rest,
        )
    )


def _known_targets(policy: Policy, over: timedelta, memory: timedelta) -> str:
    """The targets that were up within the `memory` before the time, and bear the same labels since."""
    up, earlier = policy.series.targets.metric, f"[{duration(memory)}] offset {duration(over)}"
    # A target that bears other labels than at the start has other series, however old these are.
    moved = f"last_over_time({up}[{duration(over)}]) unless last_over_time({up}{earlier})"
    return f"(max_over_time({up}{earlier}) == 1 unless on (job, instance) ({moved}))"


def per_second(policy: Policy, series: str) -> str:
    """How fast each counter grows a second over the policy's window, by what it added.

    Of a counter that was reset within the window, or whose target was not known at its start, `increase` says what was
    added since: it sees every reset, and reckons what lies between the window's ends and the samples.
    """
    window, memory = duration(policy.window), policy.window / 2
    counted = added(
        policy,
        policy.window,
        memory,
        last=f"last_over_time({series}[{window}])",
        before=f"last_over_time({series}[{duration(memory)}] offset {window})",
        rest=f"increase({series}[{window}])",
        unless=f"resets({series}[{window}]) > 0",
    )
    return f"(\n{counted}\n)\n/ {number(Decimal(policy.window // timedelta(milliseconds=1)) / 1000)}"


def grouped(aggregate: str, source: Measured, vector: str, keep: Mapping[str, str] | None = None) -> str:
    """Aggregate by service and environment, under our names for them; `keep` has more labels: ours to theirs."""
    names = source.labels.borne | dict(keep or {})
    for ours, theirs in names.items():
        if ours != theirs:
            # Before the sum: afterwards their name for it is gone.
            vector = f'label_replace({vector}, "{ours}", "$1", "{theirs}", "(.*)")'
    for ours, value in source.labels.constant.items():
        # In a replacement `$` begins the name of a group.
        vector = f'label_replace({vector}, "{ours}", {quoted(value.replace("$", "$$"))}, "", "")'
    by = dict.fromkeys((SERVICE, ENVIRONMENT, *names))
    return f"{aggregate} by ({', '.join(by)}) ({vector})"


def recorded(policy: Policy, name: str, matchers: Iterable[Matcher] = ()) -> str:
    """What a policy's recording rule `name` left."""
    return selector(name, [(AlertLabel.POLICY, "=", policy.policy), *matchers])


def level(*labels: str) -> str:
    """The first part of a recorded name: the labels that are left."""
    return "_".join((SERVICE, ENVIRONMENT, *labels))


def sample_labels(policy: Policy) -> dict[str, str]:
    """Service and environment of an example that the policy holds for."""
    chosen = {name: held.sample for name, held in policy.selectors.items()}
    return {SERVICE: chosen.get(SERVICE, "sample"), ENVIRONMENT: chosen.get(ENVIRONMENT, "sample")}


def sample_series(policy: Policy, source: Measured, *, metric: str = "", suffix: str = "", **labels: str) -> str:
    """One raw series of an example that the policy holds for."""
    own, lacks = source.labels.borne, source.labels.constant
    held = {name: chosen.sample for name, chosen in policy.selectors.items()} | sample_labels(policy)
    # Where a label names the service, as `container` does, the service's name stands in it and no other example.
    bears = {own.get(name, name): value for name, value in held.items() if name not in lacks}
    bears |= {name: value for name, value in source.sample.items() if name not in bears} | labels
    return selector((metric or source.metric) + suffix, [(name, "=", value) for name, value in bears.items()])


def number(value: Decimal) -> str:
    """A number as PromQL reads it, and as promtool's tests do: exactly, or as the float that is nearest to it."""
    return plain(value) if _is_short(value) else plain(Decimal(repr(float(value))))


def constant(value: Decimal) -> str:
    """A number as an alert compares with it; what was divided by a minute or an hour stays a fraction: `1000 / 60`."""
    for parts in () if _is_short(value) else (60, 3600):
        whole = Context(prec=20).multiply(value, Decimal(parts)).normalize()
        if _is_short(whole):
            return f"{plain(whole)} / {parts}"
    return number(value)


def _is_short(value: Decimal) -> bool:
    return len(value.normalize().as_tuple().digits) <= _EXACT_DIGITS
