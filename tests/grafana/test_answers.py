"""Every query of every dashboard is asked of a real engine and must return a series.

The demo's dashboards and the shared ones: of the Prometheus of a real run of the demo, with its exporter, receiver,
Alertmanager, a deployment that goes wrong and its rollback. Those of the other policies: of Prometheus's engine in
promtool, which evaluates those of the policy's rules that measure over the raw series that its signals' tests are
made of. What rules make of that (comparisons, health, delivery), the ledger, the incidents and the alerts that fire are
series as they would be recorded or exposed; that rules record them is what the tests of rules show. Objectives are
shown over the world's series, in test_world.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.grafana.asking import Question, Shown, choices, questions
from tests.grafana.models import MODELS, OBJECTIVES, POLICIES
from tests.grafana.synthetic import check

pytestmark = pytest.mark.timeout(900)

REAL = [name for name in sorted(MODELS) if name.split(".")[0] in {"all", "demo"}]
ASKED = [(name, question) for name in REAL for question in questions(MODELS[name])]


def _chosen(model: dict[str, Any], demo: Shown) -> dict[str, str]:
    """The reader's choices; of deployments, the newest, which is the rollback."""
    values = choices(model)
    for question in questions(model):
        if question.where == "$deployment":
            values["deployment"] = demo.ask(question, values)[0]["value"][1]
    return values


@pytest.mark.parametrize(("name", "question"), ASKED, ids=[f"{name}: {one.where}" for name, one in ASKED])
def test_a_query_of_the_demo_returns_a_series(demo: Shown, name: str, question: Question) -> None:
    answer = demo.ask(question, _chosen(MODELS[name], demo))
    assert answer, question.expression


def test_the_error_ratio_before_the_rollback_is_higher_than_since(demo: Shown) -> None:
    model = MODELS["demo.deployment"]
    values = _chosen(model, demo)
    before, since = (
        next(one for one in questions(model) if one.where == f"Error ratio: before and since {letter}")
        for letter in "AB"
    )
    (was,), (is_now,) = demo.ask(before, values), demo.ask(since, values)
    assert float(was["value"][1]) > float(is_now["value"][1])


@pytest.mark.parametrize("name", [name for name in POLICIES if name not in {"demo", OBJECTIVES.policy}])
def test_every_query_of_a_policy_returns_a_series(name: str, tmp_path: Path) -> None:
    models = {key: model for key, model in MODELS.items() if key.split(".")[0] == name}
    assert models
    check(POLICIES[name], models, tmp_path)
