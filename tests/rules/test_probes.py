"""No policy rolls back on one failed probe, and each that rolls back on probes does so when they go on failing."""

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
      - series: 'probe_success{{service="{service}",environment="{environment}",probe="web",instance="a"}}'
        values: '{values}'
    promql_expr_test:
      - expr: count_over_time(count(ALERTS{{action="rollback",alertstate="firing"}})[{until}:30s]) > bool 0 or vector(0)
        eval_time: {until}
        exp_samples: [{{labels: '{{}}', value: {fires}}}]
"""


def _fires(folder: Path, name: str, values: str, *, fires: int, spacing: str = "30s", until: str = "30m") -> None:
    policy = shipped(name)
    write(build([policy]), folder)
    rollbacks = [alert.alert for alert in policy.alerts if alert.action == "rollback"]
    keep_needed([folder / "rules" / f"{name}.{kind}.yml" for kind in ("recording", "alerts")], rollbacks)
    chosen = {label: selector.sample for label, selector in policy.selectors.items()}
    rules = ", ".join(str(folder / "rules" / f"{name}.{kind}.yml") for kind in ("recording", "alerts"))
    test = folder / "raw.yml"
    test.write_text(
        TEST.format(
            rules=rules,
            spacing=spacing,
            service=chosen.get("service", "shop"),
            environment=chosen.get("environment", "production"),
            values=values,
            until=until,
            fires=fires,
        )
    )
    done = promtool_test([test])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("spacing", ["15s", "30s"])
@pytest.mark.parametrize("name", [path.stem for path in SHIPPED if path.stem != "demo"])
def test_no_policy_rolls_back_on_one_failed_probe(tmp_path: Path, name: str, spacing: str) -> None:
    _fires(tmp_path, name, "1x20 0 1x120", fires=0, spacing=spacing)


@pytest.mark.parametrize("values", ["1x20 0x60", "1x20 0 0 0 1 0 1 0 0 1 0 1 0 0 1 0 1x40"])
def test_a_policy_rolls_back_when_probes_go_on_failing(tmp_path: Path, values: str) -> None:
    _fires(tmp_path, "insurance-lead-gen", values, fires=1)
