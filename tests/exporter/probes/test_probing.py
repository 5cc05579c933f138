"""One run of a probe: its deadline, and the bounded reason of whatever goes wrong."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl

import pytest

from deploywatch.clock import SystemClock
from deploywatch.exporter.measure import families
from deploywatch.exporter.net.resolve import Resolver
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.os_errors import from_os_error
from deploywatch.exporter.probing.run import DETAIL_LIMIT, run
from deploywatch.exporter.results import Failed, Reason


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Reason.DNS),
        (os_error(errno.ECONNREFUSED), Reason.CONNECT_REFUSED),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] …"), Reason.CONNECT_REFUSED),
        (os_error(errno.ETIMEDOUT), Reason.CONNECT_TIMEOUT),
        (os_error(errno.ECONNRESET), Reason.RESET),
        (os_error(errno.EPIPE), Reason.RESET),
        (os_error(errno.EHOSTUNREACH), Reason.UNREACHABLE),
        (os_error(errno.ENETUNREACH), Reason.UNREACHABLE),
        (ssl.SSLCertVerificationError("expired"), Reason.TLS_VERIFY),
        (ssl.SSLError("wrong version number"), Reason.TLS),
    ],
)
def test_an_error_of_the_network_has_a_bounded_reason(error: OSError, reason: Reason) -> None:
    assert from_os_error(error).reason is reason


class Doing:
    """A probe that measures, and then does what it is told."""

    def __init__(self, error: Exception | None = None, *, overdue: Reason = Reason.DEADLINE) -> None:
        self.error, self.overdue = error, overdue

    async def measure(self, measurement: Measurement) -> None:
        measurement.add(families.REDIS_PING, 0.5)
        with measurement.timed("thinking", overdue=self.overdue):
            if self.error:
                raise self.error
            await asyncio.sleep(60)


@pytest.mark.parametrize("overdue", [Reason.DEADLINE, Reason.CONNECT_TIMEOUT])
async def test_a_probe_whose_time_is_up_is_broken_off_and_keeps_what_it_measured(overdue: Reason) -> None:
    result = await run(Doing(overdue=overdue), limit=0.05, clock=SystemClock())
    assert (result.reason, result.detail) == (overdue, "not done within 0.05 s; it was at: thinking")
    assert [sample.family for sample in result.samples] == [families.REDIS_PING]
    assert 0.05 <= result.duration < 30


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(), Reason.CONNECT_REFUSED),
        (TimeoutError(), Reason.CONNECT_TIMEOUT),
        (Failed(Reason.AUTH, "no"), Reason.AUTH),
        (KeyError("oops"), Reason.INTERNAL),
    ],
)
async def test_an_error_inside_a_probe_is_a_failed_result(error: Exception, reason: Reason) -> None:
    result = await run(Doing(error), limit=60, clock=SystemClock())
    assert result.reason is reason
    assert not result.success


async def test_a_detail_is_cut_to_what_a_log_line_bears() -> None:
    result = await run(Doing(Failed(Reason.BODY, "x" * 10_000)), limit=60, clock=SystemClock())
    assert len(result.detail) == DETAIL_LIMIT


async def test_who_looks_up_a_name_together_shares_one_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    release = asyncio.Event()

    async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        await release.wait()
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    resolver = Resolver()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(resolver.resolve("shop.example", 80), 0.01)
    both = [asyncio.create_task(resolver.resolve("shop.example", 80, prefer=version)) for version in (4, 6)]
    await asyncio.sleep(0)
    release.set()
    four, six = await asyncio.gather(*both)
    assert asked == ["shop.example"], "also after the first who asked has given up"
    assert [address.ip for address in four] == ["127.0.0.1", "::1"]
    assert [address.ip for address in six] == ["::1", "127.0.0.1"]
