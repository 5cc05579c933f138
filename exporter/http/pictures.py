"""What the pages draw of a probe's last results: a strip, in which height tells apart too, and the latency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from deploywatch.exporter.board.strip import KEPT, Small
from deploywatch.exporter.results import Reason

Run = tuple[str, int, int]
"""Results in a row that ended alike: the class, where they begin, and how many they are."""

WORDS: dict[Reason, str] = {
    Reason.DNS: "The name does not resolve",
    Reason.FORBIDDEN: "The address may not be probed",
    Reason.CONNECT_REFUSED: "The connection is refused: nothing listens there",
    Reason.CONNECT_TIMEOUT: "No connection came about in time",
    Reason.UNREACHABLE: "The network does not reach it",
    Reason.RESET: "The connection was cut off",
    Reason.TLS_VERIFY: "The certificate is not trusted",
    Reason.TLS: "TLS failed",
    Reason.EXPIRY: "The certificate expires soon, or has expired",
    Reason.PROXY: "The proxy does not let it through",
    Reason.PROTOCOL: "The answer is not of this protocol",
    Reason.REDIRECT: "It redirects where it may not",
    Reason.STATUS: "It answers with another status than expected",
    Reason.HEADER: "A header is not as expected",
    Reason.BODY: "The answer's body is not as expected",
    Reason.TOO_LARGE: "The answer is too large",
    Reason.JSON: "The answer's JSON is not as expected",
    Reason.UNHEALTHY: "The service says of itself that it is unhealthy",
    Reason.LATENCY: "It answers too slowly",
    Reason.AUTH: "The credentials are refused",
    Reason.QUERY: "A query failed",
    Reason.QUERY_TIMEOUT: "A query took too long",
    Reason.VALUE: "A value is not as expected",
    Reason.OCCUPIED: "Another service answers on this port",
    Reason.SKIPPED: "It was not run, because a step before it failed",
    Reason.UNAVAILABLE: "The service does not serve now",
    Reason.UNSUPPORTED: "The server does not know what is asked",
    Reason.CONFIG: "The configuration cannot be used",
    Reason.DEADLINE: "It was not done in time",
    Reason.INTERNAL: "A fault of deploywatch's own",
}
"""Why a probe failed, in words."""


def runs(results: Iterable[Small]) -> list[Run]:
    """The strip as runs of results that ended alike, so that sixty good ones are one line."""
    drawn: list[Run] = []
    position = 0
    for failed, group in groupby(results, key=lambda result: result.reason is not None):
        length = len(list(group))
        drawn.append(("broken" if failed else "kept", position, length))
        position += length
    return drawn


def sentence(results: Sequence[Small]) -> str:
    """The strip for those who cannot see it."""
    failed = sum(result.reason is not None for result in results)
    return f"{failed} of the last {len(results)} runs failed" if results else "It has not run yet"


def latency(results: Sequence[Small], width: int, height: int) -> str:
    """The points of a line through the durations, the slowest at the top."""
    # Never 0, by which nothing can be divided.
    slowest = max((result.duration for result in results), default=0) or 1
    step = width / (KEPT - 1)
    points = [(position * step, height - result.duration / slowest * height) for position, result in enumerate(results)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
