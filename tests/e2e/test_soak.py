"""A storm from two Alertmanagers, and the receiver killed again and again: nothing is lost, nothing done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploywatch.demo.processes import Processes
from tests.support.soak import soak

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

KILLS = 20
SEED = 20_260_501


def test_a_receiver_that_is_killed_in_a_storm_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        assert soak(processes, tmp_path / "ground", kills=KILLS, seed=SEED) == []
