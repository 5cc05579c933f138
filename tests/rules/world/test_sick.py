"""For each alert of each shipped policy one fault of the world: it fires in the time that the policy promises.

Before the fault nothing fires. How a fault is measured, the world knows and not the policy: `tests/support/world`.
"""

from __future__ import annotations

from itertools import groupby

import pytest

from deploywatch.rules.policy import Alert
from deploywatch.rules.resolve import resolve
from tests.rules.tools import SHIPPED, heavy_where_it_is_largest, shipped
from tests.rules.world.sick import SICK, Fault
from tests.support.world.play import Look, Run, play
from tests.support.world.systems import system

NAMES = [path.stem for path in SHIPPED]


@pytest.mark.parametrize("name", NAMES)
def test_the_sick_list_has_a_fault_for_each_alert(name: str) -> None:
    assert list(SICK[name]) == [alert.alert for alert in shipped(name).alerts]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", heavy_where_it_is_largest(NAMES))
def test_each_alert_fires_when_the_system_is_sick(name: str) -> None:
    _all_fire(name, slow=False)


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in NAMES if any(fault.every for fault in SICK[name].values())])
def test_each_alert_that_knows_hours_fires_when_the_system_is_sick(name: str) -> None:
    _all_fire(name, slow=True)


def _all_fire(name: str, *, slow: bool) -> None:
    """Each fault is played; `slow` are those before which all must have been well for more than an hour."""
    policy = resolve(shipped(name))
    interval = int(policy.given.interval.total_seconds())
    wanted = [(alert, fault) for alert, fault in SICK[name].items() if bool(fault.every) is slow]
    faults = sorted(wanted, key=lambda item: item[1].every or interval)
    said = ""
    for every, some in groupby(faults, lambda item: item[1].every or interval):
        runs = [_run(name, policy.given.window.total_seconds(), alert, fault, every) for alert, fault in some]
        said += play(policy, runs, every=every)
    assert not said, said


def _run(name: str, window: float, alert: str, fault: Fault, every: int) -> Run:
    given: Alert = next(one for one in shipped(name).alerts if one.alert == alert)
    promised = fault.within or int(window + given.for_.total_seconds()) + 2 * every
    at = fault.after // every * every
    end = -(-(at + promised) // every) * every
    world = system(name)
    fault.happen(world, at)
    step = min(every, max(1, int(window) // 5))
    looks = (Look(at - every), Look(end, frozenset({alert}), of=alert))
    return Run(f"{alert}: {fault.told}", world.tracks(length=end, step=step), step, looks)
