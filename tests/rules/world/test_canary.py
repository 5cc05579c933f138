"""A canary that takes a tenth of the traffic is judged by its own requests: the whole service hides what it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.rules.resolve import resolve
from tests.rules.tools import GOOD, policy_from
from tests.support.world.exposition import Place, tracks
from tests.support.world.play import Look, Run, play
from tests.support.world.timeline import Timeline

MINUTE, EVERY = 60, 30
BEGINS, LOOKS = 20 * MINUTE, 32 * MINUTE
REQUESTS = "requests: {metric: http_requests_total"
WHERE = {"service": "shop", "environment": "production"}


@pytest.mark.parametrize(
    ("told", "changes", "fires"),
    [
        ("the canary fails 4 %", {"canary_failing": 0.04}, True),
        ("the canary is as well as stable", {"canary_failing": 0.0002}, False),
        ("stable fails 4 %, and the canary does not", {"canary_failing": 0.0002, "failing": 0.04}, False),
        ("there is no canary, and a hundredth of the requests fail", {"failing": 0.01}, False),
    ],
)
def test_a_canary_is_judged_by_its_own_requests(
    told: str, changes: dict[str, float], fires: bool, tmp_path: Path
) -> None:
    text = GOOD.replace(REQUESTS, f"{REQUESTS}, control: {{label: deployment, new: canary, old: stable}}")
    policy = resolve(policy_from(text.replace("error_ratio > 1%", "canary(error_ratio) > 0.5%"), tmp_path))
    timeline = Timeline().deployed(BEGINS, "v2").at(BEGINS, **changes)
    place = Place(WHERE, WHERE, timeline, roles="deployment", database=False)
    looks = (Look(BEGINS - EVERY), Look(LOOKS, frozenset({"Sample"}) if fires else frozenset(), of="Sample"))
    run = Run(told, tracks(place, length=LOOKS, step=EVERY), EVERY, looks)
    assert play(policy, [run], every=EVERY) == ""
