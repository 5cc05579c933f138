"""Each promise of SECURITY.md names tests that are there, and its figures are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from deploywatch.pages.live import MOST as LIVE_MOST
from deploywatch.web.admission import REQUEST_BYTES, STRANGER_BYTES, STRANGER_SECONDS, TOGETHER_BYTES
from deploywatch.web.bodies import SECONDS, TOGETHER
from deploywatch.web.connections import HEAD_SECONDS, IDLE_SECONDS, MOST, UNREAD_BYTES, UNREAD_SECONDS, limit_of
from deploywatch.web.long_requests import SHARES, Long

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text()
PROMISES = re.split(r"^\d+\. ", TEXT.partition("## Ten promises")[2].partition("\n## ")[0], flags=re.MULTILINE)[1:]


def test_each_of_the_ten_promises_is_held_by_tests_that_are_there() -> None:
    assert len(PROMISES) == 10
    for promise in PROMISES:
        held_by = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", promise)
        assert held_by, promise
        for file, name in held_by:
            assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), (file, name)


def test_each_further_attack_names_a_test_that_is_there() -> None:
    part = TEXT.partition("## What else is tested")[2].partition("\n## Bounds")[0]
    named = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", part)
    assert len(named) > 5
    for file, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), (file, name)


def test_the_bounds_are_those_of_the_code() -> None:
    share = {kind: {0.5: "half", 0.2: "a fifth", 0.1: "a tenth"}[share] for kind, share in SHARES.items()}
    for bound in (
        f"`/probe` {share[Long.PROBE]}, pages that renew themselves {share[Long.LIVE]} (and {LIVE_MOST}), `/health…",
        f"?fresh=1` {share[Long.FRESH]}; more get 503",
        f"| {STRANGER_BYTES // 1024} kB, {STRANGER_SECONDS:g} s |",
        f"| {REQUEST_BYTES // 1024**2} MB, {SECONDS:g} s, {TOGETHER_BYTES // 1024**2} MB together |",
        f"`max_body`, {TOGETHER // 1024**2} MB together",
        f"first request | {HEAD_SECONDS:g} s |",
        f"next request | {IDLE_SECONDS:g} s |",
        f"looked at once a minute; {UNREAD_BYTES // 1024**2} MB together" if UNREAD_SECONDS == 60 else "another time",
        f"| {MOST}, or what is left of the descriptors after {1000 - limit_of(1000)} of our own |",
    ):
        assert bound in TEXT
