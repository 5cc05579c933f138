"""Ports for servers that are about to start."""

from __future__ import annotations

import socket
import subprocess
import sys

from deploywatch.demo import free_ports

_FIVE = (
    "from deploywatch.demo.free_ports import free_port; print(*(free_port() for _ in range(5)), flush=True); input()"
)


def test_two_processes_are_given_different_ports() -> None:
    command = [sys.executable, "-c", _FIVE]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
    ):
        given = [process.stdout.readline().split() for process in (one, other) if process.stdout]
        one.communicate("\n")
        other.communicate("\n")
    assert len({port for ports in given for port in ports}) == 10


def test_a_port_is_none_that_the_kernel_lends_to_connections() -> None:
    lowest = free_ports._ephemeral()
    assert all(free_ports.free_port() < lowest for _ in range(20))


def test_a_port_that_somebody_listens_on_is_not_given() -> None:
    first = free_ports.free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + 1))
        taken.listen()
        assert free_ports.free_port() not in {first, first + 1}
