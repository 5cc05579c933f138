"""The parts of a verification plan: limits, stages, requirements of the gate, and names of recorded series."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploywatch.config import Settings

Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Chance = Annotated[float, Field(gt=0, lt=1)]
Operator = Literal["<", "<=", ">", ">=", "==", "!="]


class Counts(Settings):
    """The queries that count, in one look, the requests of one role, and the bad ones among them."""

    requests: str
    bad: str


class Limit(Settings):
    """A limit on a share of bad requests: `limit` is that share, or, where it is `relative`, times the control's.

    `new` counts the new version's requests; where the series tell the versions apart, `old` counts the control's, and
    `whole` the service's, which are the new version's once it has all of the traffic.
    """

    name: str
    signal: str
    limit: Annotated[float, Field(gt=0)]
    relative: bool = False
    new: Counts
    old: Counts | None = None
    whole: Counts | None = None


class Watch(Settings):
    """A condition on what is not counted: bad while a series of `query` is beyond the threshold."""

    name: str
    query: str
    operator: Operator
    threshold: float


class Stage(Settings):
    """A stage: its share of the traffic, for how long at least and at most, and the names of its limits.

    `strategy` is the kind of deployment that it belongs to; the usual one when empty.
    """

    stage: str
    strategy: str = ""
    share: Share
    lasts: Seconds
    at_most: Seconds
    limits: tuple[str, ...]


class Requirement(Settings):
    """One thing that the gate asks for; which of the other fields count depends on `require`.

    `of`: the roles of people, the kind of a record, or the environment that must be verified; `environments`: where it
    is asked for, everywhere when empty; `level` of the health check; `watch`: a condition that must be measured and not
    be bad; `within`: how old a record or an approval may be.
    """

    require: str
    of: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    level: str = ""
    watch: Watch | None = None
    within: Seconds | None = None


class HealthSignal(Settings):
    """A signal of a service's health: its kind, its weight (of the sum of all signals'), and its limits as written.

    `value` is the recorded series of its value, in `unit`. `learn` is that of which the usual course is learned (what
    it compares, where the signal is a comparison), `learn_as` its name, `bound` its limit at warning, or 0. `alert` is
    the policy's gravest alert on it, `action` what that asks for, `runbook` its page.
    """

    name: str
    title: str
    kind: str
    weight: Annotated[int, Field(gt=0)]
    value: str
    unit: str
    warning: str
    critical: str
    learn: str = ""
    learn_as: str = ""
    bound: float = 0.0
    alert: str = ""
    action: str = ""
    runbook: str = ""


class AnomalyLimit(Settings):
    """An anomaly that rules look for: what kind, of which signals, and its limits as written."""

    name: str
    kind: Literal["statistical", "pattern", "correlation"]
    signals: tuple[str, ...]
    medium: str
    high: str = ""
    runbook: str = ""


class Recorded(Settings):
    """Names of recorded series about a service's health, each empty where the policy has none; and what they tell of.

    `kinds` are the weights by kind, also of kinds that have no signal; `least_coverage` is the share of the weight that
    must be measured for a score, `healthy` the score of a healthy service; `impact_of` are the recorded series that
    impact is measured by (without a value of any, it is estimated).
    """

    status: str = ""
    score: str = ""
    coverage: str = ""
    signal_status: str = ""
    impact: str = ""
    anomalies: str = ""
    signals: tuple[HealthSignal, ...] = ()
    anomaly_limits: tuple[AnomalyLimit, ...] = ()
    kinds: dict[str, Share] = Field(default_factory=dict)
    least_coverage: Share = 0.6
    healthy: Share = 0.8
    impact_of: tuple[str, ...] = ()
