"""Which of a team's series the signals are made of: metric names, labels, error pattern, histogram buckets."""

from __future__ import annotations

import re

from pydantic import PrivateAttr, field_validator, model_validator

from deploywatch.config import Settings
from deploywatch.conventions import ENVIRONMENT, PROBE, SERVICE, DeploymentMetric, ProbeMetric
from deploywatch.rules.series.names import (
    Chosen,
    Constant,
    LabelName,
    LabelOrConstant,
    MetricName,
    Pattern,
    literal_pattern,
)


class Labels(Settings):
    """What these series call the service and the environment; what is recorded bears our names.

    Series that have no such label, since there is but one, say which: `environment: {always: production}`.
    """

    service: LabelOrConstant = SERVICE
    environment: LabelOrConstant = ENVIRONMENT

    @property
    def borne(self) -> dict[str, str]:
        """Our names of the labels that the series bear, and theirs."""
        return {ours: theirs for ours, theirs in self if isinstance(theirs, str)}

    @property
    def constant(self) -> dict[str, str]:
        """Our names of the labels that the series lack, and what these always are."""
        return {ours: given.always for ours, given in self if isinstance(given, Constant)}


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
                # An equality where one is enough: Prometheus looks it up, where a pattern is tried on every value.
                (label, "=", values[0]) if len(values) == 1 else (label, "=~", "|".join(map(literal_pattern, values)))
                for label, values in self.counted.items()
            ),
            *((label, "!~", pattern) for label, pattern in self.excluded.items()),
        ]

    @property
    def sample(self) -> dict[str, str]:
        """Labels of a series that counts, and is not left out."""
        # A label that is not there counts as empty, so that an exclusion which matches nothing needs it to be there.
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

    @field_validator("metric")
    @classmethod
    def _counts_once(cls, metric: str) -> str:
        # A request is in each bucket that is wide enough for it.
        if metric.endswith("_bucket"):
            raise ValueError(f"{metric} counts a request several times; write {metric.removesuffix('_bucket')}_count")
        return metric

    @model_validator(mode="after")
    def _samples_fit(self) -> Requests:
        if not re.fullmatch(self.errors, self.failing):
            raise ValueError(
                f"errors {self.errors!r} does not match {self.failing!r}; set failing to a value it matches"
            )
        # With such a pattern every request would count as failed, in tests as in production.
        if re.fullmatch(self.errors, self.passing):
            raise ValueError(f"errors {self.errors!r} matches {self.passing!r} too, which is a good answer")
        return self


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
