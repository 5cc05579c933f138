"""What alerts say of recorded series and what they say without them is the same, for every alert of every policy.

Both are asked in promtool of the sick list's worlds: the alert's own expression, which reads what was recorded, and the
expression without recorded series.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import pytest

from deploywatch.rules.build import rule_files
from deploywatch.rules.live.inlining import Inliner
from deploywatch.rules.outputs import recording
from deploywatch.rules.resolve import resolve
from tests.rules.tools import SHIPPED, promtool_test, shipped
from tests.rules.world.sick import SICK
from tests.support.world.systems import system

NAMES = [path.stem for path in SHIPPED]
_LENGTH, _EVERY = 30 * 60, 60


@pytest.mark.parametrize("name", NAMES)
def test_no_recorded_series_is_left(name: str) -> None:
    policy = resolve(shipped(name))
    names = {record.name for record in policy.records}
    for alert in policy.alerts:
        text = Inliner(name, policy.records, policy.given.interval).expression(alert.expression)
        promql_parser.parse(text)
        assert not {other for other in names if f"{other}{{" in text}, alert.given.alert


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["virtual-queue", "wix-platform"])
def test_without_recorded_series_the_answer_is_the_same(name: str, tmp_path: Path) -> None:
    policy = resolve(shipped(name))
    files = []
    for built, text in rule_files(policy):
        path = tmp_path / Path(built).name
        path.write_text(re.sub(r"^( +interval: ).*$", rf"\g<1>{_EVERY}s", text, flags=re.MULTILINE))
        files.append(path.name)
    tests = []
    for alert in policy.alerts:
        world = system(name)
        SICK[name][alert.given.alert].happen(world, _LENGTH // 2)
        inlined = Inliner(name, policy.records, policy.given.interval).expression(alert.expression)
        tests.append(
            {
                "name": alert.given.alert,
                "interval": f"{_EVERY}s",
                "input_series": [
                    {"series": track.series, "values": track.text()}
                    for track in world.tracks(length=_LENGTH, step=_EVERY)
                ],
                "promql_expr_test": [
                    {
                        "expr": f"count({inlined}) or vector(0)) - (count({alert.expression}) or vector(0)".join("()"),
                        "eval_time": f"{at}s",
                        "exp_samples": [{"labels": "{}", "value": 0}],
                    }
                    for at in (_LENGTH // 2, _LENGTH - 5 * 60, _LENGTH)
                ],
            }
        )
    order = [*recording.group_names(policy), f"{name}.alerts"]
    file = {"rule_files": files, "evaluation_interval": f"{_EVERY}s", "group_eval_order": order, "tests": tests}
    path = tmp_path / "inlined.yml"
    path.write_text(json.dumps(file))
    done = promtool_test([path])
    assert done.returncode == 0, done.stdout + done.stderr
