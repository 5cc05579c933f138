"""Addresses that swallow every packet, in a network namespace of their own: nothing answers, and nothing refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.namespace import apart

_NETWORK = """
ip link add hole0 type veth peer name hole1
ip link set hole0 up; ip link set hole1 up
ip addr add 192.0.2.1/24 dev hole0
ip -6 addr add 2001:db8::1/64 dev hole0 nodad
ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev hole0
ip -6 neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev hole0
"""
"""What is sent to 192.0.2.9 and 2001:db8::9 goes to a card that nobody has: no reset, no ICMP, no answer."""


def _in_a_namespace(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    whole = f"{_NETWORK}\nmount --bind {folder / 'hosts'} /etc/hosts\n{script}\n"
    return subprocess.run(apart(whole, mounts=True), capture_output=True, text=True, check=False)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A folder whose `hosts` the namespace has; skipped, loudly, where the machine allows no such network."""
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n2001:db8::9 both.test\n192.0.2.1 both.test\n")
    tried = _in_a_namespace(tmp_path, "true")
    if tried.returncode:
        pytest.skip(f"NOT TESTED HERE: addresses that swallow every packet: {tried.stderr.strip()[-200:]}")
    return tmp_path


def _checked(folder: Path, probes: dict[str, dict[str, Any]], before: str = "") -> dict[str, dict[str, Any]]:
    config = {"services": {"shop": {"probes": probes}}}
    (folder / "exporter.yml").write_text(json.dumps(config))
    check = f"{sys.executable} -m deploywatch check --config.file {folder / 'exporter.yml'} --format json"
    done = _in_a_namespace(folder, f"{before}\n{check} || true")
    assert done.stdout, done.stderr
    (service,) = json.loads(done.stdout)["services"]
    return dict(service["probes"])


def test_a_probe_of_one_ends_by_its_deadline_and_says_that_nobody_took_the_connection(network: Path) -> None:
    probes: dict[str, dict[str, Any]] = {}
    for name, host in (("four", "192.0.2.9"), ("six", "[2001:db8::9]")):
        probes |= {
            f"{name}-http": {"kind": "http", "url": f"http://{host}:8080/"},
            f"{name}-tcp": {"kind": "tcp", "address": f"{host}:8080"},
            f"{name}-redis": {"kind": "redis", "url": f"redis://{host}:6379"},
            f"{name}-postgres": {"kind": "postgres", "dsn": f"postgresql://probe@{host}:5432/shop"},
            f"{name}-grpc": {"kind": "grpc", "address": f"{host}:8080"},
        }
    probed = _checked(network, {name: {"timeout": "2s", **probe} for name, probe in probes.items()})
    assert {name: probe["reason"] for name, probe in probed.items()} == dict.fromkeys(probes, "connect_timeout")


def test_a_name_whose_first_address_is_one_is_reached_by_the_other(network: Path) -> None:
    (network / "index.html").write_text("well")
    server = f"cd {network}; {sys.executable} -m http.server --bind 192.0.2.1 8080 >/dev/null 2>&1 & server=$!"
    waits = "for _ in $(seq 100); do (exec 3<>/dev/tcp/192.0.2.1/8080) 2>/dev/null && break; sleep 0.1; done"
    before = f"trap 'kill $server' EXIT\n{server}\nbash -c '{waits}'"
    asked = {"kind": "http", "url": "http://both.test:8080/", "timeout": "10s"}
    assert _checked(network, {"asked": asked}, before)["asked"]["status"] == "healthy"
