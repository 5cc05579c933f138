"""The policy model: what "healthy after a deployment" means for a team, as it stands in their file."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import Annotated, Literal

import promql_parser
from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from deploywatch.config import Settings, nearest
from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.quantity import Quantity, QuantityField, Unit
from deploywatch.rules.language.expression import Condition, parse
from deploywatch.rules.language.fields import (
    ACTIONS,
    LONGEST_NAME,
    Action,
    AlertName,
    Channel,
    IncidentType,
    Period,
    PolicyName,
    Severity,
    SignalName,
    StageName,
    Url,
    Wait,
)
from deploywatch.rules.language.judgement import Delivery, Health
from deploywatch.rules.language.objectives import Objective
from deploywatch.rules.language.parts import Part
from deploywatch.rules.language.selectors import SelectorField
from deploywatch.rules.language.verification import Requirement, Verdict
from deploywatch.rules.presets import PRESETS
from deploywatch.rules.series.inventory import Series
from deploywatch.rules.series.names import LabelName, NotEmpty, OwnLabel

__all__ = ["ACTIONS", "LONGEST_NAME", "Alert", "CustomSignal", "Links", "OfficeHours", "Policy", "Receiver", "Source"]


def _known_preset(value: str) -> str:
    if value not in PRESETS:
        raise ValueError(f"unknown preset {value!r}{nearest(value, PRESETS)}")
    return value


PresetName = Annotated[str, AfterValidator(_known_preset), WithJsonSchema({"type": "string", "enum": sorted(PRESETS)})]


class Source(Settings):
    """A document, or a decision, that thresholds come from."""

    title: Annotated[str, NotEmpty]
    document: str = ""
    url: Url | None = None

    def __str__(self) -> str:
        return f"{self.title} [{self.document}]" if self.document else self.title


class OfficeHours(Settings):
    """When people are there, and the severities whose alerts wait for them; critical and high ones never do."""

    # As Alertmanager writes it: these fields go into its time_intervals as they are.
    days: Annotated[str, Field(pattern=r"^[a-z]+(:[a-z]+)?$")] = "monday:friday"
    start: Annotated[str, Field(pattern=r"^[0-2][0-9]:[0-5][0-9]$")] = "09:00"
    end: Annotated[str, Field(pattern=r"^[0-2][0-9]:[0-5][0-9]$")] = "17:00"
    location: str = "UTC"
    holds: tuple[Literal["medium", "low"], ...] = ("low",)


class Receiver(Settings):
    """Where Alertmanager sends the policy's alerts, and how patiently it groups them."""

    url: Url
    token_file: str | None = None
    # Shorter than Alertmanager's 30 s: the receiver groups for itself, and a rollback waits for this.
    group_wait: Wait = timedelta(seconds=10)
    group_interval: Period = timedelta(minutes=1)
    repeat_interval: Period = timedelta(hours=4)
    office_hours: OfficeHours | None = None


class Links(Settings):
    """Where the runbook pages are served, and the root of Grafana; a link that is not given is left out."""

    runbooks: Url | None = None
    grafana: Url | None = None


class CustomExample(Settings):
    """Raw series as promtool's tests write them, `xN` for as many samples as needed, and the value they give."""

    name: Annotated[str, NotEmpty]
    series: dict[str, str]
    gives: QuantityField | None = None


class CustomSignal(Settings):
    """A signal of the policy's own: PromQL that gives one value for each service and environment, and these labels."""

    title: str = ""
    about: Annotated[str, NotEmpty]
    unit: Unit
    query: Annotated[str, NotEmpty]
    labels: tuple[OwnLabel, ...] = ()
    at_least: QuantityField | None = None
    at_most: QuantityField | None = None
    whole: bool = False
    examples: tuple[CustomExample, ...] = ()

    @field_validator("unit", mode="before")
    @classmethod
    def _unit(cls, value: object) -> Unit:
        for unit in Unit:
            if isinstance(value, str) and value in {unit.value, unit.name.lower()}:
                return unit
        raise ValueError(f"{value!r} is no unit; write one of {', '.join(unit.name.lower() for unit in Unit)}")

    @field_validator("query")
    @classmethod
    def _is_promql(cls, value: str) -> str:
        try:
            promql_parser.parse(value)
        except ValueError as error:
            raise ValueError(f"is not PromQL: {error}") from error
        return value


class Stage(Settings):
    """A stage of a deployment, after those before it of the same strategy: what share of the traffic it has, and for
    how long.

    Nothing is decided before `lasts`, except to roll back; a person is asked after `at_most`, three times as long when
    not given. `tighter` limits take the place of the verdict's on the same signals.
    """

    stage: StageName
    share: QuantityField
    lasts: Period
    at_most: Period | None = None
    strategy: StageName | None = None
    tighter: tuple[str, ...] = ()


class Tighter(Settings):
    """Another limit for a time after a deployment: `24h after deployment`, or the name of a stage."""

    within: str
    limit: str


class Alert(Part):
    """One alert: when it fires, how bad that is, what is done, who is told, and who said so."""

    alert: AlertName
    when: str
    within: str | None = None
    tighter: tuple[Tighter, ...] = ()
    for_: Wait = Field(default=timedelta(0), alias="for")
    keep_firing_for: Wait = timedelta(0)
    severity: Severity
    incident_type: IncidentType
    action: Action = "notify"
    channels: tuple[Channel, ...] = ()
    escalate_after: Wait | None = None
    summary: Annotated[str, NotEmpty]
    description: str | None = None
    labels: dict[OwnLabel, str] = Field(default_factory=dict)
    annotations: dict[OwnLabel, str] = Field(default_factory=dict)
    impact: str = ""
    mitigation: tuple[str, ...] = ()
    source: Annotated[dict[str, str], NotEmpty]

    @cached_property
    def condition(self) -> Condition:
        """What `when` says, parsed once; ExpressionError where it says nothing, which a loaded policy's never does."""
        return parse(self.when)

    @field_validator("labels")
    @classmethod
    def _labels_are_ours(cls, value: dict[str, str]) -> dict[str, str]:
        return _free(value, {*_constants(AlertLabel), "alertname", "alertstate"})

    @field_validator("annotations")
    @classmethod
    def _annotations_are_ours(cls, value: dict[str, str]) -> dict[str, str]:
        return _free(value, _constants(AlertAnnotation))


def _constants(of: type) -> set[str]:
    # From the class: a label that is added there is reserved here without an entry.
    return {text for name, text in vars(of).items() if name.isupper() and isinstance(text, str)}


def _free(given: dict[str, str], taken: set[str]) -> dict[str, str]:
    """What is given; ValueError where deploywatch sets it itself."""
    if both := sorted(taken & given.keys()):
        raise ValueError(f"{', '.join(both)} is set by deploywatch for every alert; take another name")
    return given


class Policy(Settings):
    """One team's policy."""

    policy: PolicyName
    """Its name; file names and the label `policy` of its alerts are made from it."""
    about: Annotated[str, NotEmpty]
    """What it is for, in a sentence."""
    sources: Annotated[dict[str, Source], NotEmpty]
    """Where its figures come from; each alert names one."""
    preset: tuple[PresetName, ...] = ()
    """Series of well-known exporters and proxies, which need not be spelled out."""
    series: Series = Series()
    """The series that your services expose."""
    signals: dict[SignalName, CustomSignal] = Field(default_factory=dict)
    """Signals of your own."""
    selectors: dict[LabelName, SelectorField] = Field(default_factory=dict)
    """Which series count: for each of these labels, its values."""
    interval: Period = timedelta(seconds=30)
    """How often the rules are evaluated."""
    window: Period = timedelta(minutes=5)
    """Over what time rates are taken; at least twice the interval."""
    objective: QuantityField | None = None
    """The share of requests that must succeed, such as `99.9%`."""
    objectives: dict[SignalName, Objective] = Field(default_factory=dict)
    """Several objectives, of errors, latency or probes, by name."""
    stages: tuple[Stage, ...] = ()
    """The stages of a canary or another gradual deployment."""
    gate: tuple[Requirement, ...] = ()
    """What must be there before a deployment begins."""
    verdict: Verdict | None = None
    """How a deployment is judged on counts; with it a verification plan is built."""
    receiver: Receiver | None = None
    """Where alerts are sent; with it an `alertmanager.yml` is built."""
    links: Links = Links()
    """What runbooks and messages link to."""
    alerts: Annotated[tuple[Alert, ...], NotEmpty]
    """The alerts."""
    observe: tuple[str, ...] = ()
    """Signals that are recorded and shown without a limit."""
    health: Health | None = None
    """How the health of a whole service is judged."""
    delivery: Delivery | None = None
    """Limits on how delivery itself goes."""

    @field_validator("preset", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("objective")
    @classmethod
    def _leaves_a_budget(cls, value: Quantity | None) -> Quantity | None:
        if value is not None and (value.unit is not Unit.RATIO or not 0 < value.value < 1):
            raise ValueError(f"{value} is no objective; write a share below 100%, such as 99.9%")
        return value
