"""The `icmp` probe: with the sockets that this machine gives, with those that it gives to anybody, and with none."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from deploywatch.exporter.net.icmp import _checksum
from deploywatch.exporter.results import Reason, Result
from tests.exporter.support import measured, probe
from tests.support import namespace

ONCE = """
import asyncio, json, sys
from tests.exporter.support import measured, probe
async def main():
    result = await probe(**json.loads(sys.argv[1]))
    told = {"reason": result.reason and str(result.reason), "detail": result.detail, "values": measured(result)}
    print(json.dumps(told))
asyncio.run(main())
"""
NEEDS = {
    "namespace": namespace.NEEDS,
    "nobody": "the right to become another user (root, setpriv)",
}


def apart(*commands: str, **settings: Any) -> Mapping[str, Any]:
    """A probe in a network namespace of its own, after these commands in it; skipped where there is none."""
    command = namespace.apart("\n".join([*commands, '"$@"']), *once(settings))
    return told(command)


def once(settings: Mapping[str, Any]) -> list[str]:
    return [sys.executable, "-c", ONCE, json.dumps({"kind": "icmp", **settings})]


def told(command: list[str]) -> Mapping[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"NOT TESTED HERE: icmp needs {NEEDS['namespace']}: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    answer: Mapping[str, Any] = json.loads(done.stdout)
    return answer


async def ping(host: str, limit: float = 5, **more: Any) -> Result:
    result = await probe(limit, kind="icmp", host=host, **more)
    if result.reason is Reason.UNSUPPORTED:
        pytest.skip(f"NOT TESTED HERE: {result.detail}")
    return result


@pytest.mark.parametrize(("host", "version"), [("127.0.0.1", 4), ("::1", 6), ("localhost", None)])
async def test_a_host_that_replies_is_a_success(host: str, version: int | None) -> None:
    result = await ping(host)
    assert result.success, result.detail
    values = measured(result)
    assert values["probe_icmp_duration_seconds{phase=rtt}"] > 0
    assert {f"probe_icmp_duration_seconds{{phase={phase}}}" for phase in ("resolve", "setup")} <= values.keys()
    assert values["probe_icmp_reply_hop_limit"] == 64
    assert version in {None, values["probe_ip_protocol"]}


@pytest.mark.parametrize("more", [{"payload_size": 0}, {"payload_size": 1500}, {"dont_fragment": True}, {"ttl": 3}])
async def test_the_size_and_the_flags_may_be_set(more: dict[str, Any]) -> None:
    result = await ping("127.0.0.1", **more)
    assert result.success, result.detail
    assert measured(result)["probe_icmp_reply_hop_limit"] == 64


async def test_many_at_once_each_get_their_own_reply() -> None:
    results = await asyncio.gather(*(ping("127.0.0.1", payload_size=size) for size in range(100)))
    assert all(result.success for result in results)


async def test_no_reply_is_the_deadline() -> None:
    told_ = apart("echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all", host="127.0.0.1", limit=0.5)
    assert told_["reason"] == "deadline"
    assert "waiting for the reply" in told_["detail"]


def test_a_host_without_a_route_is_unreachable_at_once() -> None:
    assert apart(host="192.0.2.1", limit=60)["reason"] == "unreachable"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_sockets_that_need_no_privilege_do(host: str) -> None:
    told_ = apart('echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range', host=host)
    assert told_["reason"] is None, told_["detail"]
    assert told_["values"]["probe_icmp_reply_hop_limit"] == 64


def test_where_the_machine_gives_no_socket_it_is_said_what_to_do() -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip(f"NOT TESTED HERE: icmp without any socket needs {NEEDS['nobody']}")
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]
    told_ = apart_without(drop)
    assert told_["reason"] == "unsupported"
    assert "net.ipv4.ping_group_range" in told_["detail"]
    assert "CAP_NET_RAW" in told_["detail"]


def apart_without(drop: list[str]) -> Mapping[str, Any]:
    script = 'echo "1 0" > /proc/sys/net/ipv4/ping_group_range; exec "$@"'
    return told(namespace.apart(script, *drop, *once({"host": "127.0.0.1"})))


@pytest.mark.parametrize("host", ["a:80", "http://a", "", "a b", "a/24"])
async def test_what_is_no_host_is_told(host: str) -> None:
    with pytest.raises(ValidationError, match="is not a host"):
        await probe(kind="icmp", host=host)


@pytest.mark.parametrize("more", [{"ttl": 256}, {"ttl": 0}, {"payload_size": 70_000}])
async def test_what_no_packet_can_have_is_told(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"less than or equal|greater than or equal"):
        await probe(kind="icmp", host="127.0.0.1", **more)


def test_the_checksum_is_that_of_rfc_1071() -> None:
    assert _checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    data = struct.pack("!BBHHH", 8, 0, 0, 1, 2) + b"odd"
    whole = data[:2] + _checksum(data).to_bytes(2, "big") + data[4:]
    assert _checksum(whole) == 0
