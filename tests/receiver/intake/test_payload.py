"""Bodies are read once an alert, and what is remembered of them is bounded."""

from __future__ import annotations

import json

from deploywatch.receiver.intake.payload import remembered, repeated, understand
from tests.receiver.scene import MINUTE, NOON, alert, alert_json, body, ended


def _forget() -> None:
    remembered.cache_clear()
    repeated.cache_clear()


def test_an_alert_that_comes_again_in_another_group_is_not_read_again() -> None:
    _forget()
    (first,) = understand(body(alert()), NOON).alerts
    again, other = understand(body(alert(), alert("HighLatency"), externalURL="http://the-other:9093"), NOON).alerts
    assert again is first
    assert other.name == "HighLatency"


def test_an_alert_that_differs_in_anything_is_read_anew() -> None:
    changed = (alert(), ended(alert()), alert(annotations={"value": "7%"}), alert(pod="a"))
    assert understand(body(*changed), NOON).alerts == tuple(understand(body(one), NOON).alerts[0] for one in changed)
    assert len(set(map(str, understand(body(*changed), NOON).alerts))) == len(changed)


def test_a_long_alert_is_not_remembered() -> None:
    _forget()
    understand(body(alert(annotations={"description": "x" * 10_000})), NOON)
    assert remembered.cache_info().currsize == 0


def test_a_body_that_comes_again_is_not_read_again() -> None:
    _forget()
    first, again = (understand(body(alert(), truncatedAlerts=3), NOON + n * MINUTE) for n in range(2))
    assert again.alerts is first.alerts
    assert (again.received_at, again.truncated) == (NOON + MINUTE, 3)


def test_a_long_body_is_not_remembered() -> None:
    _forget()
    understand(body(*(alert(pod=str(number)) for number in range(500))), NOON)
    assert repeated.cache_info().currsize == 0


def test_how_much_is_remembered_is_bounded() -> None:
    assert (remembered.cache_info().maxsize, repeated.cache_info().maxsize) == (10_000, 1000)


def test_a_nul_is_replaced_however_often_the_alert_comes() -> None:
    odd = body(alert(service="sh\0op"))
    assert [understand(odd, NOON).alerts[0].labels["service"] for _ in range(2)] == [
        "sh\N{REPLACEMENT CHARACTER}op"
    ] * 2


def test_a_fault_in_a_large_body_is_told_with_the_alert_that_has_it() -> None:
    alerts = [alert_json(alert(pod=str(number))) for number in range(500)]
    alerts[321]["labels"] = []
    data = json.dumps({"version": "4", "alerts": alerts}).encode()
    read = understand(data, NOON)
    assert len(read.alerts) == 499
    (fault,) = read.rejected
    assert fault.startswith("$.alerts[321].labels: ")
