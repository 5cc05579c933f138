"""The set of signals is complete: every module is registered, explained and tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rules.signals
from rules.recording import signals
from rules.signals import SIGNALS
from rules.signals.signal import Signal
from rules.wording import FORMS
from tests.rules.tools import good, shipped

PAGES = Path(__file__).parents[2] / "docs" / "signals"
MODULES = {path.stem for path in Path(rules.signals.__path__[0]).glob("*.py")} - {"__init__", "signal"}
LIMITS = {
    "error_ratio": "> 1%",
    "latency_p95": "> 500ms",
    "throughput": "< 10/s",
    "availability": "< 99%",
    "service_up": "== 0",
    "health": "== 0",
    "queue_length": "> 1000",
}


def test_every_module_is_a_signal_of_its_name() -> None:
    assert set(SIGNALS) == MODULES


def test_every_signal_has_a_page_and_every_page_a_signal() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} - {"README"} == set(SIGNALS)


def test_the_list_of_pages_names_every_signal() -> None:
    listed = re.findall(r"\]\((\w+)\.md\)", (PAGES / "README.md").read_text())
    assert sorted(listed) == sorted(SIGNALS)


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=lambda signal: signal.name)
def test_a_page_says_what_the_signal_is_and_in_which_unit(signal: Signal) -> None:
    page = (PAGES / f"{signal.name}.md").read_text()
    assert page.startswith(f"# {signal.name}\n\n{signal.about}\n")
    assert f"\nUnit: {signal.unit.value}, " in page
    assert "```yaml" in page


@pytest.mark.parametrize("name", LIMITS)
def test_a_page_shows_what_is_really_recorded(tmp_path: Path, name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    policy = good(tmp_path, when=f"{name} {LIMITS[name]}")
    signal, bounds = signals(policy)[name]
    shown = re.sub(r"\s+", " ", page)
    for record in signal.records(policy, bounds):
        assert f"`{record.name}`" in page
        assert re.sub(r"\s+", " ", record.expression) in shown


def test_every_signal_is_used_in_a_limit_here() -> None:
    assert set(LIMITS) == set(SIGNALS)


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=lambda signal: signal.name)
def test_values_of_its_unit_can_be_written_for_people(signal: Signal) -> None:
    assert signal.unit in FORMS


def test_every_signal_of_the_demo_has_examples_and_queries() -> None:
    policy = shipped("demo")
    for signal, bounds in signals(policy).values():
        assert len(signal.examples(policy, bounds)) >= 2
        assert signal.diagnosis(policy)
