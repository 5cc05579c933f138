"""Changes to built rules, one at a time, that their tests must notice: `python -m tests.rules.mutation [POLICY...]`.

Each limit is moved, each operator flipped, each `for` and `keep_firing_for` changed. A change is tried with the tests
of its own alert, or of its own status, and no others. Three changes are not tried, since no series can tell them
apart: `<= 0` and `>= 1` of what is 0 or 1; `!=` and `<` of what cannot be more than its limit; and another operator
where a rule chooses which of two limits an alert's text says.
"""

from __future__ import annotations

import copy
import re
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from deploywatch.rules import promql
from deploywatch.rules.comparison import OPERATIONS
from deploywatch.rules.conditions import deployments
from deploywatch.rules.outputs import alerting
from deploywatch.rules.outputs.emit import Remarked, yaml
from deploywatch.rules.outputs.unit_tests import boundary as boundary_tests
from deploywatch.rules.outputs.unit_tests import judgement as judgement_tests
from deploywatch.rules.outputs.unit_tests import window as window_tests
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolve import resolve
from deploywatch.rules.resolved import ResolvedAlert, ResolvedHealth, ResolvedPolicy
from deploywatch.rules.signals.signal import YES_NO, Group, Record
from tests.rules.tools import SHIPPED, promtool_test, shipped

_LIMIT = re.compile(r"(?P<head>[})] )(?P<operator>[<>=!]=?|==)(?P<word> (?:bool )?)(?P<number>-?[0-9.]+)\b")
_JOINED = re.compile(r"^(?P<operator>[<>=!]=?)(?P<rest> on )", re.MULTILINE)
_CONSTANT = re.compile(r"(?P<head>\* 0 \+ )(?P<number>[0-9.]+)")
_AGE = re.compile(r"(?P<head>:min\{[^}]*\}(?: >= [0-9]+)? < |:min\{[^}]*\} >= )(?P<number>[0-9]+)")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change, with the rules after it and the tests that should notice."""

    change: str
    rules: dict[str, Any]
    tests: dict[str, Any]


def mutants(policy: Policy) -> Iterator[Mutant]:
    """Every change to a policy's rules."""
    resolved = resolve(policy)
    for alert in resolved.alerts:
        yield from _of_alert(resolved, alert)
        if alert.threshold is not None:
            yield from _of_threshold(resolved, alert, alert.threshold)
    if resolved.health is not None:
        yield from _of_health(resolved, resolved.health)


def survivors(every: Sequence[Mutant]) -> list[str]:
    """The changes that no test notices."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        kept = pool.map(lambda one: _survives(Path(folder) / str(one[0]), one[1]), enumerate(every))
        return [mutant.change for mutant, survived in zip(every, kept, strict=True) if survived]


def _survives(folder: Path, mutant: Mutant) -> bool:
    folder.mkdir()
    (folder / "rules.yml").write_text(yaml(mutant.rules))
    (folder / "tests.yml").write_text(yaml({"rule_files": ["rules.yml"], **mutant.tests}))
    return promtool_test([folder / "tests.yml"]).returncode == 0


def _of_alert(policy: ResolvedPolicy, alert: ResolvedAlert) -> Iterator[Mutant]:
    (group,) = alerting.groups(policy)["groups"]
    rule = group["rules"][policy.alerts.index(alert)].value
    tests = _tests(policy.given, boundary_tests.of_alert(policy.given, alert))
    for change, changed in _changed_rules(policy.given, alert, rule):
        yield Mutant(f"{alert.given.alert}: {change}", {"groups": [group | {"rules": [changed]}]}, tests)


def _changed_rules(policy: Policy, alert: ResolvedAlert, rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yes_no = {one.reading.record for one in alert.terms if one.reading.domain == YES_NO}
    full = {term.reading.record for term in alert.terms if term.reading.threshold == term.reading.domain.highest}
    for change, expression in [*_limits(rule["expr"], yes_no=yes_no, full=full), *_joins(rule["expr"], yes_no=yes_no)]:
        yield change, rule | {"expr": expression}
    for key, wait in (("for", alert.given.for_), ("keep_firing_for", alert.given.keep_firing_for)):
        if not wait:
            continue
        for other in (wait + policy.interval, wait - policy.interval, timedelta(0)):
            changed = {name: value for name, value in rule.items() if name != key or other}
            if other:
                changed[key] = promql.duration(other)
            yield f"{key} {other}", changed


def _limits(text: str, *, yes_no: Collection[str] = (), full: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Each number that something is compared with moved by a hundredth, and each operator replaced by each other."""
    for found in _LIMIT.finditer(text):
        series = text[: found.start()].rpartition("\n")[2]
        chooses = "policy_threshold" in series
        number = Decimal(found["number"])
        for moved in _moved(number):
            yield _replaced(text, found, f"{found['head']}{found['operator']}{found['word']}{promql.number(moved)}")
        # A 0 or 1 that is `<= 0` is 0; and which of its limits a threshold says is no comparison of the policy.
        same = {found["operator"]} | ({"<=", ">="} if any(name in series for name in yes_no) else set())
        # What can be no more than the limit is below it whenever it is not at it.
        same |= {"<", "!="} if any(name in series for name in full) else set()
        for operator in ["!="] if chooses else sorted(OPERATIONS.keys() - same):
            yield _replaced(text, found, f"{found['head']}{operator}{found['word']}{found['number']}")


def _joins(text: str, *, yes_no: Collection[str]) -> Iterator[tuple[str, str]]:
    for found in _JOINED.finditer(text):
        for operator in sorted(OPERATIONS.keys() - {found["operator"]} - ({"<=", ">="} if yes_no else set())):
            yield _replaced(text, found, f"{operator}{found['rest']}")


def _moved(number: Decimal) -> tuple[Decimal, Decimal]:
    step = Decimal(1) if number == int(number) else number / 100
    return number + step, number - step


def _replaced(text: str, found: re.Match[str], instead: str) -> tuple[str, str]:
    return f"{found[0].strip()} -> {instead.strip()}", text[: found.start()] + instead + text[found.end() :]


def _of_threshold(policy: ResolvedPolicy, alert: ResolvedAlert, record: Record) -> Iterator[Mutant]:
    """The limits and the ages in an alert's threshold series."""
    given = policy.given
    tests = _tests(given, list(window_tests.of_alert(given, alert)))
    rule = alerting.groups(policy)["groups"][0]["rules"][policy.alerts.index(alert)]
    for pattern, step in ((_CONSTANT, None), (_AGE, Decimal(1))):
        for found in pattern.finditer(record.expression):
            number = Decimal(found["number"])
            for moved in (number + step, number - step) if step is not None else _moved(number):
                change, text = _replaced(record.expression, found, f"{found['head']}{promql.number(moved)}")
                rules = [_rule(given, deployments.age(given)), _rule(given, record, text), rule]
                yield Mutant(f"{alert.given.alert}: {change}", _group(given, rules), tests)


def _of_health(policy: ResolvedPolicy, judged: ResolvedHealth) -> Iterator[Mutant]:
    """The limits of statuses and anomalies."""
    given = policy.given
    terms = [term for status in judged.statuses for term in (status.warning, status.critical)]
    yes_no = {term.reading.record for term in terms if term.reading.domain == YES_NO}
    every = [record for record in policy.records if record.group is Group.HEALTH]
    tests = list(judgement_tests.tests(given, judged))
    for position, record in enumerate(every):
        named = record.labels.get("anomaly") or (record.labels.get("signal") if "kind" in record.labels else None)
        if named is None:
            continue
        own = [test for test in tests if f" {named} " in test["name"]]
        for change, text in _limits(record.expression, yes_no=yes_no):
            rules = [_rule(given, one, text if number == position else None) for number, one in enumerate(every)]
            yield Mutant(f"health of {named}: {change}", _group(given, rules), _tests(given, own))


def _rule(policy: Policy, record: Record, text: str | None = None) -> dict[str, Any]:
    expression = record.expression if text is None else text
    return {"record": record.name, "expr": expression, "labels": {**record.labels, "policy": policy.policy}}


def _group(policy: Policy, rules: Iterable[Any]) -> dict[str, Any]:
    plain = [copy.copy(rule.value) if isinstance(rule, Remarked) else rule for rule in rules]
    return {"groups": [{"name": "changed", "interval": promql.duration(policy.interval), "rules": plain}]}


def _tests(policy: Policy, entries: Sequence[Any]) -> dict[str, Any]:
    return {"evaluation_interval": promql.duration(policy.interval), "tests": list(entries)}


def main(names: Sequence[str]) -> int:
    """Print the share of changes that were noticed, and those that were not.

    1 when it is below 95 %, 2 for a name that no policy has.
    """
    worst, known = 1.0, [path.stem for path in SHIPPED]
    if unknown := sorted(set(names) - set(known)):
        print(f"{', '.join(unknown)}: no such policy; there are {', '.join(known)}", file=sys.stderr)  # noqa: T201
        return 2
    for name in names or known:
        every = list(mutants(shipped(name)))
        left = survivors(every)
        share = 1 - len(left) / len(every)
        worst = min(worst, share)
        print(f"{name}: {len(every) - len(left)} of {len(every)} changes noticed, {share:.1%}", flush=True)  # noqa: T201
        for change in left:
            print(f"  not noticed: {change}")  # noqa: T201
    return 0 if worst >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
