"""What an HTTP answer must be, as the config says it, and the gauges that its body gives."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from deploywatch.config import Settings
from deploywatch.exporter.measure.gauges import Gauge, GaugeName, LabelName
from deploywatch.exporter.net.health.resources import HealthUnits
from deploywatch.exporter.net.http.header_fields import HeaderName
from deploywatch.exporter.net.http.judging import body
from deploywatch.exporter.net.http.judging.assertions import AssertionField
from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.net.pattern import Pattern, search
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Failed, Reason
from deploywatch.quantity import Duration

_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)")


def _status(value: str) -> str:
    if not _STATUS.fullmatch(value):
        raise ValueError(f"{value!r} is neither a status such as 204 nor a class such as 2xx")
    return value


Status = Annotated[str, BeforeValidator(str), AfterValidator(_status)]


def _several(value: Any) -> Any:
    return () if value is None else (value,) if isinstance(value, str) else value


Patterns = Annotated[
    tuple[Pattern, ...],
    BeforeValidator(_several),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""A config field that holds a regular expression, or a list of them."""


class HeaderRule(Settings):
    """What one of a header's values must match, or none may; without `allow_missing` the header must be there."""

    header: HeaderName
    matches: Pattern | None = None
    not_matches: Pattern | None = None
    allow_missing: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.matches is None) is (self.not_matches is None):
            raise ValueError("give it one of matches and not_matches")
        return self

    async def check(self, response: Response) -> None:
        """Failed(header) when it does not hold."""
        values = [value.encode("utf-8", "surrogateescape") for value in response.values(self.header)]
        if not values:
            if not self.allow_missing:
                raise Failed(Reason.HEADER, f"the header {self.header} is missing")
            return
        pattern = self.matches if self.matches is not None else self.not_matches or ""
        matched = [value for value in values if await search(pattern, value) is not None]
        if bool(matched) is (self.matches is None):
            raise Failed(
                Reason.HEADER, f"the header {self.header} {'matches' if matched else 'does not match'} {pattern!r}"
            )


Version = Literal["1.0", "1.1", "2"]


class Expect(Settings):
    """What the answer must be; `format: health` reads what a service says of its own health.

    `tls` says whether it must come over TLS; with `whole_body` a body larger than `max_body` is a failure.
    """

    status: tuple[Status, ...] = ("2xx",)
    headers: dict[HeaderName, Pattern] = Field(default_factory=dict)
    format: Literal["any", "json", "health"] = "any"
    health: HealthUnits = HealthUnits()
    header_rules: tuple[HeaderRule, ...] = ()
    body: Patterns = ()
    body_not: Patterns = ()
    whole_body: bool = False
    tls: bool | None = None
    http_version: tuple[Version, ...] | None = Field(default=None, min_length=1)
    values: tuple[AssertionField, ...] = ()
    within: Duration | None = None

    @field_validator("status")
    @classmethod
    def _some(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if not patterns:
            raise ValueError("is empty; no answer would be good. Write a status such as 204 or a class such as 2xx")
        return patterns

    def impossible(self, *, gauges: bool) -> frozenset[Reason]:
        """The reasons for which an answer cannot fail, with gauges or without."""
        document = gauges or bool(self.values) or self.format != "any"
        possible = {
            Reason.HEADER: bool(self.headers or self.header_rules),
            Reason.BODY: bool(self.body or self.body_not),
            Reason.TOO_LARGE: document or bool(self.body or self.body_not or self.whole_body),
            Reason.JSON: document,
            Reason.VALUE: document,
            Reason.UNHEALTHY: self.format == "health",
            Reason.LATENCY: self.within is not None,
        }
        return frozenset(reason for reason, it_is in possible.items() if not it_is)

    def accepts(self, status: int) -> bool:
        """Whether one of the patterns is this status."""
        return any(pattern in {str(status), f"{status // 100}xx"} for pattern in self.status)


class JsonGauge(Gauge):
    """A number in a JSON body that becomes a gauge.

    `path` is such as `queues.0.length`; with a `*` in place of one part each of what is there becomes a series, whose
    key or position is the value of `label`.
    """

    path: str = Field(min_length=1)
    label: LabelName | None = None
    max_series: int = Field(default=100, ge=1, le=10_000)

    @model_validator(mode="after")
    def _one_star(self) -> Self:
        stars = self.path.split(".").count("*")
        if stars > 1 or (stars == 1) is not (self.label is not None):
            raise ValueError("a path has a `*` where a label is given, and only one; write {path: queues.*, label: id}")
        return self

    def note(self, name: str, document: Any, measurement: Measurement) -> None:
        """Add what the document has to `measurement`, as the metric `name`."""
        family = self.family(name)
        try:
            numbers = list(body.pick(document, self.path, self.max_series))
        except Failed as failed:
            raise Failed(failed.reason, f"gauge {name}: {failed.detail}") from failed
        for key, number in numbers:
            if self.type == "counter" and not 0 <= number < math.inf:
                raise Failed(Reason.VALUE, f"gauge {name}: {number:g}, and a counter is a number from 0 up")
            measurement.add(family, number, **({self.label: measurement.label(key)} if self.label else {}))


Gauges = dict[GaugeName, JsonGauge]
