"""`rules init`: durations of every kind are drafted as what they are, and the draft builds and passes its tests."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from deploywatch.rules.build import build, write
from deploywatch.rules.live import asking
from deploywatch.rules.live.drafting import Today, draft, today
from deploywatch.rules.live.survey import Survey, Timed, durations_of
from tests.rules.live.conftest import Live
from tests.rules.tools import policy_from, promtool_test

PAID = "payment_duration_seconds"
LATENCY = "http_request_duration_seconds"
KINDS = {
    "summary": (Timed(LATENCY, "s", quantiles=(Decimal("0.5"), Decimal("0.95"))), "latency_p95 > 1s"),
    "a summary without p95": (Timed(LATENCY, "s", quantiles=(Decimal("0.5"), Decimal("0.99"))), "latency_p99 > 1s"),
    "a summary's mean": (Timed(LATENCY, "s", quantiles=(Decimal("0.5"),)), "latency_mean > 1s"),
    "sum and count": (Timed(LATENCY, "s"), "latency_mean > 1s"),
    "native": (Timed(LATENCY, "s", native=True), "latency_p95 > 1s"),
    "buckets": (Timed(LATENCY, "s", bounds=(Decimal("0.3"), Decimal("0.9"), Decimal(3))), "latency_p95 > 900ms"),
}


def _survey(durations: Timed) -> Survey:
    return Survey(None, durations, "service", "environment", ("shop",), ("production",), frozenset())


@pytest.mark.parametrize(("durations", "when"), KINDS.values(), ids=KINDS)
def test_a_draft_asks_of_durations_what_there_is(durations: Timed, when: str, tmp_path: Path) -> None:
    text = draft(_survey(durations), Today(None, 0.4), name="shop", url="http://127.0.0.1:1/")
    policy = policy_from(text, tmp_path)
    assert [alert.when for alert in policy.alerts] == [when]
    write(build([policy]), tmp_path)
    if not durations.native:  # this promtool may be one that cannot write them
        done = promtool_test([tmp_path / "tests" / f"shop.{kind}.yml" for kind in ("signals", "boundaries")])
        assert done.returncode == 0, done.stdout + done.stderr


async def test_a_summary_is_found_by_its_quantiles_and_its_worst_day_is_asked(live: Live) -> None:
    async with asking.connected(live.url, None) as prometheus:
        found = await durations_of(prometheus, [PAID], PAID)
        assert found == Timed(PAID, "s", quantiles=(Decimal("0.5"), Decimal("0.9"), Decimal("0.99")))
        assert (await today(prometheus, _survey(found))).slow == pytest.approx(0.4)
        assert await durations_of(prometheus, [f"{PAID}_sum", f"{PAID}_count"], PAID) == Timed(PAID, "s")
        assert await durations_of(prometheus, [], PAID) is None
        mean = replace(found, metric=LATENCY, quantiles=())
        assert 0 < ((await today(prometheus, _survey(mean))).slow or 0) < 10
