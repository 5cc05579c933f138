"""The results that are kept to be looked at again."""

from __future__ import annotations

import sys

from deploywatch.exporter.board.history import History
from deploywatch.exporter.board.strip import KEPT, Small, Strip
from deploywatch.exporter.results import Reason, Result

GOOD = Result(1.0, 0.01)
BAD = Result(2.0, 0.02, Reason.DNS, "the name does not resolve")


def test_the_last_results_are_kept_newest_first() -> None:
    history = History(limit=3)
    for _ in range(5):
        history.note(("a",), "http", GOOD)
    assert [entry.number for entry in history.recent()] == [5, 4, 3]
    assert history.find(5) is history.recent()[0]
    assert history.find(2) is None


def test_failures_are_kept_longer() -> None:
    history = History(limit=3)
    failed = history.note(("a",), "http", BAD)
    for _ in range(10):
        history.note(("a",), "http", GOOD)
    assert history.failures() == [failed]
    assert history.find(failed.number) is failed


def test_each_targets_last_failure_is_kept_until_the_target_is_gone() -> None:
    history = History(limit=2)
    first = history.note(("a",), "http", BAD)
    for _ in range(5):
        history.note(("b",), "http", BAD)
    assert history.last_failure(("a",)) is first
    assert history.find(first.number) is first
    history.forget(("a",))
    assert history.last_failure(("a",)) is None
    assert history.find(first.number) is None


def test_what_callers_ask_for_is_not_kept_for_ever() -> None:
    history = History(limit=2)
    for number in range(5):
        history.note((str(number),), "http", BAD, keep=False)
    assert len(history.failures()) == 2
    assert history.last_failure(("0",)) is None


def test_of_each_target_the_last_sixty_results_are_kept_in_a_kilobyte() -> None:
    strip = Strip()
    for number in range(KEPT + 5):
        strip.note(Result(1000.0 + number, 0.25, Reason.DNS if number % 2 else None, "a long detail " * 100))
    kept = list(strip)
    assert len(kept) == len(strip) == KEPT
    assert kept[0] == Small(1005.0, 0.25, Reason.DNS)
    assert kept[-1] == Small(1064.0, 0.25, None)
    parts = [getattr(strip, name) for name in Strip.__slots__]
    assert sum(sys.getsizeof(part) for part in (strip, *parts)) < 1400
