"""The built tests notice when the built rules change; `scripts/mutate` does the same for every policy."""

from __future__ import annotations

from tests.rules.mutation import mutants, survivors
from tests.rules.tools import shipped


def test_at_least_95_of_100_changes_to_a_policys_rules_are_noticed() -> None:
    every = list(mutants(shipped("demo")))
    assert len(every) >= 40
    left = survivors(every)
    assert 1 - len(left) / len(every) >= 0.95, left
