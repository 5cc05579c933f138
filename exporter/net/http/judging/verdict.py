"""Whether an HTTP answer is what it must be, and the gauges that its body gives."""

from __future__ import annotations

from typing import Any

from deploywatch.exporter.measure import families
from deploywatch.exporter.net.health.body import note_health, read
from deploywatch.exporter.net.http.judging import body
from deploywatch.exporter.net.http.judging.expectations import Expect, Gauges
from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.net.pattern import search
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Failed, Failures, Reason


async def judge(response: Response, took: float, expect: Expect, gauges: Gauges, measurement: Measurement) -> Any:
    """The JSON document of the body, where one is asked for; Failed with the first thing that is not as it must be.

    `took` is in seconds. What the body says is noted also when the status is bad.
    """
    problem: Failed | None = None
    document: Any = None
    if not expect.accepts(response.status):
        problem = Failed(Reason.STATUS, f"status {response.status}, not {' or '.join(expect.status)}")
    try:
        _judge_transport(response, expect, measurement)
        await _judge_text(response, expect, measurement, alone=problem is None)
        document = _judge_document(response, expect, gauges, measurement)
    except Failed as failed:
        # A bad status explains a bad body, and not the other way round; but what a service says of itself is kept.
        unhealthy = problem is not None and failed.reason is Reason.UNHEALTHY
        problem = (
            Failed(Reason.STATUS, f"{problem.detail}; {failed.detail}") if problem and unhealthy else problem or failed
        )
    if expect.within and took > expect.within.total_seconds():
        # Last: that it was slow says little about an answer that was wrong.
        problem = problem or Failed(
            Reason.LATENCY, f"took {took * 1000:.0f} ms, more than {expect.within.total_seconds() * 1000:.0f} ms"
        )
    if problem:
        raise problem
    return document


def _judge_transport(response: Response, expect: Expect, measurement: Measurement) -> None:
    problem: Failed | None = None
    if expect.http_version and response.version not in expect.http_version:
        wanted = " or ".join(expect.http_version)
        problem = Failed(Reason.PROTOCOL, f"the answer is HTTP/{response.version}, not {wanted}")
    elif expect.tls is not None and response.secure is not expect.tls:
        problem = Failed(Reason.TLS, f"the answer came {'over' if response.secure else 'without'} TLS")
    if problem:
        measurement.add(families.FAILED_DUE_TO_REGEX, 0)
        raise problem


async def _judge_text(response: Response, expect: Expect, measurement: Measurement, *, alone: bool) -> None:
    """Only where the text `alone` is at fault has the probe failed because of an expression."""
    if response.undecoded:
        measurement.add(families.FAILED_DUE_TO_REGEX, 0)
        raise response.undecoded
    try:
        await _match(response, expect)
    except Failed as failed:
        # 1 only where nothing else failed first, as blackbox_exporter counts it.
        measurement.add(families.FAILED_DUE_TO_REGEX, alone and failed.reason is not Reason.TOO_LARGE)
        raise
    measurement.add(families.FAILED_DUE_TO_REGEX, 0)


async def _match(response: Response, expect: Expect) -> None:
    for name, pattern in expect.headers.items():
        value = response.headers.get(name.lower())
        if value is None or await search(pattern, value.encode("utf-8", "surrogateescape")) is None:
            raise Failed(Reason.HEADER, f"the header {name} {'is missing' if value is None else 'does not match'}")
    for rule in expect.header_rules:
        await rule.check(response)
    if not (expect.body or expect.body_not or expect.whole_body):
        return
    _need_all(response)
    for pattern in expect.body:
        if await search(pattern, response.body) is None:
            raise Failed(Reason.BODY, f"the body does not match {pattern!r}")
    for pattern in expect.body_not:
        if await search(pattern, response.body) is not None:
            raise Failed(Reason.BODY, f"the body matches {pattern!r}")


def _judge_document(response: Response, expect: Expect, gauges: Gauges, measurement: Measurement) -> Any:
    if not gauges and not expect.values and expect.format == "any":
        return None
    _need_all(response)
    document = (read if expect.format == "health" else body.parse)(response.body)
    failures = Failures()
    # Each has its turn: one missing number must not take the others from the graphs.
    for name, gauge in gauges.items():
        with failures.trying(name):
            gauge.note(name, document, measurement)
    if expect.format == "health":
        with failures.trying("health"):
            note_health(document, expect.health, measurement)
    for assertion in expect.values:
        with failures.trying(assertion.path):
            assertion.check(document)
    failures.settle()
    return document


def _need_all(response: Response) -> None:
    if not response.complete:
        raise Failed(Reason.TOO_LARGE, f"the body is larger than max_body; {len(response.body)} bytes of it were read")
