"""What people write in policies of their own: limits that step, units apart, own queries, files of theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.errors import ConfigError, DeploywatchError
from deploywatch.rules.build import MARK, build, write
from deploywatch.rules.language.expression import comparisons, parse
from tests.rules.tools import GOOD, good, policy_from, promtool_test, shipped


@pytest.mark.parametrize("limit", ["2%", "99%", "1.01%"])
def test_a_tighter_limit_that_is_looser_is_refused(tmp_path: Path, limit: str) -> None:
    text = GOOD.replace("    for: 2m", f"    tighter: [{{within: 1h after deployment, limit: {limit}}}]\n    for: 2m")
    with pytest.raises(ConfigError, match="is looser than the limit of `when`, 1%; write one below it"):
        policy_from(text, tmp_path)


def test_a_tighter_limit_of_what_must_stay_above_lies_above(tmp_path: Path) -> None:
    text = GOOD.replace("error_ratio > 1%", "availability < 99%")
    steps = "    tighter: [{{within: 1h after deployment, limit: {}}}]\n    for: 2m"
    policy_from(text.replace("    for: 2m", steps.format("99.5%")), tmp_path)
    with pytest.raises(ConfigError, match="looser"):
        policy_from(text.replace("    for: 2m", steps.format("98%")), tmp_path)


@pytest.mark.parametrize(
    ("apart", "together"),
    [
        ("error_ratio > 1 %", "error_ratio > 1%"),
        ("latency_p95 > 500 ms", "latency_p95 > 500ms"),
        ("latency_p95 > 2 s and throughput > 3 /s", "latency_p95 > 2s and throughput > 3/s"),
        ("network > 5 MiB or memory > 90 %", "network > 5MiB or memory > 90%"),
    ],
)
def test_a_unit_may_stand_apart(apart: str, together: str) -> None:
    one, other = parse(apart), parse(together)
    assert [part.quantity for part in comparisons(one)] == [part.quantity for part in comparisons(other)]


OWN = """signals:
  refunds:
    about: Refunds.
    unit: ratio
    query: {query}
selectors: {selectors}
interval: 30s
"""


def _own(folder: Path, query: str, selectors: str = "{service: shop, environment: production}") -> None:
    text = GOOD.replace("interval: 30s\n", OWN.format(query=query, selectors=selectors)).replace(
        "error_ratio > 1%", "refunds > 1%"
    )
    write(build([policy_from(text, folder)]), folder / "built")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sum(rate(refunds[5m])) / sum(rate(orders[5m]))", "without the label service"),
        ("sum by (environment) (refunds)", "without the label service"),
        ("sum by (service) (refunds)", "without the label environment"),
        ("max without (service) (refunds)", "without the label service"),
        ("count_over_time(sum(refunds)[5m:1m])", "without the label service"),
        ("vector(1)", "without the label service"),
    ],
)
def test_a_query_that_does_not_tell_services_apart_is_refused(tmp_path: Path, query: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _own(tmp_path, query)


def test_a_selector_that_a_query_does_not_mention_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not keep to selectors\.region"):
        _own(tmp_path, "sum by (service, environment) (refunds)", "{service: shop, region: eu}")
    _own(tmp_path, "'sum by (service, environment) (refunds{region=\"eu\"})'", "{service: shop, region: eu}")


SELECTED = """
rule_files: [built/rules/mine.recording.yml, built/rules/mine.alerts.yml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - {series: 'refunds{service="shop",environment="production"}', values: '0.5x40'}
      - {series: 'refunds{service="shop",environment="staging"}', values: '0.5x40'}
      - {series: 'refunds{service="shop-two",environment="production"}', values: '0.5x40'}
      - {series: 'refunds{service="other",environment="production"}', values: '0.5x40'}
    promql_expr_test:
      - expr: sum by (service, environment) (ALERTS{alertname="Sample",alertstate="firing"})
        eval_time: 10m
        exp_samples: [{labels: '{service="shop", environment="production"}', value: 1}]
"""


def test_selectors_hold_for_signals_of_the_policys_own(tmp_path: Path) -> None:
    _own(tmp_path, "refunds")
    (tmp_path / "raw.yml").write_text(SELECTED)
    done = promtool_test([tmp_path / "raw.yml"])
    assert done.returncode == 0, done.stdout + done.stderr


APPEARED = """
rule_files: [built/rules/mine.recording.yml, built/rules/mine.alerts.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'http_requests_total{service="shop",environment="production",status="200"}', values: '0+91x240'}
      - {series: 'http_requests_total{service="shop",environment="production",status="500"}', values: '0x120 0+BADx120'}
      - {series: 'deployment_started_timestamp_seconds{service="shop",environment="production"}',
         values: '7200x240'}
    promql_expr_test:
      - expr: count(ALERTS{alertname="Sample",alertstate="firing"})
        eval_time: 2h30m
        exp_samples: [EXPECTED]
"""


@pytest.mark.parametrize(("bad", "expected"), [("9", "{labels: '{}', value: 1}"), ("0", "")])
def test_from_no_errors_to_nine_percent_is_a_rise(tmp_path: Path, bad: str, expected: str) -> None:
    write(build([good(tmp_path, when="rise(error_ratio) > 200%")]), tmp_path / "built")
    (tmp_path / "raw.yml").write_text(APPEARED.replace("BAD", bad).replace("EXPECTED", expected))
    done = promtool_test([tmp_path / "raw.yml"])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["alertmanager.yml", "rules/demo.alerts.yml", "runbooks/demo.HighErrorRate.md"])
def test_a_file_that_somebody_else_wrote_is_not_written_over(tmp_path: Path, name: str) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("route: {receiver: by hand}\n")
    with pytest.raises(DeploywatchError, match=r"not written by `deploywatch rules build`, so not written over"):
        write(build([shipped("demo")]), tmp_path)
    assert theirs.read_text() == "route: {receiver: by hand}\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs], "nothing else was written"


def test_what_an_earlier_build_wrote_is_written_over_and_what_replaced_it_is_not(tmp_path: Path) -> None:
    write(build([shipped("demo")]), tmp_path)
    alerts = tmp_path / "alertmanager.yml"
    alerts.write_text(f"# {MARK} long ago.\nroute: {{}}\n")
    write(build([shipped("demo")]), tmp_path)
    assert "deploywatch-demo" in alerts.read_text()
    alerts.write_text("route: {receiver: by hand}\n")
    with pytest.raises(DeploywatchError, match=r"alertmanager\.yml"):
        write(build([shipped("demo")]), tmp_path)


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (
            "error_ratio > 1% and error_ratio < 0.5%",
            "error_ratio > 1% and error_ratio < 0.5% can never be true at once",
        ),
        ("throughput > 1/s or (error_ratio > 2% and error_ratio <= 2%)", "can never be true at once"),
        ("latency_p95 > 1s and latency_p95 == 500ms", "can never be true at once"),
        ("error_ratio > 1% or error_ratio < 2%", "is always true, whatever error_ratio is"),
        ("service_up == 0 or service_up == 1", "is always true, whatever service_up is"),
        ("health == 0 and health == 1", "can never be true at once of one probe; make an alert of each"),
        ("service_up > 0 and service_up < 1", "can never be true at once"),
    ],
)
def test_comparisons_of_one_signal_that_are_at_odds_are_refused(tmp_path: Path, when: str, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        good(tmp_path, when=when)
    assert text in str(error.value)


@pytest.mark.parametrize(
    "when",
    [
        "error_ratio > 1% and error_ratio < 5%",
        "error_ratio > 5% or error_ratio > 1% and latency_p95 > 1s",
        "canary(error_ratio) > 2% and stable(error_ratio) < 2%",
    ],
)
def test_comparisons_that_can_hold_together_are_taken(tmp_path: Path, when: str) -> None:
    text = GOOD.replace("http_requests_total}", "http_requests_total, control: {label: d, new: canary, old: stable}}")
    build([policy_from(text.replace("error_ratio > 1%", f'"{when}"'), tmp_path)])
