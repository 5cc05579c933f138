"""Series of how long something took: histograms and summaries, with the unit of their buckets."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, field_validator, model_validator

from deploywatch.quantity import Duration, format_duration
from deploywatch.rules.series.names import NotEmpty
from deploywatch.rules.series.requests import Control, Measured

_UNIT_WORDS = {
    "s": ("seconds", "secs", "sec"),
    "ms": ("milliseconds", "millis", "msecs", "msec", "ms"),
    "us": ("microseconds", "micros", "usecs", "usec", "us"),
    "ns": ("nanoseconds", "nanos", "nsecs", "nsec", "ns"),
    # Refused, as no policy can say them: then the name is wrong, or the histogram is.
    "minutes": ("minutes",),
    "hours": ("hours",),
}
_UNITS_IN_NAMES = {f"{sign}{word}": unit for unit, words in _UNIT_WORDS.items() for word in words for sign in "_."}
"""What the end of a histogram's name says of its unit."""
_PARTS = ("_bucket", "_sum", "_count")
"""What a histogram's name ends in where it names one of its series."""


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

    @field_validator("metric")
    @classmethod
    def _whole(cls, metric: str) -> str:
        # Asked for `…_bucket_bucket`, Prometheus answers nothing, for ever.
        for part in _PARTS:
            if metric.endswith(part):
                raise ValueError(f"{metric} is one series of a histogram; write {metric.removesuffix(part)}")
        return metric

    @model_validator(mode="after")
    def _one_kind(self) -> Durations:
        kinds = [key for key in ("buckets", "quantiles", "native") if getattr(self, key)]
        if len(kinds) > 1:
            raise ValueError(f"{' and '.join(kinds)}: a histogram has buckets, a summary quantiles; write what it is")
        return self

    @model_validator(mode="after")
    def _unit_as_named(self) -> Durations:
        # A histogram in milliseconds read as seconds is wrong by a thousand, and no test would show it.
        named = next((unit for ending, unit in _UNITS_IN_NAMES.items() if self.metric.endswith(ending)), self.unit)
        if named in {"minutes", "hours"}:
            raise ValueError(f"{self.metric} is in {named}, as its name says; a policy reads s, ms, us and ns")
        if named != self.unit:
            raise ValueError(
                f"{self.metric} is in {named}, as its name says, not in {self.unit}; write `unit: {named}`"
            )
        return self

    @property
    def bounds(self) -> tuple[Decimal, ...]:
        """The finite bucket bounds in seconds, ascending."""
        # Decimal: 0.1 + 0.2 must be a bound that stands in a label.
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
