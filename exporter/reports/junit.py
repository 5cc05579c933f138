"""A check as JUnit's XML, which CI servers show: a test suite a service, a test case a probe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from deploywatch.exporter.check import Checked
from deploywatch.exporter.health import ProbeHealth, ServiceHealth, Status, iso

# XML 1.0 has no way to write these, not even escaped.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(checked: Checked) -> str:
    """The XML text."""
    root = Element("testsuites", {"name": "deploywatch check", **_counts(checked.probes)})
    for service in checked.services():
        _add_suite(root, service)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode")


def _add_suite(root: Element, service: ServiceHealth) -> None:
    name = _clean(f"{service.key.service} ({service.key.environment})")
    suite = SubElement(root, "testsuite", {"name": name, **_counts(service.probes)})
    started = [probe.result.started for probe in service.probes if probe.result]
    if started:
        suite.set("timestamp", iso(min(started)).removesuffix("Z"))
    for probe in service.probes:
        place = _clean(f"{service.key.service}.{service.key.environment}")
        case = SubElement(suite, "testcase", classname=place, name=_clean(probe.key.probe), time=_seconds([probe]))
        if probe.error and probe.result:
            SubElement(case, "failure", type=str(probe.result.reason), message=_clean(probe.error))


def _counts(probes: Sequence[ProbeHealth]) -> dict[str, str]:
    failed = sum(probe.status is not Status.HEALTHY for probe in probes)
    return {"tests": str(len(probes)), "failures": str(failed), "errors": "0", "time": _seconds(probes)}


def _seconds(probes: Sequence[ProbeHealth]) -> str:
    return f"{sum(probe.result.duration for probe in probes if probe.result):.6f}"


def _clean(words: str) -> str:
    return _UNWRITABLE.sub("\ufffd", words)
