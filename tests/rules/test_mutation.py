"""The built tests notice when the built rules change: thresholds moved, operators flipped, waits changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

from rules import promql
from rules.build import build, write
from rules.policy import Policy
from rules.terms import OPERATIONS
from tests.rules.tools import promtool_test, shipped

_LIMIT = re.compile(r"(?P<head>expr: .*\} )(?P<operator>[<>=!]+) (?P<number>[0-9.]+)(?P<tail>'?)$", re.MULTILINE)
_WAIT = re.compile(r"^        for: .*\n", re.MULTILINE)


def mutants(policy: Policy, text: str) -> Iterator[tuple[str, str]]:
    """Changed alerting rules, each with what was changed."""
    for found in _LIMIT.finditer(text):
        number = Decimal(found["number"])
        step = Decimal(1) if number == int(number) else number / 100
        for moved in (number + step, number - step):
            changed = found.expand(rf"\g<head>\g<operator> {promql.number(moved)}\g<tail>")
            yield f"{found[0].strip()} at {moved}", text[: found.start()] + changed + text[found.end() :]
        for operator in OPERATIONS.keys() - {found["operator"]}:
            changed = found.expand(rf"\g<head>{operator} \g<number>\g<tail>")
            yield f"{found[0].strip()} with {operator}", text[: found.start()] + changed + text[found.end() :]
    for found, alert in zip(_WAIT.finditer(text), [one for one in policy.alerts if one.for_], strict=True):
        for wait in (alert.for_ + policy.interval, alert.for_ - policy.interval):
            line = f"        for: {promql.duration(wait)}\n"
            yield f"{alert.alert} for {wait}", text[: found.start()] + line + text[found.end() :]
        yield f"{alert.alert} at once", text[: found.start()] + text[found.end() :]


def test_at_least_95_of_100_changes_to_the_demos_rules_are_noticed(tmp_path: Path) -> None:
    policy = shipped("demo")
    files = build([policy])
    rules, tests = "rules/demo.alerts.yml", "tests/demo.boundaries.yml"

    def survives(numbered: tuple[int, tuple[str, str]]) -> str | None:
        number, (change, text) = numbered
        folder = tmp_path / str(number)
        write({rules: text, tests: files[tests]}, folder)
        return change if promtool_test([folder / tests]).returncode == 0 else None

    every = list(mutants(policy, files[rules]))
    assert len(every) >= 40
    with ThreadPoolExecutor(2) as pool:
        left = [change for change in pool.map(survives, enumerate(every)) if change is not None]
    # `up` and `probe_success` are 0 or 1, so that some changes, such as `<= 0` for `== 0`, change nothing.
    same = [change for change in left if re.search(r"== 0'? with <=", change)]
    noticed = 1 - (len(left) - len(same)) / (len(every) - len(same))
    assert noticed >= 0.95, left
