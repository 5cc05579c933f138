"""Bodies are read once an alert, and what is remembered of them is bounded."""

from __future__ import annotations

import json

import pytest

from receiver.payload import RejectedError, remembered, understand
from tests.receiver.scene import NOON, alert, alert_json, body, ended


def test_an_alert_that_comes_again_in_another_group_is_not_read_again() -> None:
    remembered.cache_clear()
    (first,) = understand(body(alert()), NOON).alerts
    again, other = understand(body(alert(), alert("HighLatency"), externalURL="http://the-other:9093"), NOON).alerts
    assert again is first
    assert other.name == "HighLatency"


def test_an_alert_that_differs_in_anything_is_read_anew() -> None:
    changed = (alert(), ended(alert()), alert(annotations={"value": "7%"}), alert(pod="a"))
    assert understand(body(*changed), NOON).alerts == tuple(understand(body(one), NOON).alerts[0] for one in changed)
    assert len(set(map(str, understand(body(*changed), NOON).alerts))) == len(changed)


def test_a_long_alert_is_not_remembered() -> None:
    remembered.cache_clear()
    understand(body(alert(annotations={"description": "x" * 10_000})), NOON)
    assert remembered.cache_info().currsize == 0


def test_how_many_alerts_are_remembered_is_bounded() -> None:
    assert remembered.cache_info().maxsize == 10_000


def test_a_nul_is_replaced_however_often_the_alert_comes() -> None:
    odd = body(alert(service="sh\0op"))
    assert [understand(odd, NOON).alerts[0].labels["service"] for _ in range(2)] == [
        "sh\N{REPLACEMENT CHARACTER}op"
    ] * 2


def test_a_fault_in_a_large_body_is_told_with_the_alert_that_has_it() -> None:
    alerts = [alert_json(alert(pod=str(number))) for number in range(500)]
    alerts[321]["labels"] = []
    data = json.dumps({"version": "4", "alerts": alerts}).encode()
    with pytest.raises(RejectedError, match=r"\$\.alerts\[321\]\.labels"):
        understand(data, NOON)
