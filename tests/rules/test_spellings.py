"""One bound has many spellings, since clients write numbers as their language does; all of them are the same bucket."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from deploywatch.rules.build import build, write
from deploywatch.rules.signals import histogram
from tests.rules.tools import policy_from, promtool_test

WRITTEN = {
    "1": ["1", "1.0", "1e0", "1E0", "1e+00", "1.0E0"],
    "0.5": ["0.5", "0.50", "5e-1", "5e-01", "5.0E-1"],
    "2.5": ["2.5", "2.5e+00", "2.5E0", "2.500"],
    "1000000": ["1e+06", "1000000", "1000000.0", "1.0E6", "1e6"],
    "2500000": ["2.5e+06", "2500000", "2500000.0", "2.5E6"],
    "0.00005": ["5e-05", "0.00005", "5.0E-5", "5e-5"],
    "0.000025": ["2.5e-05", "0.000025", "2.5E-5"],
}


@pytest.mark.parametrize(("bound", "text"), [(bound, text) for bound, every in WRITTEN.items() for text in every])
def test_every_spelling_of_a_bound_is_that_bound_and_no_other(bound: str, text: str) -> None:
    known = [other for other in WRITTEN if re.fullmatch(histogram.spellings(Decimal(other)), text)]
    assert known == [bound]


@pytest.mark.parametrize("written", histogram.SPELLINGS)
@pytest.mark.parametrize("bound", ["0.000001", "0.00005", "0.1", "0.25", "1", "10", "2500", "123456789"])
def test_what_clients_write_is_the_number_and_is_recognized(written: histogram.Written, bound: str) -> None:
    text = written(Decimal(bound))
    assert Decimal(text) == Decimal(bound)
    assert re.fullmatch(histogram.spellings(Decimal(bound)), text)


POLICY = """
policy: mine
about: A service of ours.
sources: {{slo: {{title: Our objectives}}}}
series:
  durations: {{metric: request_time, unit: {unit}, buckets: {buckets}}}
interval: 30s
window: 5m
receiver: {{url: "http://127.0.0.1:9872/"}}
alerts:
  - alert: Slow
    when: latency_p95 > {limit}
    for: 1m
    severity: high
    incident_type: performance_degradation
    summary: "{{service}} is slow"
    source: {{slo: Speed}}
"""

TEST = """
rule_files: [rules/mine.recording.yml, rules/mine.alerts.yml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - {{series: 'request_time_bucket{{service="shop",environment="production",le="{le}"}}', values: '0+90x40'}}
      - {{series: 'request_time_bucket{{service="shop",environment="production",le="+Inf"}}', values: '0+100x40'}}
    promql_expr_test:
      - expr: count(ALERTS{{alertname="Slow",alertstate="firing"}})
        eval_time: 10m
        exp_samples: [{{value: 1, labels: '{{}}'}}]
"""


@pytest.mark.parametrize(
    ("unit", "buckets", "limit", "le"),
    [
        ("us", "[500ms, 1s]", "1s", "1e+06"),
        ("us", "[500ms, 1s]", "1s", "1000000.0"),
        ("s", "[50us, 1s]", "50us", "5e-05"),
        ("s", "[50us, 1s]", "50us", "5.0E-5"),
        ("s", "[1s, 2s]", "1s", "1.0"),
        ("ns", "[500ms, 1s]", "1s", "1e+09"),
        ("ns", "[500ms, 1s]", "1s", "1.0E9"),
    ],
)
def test_a_slow_service_is_seen_however_its_client_writes_the_bucket(
    tmp_path: Path, unit: str, buckets: str, limit: str, le: str
) -> None:
    write(build([policy_from(POLICY.format(unit=unit, buckets=buckets, limit=limit), tmp_path)]), tmp_path)
    test = tmp_path / "raw.yml"
    test.write_text(TEST.format(le=le))
    done = promtool_test([test])
    assert done.returncode == 0, done.stdout + done.stderr
