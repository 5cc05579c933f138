"""What is still there of a process tree, and what a JSON endpoint says now."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

MARK = "DEPLOYWATCH_TEST_MARK"


def marked(mark: str) -> list[str]:
    """The command lines of the running processes that have `MARK=mark` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
            if f"{MARK}={mark}".encode() in environment:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (OSError, ProcessLookupError):
            continue
    return found


def fetch(url: str) -> Any:
    """The JSON at a URL."""
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - tests talk to loopback only
        return json.load(response)


def poll(look: Callable[[], T | None], *, within: float, what: str) -> T:
    """Look again and again until there is something; AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    trouble: object = "nothing yet"
    while time.monotonic() < deadline:
        try:
            found = look()
        except (OSError, ValueError) as error:
            found, trouble = None, error
        if found is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {within:g} s: {what} ({trouble})")
