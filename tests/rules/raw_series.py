"""Plays raw series, as the world exposes them, through a policy's built rules, and compares which alerts fire."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from deploywatch.rules import promql
from deploywatch.rules.build import build, write
from deploywatch.rules.outputs import recording
from deploywatch.rules.outputs.emit import yaml
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolve import resolve
from tests.rules.needed import keep_needed
from tests.rules.tools import promtool_test


def fires(
    policy: Policy,
    folder: Path,
    series: Mapping[str, str],
    moments: Mapping[str, Collection[str]],
    *,
    only: Sequence[str] = (),
    interval: str = "",
) -> None:
    """Of the alerts `only` (all, if none is named) those that fire at each moment are these and no others."""
    write(build([policy]), folder)
    if only:
        keep_needed([folder / "rules" / f"{policy.policy}.{kind}.yml" for kind in ("recording", "alerts")], only)
    matchers = [("alertstate", "=", "firing"), *([("alertname", "=~", "|".join(only))] if only else [])]
    every = interval or promql.duration(policy.interval)
    tests = {
        "rule_files": [f"rules/{policy.policy}.{kind}.yml" for kind in ("recording", "alerts")],
        "evaluation_interval": every,
        "group_eval_order": [*recording.group_names(resolve(policy)), f"{policy.policy}.alerts"],
        "tests": [
            {
                "name": "raw series",
                "interval": every,
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f"group by (alertname) ({promql.selector('ALERTS', matchers)})",
                        "eval_time": moment,
                        "exp_samples": [
                            {"labels": promql.selector("", [("alertname", "=", name)]), "value": 1}
                            for name in sorted(names)
                        ],
                    }
                    for moment, names in moments.items()
                ],
            }
        ],
    }
    path = folder / "raw.yml"
    path.write_text(yaml(tests))
    done = promtool_test([path])
    assert done.returncode == 0, done.stdout + done.stderr
