"""The report on a canary that a real Prometheus has counted."""

from __future__ import annotations

from deploywatch.receiver.report import gather, rendering
from tests.receiver.verification.conftest import Watch


async def test_a_bad_canarys_report_has_the_counts_of_both_versions_and_says_that_health_is_not_weighed(
    watch: Watch,
) -> None:
    watched = await watch("bad")
    await watched.on(3)
    scene = watched.scene
    answer = await scene.read(
        lambda c: gather.report(c, scene.context.settings, watched.deployment.id, scene.clock.now)
    )
    verdict = await watched.verdict()
    assert answer["sentence"].endswith(verdict.sentences[0])
    (limit,) = answer["stages"][0]["limits"]
    assert (limit["bad"], limit["requests"]) == (12 * verdict.look, 400 * verdict.look)
    assert limit["proven"] == "bad"
    assert f"{limit['bad']} of {limit['requests']:,}" in rendering.as_markdown(answer)
    assert answer["phase"] == "failed"
    assert answer["unmeasured"] == ["its health: it was never assessed"]
