"""A check as JUnit's XML: a test suite a service, a test case a probe or a step of a flow."""

from __future__ import annotations

from collections.abc import Iterator

from deploywatch import junit
from deploywatch.exporter.check import Checked
from deploywatch.exporter.health import ProbeHealth, ServiceHealth
from deploywatch.exporter.results import Reason, StepResult, iso
from deploywatch.junit import Case, Suite, Trouble


def text(checked: Checked) -> str:
    """The XML text."""
    return junit.document("deploywatch check", [_suite(service) for service in checked.services()])


def _suite(service: ServiceHealth) -> Suite:
    place = f"{service.key.service}.{service.key.environment}"
    started = [probe.result.started for probe in service.probes if probe.result]
    return Suite(
        f"{service.key.service} ({service.key.environment})",
        [case for probe in service.probes for case in _cases(place, probe)],
        timestamp=iso(min(started)).removesuffix("Z") if started else "",
    )


def _cases(place: str, probe: ProbeHealth) -> Iterator[Case]:
    """The cases of a probe: its steps, or itself as one."""
    result = probe.result
    if result is None:
        # What has no result although it was asked is a fault of ours.
        text = probe.error or "it has no result"
        yield Case(probe.key.probe, place, 0.0, (Trouble("failure", text, str(Reason.INTERNAL)),))
    elif not result.steps:
        troubles = (Trouble("failure", _facts(probe), str(result.reason)),) if probe.error else ()
        yield Case(probe.key.probe, place, result.duration, troubles)
    else:
        for step in result.steps:
            yield Case(step.name, f"{place}.{probe.key.probe}", step.duration, _step(step))


def _step(step: StepResult) -> tuple[Trouble, ...]:
    if step.reason is None:
        return ()
    if step.reason is Reason.SKIPPED:
        return (Trouble("skipped", step.detail),)
    return (Trouble("failure", f"{step.reason}: {step.detail}", str(step.reason)),)


def _facts(probe: ProbeHealth) -> str:
    return f"{probe.error} (target: {probe.target})" if probe.target else probe.error or ""
