"""A check as JUnit's XML: a test suite a service, a test case a probe or a step of a flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deploywatch import junit
from deploywatch.exporter.check import Checked
from deploywatch.exporter.health.probes import ProbeHealth
from deploywatch.exporter.health.services import ServiceHealth
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
        [case for probe in service.probes for case in _cases(place, probe, service.dependents)],
        timestamp=iso(min(started)).removesuffix("Z") if started else "",
    )


def _cases(place: str, probe: ProbeHealth, needed_by: Sequence[str]) -> Iterator[Case]:
    """The cases of a probe: its steps, or itself as one."""
    result = probe.result
    output = f"degraded: it says: {probe.says}" if probe.says else ""
    if result is None:
        # What has no result although it was asked is a fault of ours.
        text = probe.error or "it has no result"
        yield Case(probe.key.probe, place, 0.0, (Trouble("failure", text, str(Reason.INTERNAL)),))
    elif not result.steps:
        troubles = (_failure(probe, needed_by),) if probe.error else ()
        yield Case(probe.key.probe, place, result.duration, troubles, output)
    else:
        if probe.error and all(step.reason in {None, Reason.SKIPPED} for step in result.steps):
            # No step tells why the whole has failed.
            yield Case(probe.key.probe, place, result.duration, (_failure(probe, needed_by),))
        for step in result.steps:
            log = output if step is result.steps[-1] else ""
            failed = _step(step, _facts(probe, needed_by))
            yield Case(step.name, f"{place}.{probe.key.probe}", step.duration, failed, log)


def _step(step: StepResult, facts: str) -> tuple[Trouble, ...]:
    if step.reason is None:
        return ()
    if step.reason is Reason.SKIPPED:
        return (Trouble("skipped", step.detail),)
    return (Trouble("failure", f"{step.reason}: {step.detail}{facts}", str(step.reason)),)


def _failure(probe: ProbeHealth, needed_by: Sequence[str]) -> Trouble:
    reason = str(probe.result.reason if probe.result else "")
    return Trouble("failure", f"{probe.error}{_facts(probe, needed_by)}", reason)


def _facts(probe: ProbeHealth, needed_by: Sequence[str]) -> str:
    """The target of a probe that fails, since when it does, and which services need its own."""
    facts = [f"target: {probe.target}"] if probe.target else []
    facts += [f"failing since: {iso(probe.failing_since)}"] if probe.failing_since is not None else []
    facts += [f"needed by: {', '.join(needed_by)}"] if needed_by else []
    return f" ({'; '.join(facts)})" if facts else ""
