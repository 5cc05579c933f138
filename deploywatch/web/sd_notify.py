"""Tells systemd how the server stands, by the notify protocol: one datagram to the socket that $NOTIFY_SOCKET names.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html. Under `Type=notify` a unit is started when the
server listens, and its reload is over when the configuration is in force or refused.
"""

from __future__ import annotations

import os
import socket
import time

from deploywatch import logs

log = logs.get("sd_notify")

SOCKET = "NOTIFY_SOCKET"


def ready(status: str) -> None:
    """The server listens, or has ended a reload; `status` is what `systemctl status` shows."""
    _send(f"READY=1\nSTATUS={_line(status)}")


def reloading() -> None:
    """A reload has begun; `ready` ends it."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """The server takes no new work, and finishes what it has."""
    _send("STOPPING=1")


def _line(text: str) -> str:
    return " ".join(text.split())


def _send(state: str) -> None:
    """Nothing where nobody asked for it; a socket that is gone is said in the log, and stops nothing."""
    address = os.environ.get(SOCKET, "")
    if not address:
        return
    # @ stands for the zero byte of an abstract socket's name.
    name = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            # systemd that does not read must not hold up the server that tells it.
            notify.setblocking(False)
            notify.connect(name)
            notify.send(state.encode())
    except OSError as error:
        log.warning("systemd is not told", state=state.partition("\n")[0], reason=error.strerror or str(error))
