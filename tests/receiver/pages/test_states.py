"""How a gate, a deployment, its stage and its verdict stand is told by a word and a shape or sign, not by colour."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest
from sqlalchemy import update

from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.deployments.stages import StageState
from deploywatch.receiver.pages.console import TEMPLATES
from deploywatch.receiver.store.deployment_schema import deployment_stages
from deploywatch.receiver.verification.question import Standing
from deploywatch.verdict.values import Answer
from tests.receiver.pages.world import World


@pytest.mark.parametrize("states", [Status, StageState, Answer])
def test_each_state_has_a_sign_that_no_other_of_its_kind_has(states: type[StrEnum]) -> None:
    parts = TEMPLATES.get_template("parts.html").make_module({"prefix": "", "change": ""})
    signs = {state: parts.SIGNS.get(state) for state in states}  # type: ignore[attr-defined]
    assert None not in signs.values()
    assert len(set(signs.values())) == len(states)
    for state, sign in signs.items():
        text = str(parts.state(state))  # type: ignore[attr-defined]
        assert text.endswith(f"{sign}</span> {state.replace('_', ' ')}</span>")


@pytest.mark.asyncio(loop_scope="package")
async def test_the_page_of_a_deployment_bears_the_signs_of_its_stage_and_its_verdict(world: World) -> None:
    async with world.context.http.get(f"{world.url}/deployments/3", headers={"Accept": "text/html"}) as answer:
        text = await answer.text()
    assert '<span aria-hidden="true">…</span> running</span>' in text
    assert '<span aria-hidden="true">‖</span> hold</span>' in text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (StageState.SUPERSEDED, "» over: the next stage began before this one was proven good"),
        (StageState.ENDED, "■ over: undecided; it was rolled back by hand, failed, was overtaken"),
    ],
)
@pytest.mark.asyncio(loop_scope="package")
async def test_of_a_stage_that_no_verdict_ended_page_and_report_say_what_happened(
    world: World, state: StageState, words: str
) -> None:
    async def become(state: StageState) -> None:
        change = update(deployment_stages).where(deployment_stages.c.deployment_id == 3).values(state=state)
        await world.context.store.write(lambda connection: connection.execute(change))

    await become(state)
    try:
        for path in ("/deployments/3", "/deployments/3/report"):
            async with world.context.http.get(f"{world.url}{path}", headers={"Accept": "text/html"}) as answer:
                text = re.sub(r"<[^>]+>", "", await answer.text())
            assert words.removeprefix("" if path.endswith("3") else words[:2]) in text
    finally:
        await become(StageState.RUNNING)


def test_each_standing_of_a_gate_has_a_shape_that_no_other_has() -> None:
    parts = TEMPLATES.get_template("parts.html").make_module({"prefix": "", "change": ""})
    drawn = {one: str(parts.standing(one)) for one in Standing}  # type: ignore[attr-defined]
    assert len({re.findall(r' d="([^"]+)"', text)[0] for text in drawn.values()}) == len(Standing)
    for one, text in drawn.items():
        assert text.endswith(f"</svg> {one}</span>")


@pytest.mark.asyncio(loop_scope="package")
async def test_the_page_of_a_gate_bears_the_shape_of_each_requirement(world: World) -> None:
    query = "service=shop&environment=production&version=1"
    async with world.context.http.get(f"{world.url}/gate?{query}", headers={"Accept": "text/html"}) as answer:
        assert re.search(r'<span class="severity \w+">\s*<svg class="shape', await answer.text())
