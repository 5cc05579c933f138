"""The built tests notice when the built rules change; `scripts/mutate` does the same for every policy."""

from __future__ import annotations

import pytest

from tests.rules.mutation import main, mutants, survivors
from tests.rules.tools import shipped


def test_at_least_95_of_100_changes_to_a_policys_rules_are_noticed() -> None:
    every = list(mutants(shipped("demo")))
    assert len(every) >= 40
    left = survivors(every)
    assert 1 - len(left) / len(every) >= 0.95, left


def test_a_policy_that_there_is_not_is_named_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "demmo"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("demmo: no such policy; there are ")
    assert "enterprise" in printed.err
