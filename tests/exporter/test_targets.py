"""Targets: their own times, what is shown of them, and the parts of a fleet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploywatch.errors import ConfigError
from deploywatch.exporter import config
from deploywatch.exporter.check import all_targets
from deploywatch.exporter.targets import Key, Shard, parse_shard

Write = Callable[[str], Path]
KEYS = st.builds(Key, st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))


@given(st.sets(KEYS, max_size=50), st.integers(1, 7))
def test_every_target_is_in_exactly_one_part(keys: set[Key], total: int) -> None:
    for key in keys:
        assert sum(Shard(number, total).holds(key) for number in range(1, total + 1)) == 1


def test_the_parts_are_stable_and_about_equally_large() -> None:
    keys = [Key("shop", "production", f"p{number}") for number in range(5000)]
    sizes = [sum(Shard(number, 5).holds(key) for key in keys) for number in range(1, 6)]
    assert sum(sizes) == 5000
    assert min(sizes) > 850
    # What is known to be where must be there in the next release too.
    assert [key.probe for key in keys[:20] if Shard(2, 5).holds(key)] == STABLE


STABLE = ["p18"]


def test_a_config_is_divided_and_others_that_are_added_move_nothing(write: Write) -> None:
    def parts(number: int) -> list[set[str]]:
        probes = ", ".join(f"p{n}: {{kind: redis, url: 'redis://127.0.0.1:1'}}" for n in range(number))
        settings = config.load(write(f"services: {{shop: {{probes: {{{probes}}}}}}}"))
        return [{target.key.probe for target in all_targets(settings, Shard(part, 3))} for part in (1, 2, 3)]

    few, many = parts(30), parts(60)
    assert set.union(*few) == {f"p{n}" for n in range(30)}
    assert sum(map(len, few)) == 30
    assert all(part <= larger for part, larger in zip(few, many, strict=True))


@pytest.mark.parametrize("text", ["", "2", "0/5", "6/5", "2/0", "a/b", "-1/5", "1/1001", "2/5/7"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no part"):
        parse_shard(text)


def test_a_probe_has_times_of_its_own(write: Write) -> None:
    text = """
services:
  shop:
    probes:
      both: {kind: http, url: "http://a", timeout: 3s, interval: 7s}
      quick: {kind: http, url: "http://a", interval: 5s}
      layer: {kind: http, url: "http://a"}
      ports: {kind: port, timeout: 1s}
ports: {a: {address: "a:1", free: true}}
"""
    times = {target.key.probe: (target.interval, target.timeout) for target in all_targets(config.load(write(text)))}
    assert times == {"both": (7, 3), "quick": (5, 5), "layer": (30, 10), "ports": (30, 10)}


def test_a_timeout_that_is_longer_than_the_interval_is_a_fault_with_its_place(write: Write) -> None:
    text = "services:\n  a:\n    probes:\n      x: {kind: http, url: 'http://a', timeout: 40s}\n"
    with pytest.raises(ConfigError) as caught:
        config.load(write(text))
    assert any("4:" in str(p) and "is longer than the interval" in str(p) for p in caught.value.problems)


@pytest.mark.parametrize(
    ("probe", "shown", "server"),
    [
        ("kind: http, url: 'https://ann:hush@a/x'", "https://ann:***@a/x", "a:443"),
        (
            "kind: postgres, dsn: 'postgresql://ann:hush@h1:1,h2:2/db?x=1'".replace("?x=1", ""),
            "postgresql://ann@h1:1,h2:2/db",
            "h1:1",
        ),
        ("kind: redis, url: 'redis://:hush@a/0'", "redis://:***@a/0", "a:6379"),
        ("kind: tcp, address: 'a:25'", "a:25", "a:25"),
        ("kind: flow, steps: [{name: s, url: 'http://ann:hush@a/'}]", "http://ann:***@a/", "a:80"),
        ("kind: port", "db, web", None),
    ],
)
def test_a_target_is_shown_without_its_password(write: Write, probe: str, shown: str, server: str | None) -> None:
    ports = "ports: {db: {address: 'a:1', free: true}, web: {address: 'a:2', free: true}}"
    (target,) = all_targets(config.load(write(f"services: {{s: {{probes: {{p: {{{probe}}}}}}}}}\n{ports}\n")))
    assert (target.shown, target.server) == (shown, server)
