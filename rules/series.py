"""Which of a team's series the signals are made of: metric names, labels, error pattern, histogram buckets."""

from __future__ import annotations

import re
from collections.abc import Sized
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, PrivateAttr, WithJsonSchema, field_validator, model_validator

from deploywatch.config import Settings
from deploywatch.conventions import ENVIRONMENT, PROBE, SERVICE, DeploymentMetric, ProbeMetric
from deploywatch.quantity import Duration, format_duration

T = TypeVar("T", bound=Sized)


def _metric_name(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", value) and not _is_utf8_name(value):
        raise ValueError(f"{value!r} is no metric name")
    return value


def _label_name(value: str) -> str:
    plain = re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", value) or _is_utf8_name(value)
    if not plain or value.startswith("__"):
        raise ValueError(f"{value!r} is no label name")
    return value


def _own_label(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", value) or value.startswith("__"):
        raise ValueError(f"{value!r} is no name for a label of alerts; use letters, digits and _")
    return value


def _is_utf8_name(value: str) -> bool:
    """Whether it is a name as OpenTelemetry writes them, with points; what else Prometheus 3 takes is refused."""
    return "." in value and re.fullmatch(r"[^\W\d][\w./:-]*", value) is not None


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from error
    return value


def _something(value: T) -> T:
    if not value:
        raise ValueError("is empty; give at least one")
    return value


NotEmpty = AfterValidator(_something)
"""Refuses nothing at all, once what is there has been read."""

MetricName = Annotated[str, AfterValidator(_metric_name)]
LabelName = Annotated[str, AfterValidator(_label_name)]
OwnLabel = Annotated[str, AfterValidator(_own_label)]
Pattern = Annotated[str, AfterValidator(_pattern)]


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Chosen = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_several),
    NotEmpty,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
"""One value of a label, or several."""


def _outright(text: str) -> str:
    """A value as a regular expression that matches nothing else."""
    return re.sub(r"([.+*?()|\[\]{}^$\\])", r"\\\1", text)


class Labels(Settings):
    """What these series call the service and the environment; what is recorded bears our names."""

    service: LabelName = SERVICE
    environment: LabelName = ENVIRONMENT


class Measured(Settings):
    """Series of one metric."""

    metric: MetricName
    labels: Labels = Labels()
    only: dict[LabelName, Chosen] | None = None
    """Series that count: for each of these labels, its values."""
    excluding: dict[LabelName, Pattern] | None = None
    """Series that are left out: for each of these labels, a pattern of its values."""

    @property
    def counted(self) -> dict[str, tuple[str, ...]]:
        """For each label, the values of series that count."""
        return self.only or {}

    @property
    def excluded(self) -> dict[str, str]:
        """For each label, a pattern of the values that are left out."""
        return self.excluding or {}

    @property
    def chosen(self) -> list[tuple[str, str, str]]:
        """The label, operator and right side of each matcher that this makes."""
        return [
            *(
                (label, "=", values[0]) if len(values) == 1 else (label, "=~", "|".join(map(_outright, values)))
                for label, values in self.counted.items()
            ),
            *((label, "!~", pattern) for label, pattern in self.excluded.items()),
        ]

    @property
    def sample(self) -> dict[str, str]:
        """Labels of a series that counts, and is not left out."""
        borne = {label: "sample" for label, pattern in self.excluded.items() if re.fullmatch(pattern, "")}
        return borne | {label: values[0] for label, values in self.counted.items()}

    _called: tuple[str, ...] = PrivateAttr(default=())

    @property
    def called(self) -> tuple[str, ...]:
        """What part of the metric's series these are, in words of recorded names; nothing where they are all."""
        return self._called

    def call(self, *parts: str | tuple[str, ...]) -> None:
        """Say what part of the metric's series these are, once, when they are made."""
        words = [(part,) if isinstance(part, str) else part for part in parts]
        self._called = tuple(word for part in words for word in part if word)

    @property
    def base(self) -> str:
        """The metric's name without `_total`, as recorded names have it."""
        return self.recorded_as(self.metric).removesuffix("_total")

    @property
    def recorded(self) -> str:
        """The metric's name as recorded names have it."""
        return self.recorded_as(self.metric)

    def recorded_as(self, metric: str) -> str:
        """A metric's name as recorded names have it: without what only UTF-8 names have, and with the part of it."""
        plain = re.sub(r"[^a-zA-Z0-9_:]", "_", metric)
        if not self._called:
            return plain
        stem = plain.removesuffix("_total")
        return "_".join((stem, *self._called)) + plain[len(stem) :]


class Control(Settings):
    """How the series tell the new version from the old one: by a label, with a value for each.

    Of the label of versions the new one's value is known when it is deployed, and every other is old.
    """

    label: LabelName
    new: str | None = None
    old: str | None = None

    @model_validator(mode="after")
    def _two_roles(self) -> Control:
        if (self.new is None) != (self.old is None):
            raise ValueError("write both new and old, such as {label: deployment, new: canary, old: stable}")
        if self.new is not None and self.new == self.old:
            raise ValueError(f"new and old are both {self.new!r}; write the values that tell them apart")
        return self


class Requests(Measured):
    """A counter of requests with a label for their outcome."""

    status: LabelName = "status"
    endpoint: LabelName = "endpoint"
    version: LabelName = "version"
    errors: Pattern = "5.."
    failing: str = "500"
    passing: str = "200"
    control: Control | None = None

    @model_validator(mode="after")
    def _samples_fit(self) -> Requests:
        if not re.fullmatch(self.errors, self.failing):
            raise ValueError(
                f"errors {self.errors!r} does not match {self.failing!r}; set failing to a value it matches"
            )
        if re.fullmatch(self.errors, self.passing):
            raise ValueError(f"errors {self.errors!r} matches {self.passing!r} too, which is a good answer")
        return self


_UNITS_IN_NAMES = {
    **{
        f"{sign}{name}": unit
        for name, unit in (("milliseconds", "ms"), ("microseconds", "us"), ("nanoseconds", "ns"))
        for sign in "_."
    },
    **{f"{sign}{unit}": unit for unit in ("ms", "us", "ns") for sign in "_."},
    **{f"{sign}seconds": "s" for sign in "_."},
}
"""What the end of a histogram's name says of its unit."""


def _shares(values: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    for value in values:
        if not 0 < value <= 1:
            raise ValueError(f"{value} is no quantile; write a share such as 0.95")
    return values


class Durations(Measured):
    """A histogram of durations; `metric` without `_bucket`, `buckets` its finite bounds, `unit` that of its `le`.

    With `quantiles` it is a summary, whose client gives these; with `native`, a native histogram. With none of these
    its `_sum` and `_count` alone are asked for: these have a mean.
    """

    buckets: Annotated[tuple[Duration, ...], NotEmpty] | None = None
    quantiles: Annotated[tuple[Decimal, ...], NotEmpty, AfterValidator(_shares)] | None = None
    native: bool = False
    unit: Literal["s", "ms", "us", "ns"] = "s"
    control: Control | None = None

    @field_validator("buckets")
    @classmethod
    def _ascending(cls, buckets: tuple[timedelta, ...] | None) -> tuple[timedelta, ...] | None:
        for left, right in pairwise(buckets or ()):
            if left >= right:
                raise ValueError(f"must ascend, but {format_duration(right)} follows {format_duration(left)}")
        return buckets

    @model_validator(mode="after")
    def _one_kind(self) -> Durations:
        kinds = [key for key in ("buckets", "quantiles", "native") if getattr(self, key)]
        if len(kinds) > 1:
            raise ValueError(f"{' and '.join(kinds)}: a histogram has buckets, a summary quantiles; write what it is")
        return self

    @model_validator(mode="after")
    def _unit_as_named(self) -> Durations:
        named = next((unit for ending, unit in _UNITS_IN_NAMES.items() if self.metric.endswith(ending)), self.unit)
        if named != self.unit:
            raise ValueError(
                f"{self.metric} is in {named}, as its name says, not in {self.unit}; write `unit: {named}`"
            )
        return self

    @property
    def bounds(self) -> tuple[Decimal, ...]:
        """The finite bucket bounds in seconds, ascending."""
        return tuple(Decimal(bucket // timedelta(microseconds=1)) / 1_000_000 for bucket in self.buckets or ())

    @property
    def type(self) -> str | None:
        """The type that Prometheus must know the metric by; None where any will do."""
        if self.quantiles is not None:
            return "summary"
        return "histogram" if self.bounds or self.native else None

    def uncounted(self, bound: Decimal, written: str) -> str | None:
        """Why nobody can count the requests that are slower than a bound in seconds; None where a bucket does."""
        if bound in self.bounds:
            return None
        if self.quantiles is not None:
            return f"{self.metric} is a summary, whose quantiles count no requests; ask for a histogram"
        if self.native:
            return f"{self.metric} is a native histogram, whose shares are reckoned and not counted; add buckets"
        return f"{self.metric} has no bucket at {written}, which counts the slower ones; add one"

    @property
    def per_second(self) -> int:
        """How many of the histogram's own units a second has."""
        return {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}[self.unit]


class DatabaseDurations(Durations):
    """The same, of database queries."""


class Targets(Measured):
    """Prometheus's own `up`, one series a target."""

    metric: MetricName = "up"


class Probes(Measured):
    """Results of probes, 1 or 0, with the probe's name in the label `probe`."""

    metric: MetricName = ProbeMetric.SUCCESS
    probe: LabelName = PROBE


class Dependencies(Measured):
    """1 for each service that a service depends on, which the label `depends_on` names."""

    metric: MetricName = ProbeMetric.DEPENDENCY
    depends_on: LabelName = "depends_on"


class Deployments(Measured):
    """The ledger: 1 for how each deployment stands, in the label `status`."""

    metric: MetricName = DeploymentMetric.STATUS
    status: LabelName = "status"


class Queues(Measured):
    """Lengths of queues, with the queue's identity in the label `queue_id`."""

    metric: MetricName = "queue_length"
    queue_id: LabelName = "queue_id"


class Connections(Measured):
    """Connections that are open now."""

    metric: MetricName = "active_connections"
