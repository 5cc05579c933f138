"""docs/sources.md: every number of the sources' documents, the alert that keeps it, and the tests that hold it.

The page is made here: UPDATE_GOLDEN=1 writes it. A threshold without a test, or a test that is gone, fails.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploywatch.quantity import format_duration
from deploywatch.rules.builtin_policies import GENERATED
from deploywatch.rules.outputs import wording
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolve import resolve
from deploywatch.rules.resolved import ResolvedAlert
from tests.rules.tools import SHIPPED, shipped
from tests.rules.world.sick import SICK

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
NAMES = [path.stem for path in SHIPPED]
_HEAD = """\
# Where each number comes from, and what holds it

Each row is a limit of a shipped policy: the document and section that it comes from, the alert that keeps it, and
its two tests. `boundaries` counts the tests that are built beside the rules: just below, at and just above the limit,
before and after the wait. The fault is one of the world, in `tests/rules/world/sick.py`: it happens to raw series,
and the alert fires in the time that the policy promises. `tests/rules/test_sources.py` makes this page, and fails
where a limit has no test.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(line for name in NAMES for line in _section(name))])


def _section(name: str) -> Iterator[str]:
    policy = resolve(shipped(name))
    yield f"## {name}"
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
    cells = (where, given.alert, about, wait, given.severity, str(_boundaries(policy, given.alert)))
    return (
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + f" | {SICK[policy.policy][given.alert].told} |"
    )


def _boundaries(policy: Policy, alert: str) -> int:
    """How many of the built tests are of this alert."""
    built = (GENERATED / policy.policy / "tests" / f"{policy.policy}.boundaries.yml").read_text()
    return len(re.findall(rf"""^ *- name: ["']?{alert}: """, built, re.MULTILINE))


def test_the_page_is_what_the_policies_and_their_tests_say() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "run: UPDATE_GOLDEN=1 pytest tests/rules/test_sources.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_names_a_source_and_has_tests(name: str) -> None:
    policy = shipped(name)
    for alert in policy.alerts:
        assert set(alert.source) <= set(policy.sources)
        assert _boundaries(policy, alert.alert) >= 3, alert.alert
        assert alert.alert in SICK[name], alert.alert
