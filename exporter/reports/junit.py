"""A check as JUnit's XML, which CI servers show: a test suite a service, a test case a probe or a step of a flow."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from deploywatch.exporter.check import Checked
from deploywatch.exporter.health import ProbeHealth, ServiceHealth
from deploywatch.exporter.results import Reason, StepResult, iso
from deploywatch.terminal import in_xml


def text(checked: Checked) -> str:
    """The XML text."""
    root = Element("testsuites", {"name": "deploywatch check", **_counts(checked.probes)})
    for service in checked.services():
        _add_suite(root, service)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode")


def _add_suite(root: Element, service: ServiceHealth) -> None:
    name = in_xml(f"{service.key.service} ({service.key.environment})")
    suite = SubElement(root, "testsuite", {"name": name, **_counts(service.probes)})
    started = [probe.result.started for probe in service.probes if probe.result]
    if started:
        suite.set("timestamp", iso(min(started)).removesuffix("Z"))
    for probe in service.probes:
        _add_cases(suite, in_xml(f"{service.key.service}.{service.key.environment}"), probe)


def _add_cases(suite: Element, place: str, probe: ProbeHealth) -> None:
    if probe.result is None or not probe.result.steps:
        case = SubElement(suite, "testcase", classname=place, name=in_xml(probe.key.probe), time=_seconds([probe]))
        if probe.error and probe.result:
            SubElement(case, "failure", type=str(probe.result.reason), message=in_xml(_facts(probe)))
        return
    for step in probe.result.steps:
        case = SubElement(
            suite,
            "testcase",
            classname=in_xml(f"{place}.{probe.key.probe}"),
            name=in_xml(step.name),
            time=f"{step.duration:.6f}",
        )
        if step.reason is Reason.SKIPPED:
            SubElement(case, "skipped", message=in_xml(step.detail))
        elif step.reason:
            SubElement(case, "failure", type=str(step.reason), message=in_xml(f"{step.reason}: {step.detail}"))


def _facts(probe: ProbeHealth) -> str:
    return f"{probe.error} (target: {probe.target})" if probe.target else probe.error or ""


def _cases(probe: ProbeHealth) -> tuple[StepResult, ...]:
    """The cases of a probe: its steps, or itself as one."""
    if probe.result is None:
        return (StepResult("", 0.0, Reason.INTERNAL),)
    return probe.result.steps or (StepResult("", probe.result.duration, probe.result.reason),)


def _counts(probes: Sequence[ProbeHealth]) -> dict[str, str]:
    cases = [case for probe in probes for case in _cases(probe)]
    skipped = sum(case.reason is Reason.SKIPPED for case in cases)
    failed = sum(case.reason is not None for case in cases) - skipped
    counts = {"tests": str(len(cases)), "failures": str(failed), "errors": "0", "time": _seconds(probes)}
    return counts | ({"skipped": str(skipped)} if skipped else {})


def _seconds(probes: Sequence[ProbeHealth]) -> str:
    return f"{sum(probe.result.duration for probe in probes if probe.result):.6f}"
