"""PromQL, put together from a policy: selectors, groupings under our label names, durations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel
from deploywatch.quantity import plain
from rules.policy import Policy
from rules.series import Measured

Matcher = tuple[str, str, str]
"""A label, an operator, and its right side, not quoted."""

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
    inside = ",".join(f"{label}{operator}{quoted(value)}" for label, operator, value in matchers)
    return f"{metric}{{{inside}}}" if inside else metric


def raw(
    policy: Policy, source: Measured, *, metric: str = "", suffix: str = "", matchers: Iterable[Matcher] = ()
) -> str:
    """The series of `source` that the policy holds for, under the labels that they bear themselves.

    `metric` names another metric that bears the same labels.
    """
    own = _own_names(source)
    held = [(own.get(label, label), *chosen.operand()) for label, chosen in policy.selectors.items()]
    return selector((metric or source.metric) + suffix, [*held, *matchers])


def grouped(aggregate: str, source: Measured, vector: str, keep: Mapping[str, str] | None = None) -> str:
    """Aggregate by service and environment, under our names for them; `keep` has more labels: ours to theirs."""
    names = _own_names(source) | dict(keep or {})
    for ours, theirs in names.items():
        if ours != theirs:
            vector = f'label_replace({vector}, "{ours}", "$1", "{theirs}", "(.*)")'
    return f"{aggregate} by ({', '.join(names)}) ({vector})"


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


def sample_series(policy: Policy, source: Measured, *, suffix: str = "", **labels: str) -> str:
    """One raw series of an example that the policy holds for."""
    own = _own_names(source)
    held = {name: chosen.sample for name, chosen in policy.selectors.items()} | sample_labels(policy)
    bears = {own.get(name, name): value for name, value in held.items()} | labels
    return selector(source.metric + suffix, [(name, "=", value) for name, value in bears.items()])


def number(value: Decimal) -> str:
    """A number as PromQL reads it, exactly."""
    return plain(value)


def _own_names(source: Measured) -> dict[str, str]:
    return {SERVICE: source.labels.service, ENVIRONMENT: source.labels.environment}
