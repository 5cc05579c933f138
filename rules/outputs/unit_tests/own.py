"""promtool tests of the alerts about deploywatch itself, from the raw series of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploywatch.rules import promql
from deploywatch.rules.outputs import self_alert_list
from deploywatch.rules.outputs.routing import WATCHDOG
from deploywatch.rules.outputs.self_alert_list import SelfAlert
from deploywatch.rules.outputs.self_alerts import INTERVAL
from deploywatch.rules.policy import Policy

_AT = "25m"
"""Late enough for each wait, and for each window before it."""


def tests(policies: Sequence[Policy], alerts_file: str) -> dict[str, Any]:
    """The file of tests, as data: each alert fires when its part is sick, and none fires when it is well."""
    entries = [entry for alert in self_alert_list.alerts(policies) for entry in _of_alert(alert)]
    interval = promql.duration(INTERVAL)
    return {"rule_files": [alerts_file], "evaluation_interval": interval, "tests": entries}


def _of_alert(alert: SelfAlert) -> Iterator[dict[str, Any]]:
    if alert.name == WATCHDOG:
        yield _entry("Watchdog always fires, and nothing else without any series", {}, [WATCHDOG])
        return
    yield _entry(f"{alert.name} fires", alert.firing, [WATCHDOG, alert.name])
    yield _entry(f"{alert.name} is silent", alert.silent, [WATCHDOG])


def _entry(name: str, series: Mapping[str, str], firing: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": promql.duration(INTERVAL),
        "input_series": [{"series": series, "values": values} for series, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": _AT,
                "exp_samples": [
                    {"labels": promql.selector("", [("alertname", "=", alert)]), "value": 1} for alert in firing
                ],
            }
        ],
    }
