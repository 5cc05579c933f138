"""What is put up for /metrics: measurements that expire, counters that stay, a histogram of the good runs."""

from __future__ import annotations

import dataclasses
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from deploywatch.clock import ManualClock
from deploywatch.exporter.board.board import Board
from deploywatch.exporter.config import ServiceKey
from deploywatch.exporter.measure import families
from deploywatch.exporter.probes.redis import RedisSettings
from deploywatch.exporter.results import Application, Dropped, Reason, Result, Sample, State, iso
from deploywatch.exporter.targets import Key, Target

BUCKETS = (0.1, 1.0)


def target(name: str = "cache", url: str = "redis://nowhere", service: str = "shop") -> Target:
    settings = RedisSettings.model_validate({"kind": "redis", "url": url})
    return Target(Key(service, "test", name), "redis", "immediate", 30, 10, settings, settings.probe())


def read(board: Board) -> dict[str, float]:
    """Every series of the text, without the labels that all have."""
    own = {"service", "environment", "probe", "kind"}
    return {
        sample.name + "".join(f"{{{k}={v}}}" for k, v in sample.labels.items() if k not in own): sample.value
        for family in text_string_to_metric_families(board.text())
        for sample in family.samples
    }


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def board(clock: ManualClock) -> Board:
    found = Board(clock)
    found.set_up([target()], {}, BUCKETS)
    return found


def good(clock: ManualClock, duration: float = 0.05, *samples: Sample) -> Result:
    return Result(clock.now(), duration, samples=samples)


def bad(clock: ManualClock, reason: Reason = Reason.DNS) -> Result:
    return Result(clock.now(), 0.01, reason, "free text that is no label")


def test_nothing_but_counters_is_exposed_before_the_first_run(board: Board) -> None:
    assert "gauge" not in board.text()
    assert list(board.waiting()) == [target().key]


def test_every_series_bears_the_four_labels(board: Board, clock: ManualClock) -> None:
    board.note(target(), good(clock))
    labels = {"service": "shop", "environment": "test", "probe": "cache", "kind": "redis"}
    samples = [s for family in text_string_to_metric_families(board.text()) for s in family.samples]
    assert samples
    assert all(labels.items() <= sample.labels.items() for sample in samples)


def test_a_good_run_is_exposed(board: Board, clock: ManualClock) -> None:
    board.note(target(), good(clock, 0.05, Sample(families.REDIS_PING, 0.001)))
    values = read(board)
    assert values["probe_success"] == 1
    assert values["probe_duration_seconds"] == 0.05
    assert values["probe_redis_ping_seconds"] == 0.001
    assert values["probe_last_run_timestamp_seconds"] == clock.now()
    assert values["probe_runs_total"] == 1
    assert "probe_failure_info" not in "".join(values)
    assert {value for name, value in values.items() if name.startswith("probe_failures_total")} == {0}


def test_every_counter_is_there_at_0_before_it_counts(board: Board, clock: ManualClock) -> None:
    values = read(board)
    assert values["probe_runs_total"] == 0
    assert values["probe_run_duration_seconds_count"] == 0
    assert {value for name, value in values.items() if name.startswith("probe_failures_total")} == {0}
    before = {name for name in values if name.startswith("probe_failures_total")}
    for reason in (Reason.DNS, Reason.AUTH, Reason.DEADLINE, Reason.QUERY):
        assert f"probe_failures_total{{reason={reason}}}" in before
        board.note(target(), bad(clock, reason))
    assert {name for name in read(board) if name.startswith("probe_failures_total")} == before


def test_a_failed_run_says_why_in_a_bounded_label(board: Board, clock: ManualClock) -> None:
    board.note(target(), bad(clock))
    board.note(target(), bad(clock))
    board.note(target(), bad(clock, Reason.AUTH))
    values = read(board)
    assert values["probe_success"] == 0
    assert values["probe_failure_info{reason=auth}"] == 1
    assert "probe_failure_info{reason=dns}" not in values
    assert values["probe_failures_total{reason=dns}"] == 2
    assert values["probe_failures_total{reason=auth}"] == 1
    assert "free text" not in board.text()


def test_the_histogram_counts_good_runs_so_that_a_ratio_to_all_is_an_slo(board: Board, clock: ManualClock) -> None:
    for duration in (0.05, 0.1, 0.5, 3.0):
        board.note(target(), good(clock, duration))
    board.note(target(), bad(clock))
    values = read(board)
    assert values["probe_run_duration_seconds_bucket{le=0.1}"] == 2
    assert values["probe_run_duration_seconds_bucket{le=1.0}"] == 3
    assert values["probe_run_duration_seconds_bucket{le=+Inf}"] == 4
    assert values["probe_run_duration_seconds_count"] == 4
    assert values["probe_run_duration_seconds_sum"] == pytest.approx(3.65)
    assert values["probe_runs_total"] == 5


async def test_measurements_expire_after_a_missed_run_and_counters_stay(board: Board, clock: ManualClock) -> None:
    board.note(target(), good(clock))
    await clock.advance(69)
    assert read(board)["probe_success"] == 1
    await clock.advance(2)
    values = read(board)
    assert "probe_success" not in values
    assert values["probe_runs_total"] == 1
    assert values["probe_last_run_timestamp_seconds"] == clock.now() - 71
    board.note(target(), good(clock))
    assert read(board)["probe_success"] == 1


def test_a_series_that_a_probe_gives_twice_is_exposed_once(board: Board, clock: ManualClock) -> None:
    board.note(target(), good(clock, 0.1, Sample(families.REDIS_PING, 1), Sample(families.REDIS_PING, 2)))
    assert board.text().count("\nprobe_redis_ping_seconds{") == 1


def test_an_unchanged_target_keeps_its_counters_over_a_reload(board: Board, clock: ManualClock) -> None:
    board.note(target(), good(clock))
    board.set_up([target()], {}, BUCKETS)
    assert read(board)["probe_runs_total"] == 1


def test_a_changed_or_removed_target_is_gone(board: Board, clock: ManualClock) -> None:
    board.note(target(), good(clock))
    board.set_up([target(url="redis://elsewhere")], {}, BUCKETS)
    assert read(board)["probe_runs_total"] == 0
    board.note(target(), good(clock))
    assert read(board)["probe_runs_total"] == 0, "a late result of what was there before is dropped"
    board.set_up([], {}, BUCKETS)
    board.note(target(url="redis://elsewhere"), good(clock))
    assert board.text() == ""


def test_dependencies_are_exposed_and_follow_the_config(board: Board) -> None:
    board.set_up([target()], {ServiceKey("shop", "test"): ("billing", "mail")}, BUCKETS)
    assert 'service_dependency{service="shop",environment="test",depends_on="mail"} 1\n' in board.text()
    board.set_up([target()], {}, BUCKETS)
    assert "service_dependency" not in board.text()


def test_every_family_is_named_once() -> None:
    names = [family.name for family in families.ALL]
    assert len(names) == len(set(names))
    assert len(names) > 20


def test_the_log_says_what_fails_since_when_and_who_needs_it(board: Board, clock: ManualClock) -> None:
    shown = dataclasses.replace(target(), shown="redis://cache.example:6379/0")
    needs: dict[ServiceKey, tuple[str, ...]] = {
        ServiceKey("web", "test"): ("shop",),
        ServiceKey("front", "test"): ("web",),
    }
    board.set_up([], {}, BUCKETS)
    board.set_up([shown], needs, BUCKETS)
    with capture_logs() as lines:
        board.note(shown, bad(clock))
        first = clock.now()
        board.note(shown, bad(clock, Reason.AUTH))
    assert [line["event"] for line in lines] == ["probe failed", "probe failed"]
    assert {line["target"] for line in lines} == {"redis://cache.example:6379/0"}
    since = board.records[shown.key].failing_since
    assert since is not None
    assert since <= first
    assert {line["failing_since"] for line in lines} == {iso(since)}
    assert lines[0]["needed_by"] == ["front", "web"]


def test_the_log_tells_once_that_a_service_says_it_is_degraded_and_once_that_it_is_well_again(
    board: Board, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "exporter")
    degraded = Application(state=State.DEGRADED, status="ok, but not well: db")
    with capture_logs() as lines:
        for result in (good(clock), *[dataclasses.replace(good(clock), application=degraded)] * 2, good(clock)):
            board.note(target(), result)
    told = [(line["log_level"], line.get("says")) for line in lines]
    assert told == [("debug", None), ("warning", degraded.status), ("debug", degraded.status), ("info", None)]


def test_since_when_a_target_fails_is_forgotten_when_it_works_again(board: Board, clock: ManualClock) -> None:
    board.note(target(), bad(clock))
    board.note(target(), good(clock))
    assert board.records[target().key].failing_since is None


def changed(**changes: object) -> Target:
    """The target of before with other settings."""
    settings = RedisSettings.model_validate({"kind": "redis", "url": "redis://nowhere", **changes})
    return dataclasses.replace(target(), settings=settings, probe=settings.probe(), timeout=5)


@pytest.mark.parametrize("changes", [{"timeout": "5s"}, {"round_trip": False}, {"tags": ["critical"]}])
async def test_a_failing_probe_whose_settings_change_goes_on_failing_since_when_it_did(
    board: Board, clock: ManualClock, changes: dict[str, object]
) -> None:
    board.note(target(), bad(clock))
    since = clock.now()
    await clock.advance(60)
    board.note(target(), bad(clock))
    board.set_up([changed(**changes)], {}, BUCKETS)
    record = board.records[target().key]
    assert (record.failing_since, record.last and record.last.reason) == (since, Reason.DNS)
    assert (read(board)["probe_success"], read(board)["probe_runs_total"]) == (0, 2)
    assert list(board.waiting()) == []
    board.note(changed(**changes), bad(clock))
    assert record.failing_since == since
    board.note(changed(**changes), good(clock))
    assert board.records[target().key].failing_since is None
    assert read(board)["probe_success"] == 1


def test_a_good_probe_that_is_asked_otherwise_now_is_unknown_until_it_has_run_and_one_with_other_times_is_not(
    board: Board, clock: ManualClock
) -> None:
    board.note(target(), good(clock))
    board.set_up([changed(timeout="5s", tags=["critical"])], {}, BUCKETS)
    assert (list(board.waiting()), read(board)["probe_success"]) == ([], 1)
    board.set_up([changed(round_trip=False)], {}, BUCKETS)
    assert list(board.waiting()) == [target().key]
    assert "probe_success" not in board.text()
    assert read(board)["probe_runs_total"] == 1, "what was counted stays"


def test_another_target_under_the_same_name_is_unknown_and_with_other_buckets_counters_begin_anew(
    board: Board, clock: ManualClock
) -> None:
    board.note(target(), bad(clock))
    board.set_up([target()], {}, (0.5,))
    assert (read(board)["probe_success"], read(board)["probe_runs_total"]) == (0, 0)
    assert board.records[target().key].failing_since == clock.now()
    board.set_up([target(url="redis://elsewhere")], {}, (0.5,))
    assert list(board.waiting()) == [target().key]
    assert board.records[target().key].failing_since is None


async def test_after_a_long_pause_of_all_targets_their_measurements_go_in_steps(clock: ManualClock) -> None:
    many, board = [target(f"cache{number}") for number in range(250)], Board(clock)
    board.set_up(many, {}, BUCKETS)
    for each in many:
        board.note(each, good(clock))
    await clock.advance(3600)
    steps = board.expire()
    next(steps)
    board.set_up(many[:200], {}, BUCKETS)
    assert len(list(steps)) == 1
    assert "probe_success" not in board.text()
    assert board.text().count("probe_runs_total{") == 200, "what is removed meanwhile does not come back"


def test_what_runs_left_out_is_counted(board: Board, clock: ManualClock) -> None:
    for _ in range(2):
        board.note(target(), dataclasses.replace(good(clock), dropped={Dropped.LABEL_CUT: 3}))
    assert board.dropped[Dropped.LABEL_CUT] == 6
