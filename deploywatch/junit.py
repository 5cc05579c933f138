"""JUnit's XML, which CI servers show: one writer for every command that gives it.

There is no standard; what is written is what Jenkins, GitLab and reporters for GitHub read: suites in `testsuites`,
counts on both, seconds with six digits. What XML cannot write is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from deploywatch.terminal import in_xml

Kind = Literal["failure", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a case is no success; `type` is a bounded word for it, `text` the whole of what there is to say."""

    kind: Kind
    message: str
    type: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One test case; `seconds` is None where nothing was measured, `output` what there is to say of a success."""

    name: str
    place: str
    seconds: float | None = None
    troubles: tuple[Trouble, ...] = ()
    output: str = ""

    def is_a(self, kind: Kind) -> bool:
        """Whether it has such a trouble."""
        return any(trouble.kind == kind for trouble in self.troubles)


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases that belong together; `timestamp` is when the first began, in ISO 8601 without a zone."""

    name: str
    cases: Sequence[Case]
    timestamp: str = ""


def document(name: str, suites: Sequence[Suite]) -> str:
    """The XML text."""
    root = Element("testsuites", {"name": in_xml(name), **_counts(case for suite in suites for case in suite.cases)})
    for suite in suites:
        element = SubElement(root, "testsuite", {"name": in_xml(suite.name), **_counts(suite.cases)})
        if suite.timestamp:
            element.set("timestamp", suite.timestamp)
        for case in suite.cases:
            _add(element, case)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode")


def _add(suite: Element, case: Case) -> None:
    time = {} if case.seconds is None else {"time": f"{case.seconds:.6f}"}
    element = SubElement(suite, "testcase", {"classname": in_xml(case.place), "name": in_xml(case.name), **time})
    for trouble in case.troubles:
        kind = {"type": in_xml(trouble.type)} if trouble.type else {}
        outcome = SubElement(element, trouble.kind, {**kind, "message": in_xml(trouble.message)})
        if trouble.text:
            outcome.text = in_xml(trouble.text)
    if case.output:
        SubElement(element, "system-out").text = in_xml(case.output)


def _counts(cases: Iterable[Case]) -> dict[str, str]:
    """The counts of a suite or of all; `time` and `skipped` where there is such a thing."""
    counted = list(cases)
    counts = {"tests": str(len(counted))}
    counts |= {f"{kind}s": str(sum(case.is_a(kind) for case in counted)) for kind in ("failure", "error")}
    measured = [case.seconds for case in counted if case.seconds is not None]
    skipped = sum(case.is_a("skipped") for case in counted)
    return (
        counts | ({"time": f"{sum(measured):.6f}"} if measured else {}) | ({"skipped": str(skipped)} if skipped else {})
    )
