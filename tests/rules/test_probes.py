"""No policy rolls back on one failed run of a probe; each that rolls back on probes does so when they go on failing.

The exporter says what the last run was until the next one: for five minutes, in its slowest layer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.rules.build import build, write
from tests.rules.needed import keep_needed
from tests.rules.tools import SHIPPED, promtool_test, shipped

TEST = """
rule_files: [{rules}]
evaluation_interval: 30s
tests:
  - interval: {spacing}
    input_series:
      - series: 'probe_success{{{labels}}}'
        values: '{values}'
      - series: 'probe_failures_total{{{labels},reason="timeout"}}'
        values: '{failures}'
    promql_expr_test:
      - expr: count_over_time(count(ALERTS{{action="rollback",alertstate="firing"}})[{until}:30s]) > bool 0 or vector(0)
        eval_time: {until}
        exp_samples: [{{labels: '{{}}', value: {fires}}}]
"""
SECONDS = {"15s": 15, "20s": 20, "30s": 30}


def _exposed(runs: str, every: int, spacing: str) -> tuple[str, str]:
    """What scrapes find of runs every so many seconds, each `1` (good) or `0`: the last result, and the failures."""
    scrapes, failed, last, failures = every // SECONDS[spacing], 0, [], []
    for run in runs:
        failed += run == "0"
        last += [run] * scrapes
        failures += [str(failed)] * scrapes
    return " ".join(last), " ".join(failures)


def _fires(
    folder: Path, name: str, runs: str, *, fires: int, spacing: str = "30s", every: int = 30, counted: bool = True
) -> None:
    policy = shipped(name)
    write(build([policy]), folder)
    rollbacks = [alert.alert for alert in policy.alerts if alert.action == "rollback"]
    keep_needed([folder / "rules" / f"{name}.{kind}.yml" for kind in ("recording", "alerts")], rollbacks)
    chosen = {label: selector.sample for label, selector in policy.selectors.items()}
    rules = ", ".join(str(folder / "rules" / f"{name}.{kind}.yml") for kind in ("recording", "alerts"))
    where = {"service": "shop", "environment": "production"} | chosen
    values, failures = _exposed(runs, every, spacing)
    if not counted:
        failures = "_"
    test = folder / "raw.yml"
    test.write_text(
        TEST.format(
            rules=rules,
            spacing=spacing,
            labels=f'service="{where["service"]}",environment="{where["environment"]}",probe="web",instance="a"',
            values=values,
            failures=failures,
            until=f"{len(runs) * every}s",
            fires=fires,
        )
    )
    done = promtool_test([test])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("every", [30, 300])
@pytest.mark.parametrize("name", [path.stem for path in SHIPPED if path.stem != "demo"])
def test_no_policy_rolls_back_on_one_failed_run_however_seldom_a_probe_runs(
    tmp_path: Path, name: str, every: int
) -> None:
    _fires(tmp_path, name, "1111101111111", fires=0, spacing="15s", every=every)


@pytest.mark.parametrize(
    ("name", "every"), [("insurance-lead-gen", 30), ("insurance-lead-gen", 300), ("data-scientist-msl", 120)]
)
def test_a_policy_rolls_back_when_a_probe_goes_on_failing(tmp_path: Path, name: str, every: int) -> None:
    _fires(tmp_path, name, "11111" + "0" * 10, fires=1, every=every)


def test_a_policy_rolls_back_when_a_probe_fails_more_often_than_one_time_in_five(tmp_path: Path) -> None:
    _fires(tmp_path, "insurance-lead-gen", "1" * 20 + "0001011001011010" + "1" * 20, fires=1)


def test_of_a_prober_that_counts_no_runs_each_scrape_is_one(tmp_path: Path) -> None:
    """blackbox_exporter probes when it is scraped."""
    for runs, fires in (("1" * 20 + "0" + "1" * 20, 0), ("1" * 20 + "0" * 10, 1)):
        for name in ("insurance-lead-gen", "data-scientist-msl"):
            _fires(tmp_path / f"{name}{fires}", name, runs, fires=fires, counted=False)


def test_three_failed_runs_are_not_more_than_three_and_four_are(tmp_path: Path) -> None:
    """`increase` makes 3.2 of three, where a scrape comes every 20 s."""
    _fires(tmp_path / "three", "enterprise", "1" * 20 + "1010101111111111", fires=0, spacing="20s", every=40)
    _fires(tmp_path / "four", "enterprise", "1" * 20 + "1010101011111111", fires=1, spacing="20s", every=40)
