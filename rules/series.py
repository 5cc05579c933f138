"""Which of a team's series the signals are made of: metric names, labels, error pattern, histogram buckets."""

from __future__ import annotations

import re
from collections.abc import Sized
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, TypeVar

from pydantic import AfterValidator, field_validator, model_validator

from deploywatch.config import Settings
from deploywatch.conventions import ENVIRONMENT, PROBE, SERVICE, ProbeMetric
from deploywatch.errors import DeploywatchError
from deploywatch.quantity import Duration, format_duration

T = TypeVar("T", bound=Sized)


def _metric_name(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", value):
        raise ValueError(f"{value!r} is no metric name")
    return value


def _label_name(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", value) or value.startswith("__"):
        raise ValueError(f"{value!r} is no label name")
    return value


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
Pattern = Annotated[str, AfterValidator(_pattern)]


class Labels(Settings):
    """What these series call the service and the environment; what is recorded bears our names."""

    service: LabelName = SERVICE
    environment: LabelName = ENVIRONMENT


M = TypeVar("M", bound="Measured")


class Measured(Settings):
    """Series of one metric."""

    metric: MetricName
    labels: Labels = Labels()


class Requests(Measured):
    """A counter of requests with a label for their outcome."""

    status: LabelName = "status"
    errors: Pattern = "5.."
    failing: str = "500"
    passing: str = "200"

    @property
    def base(self) -> str:
        """The metric's name without `_total`."""
        return self.metric.removesuffix("_total")

    @model_validator(mode="after")
    def _samples_fit(self) -> Requests:
        if not re.fullmatch(self.errors, self.failing):
            raise ValueError(
                f"errors {self.errors!r} does not match {self.failing!r}; set failing to a value it matches"
            )
        if re.fullmatch(self.errors, self.passing):
            raise ValueError(f"errors {self.errors!r} matches {self.passing!r} too, which is a good answer")
        return self


class Durations(Measured):
    """A histogram of request durations in seconds; `metric` without `_bucket`, `buckets` its finite bounds."""

    buckets: Annotated[tuple[Duration, ...], NotEmpty]

    @field_validator("buckets")
    @classmethod
    def _ascending(cls, buckets: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
        for left, right in pairwise(buckets):
            if left >= right:
                raise ValueError(f"must ascend, but {format_duration(right)} follows {format_duration(left)}")
        return buckets

    @property
    def bounds(self) -> tuple[Decimal, ...]:
        """The finite bucket bounds in seconds, ascending."""
        return tuple(Decimal(one // timedelta(microseconds=1)) / 1_000_000 for one in self.buckets)


class Targets(Measured):
    """Prometheus's own `up`, one series a target."""

    metric: MetricName = "up"


class Probes(Measured):
    """Results of probes, 1 or 0, with the probe's name in the label `probe`."""

    metric: MetricName = ProbeMetric.SUCCESS
    probe: LabelName = PROBE


class Queues(Measured):
    """Lengths of queues, with the queue's identity in the label `queue_id`."""

    metric: MetricName = "queue_length"
    queue_id: LabelName = "queue_id"


class Series(Settings):
    """All series of a policy; those of Prometheus and of our exporter need not be spelled out."""

    requests: Requests | None = None
    durations: Durations | None = None
    targets: Targets = Targets()
    probes: Probes = Probes()
    queues: Queues = Queues()

    def find(self, kind: type[M]) -> M | None:
        """The series of this kind, where the policy has them."""
        return next((one for _, one in self if isinstance(one, kind)), None)

    def of(self, kind: type[M]) -> M:
        """The series of this kind; DeploywatchError where the policy lacks them, which loading it reports."""
        found = self.find(kind)
        if found is None:
            raise DeploywatchError(f"the policy does not say which series are its {self.key(kind)}")
        return found

    @classmethod
    def key(cls, kind: type[Measured]) -> str:
        """The key that series of this kind have in a policy."""
        return kind.__name__.lower()
