"""What people are told is what Prometheus renders: each form of value is tried in Prometheus itself."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from deploywatch.quantity import Unit
from deploywatch.rules.outputs import wording
from deploywatch.rules.outputs.emit import yaml
from deploywatch.rules.outputs.wording import FORMS
from deploywatch.rules.resolve import resolve
from tests.rules.tools import good, promtool_test

VALUES = {
    Unit.RATIO: ["0", "0.01", "0.010001", "0.12345678", "0.049995", "0.00999", "1", "0.00005"],
    Unit.SECONDS: ["0", "0.5", "0.0123456", "0.0000005", "1.5", "59.99999", "60", "61.7", "3600", "90061"],
    Unit.COUNT: ["0", "1", "999", "1001", "1234567"],
    Unit.PER_SECOND: ["0", "0.004", "16.666666", "1234.5678"],
    Unit.BYTES: ["0", "1", "1023", "1024", "1536", "104857600", "123456789012345"],
    Unit.MONEY: ["0", "0.5", "999.999", "1234567.8"],
}


def test_every_form_is_tried() -> None:
    assert set(VALUES) == set(FORMS)


@pytest.mark.parametrize("unit", FORMS, ids=lambda unit: unit.name)
def test_prometheus_writes_a_value_as_we_do(tmp_path: Path, unit: Unit) -> None:
    form = FORMS[unit]
    rule = {
        "alert": "A",
        "expr": "value >= 0",
        "annotations": {"value": f"{{{{ $value | {form.pipeline} }}}}{form.after}"},
    }
    alerts = [
        {"exp_labels": {"n": value}, "exp_annotations": {"value": form.render(float(value)) + form.after}}
        for value in VALUES[unit]
    ]
    test = {
        "interval": "1s",
        "input_series": [{"series": f'value{{n="{value}"}}', "values": value} for value in VALUES[unit]],
        "alert_rule_test": [{"eval_time": "0s", "alertname": "A", "exp_alerts": alerts}],
    }
    (tmp_path / "rules.yml").write_text(yaml({"groups": [{"name": "g", "rules": [rule]}]}))
    (tmp_path / "test.yml").write_text(
        yaml({"rule_files": ["rules.yml"], "evaluation_interval": "1s", "tests": [test]})
    )
    done = promtool_test([tmp_path / "test.yml"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_compound_condition_tells_every_value_and_says_where_there_is_none(tmp_path: Path) -> None:
    (alert,) = resolve(good(tmp_path, when="error_ratio > 1% or latency_p95 > 500ms")).alerts
    values = {"service_environment:http_request_errors_per_http_requests:ratio_rate5m": Decimal("0.02")}
    told = wording.rendered(alert, "{value} in {service}; {threshold}", {"service": "shop"}, values)
    assert told == "error ratio: 2%; p95 latency: no value in shop; error_ratio > 1% or latency_p95 > 500ms"


def test_without_a_description_value_and_limit_are_told(tmp_path: Path) -> None:
    (alert,) = resolve(good(tmp_path, when="latency_p95 > 2s")).alerts
    assert wording.description(alert) == ("{service} in {environment}: p95 latency: {value}; limit: {threshold}.")
    assert wording.threshold(alert) == "> 2s (5% of requests)"
