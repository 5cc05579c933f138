"""What is compared with before a deployment, from raw series: the day's swing, a deployment after a bad one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path

import pytest

from deploywatch.rules.policy import Policy
from tests.rules.raw_series import fires
from tests.rules.tools import GOOD, policy_from

WHERE = 'service="shop",environment="production"'
LEDGER = f"deployment_started_timestamp_seconds{{{WHERE},version="
HOUR = 3600


def _policy(folder: Path, when: str, *, interval: str = "1m", window: str = "5m") -> Policy:
    text = GOOD.replace("error_ratio > 1%", when).replace("interval: 30s", f"interval: {interval}")
    return policy_from(text.replace("window: 5m", f"window: {window}").replace("for: 2m", f"for: {window}"), folder)


def _counter(hours: float, step: int, speed: Callable[[float], float]) -> str:
    """A counter that grows by `speed` a second, which depends on the hour."""
    growth = (speed(position * step / HOUR) * step for position in range(int(hours * HOUR / step)))
    return " ".join(f"{value:.0f}" for value in accumulate(growth, initial=0.0))


def _deployed(hours: float, step: int, *starts: float) -> dict[str, str]:
    """The ledger's series of deployments that began at these hours."""
    count = int(hours * HOUR / step)
    return {
        f'{LEDGER}"v{number}"}}': f"_x{int(start * HOUR / step)} {start * HOUR:.0f}x{count}"
        for number, start in enumerate(starts, 1)
    }


def _swing(hour: float) -> float:
    """Requests a second: the peak at 14:00, 60 % above the mean, the trough at 02:00."""
    return 100 * (1 + 0.6 * math.sin((hour - 8) / 24 * 2 * math.pi))


def _hourly(hours: Iterable[float], names: set[str]) -> dict[str, set[str]]:
    return {f"{int(hour * 60)}m": names for hour in hours}


def _requests(hours: float, step: int, speed: Callable[[float], float]) -> dict[str, str]:
    return {f'http_requests_total{{{WHERE},status="200"}}': _counter(hours, step, speed)}


def test_a_deployment_in_the_evening_that_changes_nothing_pages_nobody_all_night(tmp_path: Path) -> None:
    policy = _policy(tmp_path, "drop(throughput) > 30% or rise(throughput) > 50%")
    series = _requests(44, 60, _swing) | _deployed(44, 60, 20)
    fires(policy, tmp_path, series, _hourly([20.3, *(20.5 + half / 2 for half in range(46))], set()))


def test_half_of_the_traffic_lost_with_a_deployment_is_seen(tmp_path: Path) -> None:
    policy = _policy(tmp_path, "drop(throughput) > 30%")
    series = _requests(22, 60, lambda hour: _swing(hour) * (0.5 if hour >= 20 else 1)) | _deployed(22, 60, 20)
    fires(policy, tmp_path, series, {"1195m": set(), "1215m": {"Sample"}, "1255m": {"Sample"}})


@pytest.mark.parametrize("kept", [1.0, 0.5])
def test_where_it_is_known_what_is_usual_a_night_is_compared_with_a_night(tmp_path: Path, kept: float) -> None:
    """After a week: a deployment on the eighth evening, and from 03:00 on all of the traffic, or half."""
    step, evening, night = 300, 8 * 24 + 20, 9 * 24 + 3
    policy = _policy(tmp_path, "drop(throughput) > 30%", interval="5m", window="15m")
    speed: Callable[[float], float] = lambda hour: _swing(hour) * (kept if hour >= night else 1)  # noqa: E731
    series = _requests(night + 6, step, speed) | _deployed(night + 6, step, evening)
    quiet: set[str] = set()
    late = {"Sample"} if kept < 1 else quiet

    moments = _hourly([evening + 2, night - 1], quiet) | _hourly([night + 1, night + 4], late)
    fires(policy, tmp_path, series, moments)


@pytest.mark.parametrize("kept", [1.0, 0.8])
def test_money_that_the_evening_costs_each_day_is_no_loss_of_a_deployment_and_a_fifth_less_is(
    tmp_path: Path, kept: float
) -> None:
    """A deployment on the first evening and after a week, when revenue falls by $7,000 an hour; or a fifth more."""
    step, evening = 300, 8 * 24 + 18
    policy = _policy(tmp_path, "loss(revenue) > $1000 and seasonal_drop(revenue) > 10%", interval="5m", window="15m")
    speed: Callable[[float], float] = lambda hour: _swing(hour) / 10 * (kept if hour >= evening else 1)  # noqa: E731
    series = {f"revenue_total{{{WHERE}}}": _counter(evening + 3, step, speed)}
    moments = _hourly([18.9, evening - 1], set()) | _hourly([evening + 0.9], {"Sample"} if kept < 1 else set())
    fires(policy, tmp_path, series | _deployed(evening + 3, step, 18, evening), moments)


def _conversions(hours: float, step: int, ratio: Callable[[float], float]) -> dict[str, str]:
    return {
        f"visits_total{{{WHERE}}}": _counter(hours, step, lambda _: 20.0),
        f"conversions_total{{{WHERE}}}": _counter(hours, step, lambda hour: 20.0 * ratio(hour)),
    }


def test_a_deployment_that_does_not_mend_what_the_one_before_broke_ends_no_alert(tmp_path: Path) -> None:
    """v2 at 3:00 loses a third of the conversions, v3 at 5:00 changes nothing."""
    policy = _policy(tmp_path, "drop(conversion_ratio) > 10%")
    series = _conversions(10, 60, lambda hour: 0.04 if hour < 3 else 0.026) | _deployed(10, 60, 1, 3, 5)
    fires(policy, tmp_path, series, {"175m": set(), **_hourly([3.5, 4.9, 5.2, 6, 7, 9], {"Sample"})})


def test_a_deployment_that_mends_it_ends_the_alert_and_the_next_is_compared_with_what_was_mended(
    tmp_path: Path,
) -> None:
    """v3 mends what v2 broke; v4 breaks less, which only a baseline of v3 shows."""

    def ratio(hour: float) -> float:
        return 0.04 if hour < 3 else 0.026 if hour < 5 else 0.06 if hour < 8 else 0.045

    policy = _policy(tmp_path, "drop(conversion_ratio) > 10%")
    series = _conversions(10, 60, ratio) | _deployed(10, 60, 1, 3, 5, 8)
    moments = _hourly([3.5, 4.9], {"Sample"}) | _hourly([5.5, 7.9], set()) | _hourly([8.5, 9.5], {"Sample"})
    fires(policy, tmp_path, series, moments)


def test_a_baseline_is_the_hour_before_the_deployment_however_old_that_is(tmp_path: Path) -> None:
    """Latency would have been compared with the early morning, once the deployment is five hours old."""
    policy = _policy(tmp_path, "drop(conversion_ratio) > 10%")
    series = _conversions(14, 60, lambda hour: 0.08 if hour < 7 else 0.04) | _deployed(14, 60, 9)
    fires(policy, tmp_path, series, _hourly([9.5, 10.5, 11.5, 12.5, 13.5], set()))
