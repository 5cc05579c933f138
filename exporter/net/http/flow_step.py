"""A step of a flow: one request, and how it ended as measurements."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import Field

from deploywatch.exporter.measure import families
from deploywatch.exporter.net.http.client import Trail
from deploywatch.exporter.net.http.judging.expectations import Expect
from deploywatch.exporter.net.http.judging.templating import (
    Save,
    ValueName,
    names,
)
from deploywatch.exporter.net.http.oauth2 import AskWithToken
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Application, Failed, Reason, State, StepResult
from deploywatch.quantity import Duration
from deploywatch.secrets import SecretUrl


class Step(AskWithToken):
    """One request of a flow, what must come back, and what is saved from it for later steps."""

    name: str = Field(min_length=1, max_length=100)
    url: SecretUrl
    timeout: Duration | None = None
    expect: Expect = Expect()
    save: dict[ValueName, Save] = Field(default_factory=dict)

    def needs(self) -> set[str]:
        """The values that the request is made of."""
        texts = [self.url.get_secret_value(), self.body, *self.plain_headers().values()]
        return {name for text in texts for name in names(text)}


def worse(first: Application | None, other: Application | None) -> Application | None:
    """Of what two steps were told of a service, the worse; with its words, so that they are told."""
    if first is None or other is None:
        return first or other
    states = list(State)
    # Of several steps with a health body the worst is shown: a flow is as well as its worst part.
    return other if states.index(other.state or State.HEALTHY) > states.index(first.state or State.HEALTHY) else first


def note_state(application: Application | None, measurement: Measurement) -> None:
    if application and application.state:
        for candidate in State:
            measurement.add(families.APPLICATION_STATUS, candidate is application.state, status=str(candidate))


def _note_expiry(trail: Trail, measurement: Measurement) -> None:
    """Add when the first of all the steps' certificates expires, also of one that is not trusted."""
    expiry = trail.phases.shown.earliest_expiry if trail.phases.shown else None
    if expiry is None:
        return
    before = [sample for sample in measurement.samples if sample.family is families.SSL_EXPIRY]
    # One series for the whole flow: the certificate that expires first.
    measurement.samples = [sample for sample in measurement.samples if sample not in before]
    measurement.add(families.SSL_EXPIRY, min([expiry, *(sample.value for sample in before)]))


def note_step(step: Step, failed: Failed | None, trail: Trail, took: float, measurement: Measurement) -> None:
    measurement.add(families.STEP_SUCCESS, failed is None, step=step.name)
    measurement.add(families.STEP_DURATION, took, step=step.name)
    measurement.add(families.STEP_STATUS_CODE, trail.response.status if trail.response else 0, step=step.name)
    _note_expiry(trail, measurement)
    reason, detail = (failed.reason, failed.detail) if failed else (None, "")
    measurement.steps.append(StepResult(step.name, took, reason, detail))
    if failed:
        measurement.add(families.STEP_FAILURE, 1, step=step.name, reason=str(failed.reason))


def skipped(step: Step, missing: Collection[str], measurement: Measurement) -> Failed:
    failed = Failed(Reason.SKIPPED, f"it needs {', '.join(sorted(missing))}, which no step has given")
    measurement.add(families.STEP_SUCCESS, 0, step=step.name)
    measurement.add(families.STEP_FAILURE, 1, step=step.name, reason=str(failed.reason))
    measurement.steps.append(StepResult(step.name, 0.0, failed.reason, failed.detail))
    return failed
