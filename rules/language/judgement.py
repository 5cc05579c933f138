"""How a policy judges a deployment as a whole: statuses and weights, business impact, anomalies, delivery figures."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field, field_validator

from deploywatch.config import Settings
from deploywatch.quantity import Quantity, QuantityField, Unit
from deploywatch.rules.language.expression import Comparison, comparisons, parse
from deploywatch.rules.language.fields import Period
from deploywatch.rules.series.names import NotEmpty


def single(text: str) -> Comparison:
    """The only comparison of a text; loading a policy refuses one that has more."""
    return next(comparisons(parse(text)))


def _share(value: Quantity) -> Quantity:
    if value.unit is not Unit.RATIO or not 0 <= value.value <= 1:
        raise ValueError(f"{value} is no share; write one from 0% to 100%")
    return value


class Status(Settings):
    """When a signal is not well: half a point at `warning`, none at `critical`, both limits of the same signal."""

    kind: str
    warning: str
    critical: str


class Points(Settings):
    """So many points of impact for each `per` of a signal, at most `most`."""

    of: str
    points: Decimal
    per: QuantityField
    most: Decimal

    @property
    def comparison(self) -> Comparison:
        """The signal, compared with one `per` of it."""
        return single(f"{self.of} >= {self.per}")


class Estimate(Settings):
    """Points of impact where no business signal is there: by critical signal, and for each warning, of one kind."""

    kind: str = "application"
    critical: dict[str, Decimal] = Field(default_factory=dict)
    warning: Decimal = Decimal(0)


class Impact(Settings):
    """Business impact, from 0 to 10."""

    measured: Annotated[tuple[Points, ...], NotEmpty]
    estimated: Estimate = Estimate()


class Anomaly(Settings):
    """When a signal is not as it used to be: limits of the same signal for a medium and for a high one."""

    medium: str
    high: str | None = None


class Health(Settings):
    """Status by signal, weights by kind, and how much of the weight must be there for a score."""

    weights: Annotated[dict[str, QuantityField], NotEmpty]
    coverage: QuantityField = Quantity(Decimal("0.6"), Unit.RATIO)
    healthy: QuantityField = Quantity(Decimal("0.8"), Unit.RATIO)
    signals: Annotated[tuple[Status, ...], NotEmpty]
    impact: Impact | None = None
    anomalies: tuple[Anomaly, ...] = ()
    source: Annotated[dict[str, str], NotEmpty]

    @field_validator("weights")
    @classmethod
    def _shares(cls, weights: dict[str, Quantity]) -> dict[str, Quantity]:
        return {kind: _share(weight) for kind, weight in weights.items()}

    @field_validator("coverage", "healthy")
    @classmethod
    def _a_share(cls, value: Quantity) -> Quantity:
        return _share(value)


class Delivery(Settings):
    """Figures of delivery, from the receiver's ledger and incidents, over a time."""

    over: Period = timedelta(days=30)
