"""Delivery: DORA's five, from a ledger and incidents whose figures are worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from deploywatch.receiver.deployments import delivery
from deploywatch.receiver.deployments.delivery import Delivery, Target
from deploywatch.receiver.deployments.deployment import BAD, REFUTED, Deployment, Status
from deploywatch.receiver.incidents.incident import Incident
from tests.receiver.scene import HOUR, MINUTE, NOON

DAY = timedelta(days=1)
SINCE, UNTIL = NOON, NOON + 90 * DAY


def deployed(number: int, day: float, status: Status = Status.SUCCEEDED, **more: Any) -> Deployment:
    """A deployment that begins so many days after the window, and takes ten minutes."""
    began = SINCE + day * DAY
    values: dict[str, Any] = {
        "previous_version": None,
        "strategy": "",
        "deployer": "ci",
        "ports": (),
        "finished_at": None if status is Status.RUNNING else began + 10 * MINUTE,
        "rollback_of": None,
        **more,
    }
    return Deployment(
        id=number,
        service="shop",
        environment="production",
        version=f"1.{number}",
        status=status,
        started_at=began,
        **values,
    )


def incident(number: int, opened: datetime, lasts: timedelta | None = HOUR, **more: Any) -> Incident:
    """A critical incident, which was resolved after so long."""
    values: dict[str, Any] = {
        "severity": "critical",
        "type": "deployment_failure",
        "title": "bad",
        "channels": (),
        **more,
    }
    return Incident(
        id=number,
        service="shop",
        environment="production",
        opened_at=opened,
        resolved_at=opened + lasts if lasts else None,
        **values,
    )


def measured(deployments: Sequence[Deployment], incidents: Sequence[Incident] = (), *, first: float = 0) -> Delivery:
    """The measures over the window of 90 days."""
    return delivery.measure(Target("shop", "production", SINCE + first * DAY, deployments, incidents), SINCE, UNTIL)


def test_the_lead_time_is_the_median_from_commit_to_deployed() -> None:
    hours = (1, 2, 3, 50, 100)
    rows = [deployed(n, n, committed_at=SINCE + n * DAY + 10 * MINUTE - hour * HOUR) for n, hour in enumerate(hours, 1)]
    values = measured([*rows, deployed(6, 6), deployed(7, 7, committed_at=SINCE + 8 * DAY)])
    assert (values.change_lead_time.value, values.change_lead_time.n) == (3 * 3600, 5)
    assert "2 of 7 deployments have no usable commit time (--commit-time)" in values.notes


def test_below_five_there_is_no_value_and_n_is_told() -> None:
    values = measured([deployed(n, n, committed_at=SINCE) for n in range(1, 5)], [incident(1, SINCE + DAY)])
    for one in (
        values.change_lead_time,
        values.deployment_frequency,
        values.change_fail_rate,
        values.deployment_rework_rate,
        values.success_rate,
    ):
        assert (one.value, one.n) == (None, 4)
    assert (values.mean_time_to_recovery.value, values.mean_time_to_recovery.n) == (None, 1)
    assert (values.failed_deployment_recovery_time.value, values.failed_deployment_recovery_time.n) == (None, 1)
    assert measured([deployed(n, n) for n in range(1, 6)]).change_fail_rate.value == 0


def test_the_frequency_counts_what_was_deployed_since_the_service_is_known() -> None:
    rows = [deployed(n, n) for n in range(80, 90)]
    assert measured(rows).deployment_frequency.value == pytest.approx(10 / 90)
    assert measured(rows, first=80).deployment_frequency.value == pytest.approx(1)
    # What its pipeline could not deploy was not deployed; what was rolled back was.
    other = [deployed(90, 89.1, Status.FAILED), deployed(91, 89.2, Status.ROLLED_BACK)]
    assert measured([*rows, *other], first=80).deployment_frequency.n == 11


def test_a_deployment_with_three_incidents_fails_once() -> None:
    rows = [deployed(n, n) for n in range(1, 11)]
    began = rows[4].started_at
    values = measured(rows, [incident(n, began + n * HOUR) for n in (1, 2, 3)])
    assert (values.change_fail_rate.value, values.change_fail_rate.n) == (0.1, 10)
    assert values.success_rate.value == 0.9
    (failed,) = values.failed
    # From the first incident's opening until the last one's end.
    assert (failed.why, failed.since, failed.recovered) == ("incident 1", began + HOUR, began + 4 * HOUR)


@pytest.mark.parametrize(
    ("after", "more", "counts"),
    [
        (23 * HOUR, {}, True),
        (24 * HOUR, {}, True),
        (24 * HOUR + MINUTE, {}, False),
        (HOUR, {"severity": "high"}, True),
        (HOUR, {"severity": "medium"}, False),
        (HOUR, {"cause": "deployment"}, True),
        (HOUR, {"cause": "unknown"}, True),
        (HOUR, {"cause": "dependency"}, False),
        (HOUR, {"cause": "resource"}, False),
    ],
)
def test_only_serious_incidents_of_no_other_cause_within_24_hours_are_a_deployments(
    after: timedelta, more: dict[str, Any], *, counts: bool
) -> None:
    rows = [deployed(n, 3 * n) for n in range(1, 6)]
    values = measured(rows, [incident(1, rows[2].started_at + after, **more)])
    assert len(values.failed) == counts
    assert ("1 of 1 incidents are not attributed to a deployment" in values.notes) is not counts


def test_an_incident_belongs_to_the_newest_deployment_before_it_and_to_no_rollback() -> None:
    first, second = deployed(1, 1), deployed(2, 1.1, Status.ROLLED_BACK)
    back = deployed(3, 1.2, rollback_of=2)
    values = measured([first, second, back], [incident(1, SINCE + 1.15 * DAY), incident(2, SINCE + 1.3 * DAY)])
    assert [(failed.deployment.id, failed.why) for failed in values.failed] == [(2, "incident 1")]
    assert values.rollbacks == 1


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"status": Status.FAILED}, "its pipeline failed"),
        ({"status": Status.ROLLED_BACK}, "rolled back"),
        ({"success": REFUTED}, "its health refuted it"),
        ({"verdict": BAD, "judged_at": SINCE + 2 * DAY + MINUTE}, "judged bad"),
    ],
)
def test_a_deployment_that_failed_is_over_when_another_is_well(more: dict[str, Any], why: str) -> None:
    status = more.pop("status", Status.SUCCEEDED)
    bad, fix = deployed(2, 2, status, **more), deployed(4, 2.5)
    still_bad = deployed(3, 2.2, verdict=BAD, judged_at=SINCE + 2.3 * DAY)
    values = measured([deployed(1, 1), bad, still_bad, fix])
    assert [(failed.deployment.id, failed.recovered) for failed in values.failed] == [
        (2, fix.finished_at),
        (3, fix.finished_at),
    ]
    assert values.failed[0].why == why
    lasting = measured([deployed(1, 1), bad])
    assert lasting.failed[0].recovered is None
    assert "1 of 1 failed deployments are not over" in lasting.notes


def test_a_rollback_that_does_not_end_the_incident_is_no_recovery() -> None:
    bad, back = deployed(2, 2, Status.ROLLED_BACK), deployed(3, 2.1, rollback_of=2)
    values = measured([bad, back], [incident(1, bad.started_at + MINUTE, None)])
    assert values.failed[0].recovered is None
    assert "1 of 1 incidents are not resolved" in values.notes
    ended = measured([bad, back], [incident(1, bad.started_at + MINUTE, MINUTE)])
    assert ended.failed[0].recovered == back.finished_at


def test_recovery_and_rework_of_a_worked_example() -> None:
    rows, opened = [], []
    for n in range(1, 11):
        rows.append(deployed(n, n, Status.ROLLED_BACK if n <= 5 else Status.SUCCEEDED, fixes=1 if n == 7 else None))
        if n <= 5:
            rows.append(deployed(20 + n, n + 0.1, rollback_of=n))
            opened.append(incident(n, rows[-2].started_at + 10 * MINUTE, n * 10 * HOUR))
    values = measured(rows, opened)
    assert (values.change_fail_rate.value, values.rollbacks) == (0.5, 5)
    # Five incidents of 10, 20, 30, 40 and 50 hours.
    assert values.failed_deployment_recovery_time.value == 30 * 3600
    assert values.mean_time_to_recovery.value == 30 * 3600
    # Five rollbacks and a hotfix, of fifteen.
    assert (values.deployment_rework_rate.value, values.deployment_rework_rate.n) == (6 / 15, 15)


def test_what_runs_is_told_and_not_counted() -> None:
    values = measured([*(deployed(n, n) for n in range(1, 6)), deployed(6, 89, Status.RUNNING)])
    assert (values.deployments, values.running) == (5, 1)


def test_what_began_before_the_window_is_not_counted_yet_takes_its_incidents() -> None:
    before = deployed(1, -0.5)
    values = measured([before, *(deployed(n, n) for n in range(2, 7))], [incident(1, SINCE + HOUR)])
    assert (values.deployments, values.failed) == (5, [])
    assert values.change_fail_rate.value == 0


def test_ten_thousand_deployments_are_measured_alike() -> None:
    rows = [deployed(n, n / 200, Status.FAILED if n % 10 == 0 else Status.SUCCEEDED) for n in range(1, 10_001)]
    opened = [incident(n, rows[n * 10].started_at + MINUTE) for n in range(1, 900)]
    values = measured(rows, opened)
    # Every tenth failed, and the one after it has an incident.
    assert values.change_fail_rate.value == pytest.approx((1000 + 899) / 10_000)
    assert values.failed_deployment_recovery_time.n == 1000 + 899 - 1
