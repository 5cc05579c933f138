"""docs/sources.md: every number of the sources' documents, the alert that keeps it, and the tests that hold it.

The page is made here: UPDATE_GOLDEN=1 writes it. A threshold without a test, or a test that is gone, fails.
"""

from __future__ import annotations

import ast
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from deploywatch.quantity import format_duration
from deploywatch.rules.builtin_policies import GENERATED
from deploywatch.rules.outputs import wording
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolve import resolve
from deploywatch.rules.resolved import ResolvedAlert
from tests.rules.sources.figures import FIGURES
from tests.rules.sources.rows import BUILT, SICK_FOR_HOURS, Row, rows, text_of
from tests.rules.sources.rows import SICK as SICK_TEST
from tests.rules.tools import SHIPPED, shipped
from tests.rules.world.sick import SICK

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sources.md"
NAMES = [path.stem for path in SHIPPED]
_HEAD = """\
# Where each number comes from, and what holds it

`tests/rules/test_sources.py` makes this page. It fails where a figure of the documents has no row here, where a policy
does not say what its row says, and where a row has no test.

## What the documents ask for

Each row is a figure that a system can be held to, with its row in the catalogue of what the documents ask for, and
where it stands: document and line. An alert of a policy has two tests beside those that are named. `boundaries`, built
beside the rules, are just below, at and just above the limit, before and after the wait; they are run by
`{built}`.
The fault is one of the world, in `tests/rules/world/sick.py`: it happens to raw series, and the alert fires in the time
that the policy promises, in
`{sick}` or, where hours must have passed, in
`{hours}`.
"""
_LIMITS = """\
## What each policy says

Each row is a limit of a shipped policy: the document and section that it comes from, the alert that keeps it, how many
boundaries are tested, and the fault that it fires for.
"""


def page() -> str:
    """The whole page."""
    head = _HEAD.format(built=BUILT, sick=SICK_TEST, hours=SICK_FOR_HOURS)
    limits = (line for name in NAMES for line in _section(name))
    return "\n".join([head, *_asked_for(), _LIMITS, *limits])


def _asked_for() -> Iterator[str]:
    yield "| | at | asks for | held by | tests |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows():
        if not row.why:
            yield f"| {row.of} | {', '.join(row.at) or 'in words'} | {row.says} | {_held_by(row)} | {_tests(row)} |"
    yield ""
    yield "What holds nobody to anything:"
    yield ""
    for row in rows():
        if row.why:
            yield f"- {', '.join(row.at)}: {row.why}"
    yield ""


def _held_by(row: Row) -> str:
    if row.alert:
        return f"{row.policy}, {row.alert}"
    return f"{row.policy}, `{row.part}`" if row.policy else row.where


def _tests(row: Row) -> str:
    tests = [f"`{test}`" for test in row.tests]
    if row.alert:
        slow = SICK[row.policy][row.alert].every
        tests = [f"boundaries of `{row.alert}`", f"`{(SICK_FOR_HOURS if slow else SICK_TEST).split('::')[1]}`", *tests]
    return ", ".join(tests)


def _section(name: str) -> Iterator[str]:
    policy = resolve(shipped(name))
    yield f"### {name}"
    yield ""
    for source in policy.given.sources.values():
        yield f"- {source}"
    yield ""
    yield "| from | alert | limit | wait | severity | boundaries | fault |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for alert in policy.alerts:
        yield _row(policy.given, alert)
    yield ""


def _row(policy: Policy, alert: ResolvedAlert) -> str:
    given = alert.given
    where = "; ".join(f"{name}: {section}" if section else name for name, section in given.source.items())
    limit = wording.threshold(alert) if not alert.is_compound else given.when
    about = f"`{alert.terms[0].comparison.signal}` {limit}" if not alert.is_compound else f"`{limit}`"
    wait = format_duration(given.for_) if given.for_ else "at once"
    cells = (where, given.alert, about, wait, given.severity, str(_boundaries(policy.policy, given.alert)))
    return (
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + f" | {SICK[policy.policy][given.alert].told} |"
    )


def _boundaries(policy: str, alert: str) -> int:
    """How many of the built tests are of this alert."""
    return _built(policy)[alert]


@cache
def _built(policy: str) -> Counter[str]:
    built = (GENERATED / policy / "tests" / f"{policy}.boundaries.yml").read_text()
    return Counter(re.findall(r"""^ *- name: ["']?(\w+): """, built, re.MULTILINE))


def test_the_page_is_what_the_policies_and_their_tests_say() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "run: UPDATE_GOLDEN=1 pytest tests/rules/test_sources.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_names_a_source_and_has_tests(name: str) -> None:
    policy = shipped(name)
    for alert in policy.alerts:
        assert set(alert.source) <= set(policy.sources)
        assert _boundaries(name, alert.alert) >= 3, alert.alert
        assert alert.alert in SICK[name], alert.alert


def test_every_figure_of_the_documents_has_its_row() -> None:
    """Line by line, and row by row of the catalogue, whose percentages are hundred times a document's share."""
    known: defaultdict[str, set[Decimal]] = defaultdict(set)
    for row in rows():
        for place in (*row.at, row.of):
            known[place] |= set(row.figures)
    lacking = [line for line in FIGURES.read_text().splitlines() if _lacks(line, known)]
    assert not lacking, f"these figures have no row in thresholds.yml: {lacking}"


def test_no_row_is_of_a_line_that_has_no_figure() -> None:
    places = {line.split()[0] for line in FIGURES.read_text().splitlines()}
    assert not {place for row in rows() for place in row.at} - places


def test_a_figure_without_its_row_is_found() -> None:
    known = {"000:804": {Decimal(500)}, "M3": {Decimal("0.35")}}
    assert _lacks("000:804 500 1", known)
    assert _lacks("000:805 500", known)
    assert not _lacks("000:804 500", known)
    assert not _lacks("M3 .35", known)


def _lacks(line: str, known: Mapping[str, Collection[Decimal]]) -> bool:
    place, *figures = line.split()
    return not {Decimal(figure) for figure in figures} <= set(known.get(place, ()))


@pytest.mark.parametrize("row", [row for row in rows() if row.policy], ids=lambda row: f"{row.of} {row.says}")
def test_the_policy_says_what_its_row_says(row: Row) -> None:
    text = text_of(row.policy, alert=row.alert, part=row.part)
    assert row.holds
    assert [piece for piece in row.holds if not _says(text, piece)] == []


def test_a_figure_that_a_policy_no_longer_has_is_noticed() -> None:
    for other in ("queue_length > 10000", "queue_length > 1000.5", "queue_length > 1000ms", "queue_length > 100"):
        assert not _says(f"when: {other} severity: high", "when: queue_length > 1000")
    assert not _says("{lasts: 15m}", "5m")
    assert _says("when: queue_length > 1000 severity: high", "when: queue_length > 1000")
    assert _says("{stage: full, lasts: 15m, share: 100%}", "lasts: 15m")


def _says(text: str, piece: str) -> bool:
    """Whether it stands there as a whole: 1000 is not the beginning of 10000, and 5m is not the end of 15m."""
    return re.search(rf"(?<![\w.]){re.escape(piece)}(?![\w%.]*\d|\w)", text) is not None


def test_every_row_names_tests_that_are_there() -> None:
    there = {path: _functions(ROOT / path) for path in {test.split("::")[0] for row in rows() for test in row.tests}}
    for row in rows():
        assert row.why or row.alert or row.tests, row.says
        assert not row.alert or (_boundaries(row.policy, row.alert) >= 3 and row.alert in SICK[row.policy])
        for test in row.tests:
            path, name = test.split("::")
            assert name in there[path], test
    for test in (BUILT, SICK_TEST, SICK_FOR_HOURS):
        path, name = test.split("::")
        assert name in _functions(ROOT / path), test


def _functions(path: Path) -> frozenset[str]:
    tree = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
